//! 3x3 convolutions of stride 1 in f32 by Winograd's minimal filtering, F(4x4, 3x3) (Lavin and Gray
//! 2015): 36 products for 16 outputs where the plain sum needs 144. The result is that of the
//! convolution but for rounding; a test holds it to 1e-5 of the greatest value.
//!
//! Forward:  V = B'dB, U = GgG', M = UV (a product of matrices for each of 36 points), Y = A'MA.
//! Backward: dM = A dY A', dV = U'dM, dX = B dV B', dU = dM V', dg = G'dU G: the same maps, transposed.

mod transform;

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::custom_conv::{self, CustomConv};
use super::threads;
use crate::error::Result;
use transform::{
    LANES, Map, POINTS, Place, Points, gradient_to_points, has_wide_vectors, input_to_points,
    points_to_gradient, points_to_output,
};

/// Bytes of transforms in work at a time: they should stay in cache between their making and their
/// product.
const CHUNK_BYTES: usize = 4 << 20;
/// With fewer tiles, transforming the kernel costs more than its products save (docs/log.md).
const LEAST_TILES: usize = 64;
/// On smaller maps most of a tile lies beyond the border.
const LEAST_MAP: i64 = 4;

/// Kernel `[O, C, 3, 3]`, stride 1, padding 1, on `x [N, C, H, W]`; None where it would not be faster.
pub fn conv3x3(x: &Tensor, weight: &Tensor) -> Result<Option<Tensor>> {
    if !applies(x, weight) {
        return Ok(None);
    }
    custom_conv::apply::<Winograd>(x, weight).map(Some)
}

fn applies(x: &Tensor, weight: &Tensor) -> bool {
    let (size, kernel) = (x.size(), weight.size());
    let [_, channels, height, width] = size[..] else { return false };
    x.device() == Device::Cpu
        && x.kind() == Kind::Float
        && channels % LANES as i64 == 0
        && kernel[0] % LANES as i64 == 0
        && height.min(width) >= LEAST_MAP
        && Plan::new(x, weight).tiles() >= LEAST_TILES
        && has_wide_vectors()
}

/// Numbers `[N, H, W, C]` in this order in memory: as they are where x is channels-last.
fn rows(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?)
}

fn floats(tensor: &Tensor) -> Result<&[f32]> {
    super::memory::slice_of(tensor)
}

/// The maps before and after, and how the pictures are cut into chunks.
struct Plan {
    pictures: usize,
    inputs: Map,
    outputs: Map,
    /// Pictures a chunk.
    chunk: usize,
}

impl Plan {
    fn new(x: &Tensor, weight: &Tensor) -> Self {
        let size: Vec<usize> = x.size().iter().map(|&side| side as usize).collect();
        let map = |channels: usize| Map { height: size[2], width: size[3], channels };
        let (inputs, outputs) = (map(size[1]), map(weight.size()[0] as usize));
        let bytes = POINTS * inputs.tiles() * (inputs.channels + outputs.channels) * 4;
        let chunk = (CHUNK_BYTES / bytes).clamp(1, size[0].max(1));
        Self { pictures: size[0], inputs, outputs, chunk }
    }

    /// Tiles of all pictures.
    fn tiles(&self) -> usize {
        self.pictures * self.outputs.tiles()
    }

    /// The first picture and the pictures of each chunk.
    fn chunks(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.pictures)
            .step_by(self.chunk)
            .map(|first| (first, self.chunk.min(self.pictures - first)))
    }

    fn points(&self, pictures: usize, map: Map) -> Result<Tensor> {
        let shape = [POINTS, pictures * map.tiles(), map.channels].map(|side| side as i64);
        Ok(Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?)
    }

    /// Memory for the points of a chunk; the last chunk may be smaller and gets its own.
    fn part(&self, whole: &Tensor, pictures: usize, map: Map) -> Result<Tensor> {
        if pictures == self.chunk { Ok(whole.shallow_clone()) } else { self.points(pictures, map) }
    }

    fn shape(&self, map: Map) -> [i64; 4] {
        [self.pictures, map.height, map.width, map.channels].map(|side| side as i64)
    }
}

/// Pictures `first..first + count` of `[N, H, W, C]` to points, by all threads.
fn transform(
    values: &[f32],
    map: Map,
    (first, count): (usize, usize),
    points: &mut Tensor,
    each: impl Fn(&[f32], Map, Points, Place) + Sync,
) -> Result<()> {
    let tiles = count * map.tiles();
    let target = Points(points.data_ptr().cast(), POINTS * tiles * map.channels);
    let pictures = &values[first * map.len()..(first + count) * map.len()];
    threads::install(|| {
        pictures.par_chunks(map.len()).enumerate().for_each(|(index, picture)| {
            each(picture, map, target, Place { first: index * map.tiles(), tiles });
        });
    })
}

