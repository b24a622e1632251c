//! Convolutions whose gradient of the weight is a matrix product of what the kernel sees, `dy' columns`;
//! values and the gradient of the input are the library's.
//!
//! In f32 that is up to three times faster on maps of 4x4. In bf16 the library's threads wait for each
//! other within this gradient, picture by picture and without ever sleeping: beside another program that
//! computes it takes a hundred times as long, and training a twentieth of its speed (docs/log.md).

use tch::{Device, Kind, Tensor};

use super::custom_conv::{self, CustomConv};
use super::memory::{slice_of, slice_of_mut};
use super::value::{LANES, Value};
use crate::device::has_fast_bf16;
use crate::error::{Error, Result};
use crate::threads;

/// Numbers of the columns that are made at a time: they should still be in cache when they are
/// multiplied, and the product should be a long one.
const AT_A_TIME: usize = 1 << 20;

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
    let [_, _, height, width] = x.size()[..] else { return false };
    let kernel = weight.size()[2];
    let gains = match x.kind() {
        Kind::Float => kernel == 3 && stride == 2 && [height, width] == [4, 4],
        Kind::BFloat16 => has_fast_bf16() && kernel > 1,
        _ => false,
    };
    gains && x.device() == Device::Cpu && weight.kind() == Kind::Float && x.numel() > 0
}

/// A picture's map, and the kernel that moves over it.
#[derive(Clone, Copy)]
struct Window {
    height: usize,
    width: usize,
    channels: usize,
    kernel: usize,
    stride: usize,
}

impl Window {
    fn of(x: &Tensor, weight: &Tensor, stride: i64) -> Result<Self> {
        let [_, channels, height, width] = x.size()[..] else {
            return Err(Error::shape("convolution", format!("{:?}", x.size()), "[N, C, H, W]"));
        };
        let [height, width, channels, kernel, stride] =
            [height, width, channels, weight.size()[2], stride].map(|side| side as usize);
        Ok(Self { height, width, channels, kernel, stride })
    }

    /// Places of the kernel along a side.
    fn places(self, side: usize) -> usize {
        (side - 1) / self.stride + 1
    }

    /// Numbers that the kernel sees at one place.
    fn row(self) -> usize {
        self.kernel * self.kernel * self.channels
    }

    /// Numbers that it sees in a picture.
    fn columns(self) -> usize {
        self.places(self.height) * self.places(self.width) * self.row()
    }

    /// For each place of the kernel, row by row, what it sees `[K, K, C]` of the picture `[H, W, C]`, zero
    /// beyond the border.
    fn unfold<T: Copy + Default>(self, picture: &[T], columns: &mut [T]) {
        let Self { height, width, channels, kernel, stride } = self;
        let padding = kernel / 2;
        let mut places = columns.chunks_exact_mut(self.row());
        for top in (0..self.places(height)).map(|y| y * stride) {
            for left in (0..self.places(width)).map(|x| x * stride) {
                let Some(seen) = places.next() else { return };
                // The pixels of a row that the kernel sees are neighbours in memory.
                let before = padding.saturating_sub(left);
                let first = (left + before - padding) * channels;
                let count = (kernel.min(width + padding - left) - before) * channels;
                let before = before * channels;
                for (y, to) in (top..).zip(seen.chunks_exact_mut(kernel * channels)) {
                    if y < padding || y >= height + padding {
                        to.fill(T::default());
                        continue;
                    }
                    let from = (y - padding) * width * channels + first;
                    to[..before].fill(T::default());
                    to[before..before + count].copy_from_slice(&picture[from..from + count]);
                    to[before + count..].fill(T::default());
                }
            }
        }
    }
}

/// `dy' columns`, a few pictures at a time, added up in f32: `[O, K K C]`.
fn product<T: Value>(x: &Tensor, dy: &Tensor, window: Window) -> Result<Tensor> {
    let rows =
        |map: &Tensor| -> Result<Tensor> { Ok(map.f_permute([0, 2, 3, 1])?.f_contiguous()?) };
    let (x, dy) = (rows(x)?, rows(dy)?);
    let (pictures, outputs) = (x.size()[0], dy.size()[3]);
    let together = (AT_A_TIME / window.columns()).max(1) as i64;
    let places = (window.columns() / window.row()) as i64;
    let of_picture = window.height * window.width * window.channels;
    // The library packs the factor on the right in blocks of so many numbers: a stem's rows fill none.
    let is_even = window.row().is_multiple_of(LANES);
    let shape = [together.min(pictures) * places, window.row() as i64];
    let mut columns = Tensor::f_empty(shape, (T::STORED, Device::Cpu))?;
    let mut sum: Option<Tensor> = None;
    for from in (0..pictures).step_by(together as usize) {
        let count = together.min(pictures - from);
        let seen = slice_of::<T>(&x)?.chunks_exact(of_picture).skip(from as usize);
        let to = slice_of_mut::<T>(&mut columns)?.chunks_exact_mut(window.columns());
        threads::each(seen.zip(to).take(count as usize), |(picture, to)| {
            window.unfold(picture, to);
        })?;
        let dy = dy.f_narrow(0, from, count)?.f_reshape([-1, outputs])?;
        let seen = columns.f_narrow(0, 0, count * places)?;
        let part = if is_even { dy.f_tr()?.f_mm(&seen)? } else { seen.f_tr()?.f_mm(&dy)? };
        sum = Some(match sum {
            Some(mut sum) => sum.f_add_(&part)?,
            None => part.f_to_kind(Kind::Float)?,
        });
    }
    let sum = sum.ok_or_else(|| Error::shape("convolution", "no picture", "one at least"))?;
    Ok(if is_even { sum } else { sum.f_tr()?.f_contiguous()? })
}

