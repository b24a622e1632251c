//! A training session as Node sees it: a handle whose calls queue on the engine.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use napi::Env;
use napi::bindgen_prelude::{Float32Array, Object};
use napi_derive::napi;

use super::data::Batch;
use super::process_group::ProcessGroup;
use super::promise::on_engine;
use super::step_numbers::StepNumbers;
use super::{disposed, to_napi};
use crate::engine::{self, lock};
use crate::error::{Error, Result};
use crate::nn::NnclrOptions;
use crate::optim::Rule;
use crate::ranks::{RanksOptions, Word};
use crate::session::Precision;
use crate::step::Positive;
use crate::{checkpoint, device, memory_cache, session};

/// Everything that decides a session; complete, the defaults live in TypeScript.
#[napi(object)]
pub struct SessionOptions {
    /// `resnet10` ... `resnet152`.
    pub backbone: String,
    /// `imagenet`, `cifar` or `small`.
    pub stem: String,
    /// Hidden width of the projection head.
    pub projection_hidden: u32,
    /// Length of z and p.
    pub out: u32,
    /// Hidden width of the prediction head.
    pub prediction_hidden: u32,
    /// Rows of the memory bank.
    pub bank_size: u32,
    /// Look only at rows that were pushed.
    pub bank_only_filled: bool,
    /// `nt-xent` or `paper`.
    pub loss: String,
    /// Temperature of the loss.
    pub temperature: f64,
    /// `predicted` or `simclr`: form of the loss where the other view is the positive.
    pub view_loss: String,
    /// `sgd`, `lars`, `adamw` or `muon`.
    pub optimizer: String,
    /// 0 = none.
    pub momentum: f64,
    /// Nesterov's form.
    pub nesterov: bool,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Leave biases and norms out of weight decay and trust scaling.
    pub exclude_norms: bool,
    /// Factor of LARS's trust ratio.
    pub trust_coefficient: f64,
    /// `fp32`, `bf16` (activations) or `fp64` (to check numbers).
    pub precision: String,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// Decides the weights' and the bank's start.
    pub seed: f64,
    /// Threads libtorch computes with.
    pub threads: u32,
}

impl SessionOptions {
    /// On the engine's thread, since it may ask for CUDA.
    fn resolve(&self) -> Result<session::SessionOptions> {
        let rule = rule_of(&self.optimizer, self.momentum, self.nesterov, self.trust_coefficient)?;
        Ok(session::SessionOptions {
            model: NnclrOptions {
                arch: self.backbone.parse()?,
                stem: self.stem.parse()?,
                projection_hidden: i64::from(self.projection_hidden),
                out: i64::from(self.out),
                prediction_hidden: i64::from(self.prediction_hidden),
            },
            bank_size: self.bank_size as usize,
            bank_only_filled: self.bank_only_filled,
            loss: self.loss.parse()?,
            temperature: self.temperature,
            view_loss: self.view_loss.parse()?,
            rule,
            weight_decay: self.weight_decay,
            exclude_norms: self.exclude_norms,
            precision: match self.precision.as_str() {
                "fp32" => Precision::F32,
                "bf16" => Precision::Bf16,
                "fp64" => Precision::F64,
                other => return Err(Error::config("precision", other, "fp32, bf16 or fp64")),
            },
            device: device::resolve(&self.device)?,
            seed: self.seed as u64,
        })
    }
}

/// Muon's usual rate is 0.02 where AdamW's is 0.001.
const MUON_ADAM_SHARE: f64 = 0.05;

/// An update rule by name.
pub(super) fn rule_of(
    name: &str,
    momentum: f64,
    nesterov: bool,
    trust_coefficient: f64,
) -> Result<Rule> {
    match name {
        "sgd" => Ok(Rule::Sgd { momentum, nesterov }),
        "lars" => Ok(Rule::Lars { momentum, nesterov, trust_coefficient }),
        "adamw" => Ok(Rule::ADAMW),
        "muon" => Ok(Rule::Muon { momentum, adam_share: MUON_ADAM_SHARE }),
        other => Err(Error::config("optimizer", other, "sgd, lars, adamw or muon")),
    }
}

/// Learning rate and source of the positives of one step.
#[napi(object)]
pub struct StepOptions {
    /// Learning rate.
    pub lr: f64,
    /// `bank`, `view` or `random`.
    pub positive: String,
    /// Share of the loss that `bank` or `random` have, the rest is the other view's; 1 unless given.
    pub neighbour_weight: Option<f64>,
    /// Whether this rank was asked to stop.
    pub stop: Option<bool>,
    /// Reports that this rank has for the others.
    pub news: Option<u32>,
}

/// What ranks share beside the gradients.
#[napi(object)]
pub struct JoinOptions {
    /// Batch norms use the statistics of all ranks.
    pub sync_batch_norm: bool,
    /// Every row stands against the rows of all ranks, not of its own alone.
    pub gather_negatives: bool,
}

type Slot = Arc<Mutex<Option<session::Session>>>;

/// Network, memory bank and optimizer on one device.
#[napi]
pub struct Session {
    slot: Slot,
    feature_dim: u32,
    device: String,
}

impl Drop for Session {
    fn drop(&mut self) {
        release(&self.slot);
    }
}

