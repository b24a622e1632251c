//! Products of 8-bit codes, looked at where they are made: in registers or the nearest cache. Hardly any is
//! ever written to memory, which would cost as much as the products do.

mod plain;
#[cfg(target_arch = "x86_64")]
mod registers;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiles;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::scan::{Query, Scan};
use crate::error::Result;
use crate::threads;

/// Rows multiplied at once.
const ROWS: usize = 64;
/// Parts that rows are shared out in, and the rows of one: a function of the rows alone, so that whether
/// codes are given up does not depend on the number of threads. No part is short, because each begins
/// without a floor.
const PARTS: usize = 8;
const LEAST_PART: usize = 16 * ROWS;
const MOST_PART: usize = 128 * ROWS;
/// Lines that a group may read beyond those of its block, which it multiplies by zeros.
const MORE_LINES: usize = 15;

/// A number for each of `ROWS` rows.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Line<T>([T; ROWS]);

/// The codes of `ROWS` rows, four of each to a line, and what follows them.
///
/// The instructions take one side unsigned: rows have 128 added, which a sum makes up for by what it
/// starts from, `q (r + 128) - 128 sum(q) = q r`.
type Rows = [Line<u32>];

/// The codes of rows in the order in which registers and tiles take them, `ROWS` rows after the other. The
/// last of them may be filled up with anything.
#[derive(Debug)]
pub struct Packed {
    lines: Vec<Line<u32>>,
    width: usize,
}

impl Packed {
    /// Of `rows [M, width]`.
    pub fn of(rows: &[i8], width: usize) -> Self {
        let blocks = (rows.len() / width).div_ceil(ROWS);
        let lines = vec![Line([0; ROWS]); blocks * width.div_ceil(4) + MORE_LINES];
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

    /// From the block on that `row` begins.
    fn from(&self, row: usize) -> &Rows {
        &self.lines[row / ROWS * self.width.div_ceil(4)..]
    }
}

/// Queries that are multiplied at once, `QUERIES` or fewer, as one of the ways to do so takes them.
trait Group<const QUERIES: usize>: Sync {
    /// Of `queries [N, width]`; those that lack are zeros.
    fn of(queries: &[i8], width: usize) -> Self;

    /// What a thread has to keep while it multiplies.
    type Ready;

    /// # Safety
    /// The processor has the way's instructions.
    unsafe fn ready() -> Self::Ready;

    /// Sums of each query with `ROWS` rows, and a bit for each that is not below its query's floor; the sums
    /// of a query without any may be left out.
    ///
    /// # Safety
    /// This thread keeps what came from `ready`, and has called it for no other way since.
    unsafe fn multiply(
        &self,
        rows: &Rows,
        floors: &[f32; QUERIES],
        sums: &mut [Line<i32>; QUERIES],
    ) -> [u64; QUERIES];
}

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
    let way = way();
    // SAFETY: chosen for this processor.
    unsafe { way(part, queries, rows, count, margin, most) }
}

type Way = unsafe fn(usize, &[i8], &Packed, usize, f32, usize) -> Result<Option<Vec<Query<f32>>>>;

/// The fastest there is.
fn way() -> Way {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if crate::processor::has_byte_tiles() {
        return in_parts::<{ tiles::QUERIES }, tiles::InTiles>;
    }
    #[cfg(target_arch = "x86_64")]
    if crate::processor::has_byte_sums() {
        return in_parts::<{ registers::QUERIES }, registers::InRegisters>;
    }
    in_parts::<{ plain::QUERIES }, plain::Plain>
}

/// `part` rows at a time.
///
/// # Safety
/// The processor has the instructions of `G`.
unsafe fn in_parts<const QUERIES: usize, G: Group<QUERIES>>(
    part: usize,
    queries: &[i8],
    rows: &Packed,
    count: usize,
    margin: f32,
    most: usize,
) -> Result<Option<Vec<Query<f32>>>> {
    let width = rows.width;
    let nothing = || Scan::new(queries.len() / width, margin, false);
    let groups: Vec<G> = queries.chunks(QUERIES * width).map(|some| G::of(some, width)).collect();
    let mut parts: Vec<(usize, Scan<f32>)> =
        (0..count).step_by(part).map(|first| (first, nothing())).collect();
    let too_many = AtomicBool::new(false);
    threads::each(parts.iter_mut(), |(first, scan)| {
        if !too_many.load(Ordering::Relaxed) {
            // SAFETY: as the caller says.
            unsafe { pass(&groups, rows, *first..count.min(*first + part), scan) };
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
///
/// # Safety
/// As of `in_parts`.
unsafe fn pass<const QUERIES: usize, G: Group<QUERIES>>(
    groups: &[G],
    rows: &Packed,
    range: Range<usize>,
    scan: &mut Scan<f32>,
) {
    // SAFETY: as the caller says.
    let _ready = unsafe { G::ready() };
    let mut sums = [const { Line([0; ROWS]) }; QUERIES];
    for first in range.clone().step_by(ROWS) {
        let (lines, count) = (rows.from(first), range.end - first);
        for (group, query) in groups.iter().zip((0..).step_by(QUERIES)) {
            let floors = std::array::from_fn(|offset| scan.floor(query + offset));
            // SAFETY: ready.
            let reached = unsafe { group.multiply(lines, &floors, &mut sums) };
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

/// Four codes to a number, the last filled up with zeros.
fn words(codes: &[i8]) -> impl Iterator<Item = u32> {
    let (whole, rest) = codes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let last = (!rest.is_empty()).then_some(last);
    let words = whole.iter().copied().chain(last);
    words.map(|four| u32::from_ne_bytes(four.map(i8::cast_unsigned)))
}

/// What a query's sums start from.
fn start(codes: &[i8]) -> i32 {
    let sum: i32 = codes.iter().map(|&code| i32::from(code)).sum();
    sum.wrapping_mul(-128)
}

#[cfg(test)]
mod tests;
