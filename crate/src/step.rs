//! One training step of NNCLR (paper section 3, figure 2).

use tch::{Kind, Tensor};

use crate::distributed::Traffic;
use crate::error::{Error, Result};
use crate::nn::store::Entry;
use crate::nn::{Loss, MemoryBank, Neighbours, Nnclr};
use crate::optim::Optimizer;
use crate::ranks::{Company, Shares, Word};

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
    /// Share of the loss, 0 to 1, that neighbours (or random rows) have where they are the positives;
    /// the rest is the other view's.
    pub neighbour_weight: f64,
}

impl Hyper {
    fn check(&self) -> Result<()> {
        let weight = self.neighbour_weight;
        // NaN is in no range.
        if (0.0..=1.0).contains(&weight) {
            return Ok(());
        }
        Err(Error::config("neighbourWeight", weight, "a number from 0 to 1"))
    }
}

/// Numbers of one step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepStats {
    /// Mean of the two symmetric terms, each mixed as the weight says.
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
    /// What the ranks had to say, added up; without others what was given.
    pub word: Word,
    /// What this rank gave to collectives, and how long it waited in them.
    pub traffic: Traffic,
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
    step_among(&Company::Alone, model, bank, optimizer, views, hyper, Word::default())
}

/// The same with other ranks, each with its share of the batch: the numbers, the update and the bank
/// are those of the whole batch, on every rank.
pub fn step_among(
    company: &Company,
    model: &Nnclr,
    bank: &mut MemoryBank,
    optimizer: &mut Optimizer,
    views: &Views<'_>,
    hyper: Hyper,
    word: Word,
) -> Result<StepStats> {
    hyper.check()?;
    let shares = company.shares(views.samples.len(), word)?;
    let statistics = Statistics::of(model)?;
    let Pass { loss, value, neighbours, z } =
        match pass(company, &shares, model, bank, views, hyper) {
            Ok(pass) => pass,
            Err(error) => {
                statistics.restore()?;
                return Err(error);
            }
        };

    model.store.zero_grad();
    if let Err(error) = company.backward(&loss) {
        statistics.restore()?;
        return Err(error);
    }
    optimizer.step(hyper.lr)?;
    company.share_statistics(model)?;

    let found = Found {
        z,
        similarity: neighbours.each_ref().map(|n| n.similarity.shallow_clone()),
        indices: [numbers(&neighbours[0].indices)?, numbers(&neighbours[1].indices)?],
        samples: views.samples.to_vec(),
        labels: views.labels.map(<[i64]>::to_vec),
    };
    let found = company.everyones(found, &shares)?;
    let mut stats =
        StepStats { loss: value, lr: hyper.lr, word: shares.word, ..health(bank, &found)? };
    stats.view_similarity = view_similarity(&found.z[0], &found.z[1])?;
    stats.feature_std = spread(&found.z[1])?;
    bank.push(&found.z[1], &found.samples, found.labels.as_deref())?;
    stats.bank_filled = bank.filled();
    stats.traffic = company.traffic();
    Ok(stats)
}

/// What the forward half of a step found.
struct Pass {
    /// This rank's share of the loss.
    loss: Tensor,
    /// The whole loss.
    value: f64,
    neighbours: [Neighbours; 2],
    z: [Tensor; 2],
}

fn pass(
    company: &Company,
    shares: &Shares,
    model: &Nnclr,
    bank: &MemoryBank,
    views: &Views<'_>,
    hyper: Hyper,
) -> Result<Pass> {
    let [(z0, p0), (z1, p1)] = model.forward_pair(&views.x)?;

    let neighbours = [bank.nearest(&z0)?, bank.nearest(&z1)?];
    let rows = match hyper.positive {
        Positive::Neighbour if bank.has_neighbours() => {
            Some(neighbours.each_ref().map(|n| n.rows.shallow_clone()))
        }
        Positive::Neighbour | Positive::View => None,
        Positive::Random => {
            let own = |view| -> Result<Tensor> {
                let rows = bank.random_rows(shares.total, view)?;
                Ok(rows.f_narrow(0, shares.offset, z0.size()[0])?)
            };
            Some([own(0)?, own(1)?])
        }
    };

    let towards = |[a, b]: [&Tensor; 2]| {
        company.loss(hyper.loss, [(a, &p1), (b, &p0)], hyper.temperature, shares)
    };
    // Who has no share is not computed: the loss is then the other one, bit for bit.
    let loss = match (&rows, hyper.neighbour_weight) {
        (None, _) | (_, 0.0) => towards([&z0, &z1])?,
        (Some(rows), 1.0) => towards(rows.each_ref())?,
        (Some(rows), weight) => {
            let neighbours = towards(rows.each_ref())?.f_mul_scalar(weight)?;
            neighbours.f_add(&towards([&z0, &z1])?.f_mul_scalar(1.0 - weight)?)?
        }
    };
    let value = company.sum_of(loss.f_double_value(&[])?)?;
    if !value.is_finite() {
        let context = format!(" (learning rate {})", hyper.lr);
        return Err(Error::Diverged { subject: "the loss".into(), value, context });
    }
    Ok(Pass { loss, value, neighbours, z: [z0, z1] })
}

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

fn numbers(tensor: &Tensor) -> Result<Vec<i64>> {
    Ok(Vec::<i64>::try_from(tensor)?)
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
fn health(bank: &MemoryBank, found: &Found) -> Result<StepStats> {
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
