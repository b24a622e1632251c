//! Optimizers with their state as named tensors, so that a checkpoint can hold it, and the schedule.

mod adamw;
mod clip;
mod fused;
mod lars;
mod muon;
pub mod schedule;
mod sgd;

pub use clip::clip_grad_norm;

use tch::Tensor;

use adamw::Moments;

use crate::error::{Error, Result};
use crate::nn::Store;

/// Settings of one group of parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// L2 penalty added to the gradient; AdamW shrinks the parameter by it instead.
    pub weight_decay: f64,
    /// LARS alone: scale the step by the trust ratio.
    pub trust: bool,
}

/// The update rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// `torch.optim.SGD`.
    Sgd {
        /// 0 = none.
        momentum: f64,
        /// Nesterov's form.
        nesterov: bool,
    },
    /// Layer-wise adaptive rate scaling (You et al. 2017), as `lightly.utils.lars.LARS`.
    Lars {
        /// 0 = none.
        momentum: f64,
        /// Nesterov's form.
        nesterov: bool,
        /// Factor of the trust ratio.
        trust_coefficient: f64,
    },
    /// `torch.optim.AdamW`.
    AdamW {
        /// Factors of the running means of the gradient and of its square; PyTorch's are 0.9, 0.999.
        betas: (f64, f64),
        /// Added to the divisor; PyTorch's is 1e-8.
        epsilon: f64,
    },
    /// Muon on the convolutions' weights but the first, AdamW as PyTorch sets it up on the rest.
    Muon {
        /// 0 = none; always in Nesterov's form.
        momentum: f64,
        /// AdamW's learning rate as a share of Muon's.
        adam_share: f64,
    },
}

/// PyTorch's settings of AdamW.
const ADAMW: adamw::Settings = adamw::Settings { betas: (0.9, 0.999), epsilon: 1e-8 };

impl Rule {
    /// AdamW as PyTorch sets it up.
    pub const ADAMW: Self = Self::AdamW { betas: ADAMW.betas, epsilon: ADAMW.epsilon };

    fn check(self) -> Result<()> {
        match self {
            Self::Sgd { momentum, nesterov } | Self::Lars { momentum, nesterov, .. } => {
                if nesterov && momentum <= 0.0 {
                    return Err(Error::config("nesterov", true, "a momentum above 0 beside it"));
                }
            }
            Self::AdamW { betas: (beta1, beta2), epsilon } => {
                if ![beta1, beta2].iter().all(|beta| (0.0..1.0).contains(beta)) {
                    let got = format!("{beta1}, {beta2}");
                    return Err(Error::config("betas", got, "two numbers from 0 to below 1"));
                }
                if !(epsilon >= 0.0 && epsilon.is_finite()) {
                    return Err(Error::config("epsilon", epsilon, "a number from 0"));
                }
            }
            Self::Muon { momentum, .. } => {
                if !(0.0..1.0).contains(&momentum) {
                    return Err(Error::config("momentum", momentum, "from 0 to below 1"));
                }
            }
        }
        Ok(())
    }
}

/// What a rule remembers of one parameter.
#[derive(Debug)]
enum Memory {
    Nothing,
    Momentum(Tensor),
    Moments(Moments),
}

#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    memory: Memory,
    group: Group,
}

/// An optimizer over named parameters.
#[derive(Debug)]
pub struct Optimizer {
    rule: Rule,
    slots: Vec<Slot>,
}

impl Optimizer {
    /// `group_of` gives each parameter's group by name and tensor.
    pub fn new(
        rule: Rule,
        parameters: impl IntoIterator<Item = (String, Tensor)>,
        group_of: impl Fn(&str, &Tensor) -> Group,
    ) -> Result<Self> {
        rule.check()?;
        let mut slots = Vec::new();
        for (name, parameter) in parameters {
            let group = group_of(&name, &parameter);
            let memory = Memory::new(rule, &parameter)?;
            slots.push(Slot { name, parameter, memory, group });
        }
        Ok(Self { rule, slots })
    }

