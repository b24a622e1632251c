//! The group of ranks as Node sees it: its collectives queue on the engine as everything does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::{ClassInstance, Float32Array, Object};
use napi_derive::napi;
use tch::{Device, Tensor};

use super::promise::on_engine;
use super::tensor::{CallSite, NativeTensor, copied};
use super::{disposed, to_napi};
use crate::device;
use crate::distributed::{self, GroupOptions, Reducer, described};
use crate::engine::{self, lock};
use crate::error::{Error, Result};
use crate::nn::Loss;
use crate::nn::nt_xent::Everyone;
use crate::tensor::{Call, Handle, Meta, effect};

/// How a group comes together.
#[napi(object)]
pub struct ProcessGroupOptions {
    /// This process, from 0.
    pub rank: u32,
    /// Number of processes.
    pub world_size: u32,
    /// Where the store is.
    pub master_addr: String,
    /// Its port.
    pub master_port: u16,
    /// Whether this process holds it: rank 0, unless the launcher's agent does.
    pub hosts_store: bool,
    /// Keeps the keys of this job, this attempt and this group apart from others on the same store.
    pub prefix: String,
    /// Network interface for Gloo; by default that of the way to `masterAddr`.
    pub network_interface: Option<String>,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Longest wait for the others to come, ms.
    pub join_timeout_ms: f64,
    /// Longest wait in a collective, ms.
    pub timeout_ms: f64,
}

impl ProcessGroupOptions {
    /// On the engine's thread, since it may ask for CUDA.
    fn resolve(self) -> Result<GroupOptions> {
        let milliseconds = |number: f64| Duration::from_millis(number.max(1.0) as u64);
        Ok(GroupOptions {
            rank: self.rank as usize,
            world_size: self.world_size as usize,
            master_addr: self.master_addr,
            master_port: self.master_port,
            hosts_store: self.hosts_store,
            prefix: self.prefix,
            network_interface: self.network_interface,
            device: device::resolve(&self.device)?,
            join_timeout: milliseconds(self.join_timeout_ms),
            timeout: milliseconds(self.timeout_ms),
        })
    }
}

type Slot = Arc<Mutex<Option<distributed::ProcessGroup>>>;

/// A communicator of all ranks. Every rank must make the same calls in the same order.
#[napi]
pub struct ProcessGroup {
    slot: Slot,
    rank: u32,
    world_size: u32,
}

