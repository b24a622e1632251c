//! What a step says about its neighbours and embeddings: the accuracy of a short run hardly shows a
//! broken bank, these numbers do.

use tch::{Kind, Tensor};

use crate::error::Result;
use crate::nn::MemoryBank;
use crate::nn::nt_xent::normalize;
use crate::step::StepStats;

/// What a step found of its samples, this rank's or everyone's.
#[derive(Debug)]
pub struct Found {
    /// Projections of both views `[N, D]`.
    pub z: [Tensor; 2],
    /// Of each z to its neighbour `[N]`.
    pub similarity: [Tensor; 2],
    /// The neighbours' places in the bank.
    pub indices: [Vec<i64>; 2],
    /// Sample ids.
    pub samples: Vec<i64>,
    /// Labels where known.
    pub labels: Option<Vec<i64>>,
}

/// The numbers of what was found, of which the bank holds no row yet.
pub fn health(bank: &MemoryBank, found: &Found) -> Result<StepStats> {
    let (mut same_sample, mut same_class, mut age, mut similarity) = (0, 0, 0, 0.0);
    let mut rows = Vec::with_capacity(2 * found.samples.len());
    for (indices, similarities) in found.indices.iter().zip(&found.similarity) {
        similarity += similarities.f_mean(Kind::Double)?.f_double_value(&[])? / 2.0;
        for (query, &row) in indices.iter().enumerate() {
            let row = row as usize;
            same_sample += usize::from(bank.samples()[row] == found.samples[query]);
            let label = found.labels.as_ref().map(|labels| labels[query]);
            same_class += usize::from(label == Some(bank.labels()[row]));
            age += bank.age(row);
            rows.push(row);
        }
    }
    let queries = rows.len() as f64;
    let (first, second) = rows.split_at(found.samples.len());
    let agreeing = first.iter().zip(second).filter(|(a, b)| a == b).count();
    rows.sort_unstable();
    rows.dedup();
    Ok(StepStats {
        neighbour_similarity: similarity,
        neighbour_agreement: 2.0 * agreeing as f64 / queries,
        unique_neighbours: rows.len() as f64 / queries,
        self_neighbour_rate: same_sample as f64 / queries,
        neighbour_age: age as f64 / queries,
        same_class_rate: found.labels.as_ref().map(|_| same_class as f64 / queries),
        view_similarity: view_similarity(&found.z[0], &found.z[1])?,
        feature_std: spread(&found.z[1])?,
        ..StepStats::default()
    })
}

fn view_similarity(z0: &Tensor, z1: &Tensor) -> Result<f64> {
    let similarity = Tensor::f_cosine_similarity(z0, z1, 1, 1e-8)?;
    Ok(similarity.f_mean(Kind::Double)?.f_double_value(&[])?)
}

fn spread(z: &Tensor) -> Result<f64> {
    let unit = normalize(z)?;
    let dim = unit.size()[1] as f64;
    let deviation = unit.f_std_dim(Some([0].as_slice()), false, false)?;
    Ok(deviation.f_mean(Kind::Double)?.f_double_value(&[])? * dim.sqrt())
}
