//! Candidates by bf16 products, ranked again in f32: the same answer as f32 throughout, for the price
//! of the bf16 product, on processors that multiply bf16 in hardware.

use tch::{Kind, Tensor};

use super::scan::{Query, Scan};
use super::{BLOCK_ROWS, tie};
use crate::error::Result;
use crate::nn::memory::slice_of;

/// bf16 keeps 8 bits: rounding moves a unit vector by at most 2^-8 of its length. By Cauchy-Schwarz
/// the product of two such vectors moves by 2^-8 for each, and by 2^-9 when it, below 1, is rounded
/// itself; the last term covers squares and the f32 sum.
const ERROR: f32 = 5.0 / 512.0 + 1.0 / 8192.0;

/// Candidates a query above which f32 throughout is as fast.
const MOST_CANDIDATES: usize = 2048;

/// As `nearest_rows`, for f32; None where too many rows are too alike to tell by bf16.
pub fn ranked(queries: &Tensor, rows: &Tensor) -> Result<Option<(Tensor, Tensor)>> {
    let (count, total) = (queries.size()[0], rows.size()[0]);
    let tie = tie(Kind::Float) as f32;
    // The true best may lie one error below, and the best of bf16 one above.
    let mut scan = Scan::new(count as usize, 2.0 * ERROR + tie, false);
    let coarse = queries.f_to_kind(Kind::BFloat16)?;
    for start in (0..total).step_by(BLOCK_ROWS as usize) {
        let block = rows.f_narrow(0, start, BLOCK_ROWS.min(total - start))?;
        let products = coarse.f_matmul(&block.f_to_kind(Kind::BFloat16)?.f_tr()?)?;
        let bits: &[i16] = slice_of(&products)?;
        scan.block(bits, start, |bits| f32::from_bits(u32::from(bits as u16) << 16))?;
        if scan.queries().iter().any(|query| query.candidates().nth(MOST_CANDIDATES).is_some()) {
            return Ok(None);
        }
    }
    let (queries, rows) = (queries.f_contiguous()?, rows.f_contiguous()?);
    let width = rows.size()[1] as usize;
    let (query_values, row_values): (&[f32], &[f32]) = (slice_of(&queries)?, slice_of(&rows)?);
    let rank = |(found, query): (&Query<f32>, &[f32])| {
        let mut exact = Scan::new(1, tie, true);
        for (index, _) in found.candidates() {
            let row = &row_values[index as usize * width..][..width];
            exact.block(&[dot(query, row)], index, |value| value)?;
        }
        Ok(exact.firsts().next().unwrap_or((f32::NAN, 0)))
    };
    let found = scan.queries().iter().zip(query_values.chunks_exact(width)).map(rank);
    let found = found.collect::<Result<Vec<(f32, i64)>>>()?;
    let (similarity, index): (Vec<f32>, Vec<i64>) = found.into_iter().unzip();
    Ok(Some((Tensor::f_from_slice(&similarity)?, Tensor::f_from_slice(&index)?)))
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
