//! The two contrastive losses. Normalisation, logits and softmax are f32 (or f64) at any precision.

use std::str::FromStr;

use tch::{Kind, Reduction, Tensor};

use crate::error::{Error, Result};

/// Which pairs stand against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// lightly's `NTXentLoss`, SimCLR's form: each of the 2N rows against the 2N - 1 others.
    NtXent,
    /// The paper's equation 2: each neighbour against the N predictions of the other view.
    Paper,
}

impl FromStr for Loss {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "nt-xent" => Ok(Self::NtXent),
            "paper" => Ok(Self::Paper),
            _ => Err(Error::config("loss", name, "nt-xent or paper")),
        }
    }
}

impl Loss {
    /// Mean loss of positives `a` and predictions `b`, both `[N, D]` and of any length.
    pub fn forward(self, a: &Tensor, b: &Tensor, temperature: f64) -> Result<Tensor> {
        check(a, b, temperature)?;
        let (a, b) = (normalize(a)?, normalize(b)?);
        let n = a.size()[0];
        match self {
            Self::NtXent => {
                let rows = Tensor::f_cat(&[&a, &b], 0)?;
                let logits = rows.f_matmul(&rows.f_tr()?)?.f_div_scalar(temperature)?;
                let itself = Tensor::f_eye(2 * n, (Kind::Bool, a.device()))?;
                let logits = logits.f_masked_fill(&itself, f64::NEG_INFINITY)?;
                let other = Tensor::f_arange(2 * n, (Kind::Int64, a.device()))?;
                cross_entropy(&logits, &other.f_add_scalar(n)?.f_remainder(2 * n)?)
            }
            Self::Paper => {
                let logits = a.f_matmul(&b.f_tr()?)?.f_div_scalar(temperature)?;
                cross_entropy(&logits, &Tensor::f_arange(n, (Kind::Int64, a.device()))?)
            }
        }
    }
}

/// The rows of every rank, of which a rank's own begin at `offset`.
#[derive(Debug)]
pub struct Everyone<'a> {
    /// Positives `[M, D]`.
    pub a: &'a Tensor,
    /// Predictions `[M, D]`.
    pub b: &'a Tensor,
    /// Where this rank's rows begin.
    pub offset: i64,
}

impl Loss {
    /// A rank's share of the mean loss of all ranks' rows: own positives `a` and predictions `b`
    /// against everyone's. The sum over the ranks is what `forward` gives for all rows at once.
    pub fn share(
        self,
        a: &Tensor,
        b: &Tensor,
        everyone: &Everyone<'_>,
        temperature: f64,
    ) -> Result<Tensor> {
        check(a, b, temperature)?;
        let (n, m) = (a.size()[0], everyone.a.size()[0]);
        let (all_a, all_b) = (normalize(everyone.a)?, normalize(everyone.b)?);
        let own = |all: &Tensor| all.f_narrow(0, everyone.offset, n);
        let places =
            Tensor::f_arange(n, (Kind::Int64, a.device()))?.f_add_scalar(everyone.offset)?;
        let (logits, target, rows) = match self {
            Self::NtXent => {
                let all = Tensor::f_cat(&[&all_a, &all_b], 0)?;
                let rows = Tensor::f_cat(&[own(&all_a)?, own(&all_b)?], 0)?;
                let logits = rows.f_matmul(&all.f_tr()?)?.f_div_scalar(temperature)?;
                let itself = Tensor::f_cat(&[&places, &places.f_add_scalar(m)?], 0)?;
                let masked = itself.f_unsqueeze(1)?;
                let minus_infinity =
                    Tensor::f_full([1], f64::NEG_INFINITY, (logits.kind(), logits.device()))?;
                let minus_infinity = minus_infinity.f_expand([2 * n, 1], false)?;
                let logits = logits.f_scatter(1, &masked, &minus_infinity)?;
                (logits, itself.f_add_scalar(m)?.f_remainder(2 * m)?, 2 * m)
            }
            Self::Paper => {
                let logits = own(&all_a)?.f_matmul(&all_b.f_tr()?)?.f_div_scalar(temperature)?;
                (logits, places, m)
            }
        };
        let sum =
            logits.f_cross_entropy_loss(&target, None::<&Tensor>, Reduction::Sum, -100, 0.0)?;
        Ok(sum.f_div_scalar(rows as f64)?)
    }
}

/// NT-Xent with negatives from a bank of unit rows `[M, D]` instead of the batch (lightly's
/// `NTXentLoss(memory_bank_size=...)`, MoCo's form).
pub fn nt_xent_with_bank(
    a: &Tensor,
    b: &Tensor,
    negatives: &Tensor,
    temperature: f64,
) -> Result<Tensor> {
    check(a, b, temperature)?;
    let (a, b) = (normalize(a)?, normalize(b)?);
    let positive = a.f_mul(&b)?.f_sum_dim_intlist([1].as_slice(), true, None)?;
    let negative = a.f_matmul(&negatives.f_tr()?)?;
    let logits = Tensor::f_cat(&[positive, negative], 1)?.f_div_scalar(temperature)?;
    cross_entropy(&logits, &Tensor::f_zeros([a.size()[0]], (Kind::Int64, a.device()))?)
}

/// Unit rows, in at least f32; a zero row stays zero (PyTorch's `F.normalize`, epsilon 1e-12).
pub fn normalize(x: &Tensor) -> Result<Tensor> {
    let x = if x.kind() == Kind::Double { x.shallow_clone() } else { x.f_to_kind(Kind::Float)? };
    let length = x.f_norm_scalaropt_dim(2.0, [1].as_slice(), true)?.f_clamp_min(1e-12)?;
    Ok(x.f_div(&length)?)
}

fn cross_entropy(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    Ok(logits.f_cross_entropy_loss(target, None::<&Tensor>, Reduction::Mean, -100, 0.0)?)
}

fn check(a: &Tensor, b: &Tensor, temperature: f64) -> Result<()> {
    if a.dim() != 2 || a.size() != b.size() {
        let got = format!("{:?} and {:?}", a.size(), b.size());
        return Err(Error::shape("loss", got, "two equal shapes [N, D]"));
    }
    if !(temperature > 0.0 && temperature.is_finite()) {
        return Err(Error::config("temperature", temperature, "a number above 0"));
    }
    Ok(())
}
