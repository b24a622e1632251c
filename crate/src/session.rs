//! A training in memory: network, memory bank and optimizer on one device.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use crate::checkpoint;
use crate::error::{Error, Result};
use crate::loader::Batch;
use crate::nn::{Loss, MemoryBank, Nnclr, NnclrOptions};
use crate::optim::{Optimizer, Rule};
use crate::step::{Hyper, Positive, StepStats, Views, step};

/// ImageNet's channel means and deviations, for pixels 0..255.
const MEAN: [f64; 3] = [0.485 * 255.0, 0.456 * 255.0, 0.406 * 255.0];
const DEVIATION: [f64; 3] = [0.229 * 255.0, 0.224 * 255.0, 0.225 * 255.0];

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
    /// Update rule.
    pub rule: Rule,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Leave biases and norms out of weight decay.
    pub exclude_norms: bool,
    /// bf16 activations and products instead of f32.
    pub bf16: bool,
    /// Where.
    pub device: Device,
    /// Decides the weights' and the bank's start.
    pub seed: u64,
}

/// Network, bank and optimizer.
#[derive(Debug)]
pub struct Session {
    /// Backbone and heads.
    pub model: Nnclr,
    /// The support set.
    pub bank: MemoryBank,
    optimizer: Optimizer,
    options: SessionOptions,
    normalisation: [Tensor; 2],
}

impl Session {
    /// Fresh weights and bank.
    pub fn new(options: SessionOptions) -> Result<Self> {
        let device = options.device;
        let model = Nnclr::new(&options.model, device, Kind::Float, options.seed)?;
        let bank = MemoryBank::new(
            options.bank_size,
            options.model.out,
            device,
            Kind::Float,
            options.seed,
            options.bank_only_filled,
        )?;
        let optimizer = Optimizer::of_store(
            options.rule,
            &model.store,
            options.weight_decay,
            options.exclude_norms,
        )?;
        let channel = |values: [f64; 3]| -> Result<Tensor> {
            let values = values.map(|value| value as f32);
            Ok(Tensor::f_from_slice(&values)?.f_to_device(device)?.f_view([1, 3, 1, 1])?)
        };
        let scale = DEVIATION.map(|deviation| 1.0 / deviation);
        let normalisation = [channel(MEAN)?, channel(scale)?];
        Ok(Self { model, bank, optimizer, options, normalisation })
    }

    /// One training step on a batch of two views.
    pub fn step(&mut self, batch: &Batch, lr: f64, positive: Positive) -> Result<StepStats> {
        let [first, second] = batch.views.as_slice() else {
            return Err(Error::shape("batch", format!("{} views", batch.views.len()), "2 views"));
        };
        let samples: Vec<i64> = batch.indices.iter().map(|&index| i64::from(index)).collect();
        let labels: Option<Vec<i64>> =
            batch.labels.as_ref().map(|labels| labels.iter().map(|&l| i64::from(l)).collect());
        let views = Views {
            x: [self.input(first, batch)?, self.input(second, batch)?],
            samples: &samples,
            labels: labels.as_deref(),
        };
        let (loss, temperature) = (self.options.loss, self.options.temperature);
        let hyper = Hyper { loss, temperature, lr, positive };
        step(&self.model, &mut self.bank, &mut self.optimizer, &views, hyper)
    }

    /// Backbone features `[N, feature_dim]` of a batch's first view, in evaluation mode, row-major.
    pub fn embed(&self, batch: &Batch) -> Result<Vec<f32>> {
        let Some(view) = batch.views.first().filter(|_| !batch.indices.is_empty()) else {
            return Ok(Vec::new());
        };
        tch::no_grad(|| {
            let features = self.model.backbone.forward(&self.input(view, batch)?, false)?;
            let features = features.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?;
            Ok(Vec::<f32>::try_from(&features.f_contiguous()?.f_view([-1])?)?)
        })
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
        checkpoint::load(path, &self.model, &self.optimizer, &mut self.bank)
    }

    /// 8-bit pixels `[N, H, W, 3]` to a normalised `[N, 3, H, W]`, channels last in memory as they came.
    fn input(&self, pixels: &[u8], batch: &Batch) -> Result<Tensor> {
        let (count, size) = (batch.indices.len() as i64, i64::from(batch.size));
        let [mean, scale] = &self.normalisation;
        let x = Tensor::f_from_data_size(pixels, &[count, size, size, 3], Kind::Uint8)?
            .f_to_device(self.options.device)?
            .f_permute([0, 3, 1, 2])?
            .f_to_kind(Kind::Float)?
            .f_sub_(mean)?
            .f_mul_(scale)?;
        Ok(if self.options.bf16 { x.f_to_kind(Kind::BFloat16)? } else { x })
    }
}
