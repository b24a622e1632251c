//! Between autograd's nodes in `csrc/` and their directions in Rust.

use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::Tensor;

use crate::error::{Error, Result};

/// A C++ `at::Tensor` behind a pointer.
pub type Raw = *mut torch_sys::C_tensor;

/// Bytes of a message, with its end; `csrc/message.h` has the same.
const MESSAGE: usize = 1024;

/// A pointer for C++ to read a live tensor.
pub fn borrowed(tensor: &Tensor) -> Raw {
    tensor.as_ptr().cast_mut()
}

/// A pointer of its own to the same tensor, for C++ to take.
pub fn owned(tensor: &Tensor) -> Raw {
    let mut copy = std::mem::ManuallyDrop::new(tensor.shallow_clone());
    copy.as_mut_ptr()
}

/// The new tensor that a C++ function hands over, or the message it writes in place of one.
///
/// # Safety
/// `call` gives a new tensor, or null after writing less than `MESSAGE` bytes to its argument.
pub unsafe fn taken(call: impl FnOnce(*mut c_char) -> Raw) -> Result<Tensor> {
    let mut message = [0 as c_char; MESSAGE];
    let made = call(message.as_mut_ptr());
    if made.is_null() {
        // SAFETY: an array of zeros of which the last stays.
        let text = unsafe { CStr::from_ptr(message.as_ptr()) }.to_string_lossy().into_owned();
        return Err(Error::from(tch::TchError::Torch(text)));
    }
    // SAFETY: new, as the caller promises.
    Ok(unsafe { Tensor::from_ptr(made) })
}

/// Neither an error nor a panic may cross into C++ but as a message; `message` has `MESSAGE` bytes of zeros.
pub fn guarded(message: *mut c_char, work: impl FnOnce() -> Result<()>) -> bool {
    let text = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(payload) => Error::from_panic("a layer", payload.as_ref()).to_string(),
    };
    for (k, byte) in text.bytes().take(MESSAGE - 1).enumerate() {
        // SAFETY: C++ gives `MESSAGE` bytes of zeros.
        unsafe { *message.add(k) = byte as c_char };
    }
    false
}
