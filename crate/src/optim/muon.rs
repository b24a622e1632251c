//! Muon (Jordan et al. 2024): the momentum of a convolution's weight, taken as a matrix, is replaced
//! by the nearest matrix whose singular values are all about 1.
//!
//! In the parameter's own f32: the iteration below runs on a Gram matrix, whose eigenvalues must not be
//! negative, and what bf16 rounds makes some of them so, which five steps blow up without bound.

use tch::{Device, Tensor};

use super::Group;
use crate::error::Result;

/// Coefficients of the quintic that drives singular values from (0, 1] into about [0.7, 1.2].
const A: f64 = 3.4445;
const B: f64 = -4.775;
const C: f64 = 2.0315;
const ITERATIONS: usize = 5;
const EPSILON: f64 = 1e-7;
/// Symmetric products are made in this many panels of rows, unless these get thinner than
/// `LEAST_PANEL`: more would save less than thin products lose.
const PANELS: i64 = 4;
const LEAST_PANEL: i64 = 128;

/// Whether a parameter is a matrix worth the trouble: convolutions, except the one that sees colours.
pub fn applies(parameter: &Tensor) -> bool {
    parameter.dim() == 4 && parameter.size()[1] > 3
}

/// Nesterov momentum; then weight decay apart from the gradient, as AdamW has it, and a step of `lr`
/// along the orthogonal factor, longer for tall matrices.
pub fn update(
    parameter: &mut Tensor,
    buffer: &mut Tensor,
    gradient: &Tensor,
    group: Group,
    momentum: f64,
    lr: f64,
) -> Result<()> {
    let _ = buffer.f_lerp_(gradient, 1.0 - momentum)?;
    let matrix = as_matrix(&gradient.f_lerp(buffer, momentum)?)?;
    let (rows, columns) = (matrix.size()[0], matrix.size()[1]);
    let tall = rows > columns;
    let factor = (rows as f64 / columns as f64).max(1.0).sqrt();
    // The small square takes all scalars, so that the long matrix is not gone over for them.
    let square = orthogonaliser(&matrix)?.f_mul_scalar_(-lr * factor)?;
    let (left, right) = if tall { (matrix, square) } else { (square, matrix) };
    if group.weight_decay != 0.0 {
        let _ = parameter.f_mul_scalar_(1.0 - lr * group.weight_decay)?;
    }
    let size = parameter.size();
    let innermost = parameter.f_permute([0, 2, 3, 1])?;
    if innermost.is_contiguous() {
        let _ = innermost.f_view([rows, columns])?.f_addmm_(&left, &right)?;
    } else {
        let step = left.f_mm(&right)?.f_view([size[0], size[2], size[3], size[1]])?;
        let _ = parameter.f_add_(&step.f_permute([0, 3, 1, 2])?)?;
    }
    Ok(())
}

/// A row for each output. Channels innermost, as they lie in memory; the order of columns does not
/// matter.
fn as_matrix(weight: &Tensor) -> Result<Tensor> {
    Ok(weight.f_permute([0, 2, 3, 1])?.f_reshape([weight.size()[0], -1])?)
}

/// The square that makes the orthogonal factor of `matrix` when multiplied from its shorter side:
/// five steps of X = (aI + bXX' + c(XX')^2) X from X = G / |G|, or of the same with X'X if G is tall.
///
/// All of them are polynomials in the Gram matrix and commute, so the steps run on that small square
/// and meet the long matrix twice, not ten times. |G|^2 is the Gram matrix's trace.
fn orthogonaliser(matrix: &Tensor) -> Result<Tensor> {
    let transposed = matrix.f_tr()?;
    let tall = matrix.size()[0] > matrix.size()[1];
    let (left, right) = if tall { (&transposed, matrix) } else { (matrix, &transposed) };
    let mut gram = symmetric_product(left, right)?;
    let shrink = gram.f_trace()?.f_sqrt()?.f_add_scalar(EPSILON)?.f_reciprocal()?;
    let _ = gram.f_mul_(&shrink)?.f_mul_(&shrink)?;
    let mut whole = step_of(&gram)?;
    let mut step = whole.shallow_clone();
    for _ in 1..ITERATIONS {
        gram = symmetric_product(&step, &symmetric_product(&step, &gram)?)?;
        step = step_of(&gram)?;
        whole = symmetric_product(&step, &whole)?;
    }
    Ok(whole.f_mul(&shrink)?)
}

/// aI + b gram + c gram^2
fn step_of(gram: &Tensor) -> Result<Tensor> {
    let mut square = symmetric_product(gram, gram)?;
    let step = square.f_mul_scalar_(C)?.f_add_(&gram.f_mul_scalar(B)?)?;
    let _ = step.f_diagonal(0, 0, 1)?.f_add_scalar_(A)?;
    Ok(step)
}