#[napi]
impl ProcessGroup {
    /// Meets the other ranks; rejects with DISTRIBUTED naming those that did not come.
    #[napi(ts_return_type = "Promise<ProcessGroup>")]
    pub fn create<'env>(
        env: &'env Env,
        options: ProcessGroupOptions,
    ) -> napi::Result<Object<'env>> {
        let (rank, world_size) = (options.rank, options.world_size);
        let job = move || distributed::ProcessGroup::join(options.resolve()?);
        on_engine(env, "joining the process group", job, move |_, group| {
            Ok(Self { slot: Arc::new(Mutex::new(Some(group))), rank, world_size })
        })
    }

    /// This process, from 0.
    #[napi(getter)]
    pub fn rank(&self) -> u32 {
        self.rank
    }

    /// Number of processes.
    #[napi(getter)]
    pub fn world_size(&self) -> u32 {
        self.world_size
    }

    /// Every rank gives a text; resolves with all of them in rank order.
    #[napi(ts_return_type = "Promise<string[]>")]
    pub fn gather_text<'env>(&self, env: &'env Env, text: String) -> napi::Result<Object<'env>> {
        let group = self.get()?;
        on_engine(env, "gathering", move || group.gather_text(&text), |_, texts| Ok(texts))
    }

    /// Every rank gives rows of the same width, any number of them; all rows in rank order.
    #[napi(ts_return_type = "Promise<Float32Array>")]
    pub fn gather_rows<'env>(
        &self,
        env: &'env Env,
        rows: Float32Array,
        width: u32,
    ) -> napi::Result<Object<'env>> {
        let (group, rows, width) = (self.get()?, rows.to_vec(), i64::from(width));
        if width == 0 || rows.len() as i64 % width != 0 {
            let got = format!("{} numbers for rows of {width}", rows.len());
            return Err(to_napi(&Error::shape("gatherRows", got, "whole rows")));
        }
        let job = move || {
            let counts = group.counts(rows.len() / width as usize)?;
            let tensor = Tensor::f_from_slice(&rows)?.f_reshape([-1, width])?;
            let all = group.gather(&tensor.f_to_device(group.device())?, &counts)?;
            let all = all.f_to_device(Device::Cpu)?.f_reshape([-1])?;
            Ok(Vec::<f32>::try_from(&all)?)
        };
        on_engine(env, "gathering", job, |_, rows| Ok(Float32Array::new(rows)))
    }

    /// Waits for every rank; rejects with DISTRIBUTED naming those that are missing.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn barrier<'env>(&self, env: &'env Env, timeout_ms: f64) -> napi::Result<Object<'env>> {
        let group = self.get()?;
        let timeout = Duration::from_millis(timeout_ms.max(1.0) as u64);
        on_engine(env, "barrier", move || group.barrier(timeout), |_, ()| Ok(()))
    }

    /// A new tensor: the `sum` or `mean` of every rank's. No gradient flows through it.
    #[napi]
    pub fn all_reduce(
        &self,
        env: Env,
        site: CallSite,
        x: &NativeTensor,
        operation: String,
    ) -> napi::Result<NativeTensor> {
        let (group, x) = (self.get()?, x.get()?);
        let divisor = match operation.as_str() {
            "sum" => 1.0,
            "mean" => f64::from(self.world_size),
            other => return Err(to_napi(&Error::config("operation", other, "sum or mean"))),
        };
        let (meta, line) = (x.meta.clone(), vec![line_of(&x.meta)]);
        let handle = Handle::compute(site.into(), vec![x], meta, move |inputs| {
            group.agree("allReduce", &line)?;
            let sum = copied(&inputs[0])?.f_contiguous()?;
            group.sum(&sum)?;
            Ok(if divisor == 1.0 { sum } else { sum.f_div_scalar(divisor)? })
        });
        NativeTensor::new(&env, handle)
    }

    /// The tensor takes rank `root`'s values.
    #[napi]
    pub fn broadcast(&self, site: CallSite, x: &NativeTensor, root: u32) -> napi::Result<()> {
        let (group, x) = (self.get()?, x.get()?);
        if root >= self.world_size {
            let expected = format!("a rank below {}", self.world_size);
            return Err(to_napi(&Error::config("root", root, expected)));
        }
        effect(Call { grad: false, ..site.into() }, move || {
            group.agree("broadcast", &[line_of(&x.meta)])?;
            group.broadcast(&[x.get()?], root as usize)
        });
        Ok(())
    }

    /// `[N, ...]` of each rank, the same shape on all, to `[worldSize * N, ...]` in rank order; the
    /// gradient of a row is the sum of what all ranks have for it.
    #[napi]
    pub fn all_gather(
        &self,
        env: Env,
        site: CallSite,
        x: &NativeTensor,
    ) -> napi::Result<NativeTensor> {
        let (group, x) = (self.get()?, x.get()?);
        let Some(&rows) = x.meta.shape.first() else {
            return Err(to_napi(&Error::shape("allGather", "[]", "at least one dimension")));
        };
        let mut meta = x.meta.clone();
        meta.shape[0] = rows * i64::from(self.world_size);
        let (line, counts) = (vec![line_of(&x.meta)], vec![rows; self.world_size as usize]);
        let handle = Handle::compute(site.into(), vec![x], meta, move |inputs| {
            group.agree("allGather", &line)?;
            group.gather(&inputs[0], &counts)
        });
        NativeTensor::new(&env, handle)
    }

    /// Contrastive loss of this rank's rows against those of all ranks; gradients reach the rows of
    /// the others. Its mean over the ranks is the loss of the whole batch.
    #[napi]
    pub fn loss(
        &self,
        env: Env,
        site: CallSite,
        positives: &NativeTensor,
        predictions: &NativeTensor,
        form: String,
        temperature: f64,
    ) -> napi::Result<NativeTensor> {
        let form: Loss = form.parse().map_err(|error| to_napi(&error))?;
        let (group, a, b) = (self.get()?, positives.get()?, predictions.get()?);
        let &[rows, _] = a.meta.shape.as_slice() else {
            let got = format!("{:?}", a.meta.shape);
            return Err(to_napi(&Error::shape("loss", got, "[N, D]")));
        };
        if a.meta.shape != b.meta.shape {
            let got = format!("{:?} and {:?}", a.meta.shape, b.meta.shape);
            return Err(to_napi(&Error::shape("loss", got, "two equal shapes [N, D]")));
        }
        let kind = if a.meta.kind == tch::Kind::Double { a.meta.kind } else { tch::Kind::Float };
        let meta = Meta { shape: Vec::new(), kind, device: a.meta.device };
        // Row counts may differ, the width may not.
        let kinds = (a.meta.kind, b.meta.kind);
        let line = vec![format!("{kinds:?} [N, {}]", a.meta.shape[1])];
        let handle = Handle::compute(site.into(), vec![a, b], meta, move |inputs| {
            group.agree("loss", &line)?;
            let counts = group.counts(rows as usize)?;
            let pair = Tensor::f_cat(inputs, 1)?;
            let all = group.gather(&pair, &counts)?.f_chunk(2, 1)?;
            let offset = counts[..group.rank()].iter().sum();
            let everyone = Everyone { a: &all[0], b: &all[1], offset };
            let share = form.share(&inputs[0], &inputs[1], &everyone, temperature)?;
            Ok(share.f_mul_scalar(group.world_size() as f64)?)
        });
        NativeTensor::new(&env, handle)
    }

    /// The orderly end; rank 0, which holds the store, waits up to 10 s for the others. With a reason it is an end by failure, at
    /// once, which the other ranks' errors will quote. Every later call fails with DISPOSED.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn leave<'env>(
        &self,
        env: &'env Env,
        reason: Option<String>,
    ) -> napi::Result<Object<'env>> {
        let slot = Arc::clone(&self.slot);
        let job = move || {
            let group = lock(&slot).take();
            if let Some(group) = group {
                group.leave(reason.as_deref());
            }
            Ok(())
        };
        on_engine(env, "leaving the process group", job, |_, ()| Ok(()))
    }

    pub(super) fn get(&self) -> napi::Result<distributed::ProcessGroup> {
        lock(&self.slot).clone().ok_or_else(|| to_napi(&disposed("ProcessGroup")))
    }
}

