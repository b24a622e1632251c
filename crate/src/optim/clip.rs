//! `torch.nn.utils.clip_grad_norm_`.

use tch::Tensor;

use crate::error::{Error, Result};

const EPSILON: f64 = 1e-6;

/// Scales the gradients of all parameters together so that their common length is at most `max`;
/// returns the length they had. Parameters without a gradient do not count.
pub fn clip_grad_norm<'a>(
    parameters: impl IntoIterator<Item = &'a Tensor>,
    max: f64,
) -> Result<f64> {
    if max.is_nan() || max < 0.0 {
        return Err(Error::config("maxNorm", max, "a number from 0"));
    }
    tch::no_grad(|| {
        let mut gradients = Vec::new();
        for parameter in parameters {
            let gradient = parameter.f_grad()?;
            if gradient.defined() {
                gradients.push(gradient);
            }
        }
        let Some(first) = gradients.first() else { return Ok(0.0) };
        let device = first.device();
        let lengths =
            gradients.iter().map(|gradient| Ok(gradient.f_norm()?.f_to_device(device)?));
        let lengths = lengths.collect::<Result<Vec<_>>>()?;
        let length = Tensor::f_stack(&lengths, 0)?.f_norm()?.f_double_value(&[])?;
        let share = max / (length + EPSILON);
        // As in PyTorch, a length that is no number makes every gradient so.
        if share < 1.0 || share.is_nan() {
            for gradient in &mut gradients {
                let _ = gradient.f_mul_scalar_(share)?;
            }
        }
        Ok(length)
    })
}
