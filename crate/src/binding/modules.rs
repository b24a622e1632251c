//! Backbone, heads, memory bank and optimizer for the hand-written loop.

use std::sync::{Arc, Mutex};

use napi::Env;
use napi::bindgen_prelude::ClassInstance;
use napi_derive::napi;
use tch::{Device, Kind, Tensor};

use super::tensor::{CallSite, NativeTensor, copied, kind_of, on_device};
use super::to_napi;
use crate::engine::{self, lock};
use crate::error::{Error, Result};
use crate::nn::{Head, MemoryBank, ResNet, Store};
use crate::optim::{Group, Optimizer, clip_grad_norm as clip_grad_norm_of};
use crate::tensor::{Call, Handle, Meta, effect};

enum Net {
    ResNet(ResNet),
    Head(Head),
}

struct Inner {
    store: Store,
    net: Net,
}

/// A parameter or buffer by name.
#[napi(object)]
#[derive(Clone)]
pub struct NamedShape {
    /// As torchvision or lightly name it, without a prefix.
    pub name: String,
    /// Trained, or a running statistic.
    pub trainable: bool,
}

/// A backbone or a head.
#[napi]
pub struct NativeModule {
    inner: Arc<Mutex<Inner>>,
    /// Length of an input row; None for pictures.
    inputs: Option<i64>,
    outputs: i64,
    /// The module's own tensors by name: a forward pass holds `inner` for as long as it takes.
    named: Vec<(NamedShape, Mutex<Tensor>)>,
    placed: Mutex<(Device, Kind)>,
}

#[napi]
impl NativeModule {
    /// ResNet without its last layer.
    #[napi(factory)]
    pub fn resnet(arch: String, stem: String, seed: f64) -> napi::Result<Self> {
        Self::make(None, seed, move |store| {
            let net = ResNet::new(store.root(), arch.parse()?, stem.parse()?)?;
            let outputs = net.feature_dim;
            Ok((Net::ResNet(net), outputs))
        })
    }

    /// lightly's `NNCLRProjectionHead`.
    #[napi(factory)]
    pub fn projection_head(
        inputs: u32,
        hidden: u32,
        outputs: u32,
        seed: f64,
    ) -> napi::Result<Self> {
        let (inputs, hidden, outputs) = (i64::from(inputs), i64::from(hidden), i64::from(outputs));
        Self::make(Some(inputs), seed, move |store| {
            Ok((Net::Head(Head::projection(store.root(), inputs, hidden, outputs)?), outputs))
        })
    }

    /// lightly's `NNCLRPredictionHead`.
    #[napi(factory)]
    pub fn prediction_head(
        inputs: u32,
        hidden: u32,
        outputs: u32,
        seed: f64,
    ) -> napi::Result<Self> {
        let (inputs, hidden, outputs) = (i64::from(inputs), i64::from(hidden), i64::from(outputs));
        Self::make(Some(inputs), seed, move |store| {
            Ok((Net::Head(Head::prediction(store.root(), inputs, hidden, outputs)?), outputs))
        })
    }

    /// Weights are made on the engine's thread; this waits for it, once in a module's life.
    fn make(
        inputs: Option<i64>,
        seed: f64,
        build: impl FnOnce(&mut Store) -> Result<(Net, i64)> + Send + 'static,
    ) -> napi::Result<Self> {
        let (inner, outputs) = engine::run("module", move || {
            let mut store = Store::new(Device::Cpu, Kind::Float, seed as u64);
            let (net, outputs) = build(&mut store)?;
            Ok((Inner { store, net }, outputs))
        })
        .map_err(|error| to_napi(&error))?;
        let entries = inner.store.entries().iter();
        let named = entries.map(|entry| {
            let shape = NamedShape { name: entry.name.clone(), trainable: entry.trainable };
            (shape, Mutex::new(entry.tensor.shallow_clone()))
        });
        let (named, placed) = (named.collect(), Mutex::new((Device::Cpu, Kind::Float)));
        Ok(Self { inner: Arc::new(Mutex::new(inner)), inputs, outputs, named, placed })
    }

    /// Length of an output row.
    #[napi(getter)]
    pub fn outputs(&self) -> i64 {
        self.outputs
    }

    /// Names in order of construction.
    #[napi(getter)]
    pub fn entries(&self) -> Vec<NamedShape> {
        self.named.iter().map(|(entry, _)| entry.clone()).collect()
    }

    /// The tensor of an entry: the module's own, not a copy.
    #[napi]
    pub fn tensor(&self, env: Env, index: u32) -> napi::Result<NativeTensor> {
        let entry = self.named.get(index as usize);
        let (_, tensor) =
            entry.ok_or_else(|| to_napi(&Error::config("index", index, "an entry")))?;
        let handle = Handle::ready(lock(tensor).shallow_clone());
        NativeTensor::new(&env, handle)
    }

