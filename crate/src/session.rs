//! A training in memory: network, memory bank and optimizer on one device.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use crate::checkpoint;
use crate::distributed::{ProcessGroup, described};
use crate::error::{Error, Result};
use crate::loader::Batch;
use crate::memory_cache;
use crate::nn::{Folded, Loss, MemoryBank, Nnclr, NnclrOptions};
use crate::optim::{Optimizer, Rule};
use crate::pixels;
use crate::ranks::{Company, Ranks, RanksOptions, Word};
use crate::step::{Hyper, Positive, StepStats, ViewLoss, Views, step_among};

/// Dtypes of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// f32 throughout.
    F32,
    /// bf16 activations and products; weights, norms, losses and bank in f32.
    Bf16,
    /// f64 throughout, to check numbers.
    F64,
}

impl Precision {
    fn weights(self) -> Kind {
        if self == Self::F64 { Kind::Double } else { Kind::Float }
    }

    fn activations(self) -> Kind {
        if self == Self::Bf16 { Kind::BFloat16 } else { self.weights() }
    }
}

/// Everything that decides a session.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Sizes of the network.
    pub model: NnclrOptions,
    /// Rows of the memory bank.
    pub bank_size: usize,
    /// Look only at rows that were pushed.
    pub bank_only_filled: bool,
    /// Form of the loss.
    pub loss: Loss,
    /// Its temperature.
    pub temperature: f64,
    /// Form of the loss where the other view is the positive.
    pub view_loss: ViewLoss,
    /// Update rule.
    pub rule: Rule,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Leave biases and norms out of weight decay.
    pub exclude_norms: bool,
    /// Dtypes.
    pub precision: Precision,
    /// Where.
    pub device: Device,
    /// Decides the weights' and the bank's start.
    pub seed: u64,
}

/// Network, bank and optimizer.
#[derive(Debug)]
pub struct Session {
    // Its hooks end before the parameters do.
    company: Company,
    /// Backbone and heads.
    pub model: Nnclr,
    /// The support set.
    pub bank: MemoryBank,
    optimizer: Optimizer,
    options: SessionOptions,
    /// The backbone for embedding; none while it is trained or otherwise changed.
    folded: Option<Folded>,
}

impl Session {
    /// Fresh weights and bank.
    pub fn new(options: SessionOptions) -> Result<Self> {
        let (device, kind) = (options.device, options.precision.weights());
        let model = Nnclr::new(&options.model, device, kind, options.seed)?;
        let bank = MemoryBank::new(
            options.bank_size,
            options.model.out,
            device,
            kind,
            options.seed,
            options.bank_only_filled,
        )?;
        let optimizer = Optimizer::of_store(
            options.rule,
            &model.store,
            options.weight_decay,
            options.exclude_norms,
        )?;
        Ok(Self { company: Company::Alone, model, bank, optimizer, options, folded: None })
    }

    /// From now on each step is one with the other ranks. Everyone takes rank 0's weights,
    /// statistics, optimizer state and bank.
    pub fn join(&mut self, group: &ProcessGroup, options: RanksOptions) -> Result<()> {
        self.end_embedding();
        let tensors = checkpoint::named(&self.model, &self.optimizer, &self.bank)?;
        group.agree("joining", &described(&tensors))?;
        // The bank's bookkeeping is made of copies, taken over below; all else is shared.
        let (host, device): (Vec<_>, Vec<_>) =
            tensors.iter().partition(|(_, tensor)| tensor.device() == Device::Cpu);
        for part in [host, device] {
            let part: Vec<Tensor> = part.iter().map(|(_, tensor)| tensor.shallow_clone()).collect();
            tch::no_grad(|| group.broadcast(&part, 0))?;
        }
        let of_bank = |name: &str| -> Result<Tensor> {
            let found = tensors.iter().find(|(other, _)| other.strip_prefix("bank/") == Some(name));
            let missing = || Error::shape("bank", name, "one of its tensors");
            found.map(|(_, tensor)| tensor.shallow_clone()).ok_or_else(missing)
        };
        self.bank.restore(&of_bank)?;
        self.company = Company::Ranks(Ranks::new(group, &self.model, options)?);
        Ok(())
    }

    /// One training step on a batch of two views.
    pub fn step(
        &mut self,
        batch: &Batch,
        lr: f64,
        positive: Positive,
        neighbour_weight: f64,
        word: Word,
    ) -> Result<StepStats> {
        if batch.views.len() != 2 {
            return Err(Error::shape("batch", format!("{} views", batch.views.len()), "2 views"));
        }
        self.end_embedding();
        let samples: Vec<i64> = batch.indices.iter().map(|&index| i64::from(index)).collect();
        let labels: Option<Vec<i64>> =
            batch.labels.as_ref().map(|labels| labels.iter().map(|&l| i64::from(l)).collect());
        let views = Views {
            x: [self.input(batch, 0)?, self.input(batch, 1)?],
            samples: &samples,
            labels: labels.as_deref(),
        };
        let SessionOptions { loss, temperature, view_loss, .. } = self.options;
        let hyper = Hyper { loss, temperature, lr, positive, view_loss, neighbour_weight };
        let Self { company, model, bank, optimizer, .. } = self;
        step_among(company, model, bank, optimizer, &views, hyper, word)
    }

