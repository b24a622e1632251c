//! Exact search for the nearest of many unit rows, block by block.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};

/// Rows looked at together: small enough that a block and its products stay in cache.
const BLOCK_ROWS: i64 = 4096;

/// Similarity `[N]` and place `[N]` of the row of `rows [M, D]` nearest to each of `queries [N, D]`;
/// ties go to the lowest row.
pub fn nearest_rows(queries: &Tensor, rows: &Tensor) -> Result<(Tensor, Tensor)> {
    let total = rows.size()[0];
    let mut best: Option<(Tensor, Tensor)> = None;
    for start in (0..total).step_by(BLOCK_ROWS as usize) {
        let block = rows.f_narrow(0, start, BLOCK_ROWS.min(total - start))?;
        let (similarity, index) = first_best(queries.f_matmul(&block.f_tr()?)?)?;
        let index = index.f_add_scalar(start)?;
        best = Some(match best {
            None => (similarity, index),
            Some((best_similarity, best_index)) => {
                let tied = best_similarity.f_add_scalar(tie(similarity.kind()))?;
                let closer = similarity.f_gt_tensor(&tied)?;
                (
                    similarity.f_where_self(&closer, &best_similarity)?,
                    index.f_where_self(&closer, &best_index)?,
                )
            }
        });
    }
    best.ok_or_else(|| Error::shape("memory bank", "no rows", "at least 1"))
}

/// Similarities closer than this are equal: matrix products sum a row in an order that depends on its
/// place in the block, so that equal rows can differ in the last bits.
fn tie(kind: Kind) -> f64 {
    4.0 * if kind == Kind::Double { f64::EPSILON } else { f64::from(f32::EPSILON) }
}

/// The best of each row of `[N, M]`, and the first place that has it.
fn first_best(mut similarity: Tensor) -> Result<(Tensor, Tensor)> {
    let best = similarity.f_amax([1], true)?;
    let tied = best.f_sub_scalar(tie(similarity.kind()))?;
    // Whatever is tied becomes the same number, of which `max` gives the first.
    let (_, index) = similarity.f_clamp_max_tensor_(&tied)?.f_max_dim(1, false)?;
    Ok((best.f_squeeze_dim(1)?, index))
}
