//! The named tensors of a model: parameters (trained) and buffers (running statistics).
//!
//! Modules hold shallow clones of the tensors they made here, so a value copied into an entry is the
//! module's value too. Names are torchvision's and lightly's; weights therefore travel without a table.

use std::sync::{Arc, Mutex};

use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, Uniform};
use tch::{Device, Kind, Tensor};

use super::gradient;
use crate::distributed::ProcessGroup;
use crate::engine::lock;
use crate::error::{Error, Result};
use crate::rng;

/// How a tensor starts.
#[derive(Debug, Clone, Copy)]
pub enum Init {
    /// Every element the same.
    Constant(f64),
    /// Normal with variance 2 / fan_out: torchvision's `kaiming_normal_(mode="fan_out")`.
    KaimingFanOut,
    /// Uniform within 1 / sqrt(fan_in): PyTorch's default for `nn.Linear`, weight and bias.
    UniformFanIn(i64),
}

/// One named tensor.
#[derive(Debug)]
pub struct Entry {
    /// `backbone.layer1.0.conv1.weight` ...
    pub name: String,
    /// The value; modules share it.
    pub tensor: Tensor,
    /// A parameter the optimizer moves, or a buffer.
    pub trainable: bool,
}

/// The group whose ranks share a model's batch statistics; every batch norm of the model looks here.
#[derive(Debug, Clone, Default)]
pub struct Synchronised(Arc<Mutex<Option<ProcessGroup>>>);

impl Synchronised {
    /// The group, or nothing where each process has its own statistics.
    pub fn group(&self) -> Option<ProcessGroup> {
        lock(&self.0).clone()
    }
}

/// Every named tensor of a model, in the order of construction.
#[derive(Debug)]
pub struct Store {
    /// Where the tensors live.
    pub device: Device,
    /// Dtype of parameters and statistics: f32, or f64 to check numbers.
    pub kind: Kind,
    seed: u64,
    entries: Vec<Entry>,
    synchronised: Synchronised,
}

impl Store {
    /// An empty store; `seed` decides every initial value together with the entry's name.
    pub fn new(device: Device, kind: Kind, seed: u64) -> Self {
        Self { device, kind, seed, entries: Vec::new(), synchronised: Synchronised::default() }
    }

    /// The entries in order of construction.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The trained tensors.
    pub fn parameters(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.trainable)
    }

    /// The running statistics.
    pub fn buffers(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.trainable)
    }

    /// From now on the batch norms of this model normalise by the statistics of all ranks
    /// (`torch.nn.SyncBatchNorm.convert_sync_batchnorm`).
    pub fn synchronise(&self, group: Option<ProcessGroup>) {
        *lock(&self.synchronised.0) = group;
    }

    /// Whether they do.
    pub fn is_synchronised(&self) -> bool {
        self.synchronised.group().is_some()
    }

    /// A place to create tensors under `name.`.
    pub fn scope(&mut self, name: &str) -> Scope<'_> {
        Scope { prefix: format!("{name}."), store: self }
    }

    /// The place of names without a prefix.
    pub fn root(&mut self) -> Scope<'_> {
        Scope { prefix: String::new(), store: self }
    }

    /// Moves every tensor to another device and dtype; the modules that share them follow.
    pub fn convert(&mut self, device: Device, kind: Kind) -> Result<()> {
        for entry in &self.entries {
            let is_float = entry.tensor.kind() != Kind::Int64;
            let value = entry.tensor.f_detach()?.f_to_device(device)?;
            let value = if is_float { value.f_to_kind(kind)? } else { value };
            entry.tensor.shallow_clone().f_set_data(&value)?;
        }
        (self.device, self.kind) = (device, kind);
        Ok(())
    }

    /// Replaces an entry's value; the shape must be the same.
    pub fn set(&self, name: &str, value: &Tensor) -> Result<()> {
        let entry = self
            .entries
            .iter()
            .find(|entry| entry.name == name)
            .ok_or_else(|| Error::shape(name, "no such tensor", "a tensor of this model"))?;
        if entry.tensor.size() != value.size() {
            return Err(Error::shape(
                name,
                format!("{:?}", value.size()),
                format!("{:?}", entry.tensor.size()),
            ));
        }
        tch::no_grad(|| entry.tensor.shallow_clone().f_copy_(value))?;
        Ok(())
    }

    /// Forgets every gradient.
    pub fn zero_grad(&self) {
        for entry in self.parameters() {
            gradient::forget(&entry.tensor);
        }
    }
}

