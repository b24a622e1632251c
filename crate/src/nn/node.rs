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
    /// By one reader.
    pub one: Tensor,
    /// By the other, where there are two and this asked for one.
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

/// The same for a result with two readers, one for each.
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
