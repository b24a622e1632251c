//! One training step of NNCLR (paper section 3, figure 2).

use std::str::FromStr;

use tch::{Kind, Tensor};

use crate::distributed::Traffic;
use crate::error::{Error, Result};
use crate::health::{Found, health};
use crate::nn::store::Entry;
use crate::nn::{Loss, MemoryBank, Neighbours, Nnclr};
use crate::optim::Optimizer;
use crate::ranks::{Company, Shares, Word};

/// The positive: what takes the place of z, towards which the other view is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positive {
    /// z's nearest neighbour in the memory bank: NNCLR.
    Neighbour,
    /// z itself, as `ViewLoss` says: SimCLR, the control, and the start of a run with neighbour warm-up.
    View,
    /// Random rows of the bank: the control that shows what a broken bank would cost.
    Random,
}

/// The loss where the other view is the positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewLoss {
    /// p of one view towards z of the other, as towards a neighbour: gradient through p alone.
    Predicted,
    /// z towards z without the prediction head, gradient through both, as in SimCLR.
    SimClr,
}

impl FromStr for ViewLoss {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "predicted" => Ok(Self::Predicted),
            "simclr" => Ok(Self::SimClr),
            _ => Err(Error::config("viewLoss", name, "predicted or simclr")),
        }
    }
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

impl Views<'_> {
    fn check(&self) -> Result<()> {
        let rows = self.x[0].size().first().map_or(0, |&rows| rows as usize);
        let (samples, labels) = (self.samples.len(), self.labels.map_or(rows, <[i64]>::len));
        if [samples, labels] == [rows; 2] {
            return Ok(());
        }
        let got = format!("{samples} sample ids and {labels} labels");
        Err(Error::shape("batch", got, format!("{rows}, one a picture")))
    }
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
    /// Form of the loss where that is the other view.
    pub view_loss: ViewLoss,
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
    views.check()?;
    let shares = company.shares(views.samples.len(), word)?;
    let statistics = Statistics::of(model)?;
    let made = pass(company, &shares, model, bank, views, hyper)
        .and_then(|pass| gradients(company, &shares, model, bank, views, hyper, pass));
    let (found, mut stats) = match made {
        Ok(made) => made,
        Err(error) => {
            statistics.restore()?;
            return Err(error);
        }
    };
    optimizer.step(hyper.lr)?;
    company.share_statistics(model)?;
    bank.push(&found.z[1], &found.samples, found.labels.as_deref())?;
    stats.bank_filled = bank.filled();
    stats.traffic = company.traffic();
    Ok(stats)
}

/// What the forward half of a step found.
struct Pass {
    /// This rank's share of the loss.
    loss: Tensor,
    /// Whether p counts in it.
    is_of_p: bool,
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
    let [(live0, p0), (live1, p1)] = model.forward_pair(&views.x)?;
    // What the bank and the neighbours see of z: no gradient flows through it.
    let (z0, z1) = (live0.f_detach()?, live1.f_detach()?);

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

    let mean =
        |pairs: [(&Tensor, &Tensor); 2]| company.loss(hyper.loss, pairs, hyper.temperature, shares);
    let towards = |[a, b]: [&Tensor; 2]| mean([(a, &p1), (b, &p0)]);
    let between_views = || match hyper.view_loss {
        ViewLoss::Predicted => towards([&z0, &z1]),
        ViewLoss::SimClr => {
            let loss = mean([(&live0, &live1), (&live1, &live0)])?;
            Ok(loss.f_add(&nothing_of([&p0, &p1])?)?)
        }
    };
    // Who has no share is not computed: the loss is then the other one, bit for bit.
    let mut is_of_p = true;
    let loss = match (&rows, hyper.neighbour_weight) {
        (None, _) | (_, 0.0) => {
            is_of_p = hyper.view_loss == ViewLoss::Predicted;
            between_views()?
        }
        (Some(rows), 1.0) => towards(rows.each_ref())?,
        (Some(rows), weight) => {
            let neighbours = towards(rows.each_ref())?.f_mul_scalar(weight)?;
            neighbours.f_add(&between_views()?.f_mul_scalar(1.0 - weight)?)?
        }
    };
    Ok(Pass { loss, is_of_p, neighbours, z: [z0, z1] })
}

/// The backward pass; what all ranks found, and its numbers. The loss is read after the gradients, so
/// that a GPU has both passes to do while the host waits for it.
fn gradients(
    company: &Company,
    shares: &Shares,
    model: &Nnclr,
    bank: &MemoryBank,
    views: &Views<'_>,
    hyper: Hyper,
    Pass { loss, is_of_p, neighbours, z }: Pass,
) -> Result<(Found, StepStats)> {
    model.store.zero_grad();
    company.backward(&loss)?;
    if !is_of_p {
        model.forget_prediction_gradients();
    }
    let found = Found {
        z,
        similarity: neighbours.each_ref().map(|n| n.similarity.shallow_clone()),
        indices: neighbours.map(|n| n.indices),
        samples: views.samples.to_vec(),
        labels: views.labels.map(<[i64]>::to_vec),
    };
    let found = company.everyones(found, shares)?;
    let stats = tch::no_grad(|| health(bank, &found, &loss))?;
    let value = company.sum_of(stats.loss)?;
    if !value.is_finite() {
        let context = format!(" (learning rate {})", hyper.lr);
        return Err(Error::Diverged { subject: "the loss".into(), value, context });
    }
    Ok((found, StepStats { loss: value, lr: hyper.lr, word: shares.word, ..stats }))
}

/// 0, by way of every p: ranks wait for a gradient of every parameter, also where no loss asks for p.
fn nothing_of(p: [&Tensor; 2]) -> Result<Tensor> {
    let sum = |p: &Tensor| -> Result<Tensor> { Ok(p.f_sum(Kind::Float)?.f_mul_scalar(0.0)?) };
    Ok(sum(p[0])?.f_add(&sum(p[1])?)?)
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
