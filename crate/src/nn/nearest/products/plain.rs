//! One product after the other: for processors without the instructions, where no bank has codes, and to
//! compare with.

use super::{Group, Line, ROWS, Rows, start, words};

pub const QUERIES: usize = 4;

pub struct Plain {
    /// Words and start of each query.
    queries: Vec<(Vec<u32>, i32)>,
}

impl Group<QUERIES> for Plain {
    fn of(queries: &[i8], width: usize) -> Self {
        let queries = queries.chunks_exact(width);
        Self { queries: queries.map(|codes| (words(codes).collect(), start(codes))).collect() }
    }

    type Ready = ();

    unsafe fn ready() {}

    unsafe fn multiply(
        &self,
        rows: &Rows,
        floors: &[f32; QUERIES],
        sums: &mut [Line<i32>; QUERIES],
    ) -> [u64; QUERIES] {
        let mut all = [0; QUERIES];
        for (((query, start), sums), (floor, reached)) in
            self.queries.iter().zip(sums).zip(floors.iter().zip(&mut all))
        {
            sums.0 = [*start; ROWS];
            for (line, codes) in rows.iter().zip(query) {
                for (sum, row) in sums.0.iter_mut().zip(line.0) {
                    for (row, code) in row.to_ne_bytes().into_iter().zip(codes.to_ne_bytes()) {
                        *sum = sum.wrapping_add(i32::from(row) * i32::from(code.cast_signed()));
                    }
                }
            }
            let high = (0..).zip(sums.0).filter(|&(_, sum)| sum as f32 >= *floor);
            *reached = high.fold(0, |all, (row, _)| all | 1 << row);
        }
        all
    }
}
