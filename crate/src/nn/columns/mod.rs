//! Convolutions whose gradient of the weight is a matrix product of what the kernel sees, `dy' columns`.
//! Values and the gradient of the input are the library's but for small maps on processors with tiles, where
//! they are products too: `columns W'`, and `dy W` added up where it was seen.
//!
//! In f32 that gains for 3x3 kernels of stride 2 on maps of 4x4. In bf16 the library's threads wait for each
//! other within this gradient, picture by picture and without ever sleeping: beside another program that
//! computes, the stem's took 2 s in place of 4 ms, and training fell to a twentieth of its speed (docs/log.md).

mod window;

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use super::custom_conv::{self, CustomConv};
use super::memory::{rows, slice_of, slice_of_mut};
use super::value::Value;
use super::winograd;
use crate::error::{Error, Result};
use crate::processor::{has_bf16_tiles, has_fast_bf16};
use crate::threads;
use window::{Window, fold};

/// Numbers of the columns that each thread has at a time: they should still be in its cache when they are
/// multiplied, and the product should be a long one.
const AT_A_TIME: usize = 1 << 19;

/// Rows of columns at least for each row of a sum over them, even if the cache does not hold them: each part of a
/// sum is as large as the whole, and is added to it in f32.
const ROWS_A_SUM: usize = 4;

/// Numbers that a thread makes before it asks for more work.
const SHARE: usize = 1 << 15;

/// In such blocks the library packs the factor on the right of a product.
const BLOCK: usize = 16;

/// Pixels of a map up to which the library's 3x3 convolutions of stride 2 are slower than products.
const MOST_OF_MAP: i64 = 16 * 16;

/// Kernel `[O, C, K, K]` in f32, padding K / 2, on `x [N, C, H, W]`, whose dtype is the result's; None where
/// it would not be better.
pub fn conv(x: &Tensor, weight: &Tensor, stride: i64) -> Result<Option<Tensor>> {
    match stride {
        1 if applies(x, weight, stride) => custom_conv::apply::<Columns<1>>(x, weight).map(Some),
        2 if applies(x, weight, stride) => custom_conv::apply::<Columns<2>>(x, weight).map(Some),
        _ => Ok(None),
    }
}

fn applies(x: &Tensor, weight: &Tensor, stride: i64) -> bool {
    let [_, channels, height, width] = x.size()[..] else { return false };
    let kernel = weight.size()[2];
    // Of 1x1 kernels the library has another way but in tiles, and for maps that the stride leaves a rest of.
    let is_odd = height % 2 == 1 || width % 2 == 1;
    let is_pointwise = kernel == 1 && stride == 2 && (is_odd || has_bf16_tiles());
    let gains = match x.kind() {
        Kind::Float => kernel == 3 && stride == 2 && [height, width] == [4, 4],
        Kind::BFloat16 => has_fast_bf16() && (kernel > 1 && kernel % 2 == 1 || is_pointwise),
        _ => false,
    };
    gains
        && channels == weight.size()[1]
        && x.device() == Device::Cpu
        && weight.kind() == Kind::Float
        && x.numel() > 0
}

/// Whether values and the gradient of the input are better as products too: on a processor with tiles, where
/// the library's convolutions of small maps are slower than its products (docs/log.md).
fn multiplies(x: &Tensor, weight: &Tensor, stride: i64) -> bool {
    let [_, _, height, width] = x.size()[..] else { return false };
    let is_small = weight.size()[2] == 3 && stride == 2 && height * width <= MOST_OF_MAP;
    x.kind() == Kind::BFloat16 && has_bf16_tiles() && is_small
}

/// Lines whose columns are made at a time.
fn together(window: Window) -> usize {
    let threads = tch::get_num_threads().max(1) as usize;
    (AT_A_TIME * threads / window.line()).max(1)
}

/// The same where they are summed up to a gradient of so many outputs.
fn summed_together(window: Window, outputs: usize) -> usize {
    together(window).max((ROWS_A_SUM * outputs).div_ceil(window.places(window.width)))
}

