//! The memory bank for the hand-written loop.

use std::sync::{Arc, Mutex};

use napi::Env;
use napi_derive::napi;
use tch::{Device, Kind};

use super::process_group::ProcessGroup;
use super::tensor::{CallSite, NativeTensor, copied, kind_of, on_device};
use super::to_napi;
use crate::engine::{self, lock};
use crate::error::Error;
use crate::nn::MemoryBank;
use crate::nn::memory_bank::NO_SAMPLE;
use crate::tensor::{Call, Handle, Meta, effect};

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

    /// The nearest row of each z `[N, D]`; with `update` the bank then takes z, with a group the z of
    /// all ranks in rank order.
    #[napi]
    pub fn forward(
        &self,
        env: Env,
        site: CallSite,
        z: &NativeTensor,
        update: bool,
        group: Option<&ProcessGroup>,
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
        let group = group.map(ProcessGroup::get).transpose()?;
        let handle = Handle::compute(site.into(), vec![z], meta, move |inputs| {
            let mut bank = lock(&inner);
            let found = bank.nearest(&inputs[0])?;
            if update {
                let rows = match &group {
                    None => inputs[0].shallow_clone(),
                    Some(group) => {
                        let counts = group.counts(count as usize)?;
                        tch::no_grad(|| group.gather(&inputs[0], &counts))?
                    }
                };
                let unknown = vec![NO_SAMPLE; rows.size()[0] as usize];
                bank.push(&rows, &unknown, None)?;
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
