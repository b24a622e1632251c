//! What a training step shares with the other ranks of a data-parallel run, so that it gives the
//! numbers that one process with the whole batch would give.

use tch::{Device, Kind, Tensor};

use crate::distributed::{ProcessGroup, Reducer, Traffic, backward};
use crate::error::{Error, Result};
use crate::health::Found;
use crate::nn::nt_xent::Everyone;
use crate::nn::store::Entry;
use crate::nn::{Loss, Nnclr};

/// What is shared beside the gradients.
#[derive(Debug, Clone, Copy)]
pub struct RanksOptions {
    /// Batch norms use the statistics of all ranks.
    pub sync_batch_norm: bool,
    /// Every row stands against the rows of all ranks, not of its own alone.
    pub gather_negatives: bool,
}

/// A rank's word on the step to come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Word {
    /// Asked to stop; the sum is the number of ranks that were.
    pub stop: i64,
    /// Reports that it has for the others.
    pub news: i64,
}

/// How the whole batch lies on the ranks.
#[derive(Debug)]
pub struct Shares {
    /// Rows of each rank.
    counts: Vec<i64>,
    /// Where this rank's rows begin.
    pub offset: i64,
    /// Rows of all.
    pub total: i64,
    /// The words of all ranks, added up.
    pub word: Word,
}

/// The other ranks, if there are any.
#[derive(Debug)]
pub enum Company {
    /// One process has the whole batch.
    Alone,
    /// Each rank has its share.
    Ranks(Ranks),
}

impl Company {
    /// Everyone's rows and words.
    pub fn shares(&self, rows: usize, word: Word) -> Result<Shares> {
        match self {
            Self::Alone => {
                let total = rows as i64;
                Ok(Shares { counts: vec![total], offset: 0, total, word })
            }
            Self::Ranks(ranks) => ranks.shares(rows, word),
        }
    }

    /// This rank's share of the mean of both terms.
    pub fn loss(
        &self,
        form: Loss,
        [a, b]: [(&Tensor, &Tensor); 2],
        temperature: f64,
        shares: &Shares,
    ) -> Result<Tensor> {
        match self {
            Self::Alone => {
                let a = form.forward(a.0, a.1, temperature)?;
                Ok((a + form.forward(b.0, b.1, temperature)?) * 0.5)
            }
            Self::Ranks(ranks) => ranks.loss(form, [a, b], temperature, shares),
        }
    }

    /// The sum over the ranks.
    pub fn sum_of(&self, number: f64) -> Result<f64> {
        let Self::Ranks(Ranks { group, .. }) = self else { return Ok(number) };
        let tensor = Tensor::f_from_slice(&[number])?.f_to_device(group.device())?;
        group.sum(&tensor)?;
        Ok(tensor.f_double_value(&[0])?)
    }

    /// The backward pass of the sum of all shares.
    pub fn backward(&self, share: &Tensor) -> Result<()> {
        match self {
            Self::Alone => Ok(share.f_backward()?),
            // Gradients are averaged, so that each share counts as many times as there are ranks.
            Self::Ranks(ranks) => {
                let size = ranks.group.world_size() as f64;
                backward(&share.f_mul_scalar(size)?, &[&ranks.reducer])
            }
        }
    }

    /// Running statistics that ranks made on their own become rank 0's, as PyTorch does.
    pub fn share_statistics(&self, model: &Nnclr) -> Result<()> {
        let Self::Ranks(Ranks { group, options, .. }) = self else { return Ok(()) };
        if options.sync_batch_norm {
            return Ok(());
        }
        let buffers: Vec<Tensor> =
            model.store.buffers().map(|entry| entry.tensor.shallow_clone()).collect();
        tch::no_grad(|| group.broadcast(&buffers, 0))
    }

    /// What all ranks found, in rank order.
    pub fn everyones(&self, own: Found, shares: &Shares) -> Result<Found> {
        match self {
            Self::Alone => Ok(own),
            Self::Ranks(ranks) => tch::no_grad(|| ranks.everyones(&own, shares)),
        }
    }

    /// Since the last call.
    pub fn traffic(&self) -> Traffic {
        match self {
            Self::Alone => Traffic::default(),
            Self::Ranks(Ranks { group, .. }) => group.traffic(),
        }
    }
}

/// This rank among the others.
#[derive(Debug)]
pub struct Ranks {
    // Ends before the group.
    reducer: Reducer,
    group: ProcessGroup,
    options: RanksOptions,
}