    /// Every trained tensor of a model; biases and norms are left out of weight decay and trust
    /// scaling when `exclude_norms`.
    pub fn of_store(
        rule: Rule,
        store: &Store,
        weight_decay: f64,
        exclude_norms: bool,
    ) -> Result<Self> {
        let parameters = store.parameters().map(|e| (e.name.clone(), e.tensor.shallow_clone()));
        Self::new(rule, parameters, |_, tensor| {
            let excluded = exclude_norms && tensor.dim() < 2;
            Group { weight_decay: if excluded { 0.0 } else { weight_decay }, trust: !excluded }
        })
    }

    /// One update of every parameter that has a gradient.
    pub fn step(&mut self, lr: f64) -> Result<()> {
        tch::no_grad(|| {
            for slot in &mut self.slots {
                let gradient = slot.parameter.f_grad()?;
                if gradient.defined() {
                    slot.update(self.rule, &gradient, lr)?;
                }
            }
            Ok(())
        })
    }

    /// The named tensors behind `optimizer/`.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let named = |slot: &Slot| {
            let named = |(kind, tensor): (&str, &Tensor)| {
                (format!("{}.{kind}", slot.name), tensor.shallow_clone())
            };
            slot.memory.tensors().into_iter().map(named).collect::<Vec<_>>()
        };
        self.slots.iter().flat_map(named).collect()
    }
}

impl Memory {
    fn new(rule: Rule, parameter: &Tensor) -> Result<Self> {
        match rule {
            Rule::AdamW { .. } => Ok(Self::Moments(Moments::new(parameter)?)),
            Rule::Muon { .. } if !muon::applies(parameter) => {
                Ok(Self::Moments(Moments::new(parameter)?))
            }
            Rule::Muon { .. } => Ok(Self::Momentum(tch::no_grad(|| parameter.f_zeros_like())?)),
            Rule::Sgd { momentum, .. } | Rule::Lars { momentum, .. } if momentum > 0.0 => {
                Ok(Self::Momentum(tch::no_grad(|| parameter.f_zeros_like())?))
            }
            Rule::Sgd { .. } | Rule::Lars { .. } => Ok(Self::Nothing),
        }
    }

    fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Momentum(buffer) => vec![("momentum", buffer)],
            Self::Moments(Moments { exp_avg, exp_avg_sq, step }) => {
                vec![("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq), ("step", step)]
            }
        }
    }
}

impl Slot {
    fn update(&mut self, rule: Rule, gradient: &Tensor, lr: f64) -> Result<()> {
        let (step, momentum, nesterov) = match rule {
            Rule::AdamW { betas, epsilon } => {
                return self.adamw(gradient, adamw::Settings { betas, epsilon }, lr);
            }
            Rule::Muon { momentum, adam_share } => {
                let Memory::Momentum(buffer) = &mut self.memory else {
                    return self.adamw(gradient, ADAMW, lr * adam_share);
                };
                let parameter = &mut self.parameter;
                return muon::update(parameter, buffer, gradient, self.group, momentum, lr);
            }
            Rule::Sgd { momentum, nesterov } => {
                let buffer = match &mut self.memory {
                    Memory::Momentum(buffer) => Some(buffer),
                    _ => None,
                };
                let settings = fused::Settings { momentum, nesterov, lr };
                if fused::sgd(&mut self.parameter, buffer, gradient, self.group, settings)? {
                    return Ok(());
                }
                (sgd::direction(&self.parameter, gradient, self.group)?, momentum, nesterov)
            }
            Rule::Lars { momentum, nesterov, trust_coefficient } => {
                let step =
                    lars::direction(&self.parameter, gradient, self.group, trust_coefficient)?;
                (step, momentum, nesterov)
            }
        };
        let step = match &mut self.memory {
            Memory::Momentum(buffer) => sgd::accumulate(buffer, &step, momentum, nesterov)?,
            _ => step,
        };
        let _ = self.parameter.f_sub_(&step.f_mul_scalar(lr)?)?;
        Ok(())
    }

    fn adamw(&mut self, gradient: &Tensor, settings: adamw::Settings, lr: f64) -> Result<()> {
        let Memory::Moments(moments) = &mut self.memory else { return Ok(()) };
        moments.update(&mut self.parameter, gradient, self.group, settings, lr)
    }
}
