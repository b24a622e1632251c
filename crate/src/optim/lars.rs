//! LARS's direction: the step of each tensor is scaled to a fixed share of the tensor's length.

use tch::Tensor;

use super::{Group, sgd};
use crate::error::Result;

const EPSILON: f64 = 1e-8;

/// (gradient + wd * w) * trust * |w| / (|gradient| + wd * |w| + eps); plain where the group has no
/// trust scaling, no weight decay (lightly's rule) or one of the lengths is 0.
pub fn direction(
    parameter: &Tensor,
    gradient: &Tensor,
    group: Group,
    trust_coefficient: f64,
) -> Result<Tensor> {
    let plain = sgd::direction(parameter, gradient, group)?;
    if !group.trust || group.weight_decay == 0.0 {
        return Ok(plain);
    }
    let length = parameter.f_norm()?.f_double_value(&[])?;
    let gradient_length = gradient.f_norm()?.f_double_value(&[])?;
    if length == 0.0 || gradient_length == 0.0 {
        return Ok(gradient.shallow_clone());
    }
    let ratio = length / (gradient_length + length * group.weight_decay + EPSILON);
    Ok(plain.f_mul_scalar(ratio * trust_coefficient)?)
}
