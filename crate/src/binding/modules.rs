//! Backbone and heads for the hand-written loop.

use std::sync::{Arc, Mutex};

use napi::Env;
use napi_derive::napi;
use tch::{Device, Kind, Tensor};

use super::process_group::ProcessGroup;
use super::tensor::{CallSite, NativeTensor, kind_of, on_device};
use super::to_napi;
use crate::engine::{self, lock};
use crate::error::{Error, Result};
use crate::nn::{Head, ResNet, Store};
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

    /// From now on its batch norms use the statistics of all ranks
    /// (`torch.nn.SyncBatchNorm.convert_sync_batchnorm`).
    #[napi]
    pub fn synchronise(&self, site: CallSite, group: &ProcessGroup) -> napi::Result<()> {
        let (inner, group) = (Arc::clone(&self.inner), group.get()?);
        effect(site.into(), move || {
            lock(&inner).store.synchronise(Some(group));
            Ok(())
        });
        Ok(())
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