    /// Backbone features `[N, feature_dim]` of a batch's first view, in evaluation mode, row-major.
    pub fn embed(&mut self, batch: &Batch) -> Result<Vec<f32>> {
        if batch.indices.is_empty() {
            return Ok(Vec::new());
        }
        let input = self.input(batch, 0)?;
        let folded = match self.folded.take() {
            Some(folded) => folded,
            None => {
                // The blocks of training, of other sizes, would lie idle.
                memory_cache::empty();
                Folded::new(&self.model.backbone, self.options.precision.activations())?
            }
        };
        let folded = self.folded.insert(folded);
        tch::no_grad(|| {
            let features = folded.forward(&input)?;
            let features = features.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?;
            Ok(Vec::<f32>::try_from(&features.f_contiguous()?.f_view([-1])?)?)
        })
    }

    /// Starts the backbone from a weight file; returns the names it had no place for.
    pub fn import_backbone(&mut self, path: &Path) -> Result<Vec<String>> {
        self.end_embedding();
        checkpoint::import_backbone(path, &self.model)
    }

    /// Where the tensors live.
    pub fn device(&self) -> Device {
        self.options.device
    }

    /// Length of the feature vector.
    pub fn feature_dim(&self) -> i64 {
        self.model.backbone.feature_dim
    }

    /// Writes a checkpoint that holds all of it.
    pub fn save(&self, path: &Path, metadata: &str) -> Result<()> {
        checkpoint::save(path, &self.model, &self.optimizer, &self.bank, metadata)
    }

    /// Takes a checkpoint over and returns its metadata.
    pub fn load(&mut self, path: &Path) -> Result<String> {
        self.end_embedding();
        checkpoint::load(path, &self.model, &self.optimizer, &mut self.bank)
    }

    /// Forgets the folded backbone, since its weights are about to change, and the blocks it used.
    fn end_embedding(&mut self) {
        if self.folded.take().is_some() {
            memory_cache::empty();
        }
    }

    /// A view in the dtype that activations have.
    fn input(&self, batch: &Batch, view: usize) -> Result<Tensor> {
        let kind = self.options.precision.activations();
        Ok(pixels::input(batch, view, self.options.device)?.f_to_kind(kind)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::Pixels;
    use crate::nn::Stem;

    fn session(seed: u64) -> Session {
        let model = NnclrOptions {
            arch: "resnet10".parse().unwrap(),
            stem: Stem::Small,
            projection_hidden: 8,
            out: 8,
            prediction_hidden: 8,
        };
        Session::new(SessionOptions {
            model,
            bank_size: 8,
            bank_only_filled: false,
            loss: Loss::NtXent,
            temperature: 0.5,
            view_loss: ViewLoss::Predicted,
            rule: Rule::Sgd { momentum: 0.0, nesterov: false },
            weight_decay: 0.0,
            exclude_norms: false,
            precision: Precision::F32,
            device: Device::Cpu,
            seed,
        })
        .unwrap()
    }

    fn batch() -> Batch {
        let view = |shift: usize| -> Pixels {
            let bytes = (0..4 * 32 * 32 * 3).map(|i| ((i + shift) * 7 % 251) as u8);
            bytes.collect::<Vec<u8>>().into()
        };
        let (views, indices) = (vec![view(0), view(5)], vec![0, 1, 2, 3]);
        Batch { views, size: 32, indices, labels: None, bad: Vec::new() }
    }

    /// As evaluation without folding has it.
    fn plain(session: &Session) -> Tensor {
        let x = session.input(&batch(), 0).unwrap();
        tch::no_grad(|| session.model.backbone.forward(&x, false)).unwrap().view([-1])
    }

    #[test]
    fn features_follow_the_weights_through_steps_loads_and_imports() {
        let folder = tempfile::tempdir().unwrap();
        let [backbone, whole] = ["backbone", "whole"].map(|name| folder.path().join(name));
        let other = session(2);
        checkpoint::export_backbone(&backbone, &other.model, "{}").unwrap();
        other.save(&whole, "{}").unwrap();
        let mut session = session(1);
        let mut before = Tensor::zeros([4 * 512], (Kind::Float, Device::Cpu));
        let changes: [fn(&mut Session, &Path, &Path); 4] = [
            |_, _, _| {},
            |session, _, _| {
                session.step(&batch(), 0.1, Positive::View, 1.0, Word::default()).unwrap();
            },
            |session, backbone, _| {
                session.import_backbone(backbone).unwrap();
            },
            |session, _, whole| {
                session.step(&batch(), 0.1, Positive::View, 1.0, Word::default()).unwrap();
                session.embed(&batch()).unwrap();
                session.load(whole).unwrap();
            },
        ];
        for (place, change) in changes.into_iter().enumerate() {
            change(&mut session, &backbone, &whole);
            let features = Tensor::from_slice(&session.embed(&batch()).unwrap());
            let expected = plain(&session);
            let scale = expected.abs().max().double_value(&[]);
            let apart = |other: &Tensor| (&features - other).abs().max().double_value(&[]);
            assert!(apart(&expected) < 1e-5 * scale, "change {place}: {}", apart(&expected));
            if place < 3 {
                assert!(apart(&before) > 1e-3 * scale, "change {place} changed nothing");
            }
            before = features;
        }
    }
}