    /// Queues the forward pass.
    #[napi]
    pub fn forward(
        &self,
        env: Env,
        site: CallSite,
        x: &NativeTensor,
        train: bool,
    ) -> napi::Result<NativeTensor> {
        let x = x.get()?;
        self.check(&x.meta).map_err(|error| to_napi(&error))?;
        let meta = Meta { shape: vec![x.meta.shape[0], self.outputs], ..x.meta.clone() };
        let inner = Arc::clone(&self.inner);
        let handle =
            Handle::compute(site.into(), vec![x], meta, move |inputs| match &lock(&inner).net {
                Net::ResNet(net) => net.forward(&inputs[0], train),
                Net::Head(head) => head.forward(&inputs[0], train),
            });
        NativeTensor::new(&env, handle)
    }

    /// Moves the tensors; handles of them follow, an optimizer over them too.
    #[napi]
    pub fn convert(&self, site: CallSite, device: String, dtype: String) -> napi::Result<()> {
        let kind = kind_of(&dtype).map_err(|error| to_napi(&error))?;
        let device = on_device(&device)?;
        *lock(&self.placed) = (device, kind);
        let inner = Arc::clone(&self.inner);
        // The tensors' new dtype must be known to the next `tensor` call: wait for it.
        let call = Call::from(site);
        engine::run("to", move || lock(&inner).store.convert(device, kind))
            .map_err(|error| to_napi(&error.during(&call.operation)))
    }

    fn check(&self, x: &Meta) -> Result<()> {
        let (device, kind) = *lock(&self.placed);
        let fits = match (self.inputs, x.shape.as_slice()) {
            (None, [_, 3, height, width]) => *height > 0 && *width > 0,
            (Some(inputs), [_, length]) => *length == inputs,
            _ => false,
        };
        if !fits {
            let expected = match self.inputs {
                None => "[N, 3, H, W]".to_owned(),
                Some(inputs) => format!("[N, {inputs}]"),
            };
            return Err(Error::shape("forward", format!("{:?}", x.shape), expected));
        }
        let computes = x.kind == kind || (kind == Kind::Float && x.kind == Kind::BFloat16);
        if !computes || x.device != device {
            let got = format!("{:?} on {:?}", x.kind, x.device);
            return Err(Error::shape("forward", got, format!("{kind:?} on {device:?}")));
        }
        Ok(())
    }
}

/// The memory bank as a module.
#[napi]
pub struct NativeMemoryBank {
    inner: Arc<Mutex<MemoryBank>>,
    dim: i64,
    size: u32,
    placed: Mutex<(Device, Kind)>,
}

#[napi]
impl NativeMemoryBank {
    /// `size` random unit rows of length `dim`.
    #[napi(constructor)]
    pub fn new(size: u32, dim: u32, seed: f64, dtype: String) -> napi::Result<Self> {
        let (dim, only_filled) = (i64::from(dim), false);
        let kind = kind_of(&dtype).map_err(|error| to_napi(&error))?;
        let bank = engine::run("memory bank", move || {
            let device = Device::Cpu;
            MemoryBank::new(size as usize, dim, device, kind, seed as u64, only_filled)
        });
        let inner = Arc::new(Mutex::new(bank.map_err(|error| to_napi(&error))?));
        Ok(Self { inner, dim, size, placed: Mutex::new((Device::Cpu, kind)) })
    }

    /// The nearest row of each z `[N, D]`; with `update` the bank then takes z.
    #[napi]
    pub fn forward(
        &self,
        env: Env,
        site: CallSite,
        z: &NativeTensor,
        update: bool,
    ) -> napi::Result<NativeTensor> {
        let z = z.get()?;
        let &[count, dim] = z.meta.shape.as_slice() else {
            return Err(self.misfit(&z.meta));
        };
        if dim != self.dim {
            return Err(self.misfit(&z.meta));
        }
        let meta = z.meta.clone();
        let inner = Arc::clone(&self.inner);
        let handle = Handle::compute(site.into(), vec![z], meta, move |inputs| {
            let mut bank = lock(&inner);
            let found = bank.nearest(&inputs[0])?;
            if update {
                let unknown = vec![crate::nn::memory_bank::NO_SAMPLE; count as usize];
                bank.push(&inputs[0], &unknown, None)?;
            }
            Ok(found.rows)
        });
        NativeTensor::new(&env, handle)
    }

    /// A copy of the unit rows `[size, dim]`.
    #[napi]
    pub fn rows(&self, env: Env, site: CallSite) -> napi::Result<NativeTensor> {
        let inner = Arc::clone(&self.inner);
        let (device, kind) = *lock(&self.placed);
        let meta = Meta { shape: vec![i64::from(self.size), self.dim], kind, device };
        let handle =
            Handle::compute(site.into(), Vec::new(), meta, move |_| copied(lock(&inner).rows()));
        NativeTensor::new(&env, handle)
    }

