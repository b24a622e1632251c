//! Products against plain sums, and candidates against all rows.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn codes(count: usize, seed: u64) -> Vec<i8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-127..=127)).collect()
}

fn product(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

/// Calls a check for each way that this processor has.
macro_rules! by_each_way {
    ($check:ident($($argument:expr),*)) => {{
        $check::<{ plain::QUERIES }, plain::Plain>($($argument),*);
        #[cfg(target_arch = "x86_64")]
        if crate::processor::has_byte_sums() {
            $check::<{ registers::QUERIES }, registers::InRegisters>($($argument),*);
        }
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if crate::processor::has_byte_tiles() {
            $check::<{ tiles::QUERIES }, tiles::InTiles>($($argument),*);
        }
    }};
}

/// Sums of all queries with the rows that begin at a block, and which reached the floors.
fn multiplied<const QUERIES: usize, G: Group<QUERIES>>(
    queries: &[i8],
    rows: &Packed,
    first: usize,
    floors: &[f32; QUERIES],
) -> ([Line<i32>; QUERIES], [u64; QUERIES]) {
    let mut sums = [const { Line([0; ROWS]) }; QUERIES];
    let group = G::of(queries, rows.width);
    // SAFETY: `by_each_way` asks the processor.
    let reached = unsafe {
        let _ready = G::ready();
        group.multiply(rows.from(first), floors, &mut sums)
    };
    (sums, reached)
}

fn gives_each_product<const QUERIES: usize, G: Group<QUERIES>>() {
    for width in [1, 3, 4, 7, 63, 64, 65, 256, 1030] {
        let (queries, rows) = (codes(QUERIES * width, 1), codes(3 * ROWS * width, 2));
        let packed = Packed::of(&rows, width);
        for (block, rows) in rows.chunks(ROWS * width).enumerate() {
            let floors = [f32::NEG_INFINITY; QUERIES];
            let (sums, reached) =
                multiplied::<QUERIES, G>(&queries, &packed, block * ROWS, &floors);
            assert_eq!(reached, [u64::MAX; QUERIES]);
            for (query, sums) in queries.chunks(width).zip(&sums) {
                let expected: Vec<i32> =
                    rows.chunks(width).map(|row| product(query, row)).collect();
                assert_eq!(sums.0.to_vec(), expected, "width {width}, block {block}");
            }
        }
    }
}

#[test]
fn each_way_gives_each_product() {
    by_each_way!(gives_each_product());
}

fn compares_with_floors<const QUERIES: usize, G: Group<QUERIES>>() {
    let width = 8;
    let (queries, rows) = (codes(QUERIES * width, 3), codes(ROWS * width, 4));
    let packed = Packed::of(&rows, width);
    for (place, query) in queries.chunks(width).enumerate() {
        let products = rows.chunks(width).map(|row| product(query, row));
        let mut ranked: Vec<(i32, usize)> = products.zip(0..).collect();
        ranked.sort_unstable_by(|a, b| b.cmp(a));
        for (rank, above) in [(0, 0.0), (0, 1.0), (5, 0.0), (5, 1.0), (ROWS - 1, 0.0)] {
            let mut floors = [f32::INFINITY; QUERIES];
            floors[place] = ranked[rank].0 as f32 + above;
            let (_, reached) = multiplied::<QUERIES, G>(&queries, &packed, 0, &floors);
            let high = ranked.iter().filter(|&&(product, _)| product as f32 >= floors[place]);
            let mut expected = [0; QUERIES];
            expected[place] = high.fold(0, |all, &(_, row)| all | 1 << row);
            assert_eq!(reached, expected);
        }
    }
}

#[test]
fn a_floor_is_reached_by_what_is_not_below_it() {
    by_each_way!(compares_with_floors());
}

fn listed(found: &[Query<f32>]) -> Vec<Vec<i64>> {
    found.iter().map(|query| query.candidates().map(|(row, _)| row).collect()).collect()
}

fn finds_the_rows_within<const QUERIES: usize, G: Group<QUERIES>>(
    (count, total): (usize, usize),
    width: usize,
) {
    let margin = 9000;
    let (queries, rows) = (codes(count * width, 5), codes(total * width, 6));
    let expected: Vec<Vec<i64>> = (queries.chunks(width))
        .map(|query| {
            let products: Vec<i32> = rows.chunks(width).map(|row| product(query, row)).collect();
            let floor = products.iter().max().unwrap() - margin;
            (0..).zip(products).filter(|&(_, p)| p >= floor).map(|(row, _)| row).collect()
        })
        .collect();
    let largest = expected.iter().map(Vec::len).max().unwrap();
    let packed = Packed::of(&rows, width);
    for part in [ROWS, 2 * ROWS, 1024, 8192] {
        let found = |most| {
            // SAFETY: `by_each_way` asks the processor.
            let found = unsafe {
                in_parts::<QUERIES, G>(part, &queries, &packed, total, margin as f32, most)
            };
            found.unwrap()
        };
        assert_eq!(listed(&found(total).unwrap()), expected, "{count}, {total}, {part}");
        assert!(found(largest - 1).is_none());
    }
    let whole = candidates(&queries, &packed, total, margin as f32, total).unwrap();
    assert_eq!(listed(&whole.unwrap()), expected);
}

#[test]
fn candidates_are_the_rows_within_the_margin_in_however_many_parts() {
    for size in [(1, 1), (5, 63), (6, 64), (17, 65), (7, 3000), (7, 20_011)] {
        for width in [19, 130] {
            by_each_way!(finds_the_rows_within(size, width));
        }
    }
}

/// Also if a better row of another part makes them candidates no longer: whether they are seen before it
/// must not matter.
#[test]
fn too_many_in_one_part_are_too_many() {
    let rows: Vec<i8> = [[127].as_slice(), &[0; 1300], &[30; 300]].concat();
    let packed = Packed::of(&rows, 1);
    let found = |most| candidates(&[127], &packed, rows.len(), 10.0, most).unwrap();
    assert_eq!(listed(&found(300).unwrap()), [[0]]);
    assert!(found(299).is_none());
}

#[test]
fn rows_that_are_written_over_or_left_out_are_not_found() {
    let (width, total) = (5, 200);
    let (query, mut rows, new) = (codes(width, 7), codes(total * width, 8), codes(70 * width, 9));
    let mut packed = Packed::of(&rows, width);
    for place in [0, 3, 64, 130] {
        packed.write(place, &new);
        rows[place * width..][..new.len()].copy_from_slice(&new);
        for count in [1, 63, 64, 65, 199, 200] {
            let products = rows.chunks(width).map(|row| product(&query, row));
            let products: Vec<i32> = products.take(count).collect();
            let best = *products.iter().max().unwrap();
            let expected: Vec<i64> =
                (0..).zip(products).filter(|&(_, p)| p == best).map(|(row, _)| row).collect();
            let found = candidates(&query, &packed, count, 0.0, total).unwrap();
            assert_eq!(listed(&found.unwrap()), [expected], "{place}, {count}");
        }
    }
}
