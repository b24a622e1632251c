//! 3x3 convolutions of stride 2 on maps of 4x4 and 8x8 pixels: the gradient of the weight as one matrix
//! product of what the kernel sees, `dy' columns`. The library's is up to three times slower there
//! (docs/log.md); values and the gradient of the input are its own.

use rayon::prelude::*;
use tch::kind::Element;
use tch::{Device, Kind, Tensor};

use super::custom_conv::{self, CustomConv};
use super::memory::{slice_of, slice_of_mut};
use super::threads;
use crate::device::has_fast_bf16;
use crate::error::Result;

const STRIDE: usize = 2;
const KERNEL: usize = 3;

/// Kernel `[O, C, 3, 3]` in f32, padding 1, on `x [N, C, H, W]`, whose dtype is the result's; None where
/// it would not be faster.
pub fn conv3x3(x: &Tensor, weight: &Tensor) -> Result<Option<Tensor>> {
    if !applies(x, weight) {
        return Ok(None);
    }
    let apply = match x.kind() {
        Kind::Float => custom_conv::apply::<Strided<f32>>,
        _ => custom_conv::apply::<Strided<i16>>,
    };
    apply(x, weight).map(Some)
}

fn applies(x: &Tensor, weight: &Tensor) -> bool {
    let [_, _, height, width] = x.size()[..] else { return false };
    let largest = match x.kind() {
        Kind::Float => 4,
        Kind::BFloat16 if has_fast_bf16() => 8,
        _ => return false,
    };
    x.device() == Device::Cpu
        && weight.kind() == Kind::Float
        && (height, width) == (height.min(largest), height)
        && height % 4 == 0
}

/// bf16 is read as the i16 that it is in memory.
struct Strided<T>(std::marker::PhantomData<T>);

/// A row for each output pixel, `[N, H / 2, W / 2, 3, 3, C]`: the pixels its kernel sees, zero beyond
/// the border.
fn columns<T: Element + Copy + Default + Send + Sync>(x: &Tensor) -> Result<Tensor> {
    let x = x.f_permute([0, 2, 3, 1])?.f_contiguous()?;
    let &[pictures, height, width, channels] = x.size().as_slice() else {
        return Ok(x);
    };
    let taps = (KERNEL * KERNEL) as i64;
    let shape = [pictures * (height / 2) * (width / 2), taps * channels];
    let mut columns = Tensor::f_empty(shape, (x.kind(), Device::Cpu))?;
    let (values, target) = (slice_of::<T>(&x)?, slice_of_mut::<T>(&mut columns)?);
    let [height, width, channels] = [height, width, channels].map(|side| side as usize);
    let row_len = width / STRIDE * KERNEL * KERNEL * channels;
    // A row of output pixels at a time.
    let fill = |(row, target): (usize, &mut [T])| {
        let (picture, i) = (row / (height / STRIDE), row % (height / STRIDE));
        let picture = &values[picture * height * width * channels..][..height * width * channels];
        for (place, target) in target.chunks_exact_mut(channels).enumerate() {
            let (j, tap) = (place / (KERNEL * KERNEL), place % (KERNEL * KERNEL));
            // One pixel of padding.
            let (y, x) = (STRIDE * i + tap / KERNEL, STRIDE * j + tap % KERNEL);
            if (1..=height).contains(&y) && (1..=width).contains(&x) {
                let from = ((y - 1) * width + x - 1) * channels;
                target.copy_from_slice(&picture[from..from + channels]);
            } else {
                target.fill(T::default());
            }
        }
    };
    threads::install(|| target.par_chunks_mut(row_len).enumerate().for_each(fill))?;
    Ok(columns)
}

impl<T: Element + Copy + Default + Send + Sync> CustomConv for Strided<T> {
    fn forward(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let weight = weight.f_to_kind(x.kind())?;
        Ok(x.f_conv2d(&weight, None::<&Tensor>, [2, 2], [1, 1], [1, 1], 1)?)
    }

