//! Data parallel on libtorch's own c10d: PyTorch's `torch.distributed`, without Python.
//!
//! One process a rank, one group a process, and every call on the engine's thread: ranks must make
//! the same collectives in the same order. A collective that fails leaves the group dead; what is
//! left to do is to say which rank is to blame, and to go.

mod address;
mod cause;
mod ffi;
mod meeting;
mod reducer;
mod store;
mod traffic;

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tch::{Device, Tensor};
use torch_sys::C_tensor;

pub use reducer::{Reducer, backward, described};
pub use traffic::Traffic;

use crate::error::{Error, Result};
use address::own_address;
use ffi::{Config, done, made};
use meeting::{Meeting, meet};
use store::{Store, text};

/// How long a store that goes away is given to be gone.
const REOPEN: Duration = Duration::from_millis(200);

/// How long a name that is not known is given.
const RESOLVE: Duration = Duration::from_millis(500);

/// How a group comes together.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// This process, from 0.
    pub rank: usize,
    /// Number of processes.
    pub world_size: usize,
    /// Where the store is.
    pub master_addr: String,
    /// Its port.
    pub master_port: u16,
    /// Whether this process holds it.
    pub hosts_store: bool,
    /// Keeps the keys of one group apart from those of others on the same store.
    pub prefix: String,
    /// Network interface for Gloo; by default that of the way to `master_addr`.
    pub network_interface: Option<String>,
    /// Where the tensors live that will be reduced.
    pub device: Device,
    /// Longest wait for the others to come.
    pub join_timeout: Duration,
    /// Longest wait in a collective.
    pub timeout: Duration,
}

/// A communicator of all ranks; clones are the same one.
#[derive(Debug, Clone)]
pub struct ProcessGroup(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pointer: *mut c_void,
    store: Store,
    options: GroupOptions,
}

