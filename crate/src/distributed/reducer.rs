//! Averages gradients over the ranks while backward runs: c10d's `Reducer`, the core of PyTorch's
//! `DistributedDataParallel`.

use std::ffi::c_void;

use tch::Tensor;
use torch_sys::C_tensor;

use super::ProcessGroup;
use super::ffi::{self, done, made};
use crate::error::{Error, Result};

/// Hooks on parameters; ends before the group does.
#[derive(Debug)]
pub struct Reducer {
    pointer: *mut c_void,
    group: ProcessGroup,
    // The hooks are on these.
    _parameters: Vec<Tensor>,
}

// SAFETY: used on the engine's thread alone.
unsafe impl Send for Reducer {}

impl Drop for Reducer {
    fn drop(&mut self) {
        // SAFETY: made by `nnclr_reducer_new`, freed once, before the group.
        unsafe { ffi::nnclr_reducer_free(self.pointer) }
    }
}

impl Reducer {
    /// Hooks the parameters, whose values must be the same on all ranks by the first step.
    /// @errors DISTRIBUTED when ranks bring other names or shapes.
    pub fn new(group: &ProcessGroup, parameters: Vec<(String, Tensor)>) -> Result<Self> {
        group.agree("averaging of gradients", &described(&parameters))?;
        if parameters.is_empty() {
            let expected = "at least one parameter that requires a gradient";
            return Err(Error::config("parameters", "none", expected));
        }
        let (_, parameters): (Vec<String>, Vec<Tensor>) = parameters.into_iter().unzip();
        let mut pointers: Vec<*mut C_tensor> =
            parameters.iter().map(|parameter| parameter.as_ptr().cast_mut()).collect();
        let count = pointers.len() as i64;
        // SAFETY: the parameters live as long as the reducer.
        let call = |message| unsafe {
            ffi::nnclr_reducer_new(group.pointer(), pointers.as_mut_ptr(), count, message)
        };
        let pointer = made(call).map_err(|why| group.failure("averaging of gradients", &why))?;
        Ok(Self { pointer, group: group.clone(), _parameters: parameters })
    }

    /// Right before a backward pass.
    fn prepare(&self, loss: &Tensor) -> Result<()> {
        // SAFETY: live pointers.
        done(|message| unsafe { ffi::nnclr_reducer_prepare(self.pointer, loss.as_ptr(), message) })
            .map_err(|why| self.failure(&why))
    }

    /// Right after it.
    fn finish(&self) -> Result<()> {
        // SAFETY: a live pointer.
        done(|message| unsafe { ffi::nnclr_reducer_finish(self.pointer, message) })
            .map_err(|why| self.failure(&why))
    }

    fn failure(&self, why: &str) -> Error {
        self.group.failure("averaging of gradients", why)
    }
}

/// The backward pass of `loss`; at its end the gradients of all reducers' parameters are averaged over
/// the ranks.
pub fn backward(loss: &Tensor, reducers: &[&Reducer]) -> Result<()> {
    reducers.iter().try_for_each(|reducer| reducer.prepare(loss))?;
    if let Err(error) = loss.f_backward() {
        let error = error.into();
        return Err(match reducers.first() {
            Some(reducer) => reducer.group.explain("backward", error),
            None => error,
        });
    }
    reducers.iter().try_for_each(|reducer| reducer.finish())
}

/// One line a tensor: name, dtype, shape.
pub fn described(tensors: &[(String, Tensor)]) -> Vec<String> {
    let line = |(name, tensor): &(String, Tensor)| {
        format!("{name} {:?} {:?}", tensor.kind(), tensor.size())
    };
    tensors.iter().map(line).collect()
}
