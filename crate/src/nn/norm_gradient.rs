//! What nodes with a batch norm by the batch's own statistics share.
//!
//! With g the gradient of what is normalised, r = 1 / sqrt(var + epsilon), and s = sum g,
//! t = sum g (x - mean) over N values: db = s, dw = r t, dx = w r (g - s / N - (x - mean) r^2 t / N).

use tch::Tensor;

use super::memory::slice_of;
use super::value::{LANES, Lane, load};
use crate::error::Result;

/// y = scale x + shift, one of each a channel.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    pub scale: &'a [f32],
    pub shift: &'a [f32],
}

/// dx = slope (g - offset - bend (x - mean)), one of each a channel.
#[derive(Debug, Clone, Copy)]
pub struct Spread<'a> {
    pub mean: &'a [f32],
    pub slope: &'a [f32],
    pub offset: &'a [f32],
    pub bend: &'a [f32],
}

impl Spread<'_> {
    /// dx of x and g, from channel c on.
    #[inline(always)]
    pub fn lane(self, mut x: Lane, gradient: &Lane, c: usize) -> Lane {
        let (mean, slope) = (load(self.mean, c), load(self.slope, c));
        let (offset, bend) = (load(self.offset, c), load(self.bend, c));
        for k in 0..LANES {
            let centred = x[k] - mean[k];
            x[k] = (gradient[k] - offset[k] - bend[k] * centred) * slope[k];
        }
        x
    }
}

/// Scale and shift as tensors, of weight and bias and of x's mean and sqrt(var + epsilon).
pub fn scale_and_shift(
    [weight, bias]: [&Tensor; 2],
    [mean, deviation]: [&Tensor; 2],
) -> Result<[Tensor; 2]> {
    let scale = weight.f_div(deviation)?;
    let shift = bias.f_sub(&mean.f_mul(&scale)?)?;
    Ok([scale, shift])
}

/// The gradients, one of each a channel.
#[derive(Debug)]
pub struct NormGradient<'a> {
    mean: &'a [f32],
    slope: Vec<f32>,
    offset: Vec<f32>,
    bend: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl<'a> NormGradient<'a> {
    /// Of s and t `[parts, 2, C]`, added up in the order of the parts whoever made them, over `count` values.
    pub fn of<S: Copy + Into<f64>>(
        sums: &[S],
        count: usize,
        weight: &Tensor,
        [mean, deviation]: [&'a Tensor; 2],
    ) -> Result<Self> {
        let (weight, deviation): (&[f32], &[f32]) = (slice_of(weight)?, slice_of(deviation)?);
        let (mean, channels, count) = (slice_of(mean)?, weight.len(), count as f64);
        let mut total = vec![0.0; 2 * channels];
        for sums in sums.chunks_exact(2 * channels) {
            for (total, &sum) in total.iter_mut().zip(sums) {
                *total += sum.into();
            }
        }
        let (s, t) = total.split_at(channels);
        let mut made = Self {
            mean,
            slope: vec![],
            offset: vec![],
            bend: vec![],
            weight: vec![],
            bias: s.iter().map(|&s| s as f32).collect(),
        };
        for (((weight, deviation), s), t) in weight.iter().zip(deviation).zip(s).zip(t) {
            let deviation = f64::from(*deviation);
            made.slope.push((f64::from(*weight) / deviation) as f32);
            made.offset.push((s / count) as f32);
            made.bend.push((t / (deviation * deviation * count)) as f32);
            made.weight.push((t / deviation) as f32);
        }
        Ok(made)
    }

    /// How dx comes of it.
    pub fn spread(&self) -> Spread<'_> {
        let Self { mean, slope, offset, bend, .. } = self;
        Spread { mean, slope, offset, bend }
    }

    /// dw
    pub fn of_weight(&self) -> Result<Tensor> {
        Ok(Tensor::f_from_slice(&self.weight)?)
    }

    /// db
    pub fn of_bias(&self) -> Result<Tensor> {
        Ok(Tensor::f_from_slice(&self.bias)?)
    }
}
