//! Forgetting gradients.

use tch::Tensor;
use torch_sys::C_tensor;

unsafe extern "C" {
    fn nnclr_forget_gradient(tensor: *const C_tensor);
}

/// The parameter has no gradient then, as after PyTorch's `zero_grad()`: zeros would have to be
/// written, and added to.
pub fn forget(parameter: &Tensor) {
    // SAFETY: a live tensor. C++ only lets go of another one.
    unsafe { nnclr_forget_gradient(parameter.as_ptr()) }
}
