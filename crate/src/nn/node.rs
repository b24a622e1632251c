//! An operation of our own as one node of autograd: `csrc/node.cpp` calls back here.

use std::ffi::c_char;

use tch::Tensor;

use super::callback::{Raw, borrowed, guarded, owned, taken};
use crate::error::{Error, Result};

/// Both directions of an operation on at most eight tensors.
pub trait Node {
    /// A bit for each input that the backward pass needs; the others are not kept, and undefined there.
    const NEEDED: u64 = u64::MAX;

    /// Whether the result has two readers, whose gradients `backward` then takes apart: what adds them up may
    /// read them once then.
    const TWICE: bool = false;

    /// Of the inputs the result, and what the backward pass needs besides them.
    fn forward(inputs: &[Tensor]) -> Result<(Tensor, Option<Tensor>)>;

    /// Of the inputs, of what `forward` gave besides and of the result's gradient, by each reader: the gradient
    /// of each input, where it is wanted.
    fn backward(
        kept: &[Tensor],
        gradients: &Gradients,
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>>;
}

/// The gradient of a result, the sum of at most two.
#[derive(Debug)]
pub struct Gradients {
    /// By one reader, whichever asked for one.
    pub one: Tensor,
    /// By the other, where there are two and both asked for one.
    pub other: Option<Tensor>,
}

/// Inputs of a node at most; `csrc/node.cpp` has the same.
const MOST: usize = 8;

#[repr(C)]
struct Callbacks {
    needed: u64,
    twice: bool,
    forward: unsafe extern "C" fn(*const Raw, i64, *mut Raw, *mut c_char) -> bool,
    backward: unsafe extern "C" fn(*const Raw, i64, *const bool, *mut Raw, *mut c_char) -> bool,
}

unsafe extern "C" {
    fn nnclr_node(
        inputs: *const Raw,
        count: i64,
        callbacks: *const Callbacks,
        other: *mut Raw,
        message: *mut c_char,
    ) -> Raw;
}

/// `forward` now, `backward` when autograd comes to it.
pub fn apply<N: Node>(inputs: &[&Tensor]) -> Result<Tensor> {
    const { assert!(!N::TWICE) };
    made::<N>(inputs, std::ptr::null_mut())
}

/// The same for a result with two readers, one for each. It is one memory: neither may change it in place.
pub fn apply_twice<N: Node>(inputs: &[&Tensor]) -> Result<[Tensor; 2]> {
    const { assert!(N::TWICE) };
    let mut other = std::ptr::null_mut();
    let one = made::<N>(inputs, &raw mut other)?;
    // SAFETY: C++ has written a new tensor, since there was no error.
    let other = unsafe { taken(|_| other)? };
    Ok([one, other])
}

fn made<N: Node>(inputs: &[&Tensor], other: *mut Raw) -> Result<Tensor> {
    let callbacks: &'static Callbacks = const {
        &Callbacks {
            needed: N::NEEDED,
            twice: N::TWICE,
            forward: on_forward::<N>,
            backward: on_backward::<N>,
        }
    };
    if inputs.len() > MOST {
        let expected = format!("at most {MOST}");
        return Err(Error::shape("operation", format!("{} tensors", inputs.len()), expected));
    }
    let inputs: Vec<Raw> = inputs.iter().map(|tensor| borrowed(tensor)).collect();
    let count = inputs.len() as i64;
    // SAFETY: so many live tensors, the callbacks are static, and there is a place for another result where it
    // comes twice; C++ writes as `taken` asks.
    unsafe { taken(|message| nnclr_node(inputs.as_ptr(), count, callbacks, other, message)) }
}

/// Handles of `count` tensors.
///
/// # Safety
/// There are so many pointers to live tensors.
unsafe fn tensors(pointers: *const Raw, count: i64) -> Vec<Tensor> {
    // SAFETY: as the caller promises.
    let pointers = unsafe { std::slice::from_raw_parts(pointers, count as usize) };
    // SAFETY: the same.
    pointers.iter().map(|&pointer| unsafe { Tensor::clone_from_ptr(pointer) }).collect()
}

