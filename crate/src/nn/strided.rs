//! 3x3 convolutions of stride 2 on maps of 4x4 and 8x8 pixels: the gradient of the weight as one matrix
//! product of what the kernel sees, `dy' columns`. The library's is up to three times slower there
//! (docs/log.md); values and the gradient of the input are its own.

use tch::{Device, Kind, Tensor};

use super::custom_conv::{self, CustomConv};
use crate::device::has_fast_bf16;
use crate::error::Result;

/// Kernel `[O, C, 3, 3]` in f32, padding 1, on `x [N, C, H, W]`, whose dtype is the result's; None where
/// it would not be faster.
pub fn conv3x3(x: &Tensor, weight: &Tensor) -> Result<Option<Tensor>> {
    applies(x, weight).then(|| custom_conv::apply::<Strided>(x, weight)).transpose()
}

fn applies(x: &Tensor, weight: &Tensor) -> bool {
    let [_, _, height, width] = x.size()[..] else { return false };
    let gains = match x.kind() {
        Kind::Float => height == 4,
        Kind::BFloat16 => has_fast_bf16() && (height == 4 || height == 8),
        _ => false,
    };
    gains && height == width && x.device() == Device::Cpu && weight.kind() == Kind::Float
}

/// A row for each output pixel `[N H/2 W/2, 3 x 3 x C]`: the pixels that its kernel sees, zero beyond the
/// border.
fn columns(x: &Tensor) -> Result<Tensor> {
    let channels = x.size()[1];
    let padded = x.f_permute([0, 2, 3, 1])?.f_constant_pad_nd([0, 0, 1, 1, 1, 1])?;
    let windows = padded.f_unfold(1, 3, 2)?.f_unfold(2, 3, 2)?;
    Ok(windows.f_permute([0, 1, 2, 4, 5, 3])?.f_reshape([-1, 9 * channels])?)
}

struct Strided;

impl CustomConv for Strided {
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
            let sum = rows.f_tr()?.f_mm(&columns(x)?)?.f_to_kind(weight.kind())?;
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
            Kind::Double => x.conv2d(&w, None::<&Tensor>, [2, 2], [1, 1], [1, 1], 1),
            _ => custom_conv::apply::<Strided>(&x, &w).unwrap(),
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
