//! A convolution of our own as one node of autograd: `csrc/custom_conv.cpp` calls back here.

use std::ffi::c_char;

use tch::Tensor;

use super::callback::{Raw, borrowed, guarded, owned, taken};
use crate::error::Result;

/// Both directions of a convolution without bias.
pub trait CustomConv {
    /// y of x and the weight.
    fn forward(x: &Tensor, weight: &Tensor) -> Result<Tensor>;

    /// The gradients that are wanted, of x and of the weight.
    fn backward(
        x: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
        wants: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]>;
}

#[repr(C)]
struct Callbacks {
    forward: unsafe extern "C" fn(Raw, Raw, *mut Raw, *mut c_char) -> bool,
    backward: unsafe extern "C" fn(Raw, Raw, Raw, *mut Raw, *mut Raw, *mut c_char) -> bool,
}

unsafe extern "C" {
    fn nnclr_custom_conv(
        x: Raw,
        weight: Raw,
        callbacks: *const Callbacks,
        message: *mut c_char,
    ) -> Raw;
}

/// `forward` now, `backward` when autograd comes to it.
pub fn apply<C: CustomConv>(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let callbacks: &'static Callbacks =
        const { &Callbacks { forward: on_forward::<C>, backward: on_backward::<C> } };
    // SAFETY: both are live tensors, the callbacks are static; C++ writes as `taken` asks.
    unsafe { taken(|message| nnclr_custom_conv(borrowed(x), borrowed(weight), callbacks, message)) }
}

unsafe extern "C" fn on_forward<C: CustomConv>(
    x: Raw,
    weight: Raw,
    y: *mut Raw,
    message: *mut c_char,
) -> bool {
    guarded(message, || {
        // SAFETY: C++ gives live tensors and a place for the result.
        unsafe {
            let (x, weight) = (Tensor::clone_from_ptr(x), Tensor::clone_from_ptr(weight));
            *y = owned(&C::forward(&x, &weight)?);
        }
        Ok(())
    })
}

unsafe extern "C" fn on_backward<C: CustomConv>(
    x: Raw,
    weight: Raw,
    dy: Raw,
    dx: *mut Raw,
    dweight: *mut Raw,
    message: *mut c_char,
) -> bool {
    guarded(message, || {
        // SAFETY: C++ gives live tensors, and a place for each gradient that is wanted.
        unsafe {
            let [x, weight, dy] = [x, weight, dy].map(|raw| Tensor::clone_from_ptr(raw));
            let wants = [!dx.is_null(), !dweight.is_null()];
            // Autograd asks for gradients of gradients no more than training does.
            let gradients = tch::no_grad(|| C::backward(&x, &weight, &dy, wants))?;
            for (place, gradient) in [dx, dweight].into_iter().zip(&gradients) {
                if let Some(gradient) = gradient {
                    *place = owned(gradient);
                }
            }
        }
        Ok(())
    })
}
