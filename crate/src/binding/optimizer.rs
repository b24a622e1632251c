//! Optimizers for the hand-written loop.

use std::sync::{Arc, Mutex};

use napi::Env;
use napi::bindgen_prelude::ClassInstance;
use napi_derive::napi;
use tch::{Device, Kind, Tensor};

use super::tensor::{CallSite, NativeTensor};
use super::to_napi;
use crate::engine::{self, lock};
use crate::error::Result;
use crate::nn::gradient;
use crate::optim::{Group, Optimizer, clip_grad_norm as clip_grad_norm_of};
use crate::tensor::{Handle, Meta, effect};

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
    /// `sgd`, `lars`, `adamw` or `muon`.
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
                gradient::forget(parameter);
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