    /// Replaces the rows; they are made unit length.
    #[napi]
    pub fn set_rows(&self, site: CallSite, rows: &NativeTensor) -> napi::Result<()> {
        let rows = rows.get()?;
        if rows.meta.shape != [i64::from(self.size), self.dim] {
            return Err(self.misfit(&rows.meta));
        }
        let inner = Arc::clone(&self.inner);
        effect(Call { grad: false, ..site.into() }, move || {
            tch::no_grad(|| lock(&inner).set_rows(&rows.get()?))
        });
        Ok(())
    }

    /// Moves the rows.
    #[napi]
    pub fn convert(&self, device: String, dtype: String) -> napi::Result<()> {
        let kind = kind_of(&dtype).map_err(|error| to_napi(&error))?;
        let device = on_device(&device)?;
        *lock(&self.placed) = (device, kind);
        let inner = Arc::clone(&self.inner);
        engine::run("to", move || lock(&inner).convert(device, kind))
            .map_err(|error| to_napi(&error))
    }

    fn misfit(&self, got: &Meta) -> napi::Error {
        let expected = format!("[N, {}] of a bank of {} rows", self.dim, self.size);
        to_napi(&Error::shape("memory bank", format!("{:?}", got.shape), expected))
    }
}

/// Parameters that share settings.
#[napi(object)]
pub struct ParameterGroup<'env> {
    /// The tensors to train.
    pub parameters: Vec<ClassInstance<'env, NativeTensor>>,
    /// L2 penalty (decoupled for AdamW).
    pub weight_decay: f64,
    /// LARS: scale each step by the trust ratio.
    pub trust: bool,
}

/// The update rule and its numbers; which are read depends on the name.
#[napi(object)]
pub struct RuleOptions {
    /// `sgd`, `lars` or `adamw`.
    pub name: String,
    /// 0 = none.
    pub momentum: f64,
    /// Nesterov's form.
    pub nesterov: bool,
    /// Factor of LARS's trust ratio.
    pub trust_coefficient: f64,
}

/// An optimizer over groups of parameters.
#[napi]
pub struct NativeOptimizer {
    groups: Vec<Arc<Mutex<Optimizer>>>,
    parameters: Arc<Mutex<Vec<Tensor>>>,
}

#[napi]
impl NativeOptimizer {
    /// One state for each parameter, zero at the start.
    #[napi(constructor)]
    pub fn new(rule: RuleOptions, groups: Vec<ParameterGroup<'_>>) -> napi::Result<Self> {
        let rule = super::session::rule_of(
            &rule.name,
            rule.momentum,
            rule.nesterov,
            rule.trust_coefficient,
        )
        .map_err(|error| to_napi(&error))?;
        let mut all = Vec::new();
        let mut optimizers = Vec::new();
        for group in groups {
            let handles = group
                .parameters
                .iter()
                .map(|parameter| parameter.get())
                .collect::<napi::Result<Vec<_>>>()?;
            let settings = Group { weight_decay: group.weight_decay, trust: group.trust };
            let made = engine::run("optimizer", move || {
                let tensors = handles.iter().map(Handle::get).collect::<Result<Vec<_>>>()?;
                let named = tensors.iter().enumerate();
                let named = named.map(|(i, t)| (i.to_string(), t.shallow_clone()));
                Ok((Optimizer::new(rule, named, |_, _| settings)?, tensors))
            });
            let (optimizer, tensors) = made.map_err(|error| to_napi(&error))?;
            optimizers.push(Arc::new(Mutex::new(optimizer)));
            all.extend(tensors);
        }
        Ok(Self { groups: optimizers, parameters: Arc::new(Mutex::new(all)) })
    }

    /// Queues one update; a learning rate for each group.
    #[napi]
    pub fn step(&self, site: CallSite, lrs: Vec<f64>) {
        let groups = self.groups.clone();
        effect(site.into(), move || {
            groups.iter().zip(lrs).try_for_each(|(group, lr)| lock(group).step(lr))
        });
    }

    /// Queues forgetting every gradient.
    #[napi]
    pub fn zero_grad(&self, site: CallSite) {
        let parameters = Arc::clone(&self.parameters);
        effect(site.into(), move || {
            for parameter in lock(&parameters).iter() {
                parameter.shallow_clone().zero_grad();
            }
            Ok(())
        });
    }
}

/// Scales all gradients so that their common length is at most `max_norm`; the length before.
#[napi]
pub fn clip_grad_norm(
    env: Env,
    site: CallSite,
    parameters: Vec<ClassInstance<'_, NativeTensor>>,
    max_norm: f64,
) -> napi::Result<NativeTensor> {
    let handles = parameters.iter().map(|p| p.get()).collect::<napi::Result<Vec<_>>>()?;
    let meta = Meta { shape: Vec::new(), kind: Kind::Double, device: Device::Cpu };
    let handle = Handle::compute(site.into(), handles, meta, move |parameters| {
        Ok(Tensor::from(clip_grad_norm_of(parameters, max_norm)?))
    });
    NativeTensor::new(&env, handle)
}
