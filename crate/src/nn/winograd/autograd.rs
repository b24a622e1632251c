//! The convolution as one node of autograd: `csrc/custom_conv.cpp` calls back here.

use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::Tensor;

use super::{backward, forward};
use crate::error::{Error, Result};

/// A C++ `at::Tensor` behind a pointer.
type Raw = *mut torch_sys::C_tensor;

/// Bytes of a message, with its end.
const MESSAGE: usize = 512;

#[repr(C)]
struct Callbacks {
    forward: unsafe extern "C" fn(Raw, Raw, *mut Raw, *mut c_char) -> bool,
    backward: unsafe extern "C" fn(Raw, Raw, Raw, *mut Raw, *mut Raw, *mut c_char) -> bool,
}

static CALLBACKS: Callbacks = Callbacks { forward: on_forward, backward: on_backward };

unsafe extern "C" {
    fn nnclr_custom_conv(
        x: Raw,
        weight: Raw,
        callbacks: *const Callbacks,
        message: *mut c_char,
    ) -> Raw;
}

/// `forward` now, `backward` when autograd comes to it.
pub fn conv(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let mut message = [0 as c_char; MESSAGE];
    // SAFETY: both are live tensors, the callbacks are static, the message has its 512 bytes.
    let y = unsafe {
        nnclr_custom_conv(
            x.as_ptr().cast_mut(),
            weight.as_ptr().cast_mut(),
            &raw const CALLBACKS,
            message.as_mut_ptr(),
        )
    };
    if y.is_null() {
        // SAFETY: C++ writes at most 511 bytes into an array of zeros.
        let text = unsafe { CStr::from_ptr(message.as_ptr()) }.to_string_lossy().into_owned();
        return Err(Error::from(tch::TchError::Torch(text)));
    }
    // SAFETY: a new tensor that C++ hands over.
    Ok(unsafe { Tensor::from_ptr(y) })
}

unsafe extern "C" fn on_forward(x: Raw, weight: Raw, y: *mut Raw, message: *mut c_char) -> bool {
    guarded(message, || {
        // SAFETY: C++ gives live tensors and a place for the result.
        unsafe {
            let (x, weight) = (Tensor::clone_from_ptr(x), Tensor::clone_from_ptr(weight));
            *y = owned(&forward(&x, &weight)?);
        }
        Ok(())
    })
}

unsafe extern "C" fn on_backward(
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
            let gradients = tch::no_grad(|| backward(&x, &weight, &dy, wants))?;
            for (place, gradient) in [dx, dweight].into_iter().zip(&gradients) {
                if let Some(gradient) = gradient {
                    *place = owned(gradient);
                }
            }
        }
        Ok(())
    })
}

/// A pointer of its own to the same tensor, for C++ to take.
fn owned(tensor: &Tensor) -> Raw {
    let mut copy = std::mem::ManuallyDrop::new(tensor.shallow_clone());
    copy.as_mut_ptr()
}

/// Neither an error nor a panic may cross into C++ but as a message.
fn guarded(message: *mut c_char, work: impl FnOnce() -> Result<()>) -> bool {
    let text = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(payload) => Error::from_panic("convolution", payload.as_ref()).to_string(),
    };
    for (k, byte) in text.bytes().take(MESSAGE - 1).enumerate() {
        // SAFETY: C++ gives 512 bytes of zeros.
        unsafe { *message.add(k) = byte as c_char };
    }
    false
}
