//! Products of 8-bit codes, looked at where they are made: in registers. Hardly any is ever written to
//! memory, which would cost as much as the products do.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::scan::{Query, Scan};
use crate::error::Result;
use crate::threads;

/// Numbers of 32 bits in a register of AVX-512.
const LANES: usize = 16;
/// Rows and queries multiplied at once: as many sums as there are registers for, beside what is summed.
const ROWS: usize = 4 * LANES;
const QUERIES: usize = 6;
/// Parts that rows are shared out in, and the rows of one: a function of the rows alone, so that whether
/// codes are given up does not depend on the number of threads. No part is short, because each begins
/// without a floor.
const PARTS: usize = 8;
const LEAST_PART: usize = 16 * ROWS;
const MOST_PART: usize = 128 * ROWS;

/// A number for each of `ROWS` rows.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Line<T>([T; ROWS]);

/// The codes of `ROWS` rows, four of each to a line.
///
/// The instruction takes one side unsigned: rows have 128 added, which a sum makes up for by what it
/// starts from, `q (r + 128) - 128 sum(q) = q r`.
type Rows = [Line<u32>];

/// The codes of rows in the order in which registers take them, `ROWS` rows after the other. The last of
/// them may be filled up with anything.
#[derive(Debug)]
pub struct Packed {
    lines: Vec<Line<u32>>,
    width: usize,
}

impl Packed {
    /// Of `rows [M, width]`.
    pub fn of(rows: &[i8], width: usize) -> Self {
        let blocks = (rows.len() / width).div_ceil(ROWS);
        let lines = vec![Line([0; ROWS]); blocks * width.div_ceil(4)];
        let mut packed = Self { lines, width };
        packed.write(0, rows);
        packed
    }

    /// `rows` in the place of those from `first` on.
    pub fn write(&mut self, first: usize, rows: &[i8]) {
        let lines_of_block = self.width.div_ceil(4);
        for (row, codes) in (first..).zip(rows.chunks_exact(self.width)) {
            let lines = &mut self.lines[row / ROWS * lines_of_block..][..lines_of_block];
            for (line, word) in lines.iter_mut().zip(words(codes)) {
                // 128 added to each byte.
                line.0[row % ROWS] = word ^ 0x8080_8080;
            }
        }
    }
}

/// The codes of `QUERIES` queries likewise, and what their sums start from.
struct Tile {
    codes: Vec<[u32; QUERIES]>,
    start: [i32; QUERIES],
}

/// Sums of a tile's queries with each of the rows, and a bit for each that is not below its query's floor; the
/// sums of a query without any may be left out. Safe on processors with the instructions it was compiled
/// for.
type Multiply =
    unsafe fn(&Rows, &Tile, &[f32; QUERIES], &mut [Line<i32>; QUERIES]) -> [u64; QUERIES];

/// Of the first `count` of `rows` those that may be the nearest of each query, which are those within
/// `margin` of its best product; None where a query has more than `most`, or had in a part of the rows.
/// `queries [N, width]`.
pub fn candidates(
    queries: &[i8],
    rows: &Packed,
    count: usize,
    margin: f32,
    most: usize,
) -> Result<Option<Vec<Query<f32>>>> {
    let part = (count / PARTS).clamp(LEAST_PART, MOST_PART).next_multiple_of(ROWS);
    in_parts(part, queries, rows, count, margin, most)
}

/// `part` rows at a time.
fn in_parts(
    part: usize,
    queries: &[i8],
    rows: &Packed,
    count: usize,
    margin: f32,
    most: usize,
) -> Result<Option<Vec<Query<f32>>>> {
    let width = rows.width;
    let nothing = || Scan::new(queries.len() / width, margin, false);
    let tiles: Vec<Tile> = queries.chunks(QUERIES * width).map(|some| tile(some, width)).collect();
    let mut parts: Vec<(usize, Scan<f32>)> =
        (0..count).step_by(part).map(|first| (first, nothing())).collect();
    let too_many = AtomicBool::new(false);
    threads::each(parts.iter_mut(), |(first, scan)| {
        if !too_many.load(Ordering::Relaxed) {
            pass(&tiles, rows, *first..count.min(*first + part), scan);
            // Seen here, because a better row of another part would hide how many there were.
            too_many.fetch_or(scan.exceeds(most), Ordering::Relaxed);
        }
    })?;
    let mut all = nothing();
    for (_, part) in parts {
        all.append(part);
    }
    let given_up = too_many.into_inner() || all.exceeds(most);
    Ok((!given_up).then(|| all.into_queries()))
}

