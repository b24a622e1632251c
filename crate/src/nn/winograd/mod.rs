//! 3x3 convolutions of stride 1 in f32 and bf16 by Winograd's minimal filtering, F(4x4, 3x3) (Lavin and
//! Gray 2015): 36 products for 16 outputs where the plain sum needs 144. The result is that of the
//! convolution but for rounding; tests hold it to 2e-5 of the greatest value in f32 and, in bf16, whose
//! products round the transforms to 8 bits, to a fiftieth of the values' spread.
//!
//! Forward:  V = B'dB, U = GgG', M = UV (a product of matrices for each of 36 points), Y = A'MA.
//! Backward: dM = A dY A', dV = U'dM, dX = B dV B', dU = dM V', dg = G'dU G: the same maps, transposed.

mod transform;

use std::marker::PhantomData;

use tch::{Device, Kind, Tensor};

use super::custom_conv::{self, CustomConv};
use super::memory::{rows, slice_of, slice_of_mut};
use super::value::{LANES, Value};
use super::wide::has_wide_vectors;
use crate::error::{Error, Result};
use crate::processor::{has_bf16_tiles, has_fast_bf16};
use crate::threads;
use transform::{
    Finish, Map, POINTS, Place, Points, gradient_to_points, input_to_points, points_to_gradient,
    points_to_output,
};

/// Bytes of transforms in work at a time, a thread: they should stay in cache between their making and
/// their product.
const CHUNK_BYTES: usize = 2 << 20;
/// With fewer tiles, transforming the kernel costs more than its products save (docs/log.md).
const LEAST_TILES: usize = 64;
/// Of larger kernels (inputs x outputs), a gradient's 36 points are more than the columns' nine taps save.
const MOST_OF_KERNEL: i64 = 128 * 128;
/// On smaller maps most of a tile lies beyond the border.
const LEAST_MAP: i64 = 4;

/// Kernel `[O, C, 3, 3]` in f32, stride 1, padding 1, on `x [N, C, H, W]`, whose dtype is the result's;
/// None where it would not be faster.
pub fn conv3x3(x: &Tensor, weight: &Tensor) -> Result<Option<Tensor>> {
    if !applies(x, weight) {
        return Ok(None);
    }
    let apply = match x.kind() {
        Kind::Float => custom_conv::apply::<Winograd<f32>>,
        _ => custom_conv::apply::<Winograd<i16>>,
    };
    apply(x, weight).map(Some)
}

/// The same where `applies` holds, with bias, shortcut and ReLU, for what nobody differentiates.
pub fn fused(x: &Tensor, weight: &Tensor, after: &After<'_>) -> Result<Tensor> {
    match x.kind() {
        Kind::Float => forward::<f32>(x, weight, after),
        _ => forward::<i16>(x, weight, after),
    }
}

/// What is done to the result where it is written.
#[derive(Debug, Default)]
pub struct After<'a> {
    /// One f32 a channel, added.
    pub bias: Option<&'a Tensor>,
    /// Of the result's shape and dtype, added.
    pub shortcut: Option<&'a Tensor>,
    /// Negative sums become 0.
    pub relu: bool,
}

/// Whether it is faster than the library, whose products of bf16 tiles need no fewer multiplications.
pub fn applies(x: &Tensor, weight: &Tensor) -> bool {
    has_loops(x, weight) && !(x.kind() == Kind::BFloat16 && has_bf16_tiles())
}

/// The gradient of the weight alone, in f32, of values in bf16, where it is faster than as a product of
/// columns.
pub fn weight_gradient(x: &Tensor, weight: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
    let size = weight.size();
    let gains = x.kind() == Kind::BFloat16 && size[0] * size[1] <= MOST_OF_KERNEL;
    if !gains || !has_loops(x, weight) {
        return Ok(None);
    }
    let [_, gradient] = Winograd::<i16>::backward(x, weight, dy, [false, true])?;
    Ok(gradient)
}

/// Whether the loops can do it, and there is enough of it.
fn has_loops(x: &Tensor, weight: &Tensor) -> bool {
    let (size, kernel) = (x.size(), weight.size());
    let [_, channels, height, width] = size[..] else { return false };
    let map = Map { height: height as usize, width: width as usize, channels: channels as usize };
    x.device() == Device::Cpu
        && (x.kind() == Kind::Float || x.kind() == Kind::BFloat16 && has_fast_bf16())
        && weight.kind() == Kind::Float
        && channels % LANES as i64 == 0
        && kernel[0] % LANES as i64 == 0
        && height.min(width) >= LEAST_MAP
        && size[0] as usize * map.tiles() >= LEAST_TILES
        && has_wide_vectors()
}

/// The maps before and after, and how the pictures are cut into chunks.
struct Plan<T> {
    pictures: usize,
    inputs: Map,
    outputs: Map,
    /// Pictures a chunk.
    chunk: usize,
    value: PhantomData<T>,
}

