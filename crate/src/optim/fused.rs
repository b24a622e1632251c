//! SGD's update in one pass over memory, which is what an update of millions of numbers waits for.
//!
//! The same operations in the same order as one tensor operation after the other, each rounded to f32:
//! the numbers are the same to the last bit.

use tch::{Device, Kind, Tensor};

use super::Group;
use crate::error::Result;
use crate::threads;

/// Numbers a thread takes at a time.
const PART: usize = 1 << 15;

/// Settings of one update.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Of the buffer.
    pub momentum: f64,
    /// Nesterov's form.
    pub nesterov: bool,
    /// Learning rate.
    pub lr: f64,
}

/// Updates parameter and momentum buffer, outside of autograd; false where the tensors do not lie in memory alike, or not
/// as f32 on the CPU: nothing was done then.
pub fn sgd(
    parameter: &mut Tensor,
    buffer: Option<&mut Tensor>,
    gradient: &Tensor,
    group: Group,
    settings: Settings,
) -> Result<bool> {
    let alike = |other: &Tensor| {
        other.kind() == Kind::Float
            && other.device() == Device::Cpu
            && other.size() == parameter.size()
            && other.stride() == parameter.stride()
    };
    if parameter.dim() == 0
        || !(alike(parameter) && is_dense(parameter) && alike(gradient))
        || buffer.as_deref().is_some_and(|buffer| !alike(buffer))
    {
        return Ok(false);
    }
    let Settings { momentum, nesterov, lr } = settings;
    let (decay, momentum, lr) = (group.weight_decay as f32, momentum as f32, lr as f32);
    let direction = move |value: f32, gradient: f32| {
        if decay == 0.0 { gradient } else { gradient + value * decay }
    };
    let count = parameter.numel();
    mark_changed(parameter)?;
    // SAFETY: dense f32 memory of `count` numbers each. Parameter and buffer are the optimizer's own,
    // and a gradient is never its parameter.
    let (values, gradients) = unsafe { (numbers_mut(parameter, count), numbers(gradient, count)) };
    let Some(buffer) = buffer else {
        let parts = values.chunks_mut(PART).zip(gradients.chunks(PART));
        threads::each(parts, |(values, gradients)| {
            for (value, &gradient) in values.iter_mut().zip(gradients) {
                *value -= direction(*value, gradient) * lr;
            }
        })?;
        return Ok(true);
    };
    // SAFETY: as above.
    let buffers = unsafe { numbers_mut(buffer, count) };
    let parts = values.chunks_mut(PART).zip(gradients.chunks(PART)).zip(buffers.chunks_mut(PART));
    threads::each(parts, |((values, gradients), buffers)| {
        for ((value, &gradient), buffer) in values.iter_mut().zip(gradients).zip(buffers) {
            let direction = direction(*value, gradient);
            *buffer = *buffer * momentum + direction;
            let step = if nesterov { direction + *buffer * momentum } else { *buffer };
            *value -= step * lr;
        }
    })?;
    Ok(true)
}

/// Autograd does not see what is written through a pointer, and would let a backward pass go on with
/// weights that are no longer those of its forward pass. Writing to no numbers at all it sees.
fn mark_changed(parameter: &Tensor) -> Result<()> {
    let _ = parameter.f_narrow(0, 0, 0)?.f_zero_()?;
    Ok(())
}

/// Whether the numbers fill their memory, in whatever order.
fn is_dense(tensor: &Tensor) -> bool {
    let mut sides: Vec<(i64, i64)> =
        tensor.stride().into_iter().zip(tensor.size()).filter(|&(_, side)| side != 1).collect();
    sides.sort_unstable();
    let mut expected = 1;
    sides.into_iter().all(|(stride, side)| {
        let fits = stride == expected;
        expected *= side;
        fits
    })
}

/// # Safety
/// `tensor` has `count` f32 on the CPU without gaps.
unsafe fn numbers(tensor: &Tensor, count: usize) -> &[f32] {
    if count == 0 {
        return &[];
    }
    // SAFETY: as the caller promises.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), count) }
}

/// # Safety
/// As above, and nobody else reads or writes them meanwhile.
unsafe fn numbers_mut(tensor: &mut Tensor, count: usize) -> &mut [f32] {
    if count == 0 {
        return &mut [];
    }
    // SAFETY: as the caller promises.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), count) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::sgd;

    fn plain(
        parameter: &mut Tensor,
        buffer: Option<&mut Tensor>,
        gradient: &Tensor,
        group: Group,
        settings: Settings,
    ) {
        let Settings { momentum, nesterov, lr } = settings;
        let mut step = sgd::direction(parameter, gradient, group).unwrap();
        if let Some(buffer) = buffer {
            step = sgd::accumulate(buffer, &step, momentum, nesterov).unwrap();
        }
        let _ = parameter.f_sub_(&(step * lr)).unwrap();
    }

    #[test]
    fn one_pass_gives_the_bits_of_one_operation_after_the_other() {
        tch::manual_seed(6);
        let random = || {
            let x = Tensor::randn([70_001, 5, 1, 2], (Kind::Float, Device::Cpu));
            x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
        };
        for weight_decay in [0.0, 5e-4] {
            for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
                let group = Group { weight_decay, trust: false };
                let settings = Settings { momentum, nesterov, lr: 0.06 };
                let (mut one, mut buffer_one) = (random(), random());
                let (mut two, mut buffer_two) = (one.copy(), buffer_one.copy());
                for _ in 0..3 {
                    let gradient = random();
                    let (b, c) = (&mut buffer_one, &mut buffer_two);
                    let (b, c) = ((momentum > 0.0).then_some(b), (momentum > 0.0).then_some(c));
                    assert!(sgd(&mut one, b, &gradient, group, settings).unwrap());
                    plain(&mut two, c, &gradient, group, settings);
                }
                assert_eq!((one, buffer_one), (two, buffer_two));
            }
        }
    }

    #[test]
    fn a_backward_pass_after_the_update_is_an_error() {
        let mut weight = Tensor::ones([3, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let group = Group { weight_decay: 0.0, trust: false };
        let settings = Settings { momentum: 0.0, nesterov: false, lr: 1.0 };
        let loss = (&weight * &weight).sum(Kind::Float);
        let gradient = weight.ones_like();
        assert!(tch::no_grad(|| sgd(&mut weight, None, &gradient, group, settings)).unwrap());
        let error = loss.f_backward().unwrap_err().to_string();
        assert!(error.contains("modified by an inplace operation"), "{error}");
    }

    #[test]
    fn tensors_that_lie_otherwise_are_left_alone() {
        let settings = Settings { momentum: 0.0, nesterov: false, lr: 1.0 };
        let group = Group { weight_decay: 0.0, trust: false };
        let ones = |kind| Tensor::ones([2, 3], (kind, Device::Cpu));
        let across = Tensor::ones([3, 2], (Kind::Float, Device::Cpu)).tr();
        let gaps = Tensor::ones([2, 6], (Kind::Float, Device::Cpu)).slice(1, None, None, 2);
        for (mut parameter, gradient) in [
            (ones(Kind::Float), across),
            (ones(Kind::Double), ones(Kind::Double)),
            (gaps.shallow_clone(), gaps.copy()),
            (gaps, Tensor::ones([2, 6], (Kind::Float, Device::Cpu)).slice(1, None, None, 2)),
        ] {
            assert!(!sgd(&mut parameter, None, &gradient, group, settings).unwrap());
            assert_eq!(parameter.sum(Kind::Double).double_value(&[]), 6.0);
        }
    }
}