/// All queries past some of the rows, the first of which begins a block.
fn pass(tiles: &[Tile], rows: &Packed, range: Range<usize>, scan: &mut Scan<f32>) {
    let multiply = multiply();
    let lines_of_block = rows.width.div_ceil(4);
    let lines = &rows.lines[range.start / ROWS * lines_of_block..];
    let mut sums = [const { Line([0; ROWS]) }; QUERIES];
    for (first, lines) in range.clone().step_by(ROWS).zip(lines.chunks_exact(lines_of_block)) {
        let count = range.end - first;
        for (tile, query) in tiles.iter().zip((0..).step_by(QUERIES)) {
            let floors = std::array::from_fn(|offset| scan.floor(query + offset));
            // SAFETY: `multiply` chose what the processor can do.
            let reached = unsafe { multiply(lines, tile, &floors, &mut sums) };
            for (offset, reached) in reached.into_iter().enumerate() {
                for row in ones(reached).take_while(|&row| row < count) {
                    // Exact in f32 up to a thousand components, and near enough beyond.
                    let product = sums[offset].0[row] as f32;
                    scan.take(query + offset, (first + row) as i64, product);
                }
            }
        }
    }
}

/// Places of the bits that are set.
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = bits.trailing_zeros() as usize;
        bits &= bits.checked_sub(1)?;
        Some(place)
    })
}

/// Of at most `QUERIES` queries; those that lack are zeros.
fn tile(queries: &[i8], width: usize) -> Tile {
    let mut tile = Tile { codes: vec![[0; QUERIES]; width.div_ceil(4)], start: [0; QUERIES] };
    for (query, codes) in queries.chunks_exact(width).enumerate() {
        for (line, word) in tile.codes.iter_mut().zip(words(codes)) {
            line[query] = word;
        }
        let sum: i32 = codes.iter().map(|&code| i32::from(code)).sum();
        tile.start[query] = sum.wrapping_mul(-128);
    }
    tile
}

/// Four codes to a number, the last filled up with zeros.
fn words(codes: &[i8]) -> impl Iterator<Item = u32> {
    let (whole, rest) = codes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let last = (!rest.is_empty()).then_some(last);
    let words = whole.iter().copied().chain(last);
    words.map(|four| u32::from_ne_bytes(four.map(i8::cast_unsigned)))
}

fn multiply() -> Multiply {
    #[cfg(target_arch = "x86_64")]
    if super::has_fast_codes() {
        return by_vnni;
    }
    plainly
}

/// For processors without that instruction, where no bank has codes, and to compare with.
fn plainly(
    rows: &Rows,
    tile: &Tile,
    floors: &[f32; QUERIES],
    sums: &mut [Line<i32>; QUERIES],
) -> [u64; QUERIES] {
    for (query, sums) in sums.iter_mut().enumerate() {
        sums.0 = [tile.start[query]; ROWS];
        for (line, codes) in rows.iter().zip(&tile.codes) {
            for (sum, row) in sums.0.iter_mut().zip(line.0) {
                for (row, code) in row.to_ne_bytes().into_iter().zip(codes[query].to_ne_bytes()) {
                    *sum = sum.wrapping_add(i32::from(row) * i32::from(code as i8));
                }
            }
        }
    }
    std::array::from_fn(|query| {
        let reached = (0..).zip(sums[query].0).filter(|&(_, sum)| sum as f32 >= floors[query]);
        reached.fold(0, |all, (row, _)| all | 1 << row)
    })
}

/// With the instruction that adds four products to a sum.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn by_vnni(
    rows: &Rows,
    tile: &Tile,
    floors: &[f32; QUERIES],
    sums: &mut [Line<i32>; QUERIES],
) -> [u64; QUERIES] {
    use std::arch::x86_64::{
        _CMP_GE_OQ, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps, _mm512_set1_ps, _mm512_store_si512,
    };

    let mut all = [0; QUERIES];
    let made = in_registers(rows, tile);
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
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn in_registers(rows: &Rows, tile: &Tile) -> [[std::arch::x86_64::__m512i; ROWS / LANES]; QUERIES] {
    use std::arch::x86_64::{_mm512_dpbusd_epi32, _mm512_load_si512, _mm512_set1_epi32};

    let mut sums = [[_mm512_set1_epi32(0); ROWS / LANES]; QUERIES];
    for (sums, &start) in sums.iter_mut().zip(&tile.start) {
        *sums = [_mm512_set1_epi32(start); ROWS / LANES];
    }
    for (line, codes) in rows.iter().zip(&tile.codes) {
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

#[cfg(test)]
mod tests;
