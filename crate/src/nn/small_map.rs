//! Exact rewrites of 3x3 convolutions on maps of 1x1 and 2x2 pixels, as dense products.
//!
//! The deep layers of a ResNet see such maps at 32 pixels. There a padded 3x3 kernel mostly multiplies
//! zeros, and the library's weight gradient is many times slower than the product it stands for. Only
//! the taps that meet data are multiplied; the values are those of the convolution.
//!
//! These layers have most of a ResNet's weights and the fewest pixels, so that what is done once a
//! weight counts: one node of autograd gathers the taps, and lays the gradient out as the weight lies
//! in memory, channels innermost.

use tch::{Kind, Tensor};

use super::custom_conv::{self, CustomConv};
use crate::error::{Error, Result};

/// Kernel `[O, C, 3, 3]`, padding 1, on `x [N, C, H, W]`, whose dtype is the result's; None where no
/// rewrite applies.
pub fn conv3x3(x: &Tensor, weight: &Tensor, stride: i64) -> Result<Option<Tensor>> {
    let size = x.size();
    match (size[2], size[3], stride) {
        (1, 1, _) => custom_conv::apply::<SmallMap<1, 1>>(x, weight).map(Some),
        (2, 2, 2) => custom_conv::apply::<SmallMap<2, 1>>(x, weight).map(Some),
        (2, 2, 1) => custom_conv::apply::<SmallMap<2, 2>>(x, weight).map(Some),
        _ => Ok(None),
    }
}

/// From maps of `INPUT` x `INPUT` pixels to maps of `OUTPUT` x `OUTPUT`.
struct SmallMap<const INPUT: i64, const OUTPUT: i64>;

impl<const INPUT: i64, const OUTPUT: i64> SmallMap<INPUT, OUTPUT> {
    const INPUTS: i64 = INPUT * INPUT;
    const OUTPUTS: i64 = OUTPUT * OUTPUT;

    /// (output pixel, input pixel, tap): output (i, j) meets input (a, b) through tap
    /// (1 + a - i, 1 + b - j), also at stride 2, where there is output (0, 0) alone.
    fn meetings() -> impl Iterator<Item = (i64, i64, i64)> {
        (0..Self::OUTPUTS).flat_map(|output| {
            (0..Self::INPUTS).map(move |input| {
                let row = 1 + input / INPUT - output / OUTPUT;
                (output, input, 3 * row + 1 + input % INPUT - output % OUTPUT)
            })
        })
    }

    /// `[outputs x O, inputs x C]`, the matrix of the convolution in the dtype of the product.
    fn matrix(weight: &Tensor, kind: Kind) -> Result<Tensor> {
        let taps = taps(weight)?;
        if Self::INPUTS == 1 {
            return Ok(taps.f_select(1, CENTRE)?.f_to_kind(kind)?);
        }
        let (rows, channels) = (weight.size()[0], weight.size()[1]);
        let shape = [Self::OUTPUTS, rows, Self::INPUTS, channels];
        let matrix = Tensor::f_empty(shape, (kind, weight.device()))?;
        for (output, input, tap) in Self::meetings() {
            matrix.f_select(0, output)?.f_select(1, input)?.f_copy_(&taps.f_select(1, tap)?)?;
        }
        Ok(matrix.f_view([Self::OUTPUTS * rows, Self::INPUTS * channels])?)
    }
}

const CENTRE: i64 = 4;

/// `[O, 9, C]`, a view of channels-last memory.
fn taps(weight: &Tensor) -> Result<Tensor> {
    let size = weight.size();
    Ok(weight.f_permute([0, 2, 3, 1])?.f_reshape([size[0], 9, size[1]])?)
}

/// `[N, pixels x channels]`, a view of channels-last memory.
fn rows(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_permute([0, 2, 3, 1])?.f_reshape([x.size()[0], -1])?)
}

/// `[N, C, side, side]` of rows.
fn map(rows: &Tensor, side: i64) -> Result<Tensor> {
    Ok(rows.f_view([rows.size()[0], side, side, -1])?.f_permute([0, 3, 1, 2])?)
}

impl<const INPUT: i64, const OUTPUT: i64> CustomConv for SmallMap<INPUT, OUTPUT> {
    fn forward(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        map(&rows(x)?.f_mm(&Self::matrix(weight, x.kind())?.f_tr()?)?, OUTPUT)
    }

    fn backward(
        x: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
        wants: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let dy = rows(dy)?;
        let dx = || map(&dy.f_mm(&Self::matrix(weight, x.kind())?)?, INPUT);
        let dweight = || -> Result<Tensor> {
            let &[outputs, inputs, ..] = weight.size().as_slice() else {
                return Err(Error::shape("convolution", format!("{:?}", weight.size()), "4 sides"));
            };
            let gradient = dy.f_tr()?.f_mm(&rows(x)?)?;
            let gradient = gradient.f_view([Self::OUTPUTS, outputs, Self::INPUTS, inputs])?;
            let sum = Tensor::f_zeros([outputs, 9, inputs], (weight.kind(), weight.device()))?;
            for (output, input, tap) in Self::meetings() {
                let _ = sum
                    .f_select(1, tap)?
                    .f_add_(&gradient.f_select(0, output)?.f_select(1, input)?)?;
            }
            Ok(sum.f_view([outputs, 3, 3, inputs])?.f_permute([0, 3, 1, 2])?)
        };
        Ok([wants[0].then(dx).transpose()?, wants[1].then(dweight).transpose()?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// Values and both gradients against the library's convolution, in f64.
    #[test]
    fn the_rewrites_equal_the_convolution_and_its_gradients() {
        tch::manual_seed(3);
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Double, Device::Cpu));
        for (map, stride) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let (x, w) = (random(&[5, 6, map, map]), random(&[7, 6, 3, 3]));
            let x = super::super::store::channels_last(&x).unwrap();
            let run = |fast: bool| {
                let x = x.copy().set_requires_grad(true);
                let w = w.copy().set_requires_grad(true);
                let y = if fast {
                    conv3x3(&x, &w, stride).unwrap().unwrap()
                } else {
                    x.conv2d(&w, None::<&Tensor>, [stride; 2], [1; 2], [1; 2], 1)
                };
                let g = Tensor::arange(y.numel() as i64, (Kind::Double, Device::Cpu)).sin();
                (&y * g.view_as(&y)).sum(Kind::Double).backward();
                [y.detach(), x.grad(), w.grad()]
            };
            for (fast, plain) in run(true).iter().zip(&run(false)) {
                assert_eq!(fast.size(), plain.size());
                let deviation = (fast - plain).abs().max().double_value(&[]);
                assert!(deviation < 1e-12, "map {map} stride {stride}: {deviation}");
            }
        }
    }

    #[test]
    fn larger_maps_are_left_to_the_library() {
        let x = Tensor::zeros([1, 2, 3, 3], (Kind::Float, Device::Cpu));
        let w = Tensor::zeros([2, 2, 3, 3], (Kind::Float, Device::Cpu));
        assert!(conv3x3(&x, &w, 1).unwrap().is_none());
    }
}
