//! Rows that may be the nearest by a coarse measure, ranked by one that is the same for all: which
//! coarse measure found them decides nothing.

use tch::{Kind, Tensor};

use super::codes::{Codes, Encoded};
use super::scan::{Query, Scan};
use super::{BLOCK_ROWS, products, tie};
use crate::error::Result;
use crate::nn::memory::slice_of;
use crate::threads;

/// What unit rows lack of length 1.
const SLACK: f64 = 1e-6;

/// Candidates a query above which ranking costs more than it saves.
const MOST_CANDIDATES: usize = 2048;

/// By products of 8-bit codes, which begin with those of `rows`; None where too many are too alike for them.
pub fn by_codes(
    queries: &Tensor,
    rows: &Tensor,
    codes: &Codes,
) -> Result<Option<(Tensor, Tensor)>> {
    let coarse = Encoded::of(queries, 1.0)?;
    // Cauchy-Schwarz: |q r - q' r'| <= |q - q'| |r| + |q'| |r - r'|, with |q'| <= 1 + |q - q'|.
    let error = coarse.error + (1.0 + coarse.error) * codes.error + SLACK + rounding(rows);
    let measure = Coarse { unit: coarse.scale * codes.scale, error };
    let margin = measure.margin();
    if !margin.is_finite() {
        return Ok(None);
    }
    let (count, queries_codes) = (rows.size()[0] as usize, slice_of(&coarse.values)?);
    let found = products::candidates(queries_codes, &codes.values, count, margin, MOST_CANDIDATES)?;
    found.map(|found| rank(&found, measure, queries, rows)).transpose()
}

/// A measure of similarity: how much its 1 is, and how far from the exact one it can be.
#[derive(Debug, Clone, Copy)]
struct Coarse {
    unit: f64,
    error: f64,
}

impl Coarse {
    /// Whatever is this far below the best cannot be the answer: the true best may lie one error below,
    /// and the best of this measure one above.
    fn margin(self) -> f32 {
        ((2.0 * self.error + tie(Kind::Float)) / self.unit) as f32
    }

    /// The same once one exact similarity is known.
    fn floor(self, exact: f32) -> f32 {
        ((f64::from(exact) - tie(Kind::Float) - self.error) / self.unit) as f32
    }
}

/// By products in f32; None where too many are too alike.
pub fn by_products(queries: &Tensor, rows: &Tensor) -> Result<Option<(Tensor, Tensor)>> {
    let measure = Coarse { unit: 1.0, error: rounding(rows) };
    let total = rows.size()[0];
    let mut scan = Scan::new(queries.size()[0] as usize, measure.margin(), false);
    for start in (0..total).step_by(BLOCK_ROWS as usize) {
        let block = rows.f_narrow(0, start, BLOCK_ROWS.min(total - start))?;
        let products = queries.f_matmul(&block.f_tr()?)?.f_contiguous()?;
        scan.block(slice_of(&products)?, start)?;
        if scan.exceeds(MOST_CANDIDATES) {
            return Ok(None);
        }
    }
    rank(&scan.into_queries(), measure, queries, rows).map(Some)
}

/// How far two sums of the same products of unit rows, in any order, can lie apart in f32.
fn rounding(rows: &Tensor) -> f64 {
    rows.size()[1] as f64 * f64::from(f32::EPSILON)
}

/// Of each query's candidates the first within the tie of the greatest.
fn rank(
    found: &[Query<f32>],
    measure: Coarse,
    queries: &Tensor,
    rows: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let (queries, rows) = (queries.f_contiguous()?, rows.f_contiguous()?);
    let width = rows.size()[1] as usize;
    let (query_values, row_values): (&[f32], &[f32]) = (slice_of(&queries)?, slice_of(&rows)?);
    let tie = tie(Kind::Float) as f32;
    let mut best = vec![(f32::NAN, 0); found.len()];
    let each = best.iter_mut().zip(found).zip(query_values.chunks_exact(width));
    threads::each(each, |((best, found), query)| {
        let exact = |index: i64| dot(query, &row_values[index as usize * width..][..width]);
        // The likeliest first: most of the others need not be looked at then.
        let likeliest = found.candidates().max_by(|a, b| a.1.total_cmp(&b.1));
        let floor = likeliest.map_or(f32::NAN, |(index, _)| measure.floor(exact(index)));
        let mut ranked = Scan::new(1, tie, true);
        for (index, _) in found.candidates().filter(|&(_, coarse)| coarse >= floor) {
            ranked.take(0, index, exact(index));
        }
        *best = ranked.firsts().next().unwrap_or((f32::NAN, 0));
    })?;
    let (similarity, index): (Vec<f32>, Vec<i64>) = best.into_iter().unzip();
    Ok((Tensor::f_from_slice(&similarity)?, Tensor::f_from_slice(&index)?))
}

/// In eight partial sums, which vectorises.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}