/// Memory for the columns of so many lines `[lines x places, K K C]`.
fn memory<T: Value>(window: Window, lines: usize) -> Result<Tensor> {
    let shape = [lines * window.places(window.width), window.row()].map(|side| side as i64);
    Ok(Tensor::f_empty(shape, (T::STORED, Device::Cpu))?)
}

/// The columns of some lines of the result, counted over all pictures `[N, H, W, C]`, by all threads.
fn unfold<T: Value>(
    pictures: &[T],
    window: Window,
    lines: Range<usize>,
    columns: &mut Tensor,
) -> Result<Tensor> {
    let high = window.places(window.height);
    let in_a_share = (SHARE / window.line()).max(1);
    let to = &mut slice_of_mut::<T>(columns)?[..lines.len() * window.line()];
    let shares = to.chunks_mut(in_a_share * window.line());
    threads::each(lines.clone().step_by(in_a_share).zip(shares), |(first, share)| {
        for (line, to) in (first..).zip(share.chunks_exact_mut(window.line())) {
            let picture = &pictures[line / high * window.picture()..][..window.picture()];
            window.unfold(picture, line % high, to);
        }
    })?;
    let rows = lines.len() * window.places(window.width);
    Ok(columns.f_narrow(0, 0, rows as i64)?)
}

/// `dy' columns`, so many lines of the result at a time, added up in f32: `[O, K K C]`.
fn product<T: Value>(x: &Tensor, dy: &Tensor, window: Window, together: usize) -> Result<Tensor> {
    let (x, dy) = (rows(x)?, rows(dy)?);
    let pixels = slice_of::<T>(&x)?;
    let (high, wide) = (window.places(window.height), window.places(window.width));
    let (outputs, lines) = (dy.size()[3], pixels.len() / window.picture() * high);
    let dy = dy.f_view([lines as i64, wide as i64, outputs])?;
    let together = together.min(lines);
    let mut columns = memory::<T>(window, together)?;
    // A stem's rows, 27 or 147 numbers, are no whole blocks.
    let is_even = window.row().is_multiple_of(BLOCK);
    let mut sum: Option<Tensor> = None;
    for from in (0..lines).step_by(together) {
        let count = together.min(lines - from);
        let seen = unfold(pixels, window, from..from + count, &mut columns)?;
        let dy = dy.f_narrow(0, from as i64, count as i64)?.f_reshape([-1, outputs])?;
        let part = if is_even { dy.f_tr()?.f_mm(&seen)? } else { seen.f_tr()?.f_mm(&dy)? };
        sum = Some(match sum {
            Some(mut sum) => sum.f_add_(&part)?,
            None => part.f_to_kind(Kind::Float)?,
        });
    }
    let sum = sum.ok_or_else(|| Error::shape("convolution", "no picture", "one at least"))?;
    Ok(if is_even { sum } else { sum.f_tr()?.f_contiguous()? })
}

/// `[O, K K C]` in the dtype of a product.
fn matrix<T: Value>(weight: &Tensor, window: Window) -> Result<Tensor> {
    let taps = weight.f_to_kind(T::STORED)?.f_permute([0, 2, 3, 1])?;
    Ok(taps.f_reshape([weight.size()[0], window.row() as i64])?)
}

/// `columns W'`, so many lines at a time: the values `[N, O, H', W']`.
fn values<T: Value>(
    x: &Tensor,
    weight: &Tensor,
    window: Window,
    together: usize,
) -> Result<Tensor> {
    let (pictures, x) = (x.size()[0], rows(x)?);
    let pixels = slice_of::<T>(&x)?;
    let (high, wide) = (window.places(window.height), window.places(window.width));
    let (lines, matrix) = (pictures as usize * high, matrix::<T>(weight, window)?.f_tr()?);
    let shape = [pictures, high as i64, wide as i64, weight.size()[0]];
    let y = Tensor::f_empty(shape, (T::STORED, Device::Cpu))?;
    let of_lines = y.f_view([lines as i64, wide as i64, shape[3]])?;
    let together = together.min(lines);
    let mut columns = memory::<T>(window, together)?;
    for from in (0..lines).step_by(together) {
        let count = together.min(lines - from);
        let seen = unfold(pixels, window, from..from + count, &mut columns)?;
        let part = of_lines.f_narrow(0, from as i64, count as i64)?.f_view([-1, shape[3]])?;
        let _ = seen.f_mm_out(&part, &matrix)?;
    }
    Ok(y.f_permute([0, 3, 1, 2])?)
}

