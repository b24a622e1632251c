//! Batch norm by the batch's own statistics, the sum with a shortcut, and ReLU as one node of autograd, in
//! bf16.
//!
//! Of one layer after the other each reads and writes the whole map, which on large maps is what they take
//! their time for. Sums are f32, and the result is rounded once. A sum with a shortcut has two readers, the
//! next block's layers and its own shortcut: it comes twice, so that the two gradients are added where they
//! are read anyway.
//!
//! y = max(0, w r (x - mean) + b + shortcut) with r = 1 / sqrt(var + epsilon); the gradients are those of
//! `norm_gradient`, with g that of y where y is above 0.

mod loops;

use tch::{Device, Kind, Tensor};

use super::memory::{rows, slice_of, slice_of_mut};
use super::node::{self, Gradients, Node};
use super::norm_gradient::{Norm, NormGradient, scale_and_shift};
use super::value::{LANES, Value};
use super::wide::has_wide_vectors;
use crate::error::{Error, Result};
use crate::processor::has_fast_bf16;
use crate::threads;
use loops::{Relu, add_sums, gradient_of_input};

/// Numbers that a thread takes at a time; over so many, sums are f32.
const SHARE: usize = 1 << 16;

/// Whether there are loops for this map `[N, C, H, W]`. Not in f32, where traces would part sooner from f64
/// (decision 0010).
pub fn applies(x: &Tensor) -> bool {
    let size = x.size();
    size.len() == 4
        && size[1] % LANES as i64 == 0
        && x.numel() > 0
        && x.device() == Device::Cpu
        && x.kind() == Kind::BFloat16
        && has_fast_bf16()
        && has_wide_vectors()
}

/// `x [N, C, H, W]` where `applies` holds. Of each channel, in f32: weight and bias of the norm, and x's own mean
/// and sqrt(var + epsilon).
pub fn apply(
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    [mean, deviation]: [&Tensor; 2],
) -> Result<Tensor> {
    node::apply::<NormRelu>(&[x, weight, bias, mean, deviation])
}

/// The same with a shortcut of x's shape, once for each of two readers.
pub fn apply_with(
    shortcut: &Tensor,
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    [mean, deviation]: [&Tensor; 2],
) -> Result<[Tensor; 2]> {
    node::apply_twice::<NormSumRelu>(&[x, weight, bias, mean, deviation, shortcut])
}

struct NormRelu;

impl Node for NormRelu {
    fn forward(inputs: &[Tensor]) -> Result<(Tensor, Option<Tensor>)> {
        let [x, weight, bias, mean, deviation] = inputs else { return Err(unexpected(inputs)) };
        Ok((forward::<i16>(x, None, [weight, bias], [mean, deviation])?, None))
    }

    fn backward(
        kept: &[Tensor],
        gradients: &Gradients,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let [x, weight, bias, mean, deviation] = kept else { return Err(unexpected(kept)) };
        let (made, _) = backward::<i16>(x, None, [weight, bias], [mean, deviation], gradients)?;
        Ok(made.map(Some).into())
    }
}

struct NormSumRelu;

impl Node for NormSumRelu {
    // All but the shortcut.
    const NEEDED: u64 = 0b1_1111;
    const TWICE: bool = true;

    fn forward(inputs: &[Tensor]) -> Result<(Tensor, Option<Tensor>)> {
        let [x, weight, bias, mean, deviation, shortcut] = inputs else {
            return Err(unexpected(inputs));
        };
        let y = forward::<i16>(x, Some(shortcut), [weight, bias], [mean, deviation])?;
        let kept = y.shallow_clone();
        Ok((y, Some(kept)))
    }

    fn backward(
        kept: &[Tensor],
        gradients: &Gradients,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let [x, weight, bias, mean, deviation, _, y] = kept else { return Err(unexpected(kept)) };
        let (made, of_shortcut) =
            backward::<i16>(x, Some(y), [weight, bias], [mean, deviation], gradients)?;
        let [dx, dweight, dbias] = made.map(Some);
        Ok(vec![dx, dweight, dbias, None, None, of_shortcut])
    }
}

fn unexpected(tensors: &[Tensor]) -> Error {
    let expected = "5, with a shortcut 6 or 7";
    Error::shape("norm and ReLU", format!("{} tensors", tensors.len()), expected)
}

/// Numbers of whole pixels that a thread takes at a time.
fn share(channels: usize) -> usize {
    (SHARE / channels).max(1) * channels
}

