//! Optimizers with their state as named tensors, so that a checkpoint can hold it, and the schedule.

mod lars;
pub mod schedule;
mod sgd;

use tch::Tensor;

use crate::error::{Error, Result};
use crate::nn::Store;

/// Settings of one group of parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// L2 penalty added to the gradient.
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
}

#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    momentum: Option<Tensor>,
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
        let (Rule::Sgd { momentum, nesterov } | Rule::Lars { momentum, nesterov, .. }) = rule;
        if nesterov && momentum <= 0.0 {
            return Err(Error::config("nesterov", true, "a momentum above 0 beside it"));
        }
        let mut slots = Vec::new();
        for (name, parameter) in parameters {
            let group = group_of(&name, &parameter);
            let momentum = (momentum > 0.0)
                .then(|| tch::no_grad(|| parameter.f_zeros_like()))
                .transpose()?;
            slots.push(Slot { name, parameter, momentum, group });
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
            let momentum = slot.momentum.as_ref()?.shallow_clone();
            Some((format!("{}.momentum", slot.name), momentum))
        };
        self.slots.iter().filter_map(named).collect()
    }
}

impl Slot {
    fn update(&mut self, rule: Rule, gradient: &Tensor, lr: f64) -> Result<()> {
        let (step, momentum, nesterov) = match rule {
            Rule::Sgd { momentum, nesterov } => {
                (sgd::direction(&self.parameter, gradient, self.group)?, momentum, nesterov)
            }
            Rule::Lars { momentum, nesterov, trust_coefficient } => {
                let step =
                    lars::direction(&self.parameter, gradient, self.group, trust_coefficient)?;
                (step, momentum, nesterov)
            }
        };
        let step = match &mut self.momentum {
            Some(buffer) => sgd::accumulate(buffer, &step, momentum, nesterov)?,
            None => step,
        };
        let _ = self.parameter.f_sub_(&step.f_mul_scalar(lr)?)?;
        Ok(())
    }
}