#[napi]
impl Session {
    /// Makes fresh weights and bank.
    #[napi(ts_return_type = "Promise<Session>")]
    pub fn create<'env>(env: &'env Env, options: SessionOptions) -> napi::Result<Object<'env>> {
        engine::set_threads(options.threads.max(1) as i32);
        let job = move || session::Session::new(options.resolve()?);
        on_engine(env, "create session", job, |_, session| {
            let feature_dim = session.feature_dim() as u32;
            let device = match session.device() {
                tch::Device::Cuda(index) => format!("cuda:{index}"),
                _ => "cpu".into(),
            };
            Ok(Self { slot: Arc::new(Mutex::new(Some(session))), feature_dim, device })
        })
    }

    /// Length of the feature vector.
    #[napi(getter)]
    pub fn feature_dim(&self) -> u32 {
        self.feature_dim
    }

    /// `cpu` or `cuda:N`.
    #[napi(getter)]
    pub fn device(&self) -> String {
        self.device.clone()
    }

    /// One training step on a batch of two views.
    #[napi(ts_return_type = "Promise<StepNumbers>")]
    pub fn step<'env>(
        &self,
        env: &'env Env,
        batch: &Batch,
        options: StepOptions,
    ) -> napi::Result<Object<'env>> {
        let positive = match options.positive.as_str() {
            "bank" => Positive::Neighbour,
            "view" => Positive::View,
            "random" => Positive::Random,
            other => {
                return Err(to_napi(&Error::config("positive", other, "bank, view or random")));
            }
        };
        let batch = batch.get()?;
        let weight = options.neighbour_weight.unwrap_or(1.0);
        let word = Word {
            stop: i64::from(options.stop.unwrap_or(false)),
            news: i64::from(options.news.unwrap_or(0)),
        };
        self.queue(
            env,
            "training step",
            move |session| session.step(&batch, options.lr, positive, weight, word),
            |_, stats| Ok(StepNumbers::from(stats)),
        )
    }

    /// From now on each step is one with the other ranks: its batch is this rank's share, its numbers
    /// are those of the whole. Everyone takes rank 0's weights, statistics, optimizer state and bank.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn join<'env>(
        &self,
        env: &'env Env,
        group: &ProcessGroup,
        options: JoinOptions,
    ) -> napi::Result<Object<'env>> {
        let group = group.get()?;
        let options = RanksOptions {
            sync_batch_norm: options.sync_batch_norm,
            gather_negatives: options.gather_negatives,
        };
        self.queue(env, "joining", move |session| session.join(&group, options), |_, ()| Ok(()))
    }

    /// SHA-256 of the bank's rows and bookkeeping: ranks compare theirs.
    #[napi(ts_return_type = "Promise<string>")]
    pub fn bank_hash<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        self.queue(env, "hash of the bank", |session| session.bank.hash(), |_, hash| Ok(hash))
    }

    /// Backbone features `[length, featureDim]` of a batch's first view, in evaluation mode.
    #[napi(ts_return_type = "Promise<Float32Array>")]
    pub fn embed<'env>(&self, env: &'env Env, batch: &Batch) -> napi::Result<Object<'env>> {
        let batch = batch.get()?;
        let convert = |_: Env, features| Ok(Float32Array::new(features));
        self.queue(env, "embedding", move |session| session.embed(&batch), convert)
    }

    /// Writes a checkpoint: model, optimizer, bank and the given metadata.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn save<'env>(
        &self,
        env: &'env Env,
        path: String,
        metadata: String,
    ) -> napi::Result<Object<'env>> {
        let path = PathBuf::from(path);
        self.queue(env, "saving", move |s| s.save(&path, &metadata), |_, ()| Ok(()))
    }

    /// Takes a checkpoint over; resolves with its metadata.
    #[napi(ts_return_type = "Promise<string>")]
    pub fn load<'env>(&self, env: &'env Env, path: String) -> napi::Result<Object<'env>> {
        let path = PathBuf::from(path);
        self.queue(env, "loading", move |session| session.load(&path), |_, text| Ok(text))
    }

    /// Writes the backbone alone, with torchvision's names.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn export_backbone<'env>(
        &self,
        env: &'env Env,
        path: String,
        metadata: String,
    ) -> napi::Result<Object<'env>> {
        let path = PathBuf::from(path);
        let job = move |session: &mut session::Session| {
            checkpoint::export_backbone(&path, &session.model, &metadata)
        };
        self.queue(env, "exporting", job, |_, ()| Ok(()))
    }

    /// Starts the backbone from a weight file; resolves with the names it had no place for.
    #[napi(ts_return_type = "Promise<string[]>")]
    pub fn import_backbone<'env>(
        &self,
        env: &'env Env,
        path: String,
    ) -> napi::Result<Object<'env>> {
        let path = PathBuf::from(path);
        let job = move |session: &mut session::Session| session.import_backbone(&path);
        self.queue(env, "importing", job, |_, names| Ok(names))
    }

    /// Frees the tensors after the calls queued so far.
    #[napi]
    pub fn dispose(&self) {
        release(&self.slot);
    }

    fn queue<'env, T: Send + 'static, V: napi::bindgen_prelude::ToNapiValue + 'static>(
        &self,
        env: &'env Env,
        operation: &'static str,
        job: impl FnOnce(&mut session::Session) -> Result<T> + Send + 'static,
        convert: impl FnOnce(Env, T) -> napi::Result<V> + Send + 'static,
    ) -> napi::Result<Object<'env>> {
        let slot = Arc::clone(&self.slot);
        let job = move || match lock(&slot).as_mut() {
            Some(session) => job(session),
            None => Err(disposed("Session")),
        };
        on_engine(env, operation, job, convert)
    }
}

/// Tensors are freed where they were made, in the order of the calls.
fn release(slot: &Slot) {
    let slot = Arc::clone(slot);
    let job = move || {
        drop(lock(&slot).take());
        memory_cache::empty();
        Ok(())
    };
    engine::submit("dispose", job, |_| {});
}