impl<T: Value> Plan<T> {
    fn new(x: &Tensor, weight: &Tensor) -> Self {
        let size: Vec<usize> = x.size().iter().map(|&side| side as usize).collect();
        let map = |channels: usize| Map { height: size[2], width: size[3], channels };
        let (inputs, outputs) = (map(size[1]), map(weight.size()[0] as usize));
        let numbers = POINTS * inputs.tiles() * (inputs.channels + outputs.channels);
        let bytes = CHUNK_BYTES * tch::get_num_threads().max(1) as usize;
        let chunk = (bytes / (numbers * size_of::<T>())).clamp(1, size[0].max(1));
        Self { pictures: size[0], inputs, outputs, chunk, value: PhantomData }
    }

    /// The first picture and the pictures of each chunk.
    fn chunks(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.pictures)
            .step_by(self.chunk)
            .map(|first| (first, self.chunk.min(self.pictures - first)))
    }

    /// Memory for the points of some pictures `[36, tiles, C]`. An even number of tiles gets one more,
    /// of zeros: with a power of two between them, 36 numbers of a tile would share a few cache lines.
    fn points(&self, pictures: usize, map: Map) -> Result<Tensor> {
        let tiles = (pictures * map.tiles()) as i64;
        let shape = [POINTS as i64, tiles | 1, map.channels as i64];
        let points = Tensor::f_empty(shape, (T::STORED, Device::Cpu))?;
        if shape[1] > tiles {
            let _ = points.f_select(1, tiles)?.f_zero_()?;
        }
        Ok(points)
    }

    /// Memory for the points of a chunk; the last chunk may be smaller and gets its own.
    fn part(&self, whole: &Tensor, pictures: usize, map: Map) -> Result<Tensor> {
        if pictures == self.chunk { Ok(whole.shallow_clone()) } else { self.points(pictures, map) }
    }

    /// Memory for the pictures' values `[N, H, W, C]`.
    fn values(&self, map: Map) -> Result<Tensor> {
        let shape = [self.pictures, map.height, map.width, map.channels].map(|side| side as i64);
        Ok(Tensor::f_empty(shape, (T::STORED, Device::Cpu))?)
    }
}

/// Pictures `first..first + count` of `[N, H, W, C]` to points, by all threads.
fn transform<T: Value>(
    values: &[T],
    map: Map,
    (first, count): (usize, usize),
    points: &mut Tensor,
    each: impl Fn(&[T], Map, Points<T>, Place) + Sync,
) -> Result<()> {
    let tiles = points.size()[1] as usize;
    let target = Points(points.data_ptr().cast(), POINTS * tiles * map.channels);
    let pictures = &values[first * map.len()..(first + count) * map.len()];
    threads::each(pictures.chunks(map.len()).enumerate(), |(index, picture)| {
        each(picture, map, target, Place { first: index * map.tiles(), tiles });
    })
}

/// Points to the pictures `first..first + count` that they belong to, by all threads; `each` is told the
/// picture's number.
fn restore<T: Value>(
    points: &Tensor,
    map: Map,
    pictures: &mut [T],
    (first, count): (usize, usize),
    each: impl Fn(&[T], Place, Map, &mut [T], usize) + Sync,
) -> Result<()> {
    let tiles = points.size()[1] as usize;
    let values = slice_of(points)?;
    let pictures = &mut pictures[first * map.len()..(first + count) * map.len()];
    threads::each(pictures.chunks_mut(map.len()).enumerate(), |(index, picture)| {
        each(values, Place { first: index * map.tiles(), tiles }, map, picture, first + index);
    })
}

/// U = GgG' as `[36, O, C]`.
fn kernel_points<T: Value>(weight: &Tensor) -> Result<Tensor> {
    let (size, g) = (weight.size(), kernel_matrix::<T>()?);
    let taps = weight.f_permute([2, 3, 0, 1])?.f_reshape([3, -1])?;
    let tall = g.f_matmul(&taps)?.f_view([6, 3, -1])?;
    Ok(g.f_matmul(&tall)?.f_view([POINTS as i64, size[0], size[1]])?)
}

/// dg = G'dU G as `[O, C, 3, 3]`.
fn kernel_gradient<T: Value>(points: &Tensor) -> Result<Tensor> {
    let (size, g) = (points.size(), kernel_matrix::<T>()?.f_tr()?);
    let tall = g.f_matmul(&points.f_view([6, -1])?)?.f_view([3, 6, -1])?;
    Ok(g.f_matmul(&tall)?.f_view([3, 3, size[1], size[2]])?.f_permute([2, 3, 0, 1])?)
}

