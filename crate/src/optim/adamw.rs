//! `torch.optim.AdamW` (Loshchilov and Hutter 2019): weight decay apart from the gradient.

use tch::{Device, Kind, Tensor};

use super::Group;
use crate::error::Result;

/// What AdamW remembers of one parameter.
#[derive(Debug)]
pub struct Moments {
    /// Running mean of the gradient.
    pub exp_avg: Tensor,
    /// Running mean of its square.
    pub exp_avg_sq: Tensor,
    /// Updates so far, an i64 on the CPU: read at every update.
    pub step: Tensor,
}

/// Factors of the running means, and what keeps the division finite.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub betas: (f64, f64),
    pub epsilon: f64,
}

impl Moments {
    /// Zeros of the parameter's shape and dtype.
    pub fn new(parameter: &Tensor) -> Result<Self> {
        tch::no_grad(|| {
            Ok(Self {
                exp_avg: parameter.f_zeros_like()?,
                exp_avg_sq: parameter.f_zeros_like()?,
                step: Tensor::f_zeros([], (Kind::Int64, Device::Cpu))?,
            })
        })
    }

    /// One update. Each line is PyTorch's own operation, so that the rounding is too.
    pub fn update(
        &mut self,
        parameter: &mut Tensor,
        gradient: &Tensor,
        group: Group,
        Settings { betas: (beta1, beta2), epsilon }: Settings,
        lr: f64,
    ) -> Result<()> {
        let step = self.step.f_add_scalar_(1)?.f_double_value(&[])?;
        let _ = parameter.f_mul_scalar_(1.0 - lr * group.weight_decay)?;
        let _ = self.exp_avg.f_lerp_(gradient, 1.0 - beta1)?;
        let square = gradient.f_mul(gradient)?.f_mul_scalar_(1.0 - beta2)?;
        let _ = self.exp_avg_sq.f_mul_scalar_(beta2)?.f_add_(&square)?;
        // The means start at zero; this makes up for it.
        let (short1, short2) = (1.0 - beta1.powf(step), 1.0 - beta2.powf(step));
        let spread =
            self.exp_avg_sq.f_sqrt()?.f_div_scalar_(short2.sqrt())?.f_add_scalar_(epsilon)?;
        let direction = self.exp_avg.f_div(&spread)?.f_mul_scalar_(lr / short1)?;
        let _ = parameter.f_sub_(&direction)?;
        Ok(())
    }
}
