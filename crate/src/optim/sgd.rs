//! `torch.optim.SGD`, dampening 0.

use tch::Tensor;

use super::Group;
use crate::error::Result;

/// d = gradient + weight_decay * parameter
pub fn direction(parameter: &Tensor, gradient: &Tensor, group: Group) -> Result<Tensor> {
    if group.weight_decay == 0.0 {
        return Ok(gradient.shallow_clone());
    }
    Ok(gradient.f_add(&parameter.f_mul_scalar(group.weight_decay)?)?)
}

/// buffer = momentum * buffer + d; the step is the buffer, or d + momentum * buffer with Nesterov.
/// A buffer that starts at zero makes the first step PyTorch's, which starts it at d.
pub fn accumulate(
    buffer: &mut Tensor,
    direction: &Tensor,
    momentum: f64,
    nesterov: bool,
) -> Result<Tensor> {
    let _ = buffer.f_mul_scalar_(momentum)?.f_add_(direction)?;
    if nesterov {
        return Ok(direction.f_add(&buffer.f_mul_scalar(momentum)?)?);
    }
    Ok(buffer.shallow_clone())
}
