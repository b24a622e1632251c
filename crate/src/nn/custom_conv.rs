//! A convolution of our own as one node of autograd.

use std::marker::PhantomData;

use tch::Tensor;

use super::node::{self, Gradients, Node};
use crate::error::{Error, Result};

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

/// `forward` now, `backward` when autograd comes to it.
pub fn apply<C: CustomConv>(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    node::apply::<Conv<C>>(&[x, weight])
}

struct Conv<C>(PhantomData<C>);

impl<C: CustomConv> Node for Conv<C> {
    fn forward(inputs: &[Tensor]) -> Result<(Tensor, Option<Tensor>)> {
        let [x, weight] = inputs else { return Err(unexpected(inputs)) };
        Ok((C::forward(x, weight)?, None))
    }

    fn backward(
        kept: &[Tensor],
        gradients: &Gradients,
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let ([x, weight], [of_x, of_weight, ..]) = (kept, wanted) else {
            return Err(unexpected(kept));
        };
        Ok(C::backward(x, weight, &gradients.one, [*of_x, *of_weight])?.into())
    }
}

fn unexpected(tensors: &[Tensor]) -> Error {
    Error::shape("convolution", format!("{} tensors", tensors.len()), "x and weight")
}
