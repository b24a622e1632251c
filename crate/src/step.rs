//! One training step of NNCLR (paper section 3, figure 2).

use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::nn::store::Entry;
use crate::nn::{Loss, MemoryBank, Neighbours, Nnclr};
use crate::optim::Optimizer;

/// What takes the place of z as the positive of the other view's p.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positive {
    /// z's nearest neighbour in the memory bank: NNCLR.
    Neighbour,
    /// z itself: SimCLR, the control, and the start of a run with neighbour warm-up.
    View,
    /// Random rows of the bank: the control that shows what a broken bank would cost.
    Random,
}

/// The batch as the step needs it.
#[derive(Debug)]
pub struct Views<'a> {
    /// Two augmented views `[N, 3, H, W]` of the same N samples.
    pub x: [Tensor; 2],
    /// Sample ids, for the bank's bookkeeping.
    pub samples: &'a [i64],
    /// Labels where known; they reach the health metrics alone.
    pub labels: Option<&'a [i64]>,
}

/// Loss and learning rate of a step.
#[derive(Debug, Clone, Copy)]
pub struct Hyper {
    /// Form of the loss.
    pub loss: Loss,
    /// Its temperature.
    pub temperature: f64,
    /// Learning rate of this step.
    pub lr: f64,
    /// Source of the positives.
    pub positive: Positive,
}

/// Numbers of one step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepStats {
    /// Mean of the two symmetric terms.
    pub loss: f64,
    /// Learning rate used.
    pub lr: f64,
    /// Mean cosine similarity of z and its neighbour.
    pub neighbour_similarity: f64,
    /// Mean cosine similarity of the two z of a sample.
    pub view_similarity: f64,
    /// Share of samples whose two z have the same neighbour: what the bank says without labels about
    /// how much its neighbours mean.
    pub neighbour_agreement: f64,
    /// Distinct neighbours over queries, 0..1.
    pub unique_neighbours: f64,
    /// Share of neighbours that are an older view of the same sample.
    pub self_neighbour_rate: f64,
    /// Mean age of the neighbours, in steps.
    pub neighbour_age: f64,
    /// Share of neighbours with the query's label, where labels are known.
    pub same_class_rate: Option<f64>,
    /// Mean over dimensions of the standard deviation of unit z, times sqrt(D): near 1 when spread,
    /// near 0 when collapsed.
    pub feature_std: f64,
    /// Rows of the bank that hold a past z.
    pub bank_filled: usize,
}

/// z and p of both views, neighbours of both z, the symmetric loss, the update, and then the bank
/// takes view 1's z. The look-up comes first: no row of this step is reachable in this step.
/// A step that fails before its update leaves the network as it was, the running statistics too.
pub fn step(
    model: &Nnclr,
    bank: &mut MemoryBank,
    optimizer: &mut Optimizer,
    views: &Views<'_>,
    hyper: Hyper,
) -> Result<StepStats> {
    let statistics = Statistics::of(model)?;
    let Pass { loss, value, neighbours, z: [z0, z1] } = match pass(model, bank, views, hyper) {
        Ok(pass) => pass,
        Err(error) => {
            statistics.restore()?;
            return Err(error);
        }
    };

    model.store.zero_grad();
    if let Err(error) = loss.f_backward() {
        statistics.restore()?;
        return Err(error.into());
    }
    optimizer.step(hyper.lr)?;

    let mut stats = StepStats { loss: value, lr: hyper.lr, ..health(bank, &neighbours, views)? };
    stats.view_similarity = view_similarity(&z0, &z1)?;
    stats.feature_std = spread(&z1)?;
    bank.push(&z1, views.samples, views.labels)?;
    stats.bank_filled = bank.filled();
    Ok(stats)
}

/// What the forward half of a step found.
struct Pass {
    loss: Tensor,
    value: f64,
    neighbours: [Neighbours; 2],
    z: [Tensor; 2],
}