/// A named corner of a store.
pub struct Scope<'a> {
    store: &'a mut Store,
    prefix: String,
}

impl Scope<'_> {
    /// A corner within this one.
    pub fn sub(&mut self, name: impl std::fmt::Display) -> Scope<'_> {
        Scope { prefix: format!("{}{name}.", self.prefix), store: self.store }
    }

    /// Where the batch norms look for a group.
    pub fn synchronised(&self) -> Synchronised {
        self.store.synchronised.clone()
    }

    /// A trained tensor.
    pub fn parameter(&mut self, name: &str, shape: &[i64], init: Init) -> Result<Tensor> {
        self.create(name, shape, init, true)
    }

    /// A tensor that is saved but not trained.
    pub fn buffer(&mut self, name: &str, shape: &[i64], value: f64) -> Result<Tensor> {
        self.create(name, shape, Init::Constant(value), false)
    }

    /// `num_batches_tracked`: the one integer buffer of a batch norm.
    pub fn counter(&mut self, name: &str) -> Result<Tensor> {
        let tensor = Tensor::f_zeros([], (Kind::Int64, self.store.device))?;
        self.push(name, &tensor, false);
        Ok(tensor)
    }

    fn create(&mut self, name: &str, shape: &[i64], init: Init, trainable: bool) -> Result<Tensor> {
        let full_name = format!("{}{name}", self.prefix);
        let count = shape.iter().product::<i64>();
        let tensor = match init {
            Init::Constant(value) => {
                Tensor::f_full(shape, value, (self.store.kind, self.store.device))?
            }
            Init::KaimingFanOut => {
                let receptive = shape.iter().skip(2).product::<i64>();
                let deviation = (2.0 / (shape[0] * receptive) as f64).sqrt() as f32;
                let mut rng = self.rng(&full_name);
                self.filled(count, shape, || {
                    let x: f32 = StandardNormal.sample(&mut rng);
                    x * deviation
                })?
            }
            Init::UniformFanIn(fan_in) => {
                let bound = 1.0 / (fan_in as f32).sqrt();
                let mut rng = self.rng(&full_name);
                let uniform = Uniform::new(-bound, bound)
                    .map_err(|e| Error::config(&full_name, fan_in, e.to_string()))?;
                self.filled(count, shape, || uniform.sample(&mut rng))?
            }
        };
        let tensor = if shape.len() == 4 { channels_last(&tensor)? } else { tensor };
        let tensor = tensor.f_set_requires_grad(trainable)?;
        self.push(name, &tensor, trainable);
        Ok(tensor)
    }

    /// The generator of one tensor: a function of the seed and the name, so that adding a layer
    /// changes no other layer's start.
    fn rng(&self, full_name: &str) -> ChaCha8Rng {
        let name = full_name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3) // FNV-1a
        });
        rng::stream(self.store.seed, u64::MAX, name, 0)
    }

    fn filled(&self, count: i64, shape: &[i64], mut draw: impl FnMut() -> f32) -> Result<Tensor> {
        let values: Vec<f32> = (0..count).map(|_| draw()).collect();
        let tensor = Tensor::f_from_slice(&values)?.f_reshape(shape)?;
        Ok(tensor.f_to_device(self.store.device)?.f_to_kind(self.store.kind)?)
    }

    fn push(&mut self, name: &str, tensor: &Tensor, trainable: bool) {
        self.store.entries.push(Entry {
            name: format!("{}{name}", self.prefix),
            tensor: tensor.shallow_clone(),
            trainable,
        });
    }
}

/// The same tensor `[N, C, H, W]` with channels innermost in memory, the order convolutions like.
pub fn channels_last(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}
