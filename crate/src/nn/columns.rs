//! Convolutions whose gradient of the weight is a matrix product of what the kernel sees, `dy' columns`;
//! values and the gradient of the input are the library's.
//!
//! In f32 that gains for 3x3 kernels of stride 2 on maps of 4x4. In bf16 the library's threads wait for each
//! other within this gradient, picture by picture and without ever sleeping: beside another program that
//! computes, the stem's took 2 s in place of 4 ms, and training fell to a twentieth of its speed (docs/log.md).

use tch::{Device, Kind, Tensor};

use super::custom_conv::{self, CustomConv};
use super::memory::{rows, slice_of, slice_of_mut};
use super::value::Value;
use super::winograd;
use crate::device::{has_bf16_tiles, has_fast_bf16};
use crate::error::{Error, Result};
use crate::threads;

/// Numbers of the columns that each thread has at a time: they should still be in its cache when they are
/// multiplied, and the product should be a long one.
const AT_A_TIME: usize = 1 << 19;

/// Numbers that a thread makes before it asks for more work.
const SHARE: usize = 1 << 15;

/// In such blocks the library packs the factor on the right of a product.
const BLOCK: usize = 16;

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
    // Of 1x1 kernels the library has another way but in tiles, and for maps that the stride leaves a rest of.
    let is_odd = height % 2 == 1 || width % 2 == 1;
    let is_pointwise = kernel == 1 && stride == 2 && (is_odd || has_bf16_tiles());
    let gains = match x.kind() {
        Kind::Float => kernel == 3 && stride == 2 && [height, width] == [4, 4],
        Kind::BFloat16 => has_fast_bf16() && (kernel > 1 && kernel % 2 == 1 || is_pointwise),
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

    /// Numbers that it sees while it moves along a line.
    fn line(self) -> usize {
        self.places(self.width) * self.row()
    }

    /// For each place of the kernel along line `y`, what it sees `[K, K, C]` of the picture `[H, W, C]`, zero
    /// beyond the border.
    fn unfold<T: Copy + Default>(self, picture: &[T], y: usize, line: &mut [T]) {
        let Self { height, width, channels, kernel, stride } = self;
        let padding = kernel / 2;
        let top = y * stride;
        for (place, seen) in line.chunks_exact_mut(self.row()).enumerate() {
            let left = place * stride;
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

/// `dy' columns`, some lines of the result at a time, added up in f32: `[O, K K C]`.
fn product<T: Value>(x: &Tensor, dy: &Tensor, window: Window) -> Result<Tensor> {
    let (x, dy) = (rows(x)?, rows(dy)?);
    let pixels = slice_of::<T>(&x)?;
    let (high, wide) = (window.places(window.height), window.places(window.width));
    let of_picture = window.height * window.width * window.channels;
    let (outputs, lines) = (dy.size()[3], pixels.len() / of_picture * high);
    let dy = dy.f_view([lines as i64, wide as i64, outputs])?;
    let together = together(window).min(lines);
    let in_a_share = (SHARE / window.line()).max(1);
    let shape = [(together * wide) as i64, window.row() as i64];
    let mut columns = Tensor::f_empty(shape, (T::STORED, Device::Cpu))?;
    // A stem's rows, 27 or 147 numbers, are no whole blocks.
    let is_even = window.row().is_multiple_of(BLOCK);
    let mut sum: Option<Tensor> = None;
    for from in (0..lines).step_by(together) {
        let count = together.min(lines - from);
        let to = &mut slice_of_mut::<T>(&mut columns)?[..count * window.line()];
        let shares = to.chunks_mut(in_a_share * window.line());
        threads::each((from..).step_by(in_a_share).zip(shares), |(first, share)| {
            for (line, to) in (first..).zip(share.chunks_exact_mut(window.line())) {
                let picture = &pixels[line / high * of_picture..][..of_picture];
                window.unfold(picture, line % high, to);
            }
        })?;
        let dy = dy.f_narrow(0, from as i64, count as i64)?.f_reshape([-1, outputs])?;
        let seen = columns.f_narrow(0, 0, (count * wide) as i64)?;
        let part = if is_even { dy.f_tr()?.f_mm(&seen)? } else { seen.f_tr()?.f_mm(&dy)? };
        sum = Some(match sum {
            Some(mut sum) => sum.f_add_(&part)?,
            None => part.f_to_kind(Kind::Float)?,
        });
    }
    let sum = sum.ok_or_else(|| Error::shape("convolution", "no picture", "one at least"))?;
    Ok(if is_even { sum } else { sum.f_tr()?.f_contiguous()? })
}

/// Lines whose columns are made at a time.
fn together(window: Window) -> usize {
    let threads = tch::get_num_threads().max(1) as usize;
    (AT_A_TIME * threads / window.line()).max(1)
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
    fn run<const STRIDE: i64>(x: &Tensor, w: &Tensor, g: &Tensor, kind: Kind) -> [Tensor; 3] {
        let leaf = |t: &Tensor, kind| t.to_kind(kind).copy().set_requires_grad(true);
        let padding = w.size()[2] / 2;
        let x = leaf(x, kind);
        let w = leaf(w, if kind == Kind::Double { kind } else { Kind::Float });
        let y = match kind {
            Kind::Double => x.conv2d(&w, None::<&Tensor>, [STRIDE; 2], [padding; 2], [1, 1], 1),
            _ => custom_conv::apply::<Columns<STRIDE>>(&x, &w).unwrap(),
        };
        assert_eq!(y.kind(), kind);
        (&y * g.to_kind(kind)).sum(kind).backward();
        [y.detach(), x.grad(), w.grad()]
    }

    /// In the memory order of a training, and in that of a tensor that somebody made.
    fn compare<const STRIDE: i64>([n, c, o, height, width, kernel]: [i64; 6]) {
        tch::manual_seed(3);
        let coarse = |shape: [i64; 4]| {
            let values = Tensor::randn(shape, (Kind::Float, Device::Cpu));
            values.to_kind(Kind::BFloat16).to_kind(Kind::Float)
        };
        let places = |side: i64| (side + STRIDE - 1) / STRIDE;
        let made =
            [[n, c, height, width], [o, c, kernel, kernel], [n, o, places(height), places(width)]];
        let dense = made.map(coarse);
        let last = dense.each_ref().map(|t| super::super::store::channels_last(t).unwrap());
        let [x, w, g] = dense.each_ref();
        let plain = run::<STRIDE>(x, w, g, Kind::Double);
        for (kind, tolerance) in [(Kind::Float, 2e-6), (Kind::BFloat16, 1e-2)] {
            for [x, w, g] in [dense.each_ref(), last.each_ref()] {
                let fast = run::<STRIDE>(x, w, g, kind);
                for (which, (fast, plain)) in ["y", "dx", "dw"].iter().zip(fast.iter().zip(&plain))
                {
                    assert_eq!(fast.size(), plain.size());
                    let scale = plain.abs().max().double_value(&[]);
                    let off = (fast.to_kind(Kind::Double) - plain).abs().max().double_value(&[]);
                    assert!(off < tolerance * scale, "{which} {kind:?} {n} {c}: {off} of {scale}");
                }
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
        compare::<2>([3, 16, 24, 7, 9, 1]);
        compare::<2>([3, 16, 24, 8, 8, 1]);
    }

    #[test]
    fn in_bf16_many_tiles_of_a_small_kernel_are_left_to_winograd() {
        tch::manual_seed(4);
        let random = |shape: [i64; 4]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let [x, w, g] = [[70, 32, 8, 8], [16, 32, 3, 3], [70, 16, 8, 8]].map(random);
        let coarse = [&x, &g].map(|t| t.to_kind(Kind::BFloat16));
        let Some(expected) = winograd::weight_gradient(&coarse[0], &w, &coarse[1]).unwrap() else {
            return assert!(!has_fast_bf16());
        };
        let [_, _, dw] = run::<1>(&x, &w, &g, Kind::BFloat16);
        assert!(dw == expected);
    }

    /// A stem, whose rows are no whole blocks, and a layer, whose are; maps of which the last product has
    /// fewer lines and starts within a picture.
    #[test]
    fn lines_are_added_up_over_several_products() {
        for [n, c, o, height, width, kernel] in [[29, 3, 16, 91, 90, 7], [13, 32, 8, 66, 63, 3]] {
            let window = Window {
                height: height as usize,
                width: width as usize,
                channels: c as usize,
                kernel: kernel as usize,
                stride: 2,
            };
            let (high, together) = (window.places(window.height), together(window));
            let lines = n as usize * high;
            assert!(together < lines && !lines.is_multiple_of(together));
            assert!(!together.is_multiple_of(high));
            compare::<2>([n, c, o, height, width, kernel]);
        }
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
        assert_eq!(applies(&map(8, Kind::BFloat16), &kernel(1), 2), has_bf16_tiles());
        assert!(!applies(&map(7, Kind::BFloat16), &kernel(1), 1));
        assert_eq!(applies(&map(7, Kind::BFloat16), &kernel(1), 2), has_fast_bf16());
        assert!(!applies(&map(8, Kind::BFloat16), &kernel(2), 2));
        for empty in [[0, 4, 8, 8], [2, 4, 0, 8]] {
            let empty = Tensor::zeros(empty, (Kind::BFloat16, Device::Cpu));
            assert!(!applies(&empty, &w, 2));
        }
        assert!(!applies(&map(4, Kind::Double), &w, 2));
        assert!(conv(&map(4, Kind::Float), &w, 3).unwrap().is_none());
    }
}
