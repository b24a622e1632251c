//! The few operations a hand-written loop needs, each with the shape of its result.

use tch::{Kind, Tensor};

use super::Meta;
use crate::error::{Error, Result};
use crate::nn::Loss;

/// An operation on one or more tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    /// `a + b`, broadcast as in PyTorch.
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// `a + number`
    AddNumber(f64),
    /// `a * number`
    MulNumber(f64),
    /// `[N, D] x [D, M] -> [N, M]`
    MatMul,
    /// Over a dimension, or over all.
    Mean(Option<i64>),
    /// Over a dimension, or over all.
    Sum(Option<i64>),
    /// Joins along a dimension.
    Cat(i64),
    /// Unit length along a dimension (`F.normalize`, epsilon 1e-12).
    Normalize(i64),
    /// Joins all dimensions from this one on.
    Flatten(i64),
    /// Exchanges the two dimensions of a matrix.
    Transpose,
    /// The same values without their history.
    Detach,
    /// Another dtype.
    To(Kind),
    /// A contrastive loss of positives and predictions.
    Loss(Loss, f64),
}

impl Op {
    /// Shape, dtype and device of the result. @errors SHAPE where the inputs do not fit.
    pub fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let first = *inputs.first().ok_or_else(|| self.misfit(inputs, "at least one tensor"))?;
        if let Some(other) =
            inputs.iter().find(|m| m.kind != first.kind || m.device != first.device)
        {
            let got = format!("{:?} on {:?}", other.kind, other.device);
            let expected = format!("{:?} on {:?}", first.kind, first.device);
            return Err(Error::shape(&format!("{self:?}"), got, expected));
        }
        let with = |shape: Vec<i64>| Ok(Meta { shape, ..first.clone() });
        let rank = first.shape.len() as i64;
        match (*self, inputs) {
            (Self::Add | Self::Sub | Self::Mul | Self::Div, [a, b]) => with(
                broadcast(&a.shape, &b.shape)
                    .ok_or_else(|| self.misfit(inputs, "shapes that broadcast"))?,
            ),
            (Self::MatMul, [a, b]) => match (a.shape.as_slice(), b.shape.as_slice()) {
                (&[n, d], &[e, m]) if d == e => with(vec![n, m]),
                _ => Err(self.misfit(inputs, "[N, D] and [D, M]")),
            },
            (Self::Mean(None) | Self::Sum(None), [_]) => with(Vec::new()),
            (Self::Mean(Some(dim)) | Self::Sum(Some(dim)), [_]) => {
                let dim = self.dimension(dim, inputs)?;
                with(
                    first
                        .shape
                        .iter()
                        .enumerate()
                        .filter(|(i, _)| *i != dim)
                        .map(|(_, n)| *n)
                        .collect(),
                )
            }
            (Self::Cat(dim), _) => {
                let dim = self.dimension(dim, inputs)?;
                let mut shape = first.shape.clone();
                for other in &inputs[1..] {
                    let fits = other.shape.len() == shape.len()
                        && (0..shape.len()).all(|i| i == dim || shape[i] == other.shape[i]);
                    if !fits {
                        return Err(self.misfit(inputs, "shapes equal but for that dimension"));
                    }
                    shape[dim] += other.shape[dim];
                }
                with(shape)
            }
            (Self::Normalize(dim), [_]) => {
                self.dimension(dim, inputs).and(with(first.shape.clone()))
            }
            (Self::Flatten(start), [_]) => {
                let start = self.dimension(start, inputs)?;
                let mut shape = first.shape[..start].to_vec();
                shape.push(first.shape[start..].iter().product());
                with(shape)
            }
            (Self::Transpose, [_]) if rank == 2 => with(vec![first.shape[1], first.shape[0]]),
            (Self::AddNumber(_) | Self::MulNumber(_) | Self::Detach, [_]) => {
                with(first.shape.clone())
            }
            (Self::To(kind), [_]) => Ok(Meta { kind, ..first.clone() }),
            (Self::Loss(_, temperature), [a, b]) => {
                if !(temperature > 0.0 && temperature.is_finite()) {
                    return Err(Error::config("temperature", temperature, "a number above 0"));
                }
                if rank != 2 || a.shape != b.shape {
                    return Err(self.misfit(inputs, "two equal shapes [N, D]"));
                }
                let kind = if first.kind == Kind::Double { Kind::Double } else { Kind::Float };
                Ok(Meta { shape: Vec::new(), kind, device: first.device })
            }
            _ => Err(self.misfit(inputs, "inputs that fit the operation")),
        }
    }

    /// The value.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let a = &inputs[0];
        Ok(match *self {
            Self::Add => a.f_add(&inputs[1])?,
            Self::Sub => a.f_sub(&inputs[1])?,
            Self::Mul => a.f_mul(&inputs[1])?,
            Self::Div => a.f_div(&inputs[1])?,
            Self::AddNumber(number) => a.f_add_scalar(number)?,
            Self::MulNumber(number) => a.f_mul_scalar(number)?,
            Self::MatMul => a.f_matmul(&inputs[1])?,
            Self::Mean(None) => a.f_mean(None)?,
            Self::Sum(None) => a.f_sum(a.kind())?,
            Self::Mean(Some(dim)) => a.f_mean_dim([dim].as_slice(), false, None)?,
            Self::Sum(Some(dim)) => a.f_sum_dim_intlist([dim].as_slice(), false, None)?,
            Self::Cat(dim) => Tensor::f_cat(inputs, dim)?,
            Self::Normalize(dim) => {
                let length = a.f_norm_scalaropt_dim(2.0, [dim].as_slice(), true)?;
                a.f_div(&length.f_clamp_min(1e-12)?)?
            }
            Self::Flatten(start) => a.f_flatten(start, -1)?,
            Self::Transpose => a.f_tr()?,
            Self::Detach => a.f_detach()?,
            Self::To(kind) => a.f_to_kind(kind)?,
            Self::Loss(loss, temperature) => loss.forward(a, &inputs[1], temperature)?,
        })
    }

    fn dimension(&self, dim: i64, inputs: &[&Meta]) -> Result<usize> {
        let rank = inputs[0].shape.len() as i64;
        let from_front = if dim < 0 { dim + rank } else { dim };
        if (0..rank).contains(&from_front) {
            return Ok(from_front as usize);
        }
        Err(self.misfit(inputs, &format!("a dimension of {rank}, got {dim}")))
    }

    fn misfit(&self, inputs: &[&Meta], expected: &str) -> Error {
        let shapes: Vec<String> = inputs.iter().map(|m| format!("{:?}", m.shape)).collect();
        Error::shape(&format!("{self:?}"), shapes.join(" and "), expected)
    }
}

fn broadcast(a: &[i64], b: &[i64]) -> Option<Vec<i64>> {
    let rank = a.len().max(b.len());
    let at = |shape: &[i64], i: usize| {
        (i + shape.len()).checked_sub(rank).map_or(1, |position| shape[position])
    };
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (n, m) if n == m => Some(n),
            (1, n) | (n, 1) => Some(n),
            _ => None,
        })
        .collect()
}