    fn backward(
        x: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
        wants: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let dx = || -> Result<Tensor> {
            // The transposed convolution is the gradient; an even map needs the last row and column.
            let weight = weight.f_to_kind(x.kind())?;
            let none = None::<&Tensor>;
            Ok(dy.f_conv_transpose2d(&weight, none, [2, 2], [1, 1], [1, 1], 1, [1, 1])?)
        };
        let dweight = || -> Result<Tensor> {
            let outputs = weight.size()[0];
            let rows = dy.f_permute([0, 2, 3, 1])?.f_reshape([-1, outputs])?;
            let sum = rows.f_tr()?.f_mm(&columns::<T>(x)?)?.f_to_kind(weight.kind())?;
            Ok(sum.f_view([outputs, 3, 3, -1])?.f_permute([0, 3, 1, 2])?)
        };
        Ok([wants[0].then(dx).transpose()?, wants[1].then(dweight).transpose()?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// y, dx and dw, by the library in f64 where `kind` is that.
    fn run(x: &Tensor, w: &Tensor, kind: Kind) -> [Tensor; 3] {
        let leaf = |t: &Tensor, kind| t.to_kind(kind).copy().set_requires_grad(true);
        let x = leaf(x, kind);
        let w = leaf(w, if kind == Kind::Double { kind } else { Kind::Float });
        let y = match kind {
            Kind::Float => custom_conv::apply::<Strided<f32>>(&x, &w).unwrap(),
            Kind::BFloat16 => custom_conv::apply::<Strided<i16>>(&x, &w).unwrap(),
            _ => x.conv2d(&w, None::<&Tensor>, [2, 2], [1, 1], [1, 1], 1),
        };
        assert_eq!(y.kind(), kind);
        let g = Tensor::arange(y.numel() as i64, (Kind::Double, Device::Cpu)).sin();
        (&y * g.to_kind(Kind::BFloat16).to_kind(kind).view_as(&y)).sum(kind).backward();
        [y.detach(), x.grad(), w.grad()]
    }

    #[test]
    fn it_equals_the_convolution_and_its_gradients() {
        tch::manual_seed(3);
        let coarse = |shape: &[i64]| {
            let values = Tensor::randn(shape, (Kind::Float, Device::Cpu));
            values.to_kind(Kind::BFloat16).to_kind(Kind::Float)
        };
        for (kind, tolerance) in [(Kind::Float, 1e-6), (Kind::BFloat16, 1e-2)] {
            for (n, c, o, side) in [(5, 6, 7, 4), (3, 16, 24, 8), (70, 32, 16, 8)] {
                let (x, w) = (coarse(&[n, c, side, side]), coarse(&[o, c, 3, 3]));
                let x = super::super::store::channels_last(&x).unwrap();
                let (fast, plain) = (run(&x, &w, kind), run(&x, &w, Kind::Double));
                for (which, (fast, plain)) in ["y", "dx", "dw"].iter().zip(fast.iter().zip(&plain))
                {
                    assert_eq!(fast.size(), plain.size());
                    let scale = plain.abs().max().double_value(&[]);
                    let off = (fast.to_kind(Kind::Double) - plain).abs().max().double_value(&[]);
                    assert!(off < tolerance * scale, "{which} {kind:?} {n}: {off} of {scale}");
                }
            }
        }
    }

    #[test]
    fn other_maps_and_dtypes_are_left_to_the_library() {
        let map = |side, kind| Tensor::zeros([2, 4, side, side], (kind, Device::Cpu));
        let w = Tensor::zeros([4, 4, 3, 3], (Kind::Float, Device::Cpu));
        assert!(applies(&map(4, Kind::Float), &w));
        assert!(!applies(&map(8, Kind::Float), &w));
        assert_eq!(applies(&map(8, Kind::BFloat16), &w), has_fast_bf16());
        assert!(!applies(&map(16, Kind::BFloat16), &w));
        assert!(!applies(&map(4, Kind::Double), &w));
        assert!(!applies(&map(5, Kind::Float), &w));
        assert!(!applies(&Tensor::zeros([2, 4, 4, 8], (Kind::Float, Device::Cpu)), &w));
    }
}