impl Ranks {
    /// Hooks the model's parameters; the ranks' values must be the same already.
    pub fn new(group: &ProcessGroup, model: &Nnclr, options: RanksOptions) -> Result<Self> {
        let named = |entry: &Entry| (entry.name.clone(), entry.tensor.shallow_clone());
        let reducer = Reducer::new(group, model.store.parameters().map(named).collect())?;
        model.store.synchronise(options.sync_batch_norm.then(|| group.clone()));
        Ok(Self { reducer, group: group.clone(), options })
    }

    fn shares(&self, rows: usize, word: Word) -> Result<Shares> {
        let (rank, size) = (self.group.rank(), self.group.world_size());
        let mut numbers = vec![0_i64; size + 2];
        numbers[rank] = rows as i64;
        (numbers[size], numbers[size + 1]) = (word.stop, word.news);
        let numbers = self.group.sum_numbers(&numbers)?;
        let (counts, words) = numbers.split_at(size);
        Ok(Shares {
            counts: counts.to_vec(),
            offset: counts[..rank].iter().sum(),
            total: counts.iter().sum(),
            word: Word { stop: words[0], news: words[1] },
        })
    }

    fn loss(
        &self,
        form: Loss,
        [a, b]: [(&Tensor, &Tensor); 2],
        temperature: f64,
        shares: &Shares,
    ) -> Result<Tensor> {
        if !self.options.gather_negatives {
            let rows = shares.counts[self.group.rank()] as f64;
            let mean =
                form.forward(a.0, a.1, temperature)? + form.forward(b.0, b.1, temperature)?;
            return Ok(mean.f_mul_scalar(0.5 * rows / shares.total as f64)?);
        }
        // All four travel together; gradients are summed over the ranks, which bf16 is too coarse for.
        let rows = at_least_f32(&Tensor::f_cat(&[a.0, a.1, b.0, b.1], 1)?)?;
        let everyones = self.group.gather(&rows, &shares.counts)?.f_chunk(4, 1)?;
        let [a0, a1, b0, b1] = everyones.as_slice() else {
            return Err(Error::shape("loss", everyones.len(), "4 parts"));
        };
        let share = |own: (&Tensor, &Tensor), a, b| {
            let everyone = Everyone { a, b, offset: shares.offset };
            form.share(own.0, own.1, &everyone, temperature)
        };
        Ok((share(a, a0, a1)? + share(b, b0, b1)?) * 0.5)
    }

    fn everyones(&self, own: &Found, shares: &Shares) -> Result<Found> {
        let kind = own.z[0].kind();
        let column = |x: &Tensor| -> Result<Tensor> { at_least_f32(&x.f_unsqueeze(1)?) };
        let dim = own.z[0].size()[1];
        let [z0, z1] = own.z.each_ref().map(at_least_f32);
        let [first, second] = own.similarity.each_ref().map(column);
        let rows = Tensor::f_cat(&[z0?, z1?, first?, second?], 1)?;
        let rows = self.group.gather(&rows, &shares.counts)?;
        let part = |from, width| rows.f_narrow(1, from, width);

        let [first, second] = own.indices.each_ref().map(Vec::<i64>::try_from);
        let (first, second) = (first?, second?);
        let mut numbers = Vec::with_capacity(4 * own.samples.len());
        for (query, &sample) in own.samples.iter().enumerate() {
            let label = own.labels.as_ref().map_or(-1, |labels| labels[query]);
            numbers.extend([sample, label, first[query], second[query]]);
        }
        let device = self.group.device();
        let table = Tensor::f_from_slice(&numbers)?.f_reshape([-1, 4])?.f_to_device(device)?;
        let table = self.group.gather(&table, &shares.counts)?.f_to_device(Device::Cpu)?;
        let table = Vec::<i64>::try_from(&table.f_reshape([-1])?)?;
        let field = |place: usize| table.iter().skip(place).step_by(4).copied().collect::<Vec<_>>();
        let indices = |place| -> Result<Tensor> {
            Ok(Tensor::f_from_slice(&field(place))?.f_to_device(rows.device())?)
        };
        Ok(Found {
            z: [part(0, dim)?.f_to_kind(kind)?, part(dim, dim)?.f_to_kind(kind)?],
            similarity: [
                part(2 * dim, 1)?.f_squeeze_dim(1)?,
                part(2 * dim + 1, 1)?.f_squeeze_dim(1)?,
            ],
            indices: [indices(2)?, indices(3)?],
            samples: field(0),
            labels: own.labels.as_ref().map(|_| field(1)),
        })
    }
}

fn at_least_f32(x: &Tensor) -> Result<Tensor> {
    Ok(if x.kind() == Kind::Double { x.shallow_clone() } else { x.f_to_kind(Kind::Float)? })
}
