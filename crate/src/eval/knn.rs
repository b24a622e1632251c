//! Weighted k-nearest-neighbour classification (Wu et al. 2018), lightly's `knn_predict`.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};

/// Classes by falling score `[Q, classes]` for unit queries `[Q, D]` against unit references `[R, D]`
/// with labels `[R]` (i64). Each of the k most similar references votes exp(similarity / t).
pub fn knn_predict(
    queries: &Tensor,
    references: &Tensor,
    labels: &Tensor,
    classes: i64,
    k: i64,
    temperature: f64,
) -> Result<Tensor> {
    let count = references.size()[0];
    if k < 1 || k > count {
        return Err(Error::config("k", k, format!("1 to the {count} references")));
    }
    let similarity = queries.f_matmul(&references.f_tr()?)?;
    let (similarity, index) = similarity.f_topk(k, -1, true, true)?;
    let neighbour_labels = labels.f_index_select(0, &index.f_reshape([-1])?)?.f_view_as(&index)?;
    let weights = similarity.f_div_scalar(temperature)?.f_exp()?;
    let scores = Tensor::f_zeros([queries.size()[0], classes], (weights.kind(), weights.device()))?
        .f_scatter_add(1, &neighbour_labels, &weights)?;
    Ok(scores.f_argsort(-1, true)?.f_to_kind(Kind::Int64)?)
}
