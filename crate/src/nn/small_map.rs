//! Exact rewrites of 3x3 convolutions on maps of 1x1 and 2x2 pixels, as dense products.
//!
//! The deep layers of a ResNet see such maps at 32 pixels. There a padded 3x3 kernel mostly multiplies
//! zeros, and the library's weight gradient is many times slower than the product it stands for. Only
//! the taps that meet data are multiplied; the values are those of the convolution.

use tch::Tensor;

use crate::error::Result;

/// Kernel `[O, C, 3, 3]`, padding 1, on `x [N, C, H, W]`; None where no rewrite applies.
pub fn conv3x3(x: &Tensor, weight: &Tensor, stride: i64) -> Result<Option<Tensor>> {
    let size = x.size();
    let map = (size[2], size[3], stride);
    let rows = |x: &Tensor| -> Result<Tensor> {
        // Channels innermost: a view of channels-last memory.
        Ok(x.f_permute([0, 2, 3, 1])?.f_reshape([size[0], -1])?)
    };
    let pixel = |y: Tensor| -> Result<Tensor> { Ok(y.f_unsqueeze(-1)?.f_unsqueeze(-1)?) };
    Ok(Some(match map {
        // One pixel in, one out: the centre tap.
        (1, 1, _) => pixel(linear(&rows(x)?, &taps(weight, 1, 1, 1)?)?)?,
        // Four in, one out: the taps right of and below the centre, and the centre.
        (2, 2, 2) => pixel(linear(&rows(x)?, &taps(weight, 1, 1, 2)?)?)?,
        // Four in, four out: output (i, j) meets input (a, b) through tap (1 + a - i, 1 + b - j).
        (2, 2, 1) => {
            let mut blocks = Vec::with_capacity(4);
            for i in 0..2 {
                for j in 0..2 {
                    blocks.push(taps(weight, 1 - i, 1 - j, 2)?);
                }
            }
            let y = linear(&rows(x)?, &Tensor::f_cat(&blocks, 0)?)?;
            y.f_view([size[0], 2, 2, -1])?.f_permute([0, 3, 1, 2])?
        }
        _ => return Ok(None),
    }))
}

/// The square of `side` taps from (row, column) on, as `[O, side * side * C]`.
fn taps(weight: &Tensor, row: i64, column: i64, side: i64) -> Result<Tensor> {
    let square = weight.f_narrow(2, row, side)?.f_narrow(3, column, side)?;
    Ok(square.f_permute([0, 2, 3, 1])?.f_reshape([weight.size()[0], -1])?)
}

fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    Ok(x.f_linear(weight, None::<&Tensor>)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

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
