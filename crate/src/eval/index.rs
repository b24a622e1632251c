//! A growing set of unit feature rows that can be searched and can vote.

use tch::{Kind, Tensor};

use super::knn_predict;
use crate::error::{Error, Result};
use crate::nn::nt_xent::normalize;

/// Feature rows `[R, dim]`, made unit length as they come, with an optional label each.
#[derive(Debug)]
pub struct FeatureIndex {
    dim: i64,
    parts: Vec<Tensor>,
    labels: Vec<i64>,
}

impl FeatureIndex {
    /// An empty index for features of length `dim`.
    pub fn new(dim: i64) -> Self {
        Self { dim, parts: Vec::new(), labels: Vec::new() }
    }

    /// Appends rows (row-major); `labels` has one a row, or is empty when unknown.
    pub fn add(&mut self, features: &[f32], labels: &[i64]) -> Result<()> {
        let rows = self.rows(features)?;
        if !labels.is_empty() && labels.len() as i64 != rows.size()[0] {
            return Err(Error::shape("labels", labels.len(), format!("{} labels", rows.size()[0])));
        }
        self.parts.push(normalize(&rows)?);
        self.labels.extend(labels);
        Ok(())
    }

    /// The k most similar rows of each query, best first: places and cosine similarities, row-major.
    pub fn search(&mut self, queries: &[f32], k: i64) -> Result<(Vec<i64>, Vec<f32>)> {
        let queries = normalize(&self.rows(queries)?)?;
        let references = self.all()?;
        let count = references.size()[0];
        if k < 1 || k > count {
            return Err(Error::config("k", k, format!("1 to the {count} rows of the index")));
        }
        let (similarity, index) =
            queries.f_matmul(&references.f_tr()?)?.f_topk(k, -1, true, true)?;
        let flat = |x: Tensor| x.f_reshape([-1]);
        Ok((Vec::<i64>::try_from(&flat(index)?)?, Vec::<f32>::try_from(&flat(similarity)?)?))
    }

    /// The winning class of each query by weighted vote; k is lowered to the rows there are.
    pub fn classify(
        &mut self,
        queries: &[f32],
        classes: i64,
        k: i64,
        temperature: f64,
    ) -> Result<Vec<i64>> {
        let queries = normalize(&self.rows(queries)?)?;
        let references = self.all()?;
        let count = references.size()[0];
        if self.labels.len() as i64 != count {
            return Err(Error::shape("labels", self.labels.len(), format!("{count}, one a row")));
        }
        if self.labels.iter().any(|label| !(0..classes).contains(label)) {
            return Err(Error::config(
                "labels",
                "a label out of range",
                format!("0 to {classes}-1"),
            ));
        }
        let labels = Tensor::f_from_slice(&self.labels)?;
        let ranked =
            knn_predict(&queries, &references, &labels, classes, k.min(count), temperature)?;
        Ok(Vec::<i64>::try_from(&ranked.f_select(1, 0)?.f_contiguous()?)?)
    }

    fn rows(&self, features: &[f32]) -> Result<Tensor> {
        if features.is_empty() || features.len() as i64 % self.dim != 0 {
            let got = format!("{} numbers", features.len());
            return Err(Error::shape("features", got, format!("rows of {}", self.dim)));
        }
        Ok(Tensor::f_from_slice(features)?.f_reshape([-1, self.dim])?)
    }

    /// All rows as one tensor; joined once, then kept joined.
    fn all(&mut self) -> Result<Tensor> {
        if self.parts.is_empty() {
            return Ok(Tensor::f_zeros([0, self.dim], (Kind::Float, tch::Device::Cpu))?);
        }
        if self.parts.len() > 1 {
            self.parts = vec![Tensor::f_cat(&self.parts, 0)?];
        }
        Ok(self.parts[0].shallow_clone())
    }
}
