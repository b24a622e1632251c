//! Muon (Jordan et al. 2024): the momentum of a convolution's weight, taken as a matrix, is replaced
//! by the nearest matrix whose singular values are all about 1. As its authors write it, in f32.

use tch::Tensor;

use crate::error::Result;

/// Coefficients of the quintic that drives singular values from (0, 1] into about [0.7, 1.2].
const A: f64 = 3.4445;
const B: f64 = -4.775;
const C: f64 = 2.0315;
const ITERATIONS: usize = 5;
const EPSILON: f64 = 1e-7;

/// Whether a parameter is a matrix worth the trouble: convolutions, except the one that sees colours.
pub fn applies(parameter: &Tensor) -> bool {
    parameter.dim() == 4 && parameter.size()[1] > 3
}

/// Nesterov momentum, then the orthogonal factor, longer for tall matrices.
pub fn direction(buffer: &mut Tensor, gradient: &Tensor, momentum: f64) -> Result<Tensor> {
    let _ = buffer.f_lerp_(gradient, 1.0 - momentum)?;
    let update = gradient.f_lerp(buffer, momentum)?;
    let size = update.size();
    // Channels innermost, as they lie in memory; the order of columns does not matter.
    let matrix = update.f_permute([0, 2, 3, 1])?.f_reshape([size[0], -1])?;
    let (rows, columns) = (matrix.size()[0] as f64, matrix.size()[1] as f64);
    let factor = orthogonal(&matrix)?.f_mul_scalar_((rows / columns).max(1.0).sqrt())?;
    Ok(factor.f_view([size[0], size[2], size[3], size[1]])?.f_permute([0, 3, 1, 2])?)
}

/// Five steps of X = (aI + bXX' + c(XX')^2) X from X = G / |G|.
///
/// All of them are polynomials in the Gram matrix XX' and commute, so the steps run on that small
/// square and meet the long matrix twice, not ten times.
pub fn orthogonal(matrix: &Tensor) -> Result<Tensor> {
    if matrix.size()[0] > matrix.size()[1] {
        return Ok(orthogonal(&matrix.f_tr()?)?.f_tr()?);
    }
    let length = matrix.f_norm()?.f_add_scalar(EPSILON)?;
    let x = matrix.f_div(&length)?;
    let side = x.size()[0];
    let identity = Tensor::f_eye(side, (x.kind(), x.device()))?;
    let mut gram = x.f_matmul(&x.f_tr()?)?;
    let mut whole: Option<Tensor> = None;
    for _ in 0..ITERATIONS {
        let square = gram.f_matmul(&gram)?;
        let step = identity
            .f_mul_scalar(A)?
            .f_add_(&gram.f_mul_scalar(B)?)?
            .f_add_(&square.f_mul_scalar(C)?)?;
        gram = step.f_matmul(&gram)?.f_matmul(&step)?;
        whole = Some(match whole {
            None => step,
            Some(before) => step.f_matmul(&before)?,
        });
    }
    match whole {
        Some(whole) => Ok(whole.f_matmul(&x)?),
        None => Ok(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// The iteration as it is written in the paper.
    fn plain(matrix: &Tensor) -> Tensor {
        let mut x = matrix / (matrix.norm() + EPSILON);
        for _ in 0..ITERATIONS {
            let gram = x.matmul(&x.tr());
            let step = &gram * B + gram.matmul(&gram) * C;
            x = &x * A + step.matmul(&x);
        }
        x
    }

    #[test]
    fn the_gram_form_is_the_plain_iteration() {
        tch::manual_seed(1);
        for (kind, tolerance) in [(Kind::Double, 1e-9), (Kind::Float, 2e-3)] {
            for shape in [[8, 72], [33, 33], [64, 200]] {
                let matrix = Tensor::randn(shape, (kind, Device::Cpu));
                let deviation = (orthogonal(&matrix).unwrap() - plain(&matrix)).abs().max();
                assert!(deviation.double_value(&[]) < tolerance, "{shape:?} {deviation:?}");
            }
        }
    }

    #[test]
    fn singular_values_come_out_near_one_whatever_the_shape_and_scale() {
        tch::manual_seed(2);
        for (shape, scale) in [([16, 144], 1e-4), ([144, 16], 1e4), ([40, 40], 1.0)] {
            let matrix = Tensor::randn(shape, (Kind::Float, Device::Cpu)) * scale;
            let values = orthogonal(&matrix).unwrap().svd(true, false).1;
            let (least, most) = (values.min().double_value(&[]), values.max().double_value(&[]));
            assert!(least > 0.1 && most < 1.3, "{shape:?}: {least} to {most}");
        }
    }

    #[test]
    fn a_gradient_of_zeros_moves_nothing_and_a_tall_matrix_steps_further() {
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let still = direction(&mut zeros(&[4, 8, 3, 3]), &zeros(&[4, 8, 3, 3]), 0.9).unwrap();
        assert_eq!(still.abs().max().double_value(&[]), 0.0);
        tch::manual_seed(3);
        let tall = Tensor::randn([64, 16, 1, 1], (Kind::Float, Device::Cpu));
        let step = direction(&mut zeros(&[64, 16, 1, 1]), &tall, 0.9).unwrap();
        // 16 singular values near 1, each times 2.
        let length = step.norm().double_value(&[]);
        assert!((5.0..10.0).contains(&length), "{length}");
    }
}