fn forward<T: Value>(
    x: &Tensor,
    shortcut: Option<&Tensor>,
    parameters: [&Tensor; 2],
    statistics: [&Tensor; 2],
) -> Result<Tensor> {
    let [scale, shift] = scale_and_shift(parameters, statistics)?;
    let norm = Norm { scale: slice_of(&scale)?, shift: slice_of(&shift)? };
    let share = share(norm.scale.len());
    if let Some(other) = shortcut.map(Tensor::size).filter(|size| *size != x.size()) {
        return Err(Error::shape("shortcut", format!("{other:?}"), format!("{:?}", x.size())));
    }
    let (x, shortcut) = (rows(x)?, shortcut.map(rows).transpose()?);
    let shortcut = shortcut.as_ref().map(slice_of::<T>).transpose()?;
    let mut y = empty_like(&x)?;
    let each = slice_of::<T>(&x)?.chunks(share).zip(slice_of_mut::<T>(&mut y)?.chunks_mut(share));
    threads::each(each.enumerate(), |(place, (x, y))| {
        let shortcut = shortcut.map(|shortcut| &shortcut[place * share..][..x.len()]);
        loops::forward(x, shortcut, norm, y);
    })?;
    Ok(y.f_permute([0, 3, 1, 2])?)
}

/// The gradients of x, weight and bias, and where there was a shortcut, of which y is the result, of it. Without
/// one there is one reader.
fn backward<T: Value>(
    x: &Tensor,
    y: Option<&Tensor>,
    parameters: [&Tensor; 2],
    statistics: [&Tensor; 2],
    dy: &Gradients,
) -> Result<([Tensor; 3], Option<Tensor>)> {
    let [scale, shift] = scale_and_shift(parameters, statistics)?;
    let norm = Norm { scale: slice_of(&scale)?, shift: slice_of(&shift)? };
    let mean: &[f32] = slice_of(statistics[0])?;
    let (channels, share) = (mean.len(), share(mean.len()));
    let (x, y) = (rows(x)?, y.map(rows).transpose()?);
    let (dy, other) = (rows(&dy.one)?, dy.other.as_ref().map(rows).transpose()?);
    let other = other.as_ref().map(slice_of::<T>).transpose()?;
    let values = slice_of::<T>(&x)?;

    let mut of_sum = y.as_ref().map(empty_like).transpose()?;
    let relus: Vec<Relu<'_, T>> = match (&y, &mut of_sum) {
        (Some(y), Some(gradient)) => (slice_of::<T>(y)?.chunks(share))
            .zip(slice_of_mut::<T>(gradient)?.chunks_mut(share))
            .enumerate()
            .map(|(place, (y, gradient))| {
                let other = other.map(|other| &other[place * share..][..y.len()]);
                Relu::With { y, other, gradient }
            })
            .collect(),
        _ => values.chunks(share).map(|_| Relu::Of(norm)).collect(),
    };
    // Each share's by itself, so that the total does not depend on which thread was the first.
    let mut sums = vec![0.0; relus.len() * 2 * channels];
    let each = (values.chunks(share).zip(slice_of::<T>(&dy)?.chunks(share)))
        .zip(relus.into_iter().zip(sums.chunks_exact_mut(2 * channels)));
    threads::each(each, |((x, dy), (relu, sums))| add_sums(x, dy, mean, relu, sums))?;

    let count = values.len() / channels;
    let gradient = NormGradient::of(&sums, count, parameters[0], statistics)?;
    let by = gradient.spread();
    // With a shortcut, ReLU's gradient is written already.
    let (relu, gradients) = match &of_sum {
        Some(of_sum) => (None, of_sum),
        None => (Some(norm), &dy),
    };
    let mut dx = empty_like(&x)?;
    let each = (values.chunks(share).zip(slice_of::<T>(gradients)?.chunks(share)))
        .zip(slice_of_mut::<T>(&mut dx)?.chunks_mut(share));
    threads::each(each, |((x, gradient), dx)| gradient_of_input(x, gradient, relu, by, dx))?;
    let map = |rows: Tensor| rows.f_permute([0, 3, 1, 2]);
    let made = [map(dx)?, gradient.of_weight()?, gradient.of_bias()?];
    Ok((made, of_sum.map(map).transpose()?))
}

/// Memory of the size of rows.
fn empty_like(rows: &Tensor) -> Result<Tensor> {
    Ok(Tensor::f_empty(rows.size(), (rows.kind(), Device::Cpu))?)
}

#[cfg(test)]
mod tests;
