//! Facts about the machine and the library, checkpoints at rest, and the schedule.

use std::path::PathBuf;

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;

use super::promise::on_engine;
use super::to_napi;
use crate::optim::schedule::{Schedule, cosine_warmup};
use crate::{checkpoint, device, engine, memory_cache, processor};

/// What a bug report needs of the native side.
#[napi(object)]
pub struct NativeInfo {
    /// Version of this addon.
    pub version: String,
    /// libtorch's version.
    pub torch: String,
    /// Threads libtorch computes with.
    pub threads: u32,
    /// Instruction sets of the processor that matter here.
    pub cpu: Vec<String>,
    /// CUDA devices that can be used.
    pub cuda_devices: u32,
    /// Why CUDA is not used; null when it can be.
    #[napi(ts_type = "string | null")]
    pub cuda_reason: napi::Either<String, napi::bindgen_prelude::Null>,
}

/// Versions, threads, processor and CUDA.
#[napi(ts_return_type = "Promise<NativeInfo>")]
pub fn native_info(env: &Env) -> napi::Result<Object<'_>> {
    on_engine(
        env,
        "info",
        || Ok((device::cuda_reason(), tch::Cuda::device_count(), tch::get_num_threads())),
        |_, (reason, devices, threads)| {
            let devices = if reason.is_none() { devices as u32 } else { 0 };
            Ok(NativeInfo {
                version: env!("CARGO_PKG_VERSION").into(),
                torch: TORCH_VERSION.into(),
                threads: threads as u32,
                cpu: cpu_features().into_iter().map(String::from).collect(),
                cuda_devices: devices,
                cuda_reason: reason
                    .map_or(napi::Either::B(napi::bindgen_prelude::Null), napi::Either::A),
            })
        },
    )
}

/// tch 0.26 is written against exactly this version.
const TORCH_VERSION: &str = "2.13.0";

fn cpu_features() -> Vec<&'static str> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! note {
            ($($name:tt),*) => {
                $(if std::arch::is_x86_feature_detected!($name) { found.push($name); })*
            };
        }
        note!("sse4.1", "avx", "fma", "avx2", "avx512f", "avx512vnni", "avx512bf16");
    }
    #[cfg(target_arch = "aarch64")]
    found.push("neon");
    found
}

/// Whether the processor multiplies bf16 in hardware, which is what makes bf16 faster than f32.
#[napi]
pub fn has_fast_bf16() -> bool {
    processor::has_fast_bf16()
}

/// Gives memory that freed tensors left back to the system, after the calls queued so far.
#[napi]
pub fn empty_cache() {
    let job = || {
        memory_cache::empty();
        Ok(())
    };
    engine::submit("emptying the cache", job, |_| {});
}

/// Reads and verifies a checkpoint without taking it over; resolves with its metadata.
#[napi(ts_return_type = "Promise<string>")]
pub fn read_checkpoint(env: &Env, path: String) -> napi::Result<Object<'_>> {
    let path = PathBuf::from(path);
    let job = move || checkpoint::verify(&path);
    on_engine(env, "reading checkpoint", job, |_, metadata| Ok(metadata))
}

/// Shape of the learning-rate schedule.
#[napi(object)]
pub struct ScheduleOptions {
    /// Steps of the whole run.
    pub max_steps: u32,
    /// Steps of the linear warm-up.
    pub warmup_steps: u32,
    /// Rate that the warm-up rises from.
    pub warmup_start: f64,
    /// Rate at the end of the warm-up.
    pub lr: f64,
    /// Rate of the last step.
    pub lr_end: f64,
}

/// The learning rate of a step (0 for the first): linear warm-up, then half a cosine.
#[napi]
pub fn cosine_warmup_schedule(step: u32, options: ScheduleOptions) -> napi::Result<f64> {
    let schedule = Schedule {
        max_steps: u64::from(options.max_steps),
        warmup_steps: u64::from(options.warmup_steps),
        warmup_start: options.warmup_start,
        lr: options.lr,
        lr_end: options.lr_end,
    };
    cosine_warmup(u64::from(step), &schedule).map_err(|error| to_napi(&error))
}
