//! Rows that may be the nearest by a coarse measure, ranked by one that is the same for all: which
//! coarse measure found them decides nothing.

use tch::{Kind, Tensor};

use super::codes::Codes;
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
    let coarse = Codes::of(queries, 1.0)?;
    // Cauchy-Schwarz: |q r - q' r'| <= |q - q'| |r| + |q'| |r - r'|, with |q'| <= 1 + |q - q'|.
    let error = coarse.error + (1.0 + coarse.error) * codes.error + SLACK + rounding(rows);
    // The true best may lie one error below, and the best of the codes one above.
    let margin = (2.0 * error + tie(Kind::Float)) / (coarse.scale * codes.scale);
    if !margin.is_finite() {
        return Ok(None);
    }
    let width = rows.size()[1] as usize;
    let of_rows = codes.values.f_narrow(0, 0, rows.size()[0])?;
    let (queries_codes, row_codes) = (slice_of(&coarse.values)?, slice_of(&of_rows)?);
    let found =
        products::candidates(queries_codes, row_codes, width, margin as f32, MOST_CANDIDATES)?;
    found.map(|found| rank(&found, queries, rows)).transpose()
}

/// By products in f32; None where too many are too alike.
pub fn by_products(queries: &Tensor, rows: &Tensor) -> Result<Option<(Tensor, Tensor)>> {
    let margin = 2.0 * rounding(rows) + tie(Kind::Float);
    let total = rows.size()[0];
    let mut scan = Scan::new(queries.size()[0] as usize, margin as f32, false);
    for start in (0..total).step_by(BLOCK_ROWS as usize) {
        let block = rows.f_narrow(0, start, BLOCK_ROWS.min(total - start))?;
        let products = queries.f_matmul(&block.f_tr()?)?.f_contiguous()?;
        scan.block(slice_of(&products)?, start)?;
        if scan.exceeds(MOST_CANDIDATES) {
            return Ok(None);
        }
    }
    rank(&scan.into_queries(), queries, rows).map(Some)
}

/// How far two sums of the same products of unit rows, in any order, can lie apart in f32.
fn rounding(rows: &Tensor) -> f64 {
    rows.size()[1] as f64 * f64::from(f32::EPSILON)
}

/// Of each query's candidates the first within the tie of the greatest.
fn rank(found: &[Query<f32>], queries: &Tensor, rows: &Tensor) -> Result<(Tensor, Tensor)> {
    let (queries, rows) = (queries.f_contiguous()?, rows.f_contiguous()?);
    let width = rows.size()[1] as usize;
    let (query_values, row_values): (&[f32], &[f32]) = (slice_of(&queries)?, slice_of(&rows)?);
    let tie = tie(Kind::Float) as f32;
    let mut best = vec![(f32::NAN, 0); found.len()];
    let each = best.iter_mut().zip(found).zip(query_values.chunks_exact(width));
    threads::each(each, |((best, found), query)| {
        let mut exact = Scan::new(1, tie, true);
        for (index, _) in found.candidates() {
            let row = &row_values[index as usize * width..][..width];
            exact.take(0, index, dot(query, row));
        }
        *best = exact.firsts().next().unwrap_or((f32::NAN, 0));
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