/// A product that is symmetric. On the CPU, where arithmetic and not the number of calls decides,
/// its lower panels are computed and what lies above the diagonal is copied from them.
fn symmetric_product(left: &Tensor, right: &Tensor) -> Result<Tensor> {
    let side = left.size()[0];
    let panel = ((side + PANELS - 1) / PANELS).max(LEAST_PANEL);
    if panel >= side || left.device() != Device::Cpu {
        return Ok(left.f_mm(right)?);
    }
    let out = Tensor::f_empty([side, side], (left.kind(), left.device()))?;
    let mut from = 0;
    while from < side {
        let count = panel.min(side - from);
        let rows = out.f_narrow(0, from, count)?;
        let lower = rows.f_narrow(1, 0, from + count)?;
        let _ = left
            .f_narrow(0, from, count)?
            .f_mm_out(&lower, &right.f_narrow(1, 0, from + count)?)?;
        if from > 0 {
            let mut upper = out.f_narrow(0, 0, from)?.f_narrow(1, from, count)?;
            upper.f_copy_(&rows.f_narrow(1, 0, from)?.f_tr()?)?;
        }
        from += count;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    const PLAIN: Group = Group { weight_decay: 0.0, trust: false };

    fn orthogonal(matrix: &Tensor) -> Tensor {
        let square = orthogonaliser(matrix).unwrap();
        let tall = matrix.size()[0] > matrix.size()[1];
        if tall { matrix.mm(&square) } else { square.mm(matrix) }
    }

    /// The iteration as it is written in the paper.
    fn plain(matrix: &Tensor) -> Tensor {
        if matrix.size()[0] > matrix.size()[1] {
            return plain(&matrix.tr()).tr();
        }
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
            for shape in [[8, 72], [33, 33], [64, 200], [90, 20], [150, 300], [700, 300]] {
                let matrix = Tensor::randn(shape, (kind, Device::Cpu));
                let deviation = (orthogonal(&matrix) - plain(&matrix)).abs().max();
                assert!(deviation.double_value(&[]) < tolerance, "{shape:?} {deviation:?}");
            }
        }
    }

    #[test]
    fn panels_give_the_whole_product() {
        tch::manual_seed(4);
        for side in [128, 129, 257, 700] {
            let x = Tensor::randn([side, 77], (Kind::Double, Device::Cpu));
            let deviation = symmetric_product(&x, &x.tr()).unwrap() - x.matmul(&x.tr());
            assert!(deviation.abs().max().double_value(&[]) < 1e-11, "{side}");
        }
    }

    #[test]
    fn singular_values_come_out_near_one_whatever_the_shape_and_scale() {
        tch::manual_seed(2);
        for (shape, scale) in [([16, 144], 1e-4), ([144, 16], 1e4), ([40, 40], 1.0)] {
            let matrix = Tensor::randn(shape, (Kind::Float, Device::Cpu)) * scale;
            let values = orthogonal(&matrix).svd(true, false).1;
            let [least, most] = [values.min(), values.max()].map(|v| v.double_value(&[]));
            assert!(least > 0.1 && most < 1.3, "{shape:?}: {least} to {most}");
        }
    }

    /// As gradients are: a few directions and hardly anything beside them, so that the Gram matrix has
    /// eigenvalues of which rounding may make negative ones.
    #[test]
    fn a_gradient_of_few_directions_makes_no_longer_step_than_any_other() {
        tch::manual_seed(6);
        let random = |shape: [i64; 2]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        for [rows, columns] in [[128, 64], [64, 576], [128, 1152], [512, 600]] {
            for (rank, rest) in [(1, 0.0), (2, 1e-6), (3, 1e-3), (8, 1e-2)] {
                let few = random([rows, rank]).mm(&random([rank, columns]));
                let parameter = Tensor::zeros([rows, columns, 1, 1], (Kind::Float, Device::Cpu));
                let gradient = (few + random([rows, columns]) * rest).view([rows, columns, 1, 1]);
                let step = moved(&parameter, &gradient, PLAIN).view([rows, columns]);
                let longest = step.svd(true, false).1.max().double_value(&[]);
                let limit = 1.3 * (rows as f64 / columns as f64).max(1.0).sqrt();
                assert!(longest < limit, "{rows} x {columns}, rank {rank}, {rest}: {longest}");
            }
        }
    }

    #[test]
    fn a_gradient_of_zeros_moves_nothing_and_a_tall_matrix_steps_further() {
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let still = moved(&zeros(&[4, 8, 3, 3]), &zeros(&[4, 8, 3, 3]), PLAIN);
        assert_eq!(still.abs().max().double_value(&[]), 0.0);
        tch::manual_seed(3);
        let tall = Tensor::randn([64, 16, 1, 1], (Kind::Float, Device::Cpu));
        let step = moved(&zeros(&[64, 16, 1, 1]), &tall, PLAIN);
        // 16 singular values near 1, each times 2.
        let length = step.norm().double_value(&[]);
        assert!((5.0..10.0).contains(&length), "{length}");
    }

    /// What one update with a learning rate of 1 and a momentum that starts at zero makes of a
    /// parameter.
    fn moved(parameter: &Tensor, gradient: &Tensor, group: Group) -> Tensor {
        let mut parameter = parameter.copy();
        let mut buffer = parameter.zeros_like();
        update(&mut parameter, &mut buffer, gradient, group, 0.9, 1.0).unwrap();
        parameter
    }

    #[test]
    fn the_order_in_memory_does_not_matter_and_decay_comes_on_top() {
        tch::manual_seed(5);
        let random = || Tensor::randn([12, 7, 3, 3], (Kind::Double, Device::Cpu));
        let (parameter, gradient) = (random(), random());
        let innermost = |t: &Tensor| t.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        let one = moved(&parameter, &gradient, PLAIN);
        let near = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]) < 1e-12;
        assert!(near(&one, &moved(&innermost(&parameter), &innermost(&gradient), PLAIN)));
        assert!(near(&one, &moved(&innermost(&parameter), &gradient, PLAIN)));
        let decayed = moved(&parameter, &gradient, Group { weight_decay: 0.25, trust: false });
        assert!(near(&decayed, &(&one - &parameter * 0.25)));
        assert!(!near(&one, &parameter));
    }
}