// SAFETY: used on the engine's thread alone, which may not be the one that drops the last clone.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Inner {
    /// Closes the connections; only the store is left.
    fn disconnect(&mut self) {
        let pointer = std::mem::replace(&mut self.pointer, std::ptr::null_mut());
        if !pointer.is_null() {
            // SAFETY: made by `nnclr_group_create`, freed once.
            unsafe { ffi::nnclr_group_free(pointer) }
            CONNECTED.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Groups that are connected.
static CONNECTED: AtomicUsize = AtomicUsize::new(0);

/// Whether the engine may be waiting for another rank.
pub fn is_connected() -> bool {
    CONNECTED.load(Ordering::Relaxed) > 0
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.disconnect();
    }
}

impl ProcessGroup {
    /// Meets the other ranks. @errors DISTRIBUTED naming those that did not come.
    pub fn join(options: GroupOptions) -> Result<Self> {
        const JOINING: &str = "joining the process group";
        let place = format!("{}:{}", options.master_addr, options.master_port);
        let (rank, world_size) = (options.rank, options.world_size);
        if rank >= world_size {
            return Err(Error::config("rank", rank, format!("below the world size {world_size}")));
        }
        let (address, prefix) = (text(&options.master_addr), text(&options.prefix));
        let interface = text(options.network_interface.as_deref().unwrap_or_default());
        let until = Instant::now() + options.join_timeout;
        let own = loop {
            match own_address(&options.master_addr, options.master_port) {
                Ok(own) => break text(&own),
                // A name may be made known after those who ask for it have begun.
                Err(_) if Instant::now() + RESOLVE < until => sleep(RESOLVE),
                Err(cause) => {
                    let reason = format!("no way to {place}: {cause}");
                    return Err(Error::distributed(JOINING, reason));
                }
            }
        };
        let mut config = Config {
            address: address.as_ptr(),
            prefix: prefix.as_ptr(),
            network_interface: interface.as_ptr(),
            own_address: own.as_ptr(),
            port: i32::from(options.master_port),
            rank: rank as i32,
            size: world_size as i32,
            hosts_store: i32::from(options.hosts_store),
            cuda: if let Device::Cuda(index) = options.device { index as i32 } else { -1 },
            join_timeout_ms: options.join_timeout.as_millis() as i64,
            timeout_ms: options.timeout.as_millis() as i64,
        };
        let failed = |reason: String| Error::distributed(JOINING, reason);
        // A group that ended a moment ago on the same address may still be closing its store.
        let (store, missing) = loop {
            let left = until.saturating_duration_since(Instant::now());
            config.join_timeout_ms = left.as_millis().max(1) as i64;
            match meet(&config, &options, left) {
                Err(Meeting::Lost(_)) if Instant::now() < until => sleep(REOPEN),
                Err(Meeting::Lost(why)) => {
                    return Err(failed(format!("the store at {place} went away: {why}")));
                }
                Err(Meeting::Closed(why)) => {
                    let role = if options.hosts_store { "hold" } else { "reach" };
                    let reason = format!("rank {rank} cannot {role} the store at {place}: {why}");
                    return Err(failed(reason));
                }
                Ok(met) => break met,
            }
        };
        if !missing.is_empty() {
            let seconds = options.join_timeout.as_secs_f64();
            let reason = format!(
                "{} of {world_size} did not come to {place} within {seconds} s",
                cause::named(&missing)
            );
            return Err(failed(reason));
        }
        // SAFETY: the texts behind `config` and the store outlive the call.
        let created =
            made(|message| unsafe { ffi::nnclr_group_create(store.pointer(), &config, message) });
        match created {
            Ok(pointer) => {
                CONNECTED.fetch_add(1, Ordering::Relaxed);
                Ok(Self(Arc::new(Inner { pointer, store, options })))
            }
            Err(why) => {
                Err(failed(cause::find(&store, rank, world_size, options.hosts_store, &why)))
            }
        }
    }

    /// This process, from 0.
    pub fn rank(&self) -> usize {
        self.0.options.rank
    }

    /// Number of processes.
    pub fn world_size(&self) -> usize {
        self.0.options.world_size
    }

    /// Where the tensors live that it reduces.
    pub fn device(&self) -> Device {
        self.0.options.device
    }

    /// Sum over the ranks, in place; the shape must be the same on all of them.
    pub fn sum(&self, tensor: &Tensor) -> Result<()> {
        // SAFETY: both pointers are alive.
        let call = |message| unsafe {
            ffi::nnclr_all_reduce(self.0.pointer, tensor.as_ptr().cast_mut(), message)
        };
        done(call).map_err(|why| self.failure("all-reduce", &why))
    }

    /// Every tensor takes rank `root`'s values.
    pub fn broadcast(&self, tensors: &[Tensor], root: usize) -> Result<()> {
        if tensors.is_empty() {
            return Ok(());
        }
        let mut pointers: Vec<*mut C_tensor> =
            tensors.iter().map(|tensor| tensor.as_ptr().cast_mut()).collect();
        let count = pointers.len() as i64;
        // SAFETY: the tensors outlive the call.
        let call = |message| unsafe {
            let (group, list) = (self.0.pointer, pointers.as_mut_ptr());
            ffi::nnclr_broadcast(group, list, count, root as i32, message)
        };
        done(call).map_err(|why| self.failure("broadcast", &why))
    }

    /// Waits for every rank. @errors DISTRIBUTED naming those that are missing.
    pub fn barrier(&self, timeout: Duration) -> Result<()> {
        let timeout = timeout.as_millis() as i64;
        // SAFETY: a live group.
        done(|message| unsafe { ffi::nnclr_barrier(self.0.pointer, timeout, message) })
            .map_err(|why| self.failure("barrier", &why))
    }

    /// Sums over the ranks.
    pub fn sum_numbers(&self, numbers: &[i64]) -> Result<Vec<i64>> {
        let tensor = Tensor::f_from_slice(numbers)?.f_to_device(self.device())?;
        self.sum(&tensor)?;
        Ok(Vec::<i64>::try_from(&tensor.f_to_device(Device::Cpu)?)?)
    }

    /// How many rows each rank will bring to the gathers that follow.
    pub fn counts(&self, rows: usize) -> Result<Vec<i64>> {
        let mut counts = vec![0_i64; self.world_size()];
        counts[self.rank()] = rows as i64;
        self.sum_numbers(&counts)
    }

    /// The rows of every rank in rank order; a row's gradient is the sum of what all ranks have for it.
    pub fn gather(&self, x: &Tensor, counts: &[i64]) -> Result<Tensor> {
        // SAFETY: `counts` has a number for each rank.
        let call = |message| unsafe {
            ffi::nnclr_all_gather(self.0.pointer, x.as_ptr(), counts.as_ptr(), message)
        };
        let pointer = made(call).map_err(|why| self.failure("all-gather", &why))?;
        // SAFETY: a new tensor, owned from here on.
        Ok(unsafe { Tensor::from_ptr(pointer) })
    }

    /// Every rank's text, in rank order.
    pub fn gather_text(&self, words: &str) -> Result<Vec<String>> {
        let counts = self.counts(words.len())?;
        let bytes = Tensor::f_from_slice(words.as_bytes())?.f_to_device(self.device())?;
        let all = self.gather(&bytes, &counts)?.f_to_device(Device::Cpu)?;
        let mut all = Vec::<u8>::try_from(&all)?;
        let mut texts = Vec::with_capacity(counts.len());
        for count in counts {
            let rest = all.split_off(count as usize);
            texts.push(String::from_utf8_lossy(&all).into_owned());
            all = rest;
        }
        Ok(texts)
    }

    /// Whether every rank brings the same lines, shapes as a rule: Gloo ends the process of a rank
    /// whose peer brings another size. @errors DISTRIBUTED naming a rank that differs, and the line.
    pub fn agree(&self, operation: &str, own: &[String]) -> Result<()> {
        let all = self.gather_text(&own.join("\n"))?;
        for (rank, other) in all.iter().enumerate() {
            let (mut ours, mut theirs) = (all[0].lines(), other.lines());
            loop {
                let (a, b) = (ours.next(), theirs.next());
                if a != b {
                    let (a, b) = (a.unwrap_or("nothing more"), b.unwrap_or("nothing more"));
                    let reason = format!("rank {rank} brings {b} where rank 0 brings {a}");
                    return Err(Error::distributed(operation, reason));
                }
                if a.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Batch norm in training over all ranks, each input by its own statistics.
    pub fn batch_norm(&self, xs: &[Tensor], norm: &SyncNorm<'_>) -> Result<Vec<Tensor>> {
        let mut inputs: Vec<*mut C_tensor> = xs.iter().map(|x| x.as_ptr().cast_mut()).collect();
        let mut outputs = vec![std::ptr::null_mut::<C_tensor>(); xs.len()];
        let count = xs.len() as i64;
        // SAFETY: all tensors outlive the call.
        let call = |message| unsafe {
            ffi::nnclr_sync_batch_norm(
                self.0.pointer,
                inputs.as_mut_ptr(),
                count,
                norm.weight.as_ptr(),
                norm.bias.as_ptr(),
                norm.running_mean.as_ptr(),
                norm.running_var.as_ptr(),
                norm.momentum,
                norm.epsilon,
                outputs.as_mut_ptr(),
                message,
            )
        };
        done(call).map_err(|why| self.failure("synchronised batch norm", &why))?;
        // SAFETY: new tensors, owned from here on.
        let owned = |pointer| unsafe { Tensor::from_ptr(pointer) };
        Ok(outputs.into_iter().map(owned).collect())
    }

    /// Since the last call.
    pub fn traffic(&self) -> Traffic {
        // SAFETY: a live pointer.
        unsafe { ffi::nnclr_group_traffic(self.0.pointer) }.into()
    }

    /// The orderly end, for which the store's host waits up to 10 s; an end by failure leaves its
    /// reason to the others.
    pub fn leave(self, reason: Option<&str>) {
        cause::note(&self.0.store, self.rank(), reason);
        // Others that wait for this rank hear of its end when the connections close, where no session or
        // reducer still has a hold on them; the store must outlast that for the note to be read.
        match Arc::try_unwrap(self.0) {
            Ok(mut inner) => {
                inner.disconnect();
                cause::linger(&inner.store, &inner.options, reason.is_some());
            }
            Err(shared) => cause::linger(&shared.store, &shared.options, reason.is_some()),
        }
    }

    /// A failed collective as an error that names the rank to blame.
    pub(crate) fn failure(&self, operation: &str, why: &str) -> Error {
        if !cause::is_of_collective(why) {
            // This rank's own trouble, a lack of memory for example.
            return Error::Torch { operation: operation.into(), reason: why.into() };
        }
        let GroupOptions { rank, world_size, hosts_store, .. } = self.0.options;
        let reason = cause::find(&self.0.store, rank, world_size, hosts_store, why);
        Error::distributed(operation, reason)
    }

    /// An error of a tensor operation under which collectives ran, as theirs where it is.
    pub(crate) fn explain(&self, operation: &str, error: Error) -> Error {
        match &error {
            Error::Torch { reason, .. } if cause::is_of_collective(reason) => {
                self.failure(operation, reason)
            }
            _ => error,
        }
    }

    fn pointer(&self) -> *mut c_void {
        self.0.pointer
    }
}

/// Parameters and running statistics of a batch norm.
#[derive(Debug)]
pub struct SyncNorm<'a> {
    /// Scale.
    pub weight: &'a Tensor,
    /// Shift.
    pub bias: &'a Tensor,
    /// Moved in place.
    pub running_mean: &'a Tensor,
    /// Moved in place.
    pub running_var: &'a Tensor,
    /// Share of the new statistics.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
}
