//! By AVX-512's instruction that adds four products to a sum (VNNI); sums stay in registers.

use std::arch::x86_64::{
    __m512i, _CMP_GE_OQ, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32,
    _mm512_load_si512, _mm512_set1_epi32, _mm512_set1_ps, _mm512_store_si512,
};

use super::{Group, Line, ROWS, Rows, start, words};

/// As many sums as there are registers for, beside what is summed.
pub const QUERIES: usize = 6;
/// Numbers of 32 bits in a register.
const LANES: usize = 16;

pub struct InRegisters {
    /// Four codes of each query to a line.
    codes: Vec<[u32; QUERIES]>,
    start: [i32; QUERIES],
}

impl Group<QUERIES> for InRegisters {
    fn of(queries: &[i8], width: usize) -> Self {
        let mut group = Self { codes: vec![[0; QUERIES]; width.div_ceil(4)], start: [0; QUERIES] };
        for (query, codes) in queries.chunks_exact(width).enumerate() {
            for (line, word) in group.codes.iter_mut().zip(words(codes)) {
                line[query] = word;
            }
            group.start[query] = start(codes);
        }
        group
    }

    type Ready = ();

    unsafe fn ready() {}

    unsafe fn multiply(
        &self,
        rows: &Rows,
        floors: &[f32; QUERIES],
        sums: &mut [Line<i32>; QUERIES],
    ) -> [u64; QUERIES] {
        // SAFETY: the caller knows the processor.
        unsafe { compared(rows, self, floors, sums) }
    }
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn compared(
    rows: &Rows,
    group: &InRegisters,
    floors: &[f32; QUERIES],
    sums: &mut [Line<i32>; QUERIES],
) -> [u64; QUERIES] {
    let mut all = [0; QUERIES];
    let made = in_registers(rows, group);
    for (((made, sums), floor), reached) in made.into_iter().zip(sums).zip(floors).zip(&mut all) {
        let floor = _mm512_set1_ps(*floor);
        for (at, made) in (0..).step_by(LANES).zip(made) {
            let mask = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(_mm512_cvtepi32_ps(made), floor);
            *reached |= u64::from(mask) << at;
        }
        if *reached != 0 {
            for (at, made) in (0..).step_by(LANES).zip(made) {
                // SAFETY: a line is as long as these registers together and aligned as they are.
                unsafe { _mm512_store_si512(sums.0[at..].as_mut_ptr().cast(), made) };
            }
        }
    }
    all
}

/// A function of its own, and one whose sums nothing refers to: else each is written to memory in each
/// round, which takes twice the time.
#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn in_registers(rows: &Rows, group: &InRegisters) -> [[__m512i; ROWS / LANES]; QUERIES] {
    let mut sums = [[_mm512_set1_epi32(0); ROWS / LANES]; QUERIES];
    for (sums, &start) in sums.iter_mut().zip(&group.start) {
        *sums = [_mm512_set1_epi32(start); ROWS / LANES];
    }
    for (line, codes) in rows.iter().zip(&group.codes) {
        let mut rows = [_mm512_set1_epi32(0); ROWS / LANES];
        for (at, row) in (0..).step_by(LANES).zip(&mut rows) {
            // SAFETY: as above.
            *row = unsafe { _mm512_load_si512(line.0[at..].as_ptr().cast()) };
        }
        for (sums, &codes) in sums.iter_mut().zip(codes) {
            let codes = _mm512_set1_epi32(codes.cast_signed());
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum = _mm512_dpbusd_epi32(*sum, row, codes);
            }
        }
    }
    sums
}