unsafe extern "C" fn on_forward<N: Node>(
    inputs: *const Raw,
    count: i64,
    results: *mut Raw,
    message: *mut c_char,
) -> bool {
    guarded(message, || {
        // SAFETY: C++ gives so many live tensors and places for two results.
        unsafe {
            let (result, besides) = N::forward(&tensors(inputs, count))?;
            *results = owned(&result);
            if let Some(besides) = besides {
                *results.add(1) = owned(&besides);
            }
        }
        Ok(())
    })
}

unsafe extern "C" fn on_backward<N: Node>(
    kept: *const Raw,
    count: i64,
    wanted: *const bool,
    gradients: *mut Raw,
    message: *mut c_char,
) -> bool {
    guarded(message, || {
        // SAFETY: C++ gives so many live tensors, and for each input whether its gradient is wanted and a place
        // for it, eight at least.
        unsafe {
            let mut kept = tensors(kept, count);
            let other = kept.pop().filter(Tensor::defined);
            let one = kept.pop().ok_or_else(|| Error::shape("operation", "no gradient", "one"))?;
            let wanted = std::slice::from_raw_parts(wanted, MOST);
            // Autograd asks for gradients of gradients no more than training does.
            let made = tch::no_grad(|| N::backward(&kept, &Gradients { one, other }, wanted))?;
            for (place, gradient) in made.iter().take(MOST).enumerate() {
                if let Some(gradient) = gradient.as_ref().filter(|_| wanted[place]) {
                    *gradients.add(place) = owned(gradient);
                }
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// 3 x, and of two gradients a and b, which are not the same, 3 (a + 10 b).
    struct Triple;

    impl Node for Triple {
        const TWICE: bool = true;

        fn forward(inputs: &[Tensor]) -> Result<(Tensor, Option<Tensor>)> {
            Ok((&inputs[0] * 3.0, None))
        }

        fn backward(
            kept: &[Tensor],
            gradients: &Gradients,
            _wanted: &[bool],
        ) -> Result<Vec<Option<Tensor>>> {
            assert_eq!(kept.len(), 1);
            let other = gradients.other.as_ref().map_or_else(|| Tensor::from(0.0), |b| b * 10.0);
            Ok(vec![Some((&gradients.one + other) * 3.0)])
        }
    }

    #[test]
    fn two_readers_gradients_arrive_apart_and_only_those_that_were_asked_for() {
        let gradient = |read: &dyn Fn([Tensor; 2]) -> Tensor| {
            let x = Tensor::from(2.0).to_kind(Kind::Float).set_requires_grad(true);
            let both = apply_twice::<Triple>(&[&x]).unwrap();
            assert_eq!(both[0].data_ptr(), both[1].data_ptr());
            assert!(both.iter().all(|y| y.double_value(&[]) == 6.0 && y.requires_grad()));
            read(both).backward();
            let grad = x.grad();
            grad.defined().then(|| grad.double_value(&[]))
        };
        assert_eq!(gradient(&|[a, b]| a * 5.0 + b * 7.0), Some(3.0 * (5.0 + 70.0)));
        assert_eq!(gradient(&|[a, _]| a * 5.0), Some(15.0));
        assert_eq!(gradient(&|[_, b]| b * 7.0), Some(21.0));
        // By neither.
        let aside = Tensor::ones([], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        assert_eq!(gradient(&|[a, _]| &aside + a.detach()), None);
    }

    /// ReLU's mask is kept of one, and the other is the same memory.
    #[test]
    fn what_a_reader_changes_in_place_is_an_error_and_not_a_wrong_gradient() {
        let x = Tensor::from(2.0).to_kind(Kind::Float).set_requires_grad(true);
        let [one, mut other] = apply_twice::<Triple>(&[&x]).unwrap();
        let squared = &one * &one;
        let changed = tch::no_grad(|| other.f_add_scalar_(1.0).map(|_| ()));
        assert!(changed.is_err() || squared.f_backward().is_err());
    }
}
