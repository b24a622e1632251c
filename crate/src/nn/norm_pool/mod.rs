//! Batch norm by the batch's own statistics, ReLU and max-pool 3x3 of stride 2 as one node of autograd, as
//! they follow a ResNet's first convolution.
//!
//! Its map is the largest of the network, and of one layer after the other each would be written, read and
//! kept until the backward pass. Here the convolution's own output is kept and, for each pooled value, one
//! byte: where in its window it was. The norm is computed where the pool looks, in f32.
//!
//! Forward, with r = 1 / sqrt(var + epsilon): y = max over the window of max(0, w r (x - mean) + b).
//! Backward: the gradients of `norm_gradient`, with g that of y where y came from and else 0.

mod loops;

use std::marker::PhantomData;

use tch::{Device, Kind, Tensor};

use super::memory::{rows, slice_of, slice_of_mut};
use super::node::{self, Gradients, Node};
use super::norm_gradient::{Norm, NormGradient, scale_and_shift};
use super::value::{LANES, Value};
use super::wide::has_wide_vectors;
use crate::error::{Error, Result};
use crate::processor::has_fast_bf16;
use crate::threads;
use loops::{Map, Pooled, add_sums, from_pooled, to_pooled};

/// Whether there are loops for this map `[N, C, H, W]`.
pub fn applies(x: &Tensor) -> bool {
    let size = x.size();
    size.len() == 4
        && size[1] % LANES as i64 == 0
        && size.iter().all(|&side| side > 0)
        && x.device() == Device::Cpu
        && (x.kind() == Kind::Float || x.kind() == Kind::BFloat16 && has_fast_bf16())
        && has_wide_vectors()
}

/// `x [N, C, H, W] -> [N, C, ceil(H / 2), ceil(W / 2)]` where `applies` holds. Of each channel, in f32: weight
/// and bias of the norm, and x's own mean and sqrt(var + epsilon).
pub fn apply(
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    [mean, deviation]: [&Tensor; 2],
) -> Result<Tensor> {
    let apply = match x.kind() {
        Kind::Float => node::apply::<NormPool<f32>>,
        _ => node::apply::<NormPool<i16>>,
    };
    apply(&[x, weight, bias, mean, deviation])
}

struct NormPool<T>(PhantomData<T>);

impl<T: Value> Node for NormPool<T> {
    // All but the bias.
    const NEEDED: u64 = 0b1_1011;

    fn forward(inputs: &[Tensor]) -> Result<(Tensor, Option<Tensor>)> {
        let [x, weight, bias, mean, deviation] = inputs else { return Err(unexpected(inputs)) };
        let [y, places] = forward::<T>(x, [weight, bias], [mean, deviation])?;
        Ok((y, Some(places)))
    }

    fn backward(
        kept: &[Tensor],
        gradients: &Gradients,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let [x, weight, _, mean, deviation, places] = kept else {
            return Err(unexpected(kept));
        };
        let made = backward::<T>(x, weight, [mean, deviation], places, &gradients.one)?;
        Ok(made.map(Some).into())
    }
}

fn unexpected(tensors: &[Tensor]) -> Error {
    Error::shape("norm and pool", format!("{} tensors", tensors.len()), "5 or 6")
}

fn map_of(x: &Tensor) -> Result<Map> {
    match x.size()[..] {
        [_, channels, height, width] => {
            let [height, width, channels] = [height, width, channels].map(|side| side as usize);
            Ok(Map { height, width, channels })
        }
        ref size => Err(Error::shape("max-pool", format!("{size:?}"), "[N, C, H, W]")),
    }
}

/// Memory for a number of each pixel `[N, H, W, C]`.
fn empty(pictures: i64, map: Map, kind: Kind) -> Result<Tensor> {
    let [height, width, channels] = [map.height, map.width, map.channels].map(|side| side as i64);
    Ok(Tensor::f_empty([pictures, height, width, channels], (kind, Device::Cpu))?)
}

/// The pooled values `[N, C, H', W']` and their places `[N, H', W', C]`.
fn forward<T: Value>(
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    [mean, deviation]: [&Tensor; 2],
) -> Result<[Tensor; 2]> {
    let (map, pictures) = (map_of(x)?, x.size()[0]);
    let pooled = map.pooled();
    let [scale, shift] = scale_and_shift([weight, bias], [mean, deviation])?;
    let norm = Norm { scale: slice_of(&scale)?, shift: slice_of(&shift)? };
    let x = rows(x)?;
    let mut y = empty(pictures, pooled, T::STORED)?;
    let mut places = empty(pictures, pooled, Kind::Uint8)?;
    let each = (slice_of::<T>(&x)?.chunks_exact(map.len()))
        .zip(slice_of_mut::<T>(&mut y)?.chunks_exact_mut(pooled.len()))
        .zip(slice_of_mut::<u8>(&mut places)?.chunks_exact_mut(pooled.len()));
    threads::each(each, |((x, y), places)| to_pooled(x, map, norm, y, places))?;
    Ok([y.f_permute([0, 3, 1, 2])?, places])
}

/// The gradients of x, weight and bias.
fn backward<T: Value>(
    x: &Tensor,
    weight: &Tensor,
    [mean, deviation]: [&Tensor; 2],
    places: &Tensor,
    dy: &Tensor,
) -> Result<[Tensor; 3]> {
    let (map, pictures) = (map_of(x)?, x.size()[0]);
    let (length, channels) = (map.pooled().len(), map.channels);
    let (x, dy) = (rows(x)?, rows(dy)?);
    let centre: &[f32] = slice_of(mean)?;
    let of_pictures = || -> Result<_> {
        let pooled = (slice_of::<u8>(places)?.chunks_exact(length))
            .zip(slice_of::<T>(&dy)?.chunks_exact(length))
            .map(|(places, dy)| Pooled { places, dy });
        Ok(slice_of::<T>(&x)?.chunks_exact(map.len()).zip(pooled))
    };

    // Each picture's by itself, so that the total does not depend on which thread was the first.
    let mut sums = vec![0.0; pictures as usize * 2 * channels];
    let each = of_pictures()?.zip(sums.chunks_exact_mut(2 * channels));
    threads::each(each, |((x, pooled), sums)| add_sums(x, map, pooled, centre, sums))?;
    let count = x.numel() / channels;
    let gradient = NormGradient::of(&sums, count, weight, [mean, deviation])?;
    let by = gradient.spread();
    let mut dx = empty(pictures, map, T::STORED)?;
    let each = of_pictures()?.zip(slice_of_mut::<T>(&mut dx)?.chunks_exact_mut(map.len()));
    threads::each(each, |((x, pooled), dx)| from_pooled(x, map, pooled, by, dx))?;
    let dx = dx.f_permute([0, 3, 1, 2])?;
    Ok([dx, gradient.of_weight()?, gradient.of_bias()?])
}

#[cfg(test)]
mod tests;