/// `dy W`, folded: the gradient of the input `[N, C, H, W]`, as many pictures at a time as
/// have so many lines.
fn input_gradient<T: Value>(
    weight: &Tensor,
    dy: &Tensor,
    window: Window,
    together: usize,
) -> Result<Tensor> {
    let (dy, matrix) = (rows(dy)?, matrix::<T>(weight, window)?);
    let [pictures, high, wide, outputs] = dy.size()[..] else {
        return Err(Error::shape("convolution", format!("{:?}", dy.size()), "[N, C, H, W]"));
    };
    let dy = dy.f_view([pictures, high * wide, outputs])?;
    let shape = [pictures, window.height as i64, window.width as i64, window.channels as i64];
    let mut dx = Tensor::f_empty(shape, (T::STORED, Device::Cpu))?;
    let together = (together / high as usize).clamp(1, pictures as usize);
    let columns = memory::<T>(window, together * high as usize)?;
    let chunks = slice_of_mut::<T>(&mut dx)?.chunks_mut(together * window.picture());
    for (from, chunk) in (0..).step_by(together).zip(chunks) {
        let count = (chunk.len() / window.picture()) as i64;
        let dy = dy.f_narrow(0, from, count)?.f_view([-1, outputs])?;
        let seen = dy.f_mm_out(&columns.f_narrow(0, 0, count * high * wide)?, &matrix)?;
        let lines = slice_of::<T>(&seen)?.chunks_exact(high as usize * window.line());
        let each = lines.zip(chunk.chunks_exact_mut(window.picture()));
        threads::each(each, |(columns, picture)| fold(columns, window, picture))?;
    }
    Ok(dx.f_permute([0, 3, 1, 2])?)
}

struct Columns<const STRIDE: i64>;

impl<const STRIDE: i64> CustomConv for Columns<STRIDE> {
    fn forward(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        if multiplies(x, weight, STRIDE) {
            let window = Window::of(x, weight, STRIDE)?;
            return values::<i16>(x, weight, window, together(window));
        }
        let padding = weight.size()[2] / 2;
        let weight = weight.f_to_kind(x.kind())?;
        Ok(x.f_conv2d(&weight, None::<&Tensor>, [STRIDE; 2], [padding; 2], [1, 1], 1)?)
    }

    fn backward(
        x: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
        wants: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let window = Window::of(x, weight, STRIDE)?;
        let kernel = weight.size()[2];
        let dx = || -> Result<Tensor> {
            if multiplies(x, weight, STRIDE) {
                return input_gradient::<i16>(weight, dy, window, together(window));
            }
            // The transposed convolution is the gradient. Where the last place is not centred on the last row,
            // it would have so many rows less.
            let more = |side: usize| (side as i64 - 1) % STRIDE;
            let more = [more(window.height), more(window.width)];
            let weight = weight.f_to_kind(x.kind())?;
            let (none, padding) = (None::<&Tensor>, [kernel / 2; 2]);
            Ok(dy.f_conv_transpose2d(&weight, none, [STRIDE; 2], padding, more, 1, [1, 1])?)
        };
        let dweight = || -> Result<Tensor> {
            let is_3x3 = STRIDE == 1 && kernel == 3;
            if is_3x3 && let Some(gradient) = winograd::weight_gradient(x, weight, dy)? {
                return Ok(gradient);
            }
            let outputs = weight.size()[0];
            let together = summed_together(window, outputs as usize);
            let sum = match x.kind() {
                Kind::Float => product::<f32>(x, dy, window, together)?,
                _ => product::<i16>(x, dy, window, together)?,
            };
            let shape = [outputs, kernel, kernel, window.channels as i64];
            Ok(sum.f_view(shape)?.f_permute([0, 3, 1, 2])?)
        };
        Ok([wants[0].then(dx).transpose()?, wants[1].then(dweight).transpose()?])
    }
}

#[cfg(test)]
mod tests;