struct Columns<const STRIDE: i64>;

impl<const STRIDE: i64> CustomConv for Columns<STRIDE> {
    fn forward(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
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
            // The transposed convolution is the gradient; rows and columns that no kernel ends at are more.
            let more = |side: usize| {
                side as i64 - kernel + 2 * (kernel / 2) - (window.places(side) as i64 - 1) * STRIDE
            };
            let more = [more(window.height), more(window.width)];
            let weight = weight.f_to_kind(x.kind())?;
            let (none, padding) = (None::<&Tensor>, [kernel / 2; 2]);
            Ok(dy.f_conv_transpose2d(&weight, none, [STRIDE; 2], padding, more, 1, [1, 1])?)
        };
        let dweight = || -> Result<Tensor> {
            let sum = match x.kind() {
                Kind::Float => product::<f32>(x, dy, window)?,
                _ => product::<i16>(x, dy, window)?,
            };
            let shape = [weight.size()[0], kernel, kernel, window.channels as i64];
            Ok(sum.f_view(shape)?.f_permute([0, 3, 1, 2])?)
        };
        Ok([wants[0].then(dx).transpose()?, wants[1].then(dweight).transpose()?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// y, dx and dw, by the library in f64 where `kind` is that.
    fn run<const STRIDE: i64>(x: &Tensor, w: &Tensor, kind: Kind) -> [Tensor; 3] {
        let leaf = |t: &Tensor, kind| t.to_kind(kind).copy().set_requires_grad(true);
        let padding = w.size()[2] / 2;
        let x = leaf(x, kind);
        let w = leaf(w, if kind == Kind::Double { kind } else { Kind::Float });
        let y = match kind {
            Kind::Double => x.conv2d(&w, None::<&Tensor>, [STRIDE; 2], [padding; 2], [1, 1], 1),
            _ => custom_conv::apply::<Columns<STRIDE>>(&x, &w).unwrap(),
        };
        assert_eq!(y.kind(), kind);
        let g = Tensor::arange(y.numel() as i64, (Kind::Double, Device::Cpu)).sin();
        (&y * g.to_kind(Kind::BFloat16).to_kind(kind).view_as(&y)).sum(kind).backward();
        [y.detach(), x.grad(), w.grad()]
    }

    fn compare<const STRIDE: i64>([n, c, o, height, width, kernel]: [i64; 6]) {
        tch::manual_seed(3);
        let coarse = |shape: &[i64]| {
            let values = Tensor::randn(shape, (Kind::Float, Device::Cpu));
            values.to_kind(Kind::BFloat16).to_kind(Kind::Float)
        };
        let (x, w) = (coarse(&[n, c, height, width]), coarse(&[o, c, kernel, kernel]));
        let x = super::super::store::channels_last(&x).unwrap();
        let plain = run::<STRIDE>(&x, &w, Kind::Double);
        for (kind, tolerance) in [(Kind::Float, 2e-6), (Kind::BFloat16, 1e-2)] {
            let fast = run::<STRIDE>(&x, &w, kind);
            for (which, (fast, plain)) in ["y", "dx", "dw"].iter().zip(fast.iter().zip(&plain)) {
                assert_eq!(fast.size(), plain.size());
                let scale = plain.abs().max().double_value(&[]);
                let off = (fast.to_kind(Kind::Double) - plain).abs().max().double_value(&[]);
                assert!(off < tolerance * scale, "{which} {kind:?} {n} {c}: {off} of {scale}");
            }
        }
    }

    #[test]
    fn it_equals_the_convolution_and_its_gradients() {
        for of in [[5, 6, 7, 4, 4, 3], [3, 16, 24, 8, 8, 3], [70, 32, 16, 8, 8, 3]] {
            compare::<2>(of);
        }
        // Odd maps, another height than width, maps smaller than the kernel, a stem of 7x7.
        for of in
            [[2, 4, 5, 7, 10, 3], [3, 3, 16, 13, 9, 7], [2, 3, 8, 2, 1, 7], [1, 2, 3, 1, 1, 3]]
        {
            compare::<2>(of);
            compare::<1>(of);
        }
    }

    #[test]
    fn pictures_are_added_up_over_several_products() {
        let of = [29, 3, 16, 45, 46, 7];
        let columns = of[0] * 23 * 23 * 3 * 49;
        assert!(columns as usize > AT_A_TIME && !(columns as usize).is_multiple_of(AT_A_TIME));
        compare::<2>(of);
    }

    #[test]
    fn other_kernels_and_dtypes_are_left_to_the_library() {
        let map = |side, kind| Tensor::zeros([2, 4, side, side], (kind, Device::Cpu));
        let kernel = |side| Tensor::zeros([4, 4, side, side], (Kind::Float, Device::Cpu));
        let w = kernel(3);
        assert!(applies(&map(4, Kind::Float), &w, 2));
        assert!(!applies(&map(4, Kind::Float), &w, 1));
        assert!(!applies(&map(4, Kind::Float), &kernel(7), 2));
        assert!(!applies(&map(8, Kind::Float), &w, 2));
        assert!(!applies(&Tensor::zeros([2, 4, 4, 8], (Kind::Float, Device::Cpu)), &w, 2));
        for (side, kernel) in [(4, kernel(3)), (9, kernel(3)), (16, kernel(7))] {
            assert_eq!(applies(&map(side, Kind::BFloat16), &kernel, 2), has_fast_bf16());
        }
        assert!(!applies(&map(8, Kind::BFloat16), &kernel(1), 2));
        assert!(!applies(&map(4, Kind::Double), &w, 2));
        assert!(conv(&map(4, Kind::Float), &w, 3).unwrap().is_none());
    }
}