/// Points to the pictures they belong to, by all threads.
fn restore(
    points: &Tensor,
    map: Map,
    pictures: &mut [f32],
    each: impl Fn(&[f32], Place, Map, &mut [f32]) + Sync,
) -> Result<()> {
    let tiles = points.size()[1] as usize;
    let values = floats(points)?;
    threads::install(|| {
        pictures.par_chunks_mut(map.len()).enumerate().for_each(|(index, picture)| {
            each(values, Place { first: index * map.tiles(), tiles }, map, picture);
        });
    })
}

/// U = GgG' as `[36, O, C]`.
fn kernel_points(weight: &Tensor) -> Result<Tensor> {
    let (size, g) = (weight.size(), kernel_matrix()?);
    let taps = weight.f_permute([2, 3, 0, 1])?.f_reshape([3, -1])?;
    let tall = g.f_matmul(&taps)?.f_view([6, 3, -1])?;
    Ok(g.f_matmul(&tall)?.f_view([POINTS as i64, size[0], size[1]])?)
}

/// dg = G'dU G as `[O, C, 3, 3]`.
fn kernel_gradient(points: &Tensor) -> Result<Tensor> {
    let (size, g) = (points.size(), kernel_matrix()?.f_tr()?);
    let tall = g.f_matmul(&points.f_view([6, -1])?)?.f_view([3, 6, -1])?;
    Ok(g.f_matmul(&tall)?.f_view([3, 3, size[1], size[2]])?.f_permute([2, 3, 0, 1])?)
}

/// G of F(4x4, 3x3).
fn kernel_matrix() -> Result<Tensor> {
    const G: [[f64; 3]; 6] = [
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];
    Ok(Tensor::f_from_slice(G.as_flattened())?.f_view([6, 3])?.f_to_kind(Kind::Float)?)
}

struct Winograd;

impl CustomConv for Winograd {
    fn forward(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let plan = Plan::new(x, weight);
        let (x, kernel) = (rows(x)?, kernel_points(weight)?.f_transpose(1, 2)?);
        let mut y = Tensor::f_empty(plan.shape(plan.outputs), (Kind::Float, Device::Cpu))?;
        let values = floats(&x)?;
        let target = super::memory::slice_of_mut::<f32>(&mut y)?;
        let (all_v, all_m) =
            (plan.points(plan.chunk, plan.inputs)?, plan.points(plan.chunk, plan.outputs)?);
        for (first, count) in plan.chunks() {
            let (mut v, mut m) =
                (plan.part(&all_v, count, plan.inputs)?, plan.part(&all_m, count, plan.outputs)?);
            transform(values, plan.inputs, (first, count), &mut v, input_to_points)?;
            m = v.f_bmm_out(&m, &kernel)?;
            let size = plan.outputs.len();
            restore(
                &m,
                plan.outputs,
                &mut target[first * size..][..count * size],
                points_to_output,
            )?;
        }
        Ok(y.f_permute([0, 3, 1, 2])?)
    }

    fn backward(
        x: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
        wants: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let plan = Plan::new(x, weight);
        let (x, dy, kernel) = (rows(x)?, rows(dy)?, kernel_points(weight)?);
        let zeros = || Tensor::f_zeros(plan.shape(plan.inputs), (Kind::Float, Device::Cpu));
        let mut dx = wants[0].then(zeros).transpose()?;
        let mut du = wants[1].then(|| kernel.f_zeros_like()).transpose()?;
        let (values, gradients) = (floats(&x)?, floats(&dy)?);
        let all_dm = plan.points(plan.chunk, plan.outputs)?;
        let all_v = plan.points(plan.chunk, plan.inputs)?;
        for (first, count) in plan.chunks() {
            let mut dm = plan.part(&all_dm, count, plan.outputs)?;
            let mut v = plan.part(&all_v, count, plan.inputs)?;
            transform(gradients, plan.outputs, (first, count), &mut dm, gradient_to_points)?;
            if let Some(du) = &mut du {
                transform(values, plan.inputs, (first, count), &mut v, input_to_points)?;
                let _ = du.f_baddbmm_(&dm.f_transpose(1, 2)?, &v)?;
            }
            if let Some(dx) = &mut dx {
                // Of the same shape as V, which is done with.
                let dv = dm.f_bmm_out(&v, &kernel)?;
                let size = plan.inputs.len();
                let target = super::memory::slice_of_mut::<f32>(dx)?;
                let target = &mut target[first * size..][..count * size];
                restore(&dv, plan.inputs, target, points_to_gradient)?;
            }
        }
        let dx = dx.map(|dx| dx.f_permute([0, 3, 1, 2])).transpose()?;
        Ok([dx, du.map(|du| kernel_gradient(&du)).transpose()?])
    }
}

#[cfg(test)]
mod tests;