/// G of F(4x4, 3x3): each point's powers, divided by its differences from the others.
fn kernel_matrix<T: Value>() -> Result<Tensor> {
    let (p, q) = (f64::from(T::P), f64::from(T::Q));
    let (pp, qq) = (p * p, q * q);
    let row = |x: f64, differences: f64| [1.0, x, x * x].map(|power| power / differences);
    let (by_p, by_q) = (2.0 * pp * (pp - qq), 2.0 * qq * (qq - pp));
    let rows = [
        row(0.0, pp * qq),
        row(p, by_p),
        row(-p, by_p),
        row(q, by_q),
        row(-q, by_q),
        [0.0, 0.0, 1.0],
    ];
    Ok(Tensor::f_from_slice(rows.as_flattened())?.f_view([6, 3])?.f_to_kind(Kind::Float)?)
}

struct Winograd<T>(PhantomData<T>);

fn forward<T: Value>(x: &Tensor, weight: &Tensor, after: &After<'_>) -> Result<Tensor> {
    let plan = Plan::<T>::new(x, weight);
    let (x, kernel) = (rows(x)?, kernel_points::<T>(weight)?.f_to_kind(T::STORED)?);
    let kernel = kernel.f_transpose(1, 2)?;
    let shortcut = after.shortcut.map(rows).transpose()?;
    let shortcut = shortcut.as_ref().map(slice_of::<T>).transpose()?;
    let bias = after.bias.map(slice_of::<f32>).transpose()?;
    let mut y = plan.values(plan.outputs)?;
    let (values, target) = (slice_of::<T>(&x)?, slice_of_mut::<T>(&mut y)?);
    let (all_v, all_m) =
        (plan.points(plan.chunk, plan.inputs)?, plan.points(plan.chunk, plan.outputs)?);
    let (size, relu) = (plan.outputs.len(), after.relu);
    for chunk in plan.chunks() {
        let mut v = plan.part(&all_v, chunk.1, plan.inputs)?;
        let m = plan.part(&all_m, chunk.1, plan.outputs)?;
        transform(values, plan.inputs, chunk, &mut v, input_to_points)?;
        let m = v.f_bmm_out(&m, &kernel)?;
        restore(&m, plan.outputs, target, chunk, |points, place, map, picture, index| {
            let shortcut = shortcut.map(|values| &values[index * size..][..size]);
            let finish = Finish { bias, shortcut, relu };
            points_to_output(points, place, map, picture, finish);
        })?;
    }
    Ok(y.f_permute([0, 3, 1, 2])?)
}

impl<T: Value> CustomConv for Winograd<T> {
    fn forward(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        forward::<T>(x, weight, &After::default())
    }

    fn backward(
        x: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
        wants: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let plan = Plan::<T>::new(x, weight);
        let (x, dy, size) = (rows(x)?, rows(dy)?, weight.size());
        let kernel = || Ok::<_, Error>(kernel_points::<T>(weight)?.f_to_kind(T::STORED)?);
        let kernel = wants[0].then(kernel).transpose()?;
        let mut dx = wants[0].then(|| plan.values(plan.inputs)).transpose()?;
        // Summed over the chunks in f32.
        let shape = [POINTS as i64, size[0], size[1]];
        let zeros = || Tensor::f_zeros(shape, (Kind::Float, Device::Cpu));
        let mut du = wants[1].then(zeros).transpose()?;
        let (values, gradients) = (slice_of::<T>(&x)?, slice_of::<T>(&dy)?);
        let all_dm = plan.points(plan.chunk, plan.outputs)?;
        let all_v = plan.points(plan.chunk, plan.inputs)?;
        for chunk in plan.chunks() {
            let mut dm = plan.part(&all_dm, chunk.1, plan.outputs)?;
            let mut v = plan.part(&all_v, chunk.1, plan.inputs)?;
            transform(gradients, plan.outputs, chunk, &mut dm, gradient_to_points)?;
            if let Some(du) = &mut du {
                transform(values, plan.inputs, chunk, &mut v, input_to_points)?;
                let transposed = dm.f_transpose(1, 2)?;
                let _ = match T::STORED {
                    Kind::Float => du.f_baddbmm_(&transposed, &v)?,
                    _ => du.f_add_(&transposed.f_bmm(&v)?)?,
                };
            }
            if let (Some(dx), Some(kernel)) = (&mut dx, &kernel) {
                // Of the same shape as V, which is done with.
                let dv = dm.f_bmm_out(&v, kernel)?;
                let target = slice_of_mut::<T>(dx)?;
                restore(&dv, plan.inputs, target, chunk, |points, place, map, picture, _| {
                    points_to_gradient(points, place, map, picture);
                })?;
            }
        }
        let dx = dx.map(|dx| dx.f_permute([0, 3, 1, 2])).transpose()?;
        Ok([dx, du.map(|du| kernel_gradient::<T>(&du)).transpose()?])
    }
}

#[cfg(test)]
mod tests;
