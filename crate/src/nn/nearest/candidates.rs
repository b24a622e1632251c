//! Rows that may be the nearest by a coarse measure, ranked by one that is the same for all: which
//! coarse measure found them decides nothing.

use tch::kind::Element;
use tch::{Kind, Tensor};

use super::codes::Codes;
use super::scan::{Query, Scan};
use super::{BLOCK_ROWS, tie};
use crate::error::Result;
use crate::nn::memory::slice_of;

/// What unit rows lack of length 1.
const SLACK: f64 = 1e-6;

/// Candidates a query above which ranking costs more than it saves.
const MOST_CANDIDATES: usize = 2048;

/// Rows of codes looked at together: a product of them is so fast that starting it must be rare.
const BLOCK_CODES: i64 = 4 * BLOCK_ROWS;

/// By products of 8-bit codes of `rows`, or of more rows; None where too many are too alike for them.
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
    let products = |start, count| {
        let block = codes.values.f_narrow(0, start, count)?;
        Ok(coarse.values.f_internal_int_mm(&block.f_tr()?)?)
    };
    // Exact in f32 up to a thousand components, and near enough beyond.
    let read = |product: i32| product as f32;
    found(queries, rows, margin, BLOCK_CODES, products, read)
}

/// By products in f32; None where too many are too alike.
pub fn by_products(queries: &Tensor, rows: &Tensor) -> Result<Option<(Tensor, Tensor)>> {
    let margin = 2.0 * rounding(rows) + tie(Kind::Float);
    let products = |start, count| {
        let block = rows.f_narrow(0, start, count)?;
        Ok(queries.f_matmul(&block.f_tr()?)?.f_contiguous()?)
    };
    found(queries, rows, margin, BLOCK_ROWS, products, |product: f32| product)
}

/// How far two sums of the same products of unit rows, in any order, can lie apart in f32.
fn rounding(rows: &Tensor) -> f64 {
    rows.size()[1] as f64 * f64::from(f32::EPSILON)
}

fn found<S: Element + Copy + Send + Sync>(
    queries: &Tensor,
    rows: &Tensor,
    margin: f64,
    block_rows: i64,
    products: impl Fn(i64, i64) -> Result<Tensor>,
    read: impl Fn(S) -> f32 + Copy + Send + Sync,
) -> Result<Option<(Tensor, Tensor)>> {
    let (count, total) = (queries.size()[0], rows.size()[0]);
    let mut scan = Scan::new(count as usize, margin as f32, false);
    for start in (0..total).step_by(block_rows as usize) {
        let block = products(start, block_rows.min(total - start))?;
        scan.block(slice_of(&block)?, start, read)?;
        if scan.queries().iter().any(|query| query.candidates().nth(MOST_CANDIDATES).is_some()) {
            return Ok(None);
        }
    }
    rank(scan.queries(), queries, rows).map(Some)
}

/// Of each query's candidates the first within the tie of the greatest.
fn rank(found: &[Query<f32>], queries: &Tensor, rows: &Tensor) -> Result<(Tensor, Tensor)> {
    let (queries, rows) = (queries.f_contiguous()?, rows.f_contiguous()?);
    let width = rows.size()[1] as usize;
    let (query_values, row_values): (&[f32], &[f32]) = (slice_of(&queries)?, slice_of(&rows)?);
    let tie = tie(Kind::Float) as f32;
    let best = |(found, query): (&Query<f32>, &[f32])| {
        let mut exact = Scan::new(1, tie, true);
        for (index, _) in found.candidates() {
            let row = &row_values[index as usize * width..][..width];
            exact.block(&[dot(query, row)], index, |value| value)?;
        }
        Ok(exact.firsts().next().unwrap_or((f32::NAN, 0)))
    };
    let best = found.iter().zip(query_values.chunks_exact(width)).map(best);
    let best = best.collect::<Result<Vec<(f32, i64)>>>()?;
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
