//! Exact search for the nearest of many unit rows.
//!
//! One rule on every path: of the rows whose similarity is within [`tie`] of the greatest, the first.
//! Matrix products sum a row in an order that depends on its place, so that equal rows can differ in
//! the last bits; the rule makes the answer a property of the rows, not of the path.

mod candidates;
mod codes;
mod products;
mod scan;

use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::nn::memory::slice_of;
use crate::processor::has_byte_sums;
pub use codes::Codes;
use scan::{Number, Scan};

/// Rows looked at together: small enough that their products stay in cache.
const BLOCK_ROWS: i64 = 4096;
/// Products held at once where there is no cache to stay in.
const MOST_PRODUCTS: i64 = 1 << 26;

/// Whether codes of these rows would make looking them up faster.
pub fn wants_codes(rows: &Tensor) -> bool {
    has_byte_sums() && (rows.device(), rows.kind()) == (Device::Cpu, Kind::Float)
}

/// Similarity `[N]` and place `[N]` of the row of `rows [M, D]` nearest to each of `queries [N, D]`;
/// `codes` of the same rows, or of more, where they are wanted.
pub fn nearest_rows(
    queries: &Tensor,
    rows: &Tensor,
    codes: Option<&Codes>,
) -> Result<(Tensor, Tensor)> {
    if rows.size()[0] == 0 {
        return Err(Error::shape("memory bank", "no rows", "at least 1"));
    }
    match (rows.device(), rows.kind()) {
        (Device::Cpu, Kind::Float) if queries.size()[0] > 0 => {
            let coarse =
                codes.map_or(Ok(None), |codes| candidates::by_codes(queries, rows, codes))?;
            // Whoever finds candidates ranks them alike, so that codes decide the time.
            match coarse.map_or_else(|| candidates::by_products(queries, rows), |c| Ok(Some(c)))? {
                Some(found) => Ok(found),
                None => blocked::<f32>(queries, rows),
            }
        }
        (Device::Cpu, Kind::Float) => blocked::<f32>(queries, rows),
        (Device::Cpu, Kind::Double) => blocked::<f64>(queries, rows),
        _ => whole(queries, rows),
    }
}

/// Similarities closer than this are equal.
fn tie(kind: Kind) -> f64 {
    4.0 * if kind == Kind::Double { f64::EPSILON } else { f64::from(f32::EPSILON) }
}

/// Block after block; the products are read once, while they are in cache.
fn blocked<T: Number>(queries: &Tensor, rows: &Tensor) -> Result<(Tensor, Tensor)> {
    let (count, total) = (queries.size()[0], rows.size()[0]);
    let mut scan = Scan::new(count as usize, T::of_f64(tie(rows.kind())), true);
    for start in (0..total).step_by(BLOCK_ROWS as usize) {
        let block = rows.f_narrow(0, start, BLOCK_ROWS.min(total - start))?;
        let products = queries.f_matmul(&block.f_tr()?)?.f_contiguous()?;
        scan.block(slice_of(&products)?, start)?;
    }
    let (similarity, index): (Vec<T>, Vec<i64>) = scan.firsts().unzip();
    Ok((Tensor::f_from_slice(&similarity)?, Tensor::f_from_slice(&index)?))
}

/// By tensor operations alone, for any device: as many queries at a time as memory allows.
fn whole(queries: &Tensor, rows: &Tensor) -> Result<(Tensor, Tensor)> {
    let (count, total) = (queries.size()[0], rows.size()[0]);
    let most = (MOST_PRODUCTS / total).max(1);
    let mut found = (Vec::new(), Vec::new());
    for start in (0..count).step_by(most as usize) {
        let part = queries.f_narrow(0, start, most.min(count - start))?;
        let mut similarity = part.f_matmul(&rows.f_tr()?)?;
        let best = similarity.f_amax([1], true)?;
        let tied = best.f_sub_scalar(tie(similarity.kind()))?;
        // Whatever is tied becomes the same number, of which `argmax` gives the first.
        let index = similarity.f_clamp_max_tensor_(&tied)?.f_argmax(1, false)?;
        found.0.push(best.f_squeeze_dim(1)?);
        found.1.push(index);
    }
    Ok((Tensor::f_cat(&found.0, 0)?, Tensor::f_cat(&found.1, 0)?))
}

#[cfg(test)]
mod tests;