/// Averages gradients over the ranks during backward passes that are told of it.
#[napi]
pub struct NativeReducer {
    slot: Arc<Mutex<Option<Reducer>>>,
}

#[napi]
impl NativeReducer {
    /// Gives every rank rank 0's values of `parameters` and `buffers`, and hooks the former.
    #[napi(constructor)]
    pub fn new(
        site: CallSite,
        group: &ProcessGroup,
        parameters: Vec<ClassInstance<'_, NativeTensor>>,
        buffers: Vec<ClassInstance<'_, NativeTensor>>,
        names: Vec<String>,
    ) -> napi::Result<Self> {
        let group = group.get()?;
        let handles = |list: &[ClassInstance<'_, NativeTensor>]| {
            list.iter().map(|tensor| tensor.get()).collect::<napi::Result<Vec<_>>>()
        };
        let (parameters, buffers) = (handles(&parameters)?, handles(&buffers)?);
        let slot = Arc::new(Mutex::new(None));
        let target = Arc::clone(&slot);
        effect(site.into(), move || {
            let values = |list: &[Handle]| list.iter().map(Handle::get).collect::<Result<Vec<_>>>();
            let unnamed = std::iter::repeat_with(|| "a buffer".to_owned());
            let trained = names.into_iter().zip(values(&parameters)?);
            let all: Vec<(String, Tensor)> =
                trained.chain(unnamed.zip(values(&buffers)?)).collect();
            // Before anything of another size is sent.
            group.agree("sharing of rank 0's values", &described(&all))?;
            let whole: Vec<Tensor> = all.iter().map(|(_, tensor)| tensor.shallow_clone()).collect();
            // A frozen parameter is shared once and has no gradient to average.
            let trained = all.into_iter().filter(|(_, tensor)| tensor.requires_grad());
            let reducer = Reducer::new(&group, trained.collect())?;
            tch::no_grad(|| group.broadcast(&whole, 0))?;
            *lock(&target) = Some(reducer);
            Ok(())
        });
        Ok(Self { slot })
    }

    /// Takes the hooks off, after the calls queued so far.
    #[napi]
    pub fn dispose(&self) {
        let slot = Arc::clone(&self.slot);
        let job = move || {
            drop(lock(&slot).take());
            Ok(())
        };
        engine::submit("dispose", job, |_| {});
    }

    pub(super) fn slot(&self) -> Arc<Mutex<Option<Reducer>>> {
        Arc::clone(&self.slot)
    }
}

impl Drop for NativeReducer {
    fn drop(&mut self) {
        self.dispose();
    }
}

/// The backward pass of `loss`, with the gradients of all reducers' parameters averaged at its end.
pub(super) fn backward(loss: &Tensor, reducers: &[Arc<Mutex<Option<Reducer>>>]) -> Result<()> {
    let locked: Vec<_> = reducers.iter().map(|slot| lock(slot)).collect();
    let missing = || Error::Disposed { subject: "DistributedDataParallel".into() };
    let live = locked.iter().map(|slot| slot.as_ref().ok_or_else(missing));
    distributed::backward(loss, &live.collect::<Result<Vec<_>>>()?)
}

fn line_of(meta: &Meta) -> String {
    format!("{:?} {:?}", meta.kind, meta.shape)
}
