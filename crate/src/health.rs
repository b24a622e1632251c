//! What a step says about its neighbours and embeddings: the accuracy of a short run hardly shows a
//! broken bank, these numbers do.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};
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
    /// The neighbours' places in the bank `[N]`.
    pub indices: [Tensor; 2],
    /// Sample ids.
    pub samples: Vec<i64>,
    /// Labels where known.
    pub labels: Option<Vec<i64>>,
}

/// The numbers of what was found, of which the bank holds no row yet, and the loss. They are read at
/// once: on a GPU this is where the host waits for the step.
pub fn health(bank: &MemoryBank, found: &Found, loss: &Tensor) -> Result<StepStats> {
    let [first, second] = &found.similarity;
    let scalars = [
        loss.f_detach()?.f_to_kind(Kind::Double)?,
        first.f_mean(Kind::Double)?,
        second.f_mean(Kind::Double)?,
        view_similarity(&found.z[0], &found.z[1])?,
        spread(&found.z[1])?,
    ];
    let indices = Tensor::f_cat(&found.indices, 0)?.f_to_kind(Kind::Double)?;
    let numbers = Tensor::f_cat(&[Tensor::f_stack(&scalars, 0)?, indices], 0)?;
    let numbers = Vec::<f64>::try_from(&numbers)?;
    let Some((&[loss, similarity0, similarity1, view_similarity, feature_std], indices)) =
        numbers.split_first_chunk()
    else {
        return Err(Error::shape("numbers of a step", numbers.len(), "5 and the indices"));
    };

    let (mut same_sample, mut same_class, mut age) = (0, 0, 0);
    let mut rows = Vec::with_capacity(2 * found.samples.len());
    for indices in indices.chunks_exact(found.samples.len().max(1)) {
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
        loss,
        neighbour_similarity: (similarity0 + similarity1) / 2.0,
        neighbour_agreement: 2.0 * agreeing as f64 / queries,
        unique_neighbours: rows.len() as f64 / queries,
        self_neighbour_rate: same_sample as f64 / queries,
        neighbour_age: age as f64 / queries,
        same_class_rate: found.labels.as_ref().map(|_| same_class as f64 / queries),
        view_similarity,
        feature_std,
        ..StepStats::default()
    })
}

fn view_similarity(z0: &Tensor, z1: &Tensor) -> Result<Tensor> {
    Ok(Tensor::f_cosine_similarity(z0, z1, 1, 1e-8)?.f_mean(Kind::Double)?)
}

fn spread(z: &Tensor) -> Result<Tensor> {
    let unit = normalize(z)?;
    let dim = unit.size()[1] as f64;
    let deviation = unit.f_std_dim(Some([0].as_slice()), false, false)?;
    Ok(deviation.f_mean(Kind::Double)?.f_mul_scalar(dim.sqrt())?)
}