fn pass(model: &Nnclr, bank: &MemoryBank, views: &Views<'_>, hyper: Hyper) -> Result<Pass> {
    let (z0, p0) = model.forward(&views.x[0])?;
    let (z1, p1) = model.forward(&views.x[1])?;

    let neighbours = [bank.nearest(&z0)?, bank.nearest(&z1)?];
    let [n0, n1] = match hyper.positive {
        Positive::Neighbour if bank.has_neighbours() => {
            neighbours.each_ref().map(|n| n.rows.shallow_clone())
        }
        Positive::Neighbour | Positive::View => [z0.shallow_clone(), z1.shallow_clone()],
        Positive::Random => {
            [bank.random_rows(z0.size()[0], 0)?, bank.random_rows(z1.size()[0], 1)?]
        }
    };

    let a = hyper.loss.forward(&n0, &p1, hyper.temperature)?;
    let b = hyper.loss.forward(&n1, &p0, hyper.temperature)?;
    let loss = (a + b) * 0.5;
    let value = loss.f_double_value(&[])?;
    if !value.is_finite() {
        let context = format!(" (learning rate {})", hyper.lr);
        return Err(Error::Diverged { subject: "the loss".into(), value, context });
    }
    Ok(Pass { loss, value, neighbours, z: [z0, z1] })
}

/// Each running statistic of a network beside its value: a forward pass moves them before anybody
/// knows the loss, and one that is no number would stay so for ever.
struct Statistics(Vec<(Tensor, Tensor)>);

impl Statistics {
    fn of(model: &Nnclr) -> Result<Self> {
        let buffers = model.store.entries().iter().filter(|entry| !entry.trainable);
        let pair =
            |entry: &Entry| Ok((entry.tensor.shallow_clone(), entry.tensor.f_detach_copy()?));
        buffers.map(pair).collect::<Result<_>>().map(Self)
    }

    fn restore(self) -> Result<()> {
        for (mut tensor, value) in self.0 {
            tch::no_grad(|| tensor.f_copy_(&value))?;
        }
        Ok(())
    }
}

/// How good the neighbours are: the accuracy of a short run hardly shows a broken bank, these do.
fn health(bank: &MemoryBank, neighbours: &[Neighbours; 2], views: &Views<'_>) -> Result<StepStats> {
    let (mut same_sample, mut same_class, mut age, mut similarity) = (0, 0, 0, 0.0);
    let mut rows = Vec::with_capacity(2 * views.samples.len());
    for found in neighbours {
        similarity += found.similarity.f_mean(Kind::Double)?.f_double_value(&[])? / 2.0;
        let indices = Vec::<i64>::try_from(&found.indices)?;
        for (query, &row) in indices.iter().enumerate() {
            let row = row as usize;
            same_sample += usize::from(bank.samples()[row] == views.samples[query]);
            same_class +=
                views.labels.map_or(0, |labels| usize::from(bank.labels()[row] == labels[query]));
            age += bank.age(row);
            rows.push(row);
        }
    }
    let queries = rows.len() as f64;
    let (first, second) = rows.split_at(views.samples.len());
    let agreeing = first.iter().zip(second).filter(|(a, b)| a == b).count();
    rows.sort_unstable();
    rows.dedup();
    Ok(StepStats {
        neighbour_similarity: similarity,
        neighbour_agreement: 2.0 * agreeing as f64 / queries,
        unique_neighbours: rows.len() as f64 / queries,
        self_neighbour_rate: same_sample as f64 / queries,
        neighbour_age: age as f64 / queries,
        same_class_rate: views.labels.map(|_| same_class as f64 / queries),
        ..StepStats::default()
    })
}

fn view_similarity(z0: &Tensor, z1: &Tensor) -> Result<f64> {
    let similarity = Tensor::f_cosine_similarity(z0, z1, 1, 1e-8)?;
    Ok(similarity.f_mean(Kind::Double)?.f_double_value(&[])?)
}

fn spread(z: &Tensor) -> Result<f64> {
    let unit = crate::nn::nt_xent::normalize(z)?;
    let dim = unit.size()[1] as f64;
    let deviation = unit.f_std_dim(Some([0].as_slice()), false, false)?;
    Ok(deviation.f_mean(Kind::Double)?.f_double_value(&[])? * dim.sqrt())
}
