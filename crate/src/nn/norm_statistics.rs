//! Mean and variance of each channel of a map in bf16, in one pass where the library makes two.
//!
//! Of some values, with d = x - p for a pivot p: mean = p + sum d / n and squares = sum d^2 - (sum d)^2 / n. A
//! pivot close to the mean, that of the first of these values, keeps the difference from being one of numbers
//! much larger than itself. Sums are f32; several such parts are put together in f64 (Chan et al. 1979).

use tch::Tensor;

use super::memory::{rows, slice_of};
use super::value::{LANES, Value, load};
use super::wide::wide;
use crate::error::Result;
use crate::threads;

/// Pixels at a time, one from each of so many parts of a share: memory gives several streams faster than one.
const STREAMS: usize = 8;
/// One in so many pixels of a share, the first of them, makes the pivot.
const PIVOT_OF: usize = 16;
/// Numbers that a thread takes at a time.
const SHARE: usize = 1 << 16;

/// Mean and variance (over N) of `x [N, C, H, W]` in bf16, C a multiple of `LANES`, not empty.
pub fn mean_and_variance(x: &Tensor) -> Result<[Tensor; 2]> {
    let x = rows(x)?;
    let channels = x.size()[3] as usize;
    let [mean, variance] = of_rows::<i16>(slice_of(&x)?, channels)?;
    Ok([Tensor::f_from_slice(&mean)?, Tensor::f_from_slice(&variance)?])
}

fn of_rows<T: Value>(values: &[T], channels: usize) -> Result<[Vec<f32>; 2]> {
    let share = (SHARE / channels).max(1) * channels;
    // Each share's by itself, so that the total does not depend on which thread was the first.
    let mut shares = vec![0.0; values.len().div_ceil(share) * 3 * channels];
    let each = values.chunks(share).zip(shares.chunks_exact_mut(3 * channels));
    threads::each(each, |(values, sums)| add_up(values, sums))?;

    let mut total = Moments::of(channels);
    for (values, sums) in values.chunks(share).zip(shares.chunks_exact(3 * channels)) {
        total.add((values.len() / channels) as f64, sums);
    }
    let variance = total.squares.iter().map(|squares| (squares / total.count) as f32).collect();
    Ok([total.mean.iter().map(|&mean| mean as f32).collect(), variance])
}

/// Of some values of each channel.
struct Moments {
    count: f64,
    mean: Vec<f64>,
    /// Sums of the squares of the distances from the mean.
    squares: Vec<f64>,
}

impl Moments {
    /// Of none.
    fn of(channels: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; channels], squares: vec![0.0; channels] }
    }

    /// And those of `more` values, of which `add_up` made `sums [3, C]`.
    fn add(&mut self, more: f64, sums: &[f32]) {
        let channels = self.mean.len();
        let count = self.count + more;
        let (of_one, share) = (1.0 / more, more / count);
        let (pivots, sums) = sums.split_at(channels);
        let sums = pivots.iter().zip(&sums[..channels]).zip(&sums[channels..]);
        for ((mean, squares), ((&pivot, &sum), &squared)) in
            self.mean.iter_mut().zip(&mut self.squares).zip(sums)
        {
            let (pivot, sum) = (f64::from(pivot), f64::from(sum));
            let apart = pivot + sum * of_one - *mean;
            let own = f64::from(squared) - sum * sum * of_one;
            *mean += apart * share;
            // Rounding may leave less than none; what is no number stays none.
            *squares += if own < 0.0 { 0.0 } else { own } + apart * apart * self.count * share;
        }
        self.count = count;
    }
}

#[inline(always)]
fn add<T: Value>(x: &[T], sums: &mut [f32]) {
    let channels = sums.len() / 3;
    let (pivot, sums) = sums.split_at_mut(channels);
    let first = (x.len() / channels / PIVOT_OF).max(1);
    let part = 1.0 / first as f32;
    for pixel in x.chunks_exact(channels).take(first) {
        for (pivot, value) in pivot.iter_mut().zip(pixel) {
            *pivot += value.wide() * part;
        }
    }
    let pivot = &*pivot;
    let apart = x.len() / (STREAMS * channels) * channels;
    for first in (0..apart).step_by(channels) {
        add_pixels::<T, STREAMS>(x, [first, apart], pivot, sums);
    }
    for first in (STREAMS * apart..x.len()).step_by(channels) {
        add_pixels::<T, 1>(x, [first, 0], pivot, sums);
    }
}

#[inline(always)]
fn add_pixels<T: Value, const COUNT: usize>(
    x: &[T],
    [first, apart]: [usize; 2],
    pivot: &[f32],
    sums: &mut [f32],
) {
    let channels = pivot.len();
    for c in (0..channels).step_by(LANES) {
        let pivot = load(pivot, c);
        let (mut sum, mut squares) = (load(sums, c), load(sums, channels + c));
        for pixel in 0..COUNT {
            let mut lane = load(x, first + pixel * apart + c);
            for k in 0..LANES {
                lane[k] -= pivot[k];
                sum[k] += lane[k];
                squares[k] += lane[k] * lane[k];
            }
        }
        sums[c..c + LANES].copy_from_slice(&sum);
        sums[channels + c..channels + c + LANES].copy_from_slice(&squares);
    }
}

wide!(
    /// Of each channel, to zeros: the pivot, the sum of x - pivot and that of its square, `[3, C]`.
    fn add_up(x: &[T], sums: &mut [f32]) = add(x, sums)
);

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn wide(x: &Tensor) -> [Tensor; 2] {
        let (wide, dims) = (x.to_kind(Kind::Double), [0, 2, 3].as_slice());
        [wide.mean_dim(dims, false, None), wide.var_dim(dims, false, false)]
    }

    #[test]
    fn they_are_those_of_f64() {
        tch::manual_seed(8);
        for shape in [[1, 16, 1, 2], [3, 32, 5, 7], [2, 48, 3, 3], [9, 64, 33, 40]] {
            for (mean, deviation) in [(0.0, 1.0), (20.0, 0.5), (-3.0, 40.0)] {
                let x = Tensor::randn(shape, (Kind::Float, Device::Cpu)) * deviation + mean;
                let dense = x.to_kind(Kind::BFloat16);
                let last = dense.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
                for x in [dense, last] {
                    let scale = wide(&x)[1].sqrt();
                    let made = mean_and_variance(&x).unwrap();
                    // Against the spread, which is what values are told apart by.
                    let off = |k: usize| (made[k].to_kind(Kind::Double) - &wide(&x)[k]).abs();
                    let of_mean = (off(0) / &scale).max().double_value(&[]);
                    let of_variance = (off(1) / (&scale * &scale)).max().double_value(&[]);
                    assert!(of_mean < 5e-6, "{shape:?} {mean}: {of_mean}");
                    assert!(of_variance < 3e-5, "{shape:?} {mean}: {of_variance}");
                }
            }
        }
    }

    /// In all of the first picture, which is more than a share, and at the first pixels of each share.
    #[test]
    fn the_first_values_may_be_unlike_the_others() {
        tch::manual_seed(9);
        let channels = 16;
        let share = (SHARE / channels) as i64;
        let x = Tensor::randn([6, share + 9, 1, channels as i64], (Kind::Float, Device::Cpu)) * 0.1;
        let _ = x.get(0).fill_(60.0);
        let pixels = x.view([-1, channels as i64]);
        for first in (0..pixels.size()[0] - 300).step_by(share as usize) {
            let _ = pixels.narrow(0, first, 300).fill_(30.0);
        }
        let x = x.permute([0, 3, 1, 2]).to_kind(Kind::BFloat16);
        let (made, exact) = (mean_and_variance(&x).unwrap(), wide(&x));
        for (made, exact) in made.iter().zip(&exact) {
            let off = (made.to_kind(Kind::Double) / exact - 1.0).abs().max().double_value(&[]);
            assert!(off < 3e-5, "{off}");
        }
    }

    #[test]
    fn equal_values_have_no_variance_and_no_number_stays_none() {
        let x = Tensor::full([3, 16, 50, 50], 0.3, (Kind::BFloat16, Device::Cpu));
        let [mean, variance] = mean_and_variance(&x).unwrap();
        assert_eq!(mean.double_value(&[5]), x.double_value(&[0, 5, 0, 0]));
        assert!((0.0..1e-9).contains(&variance.max().double_value(&[])));
        for place in [0, 31] {
            let x = x.copy();
            let _ = x.get(1).get(7).get(place).get(place).fill_(f64::NAN);
            let made = mean_and_variance(&x).unwrap();
            for made in made {
                assert_eq!(
                    Vec::<i64>::try_from(made.isnan().nonzero().flatten(0, -1)).unwrap(),
                    [7]
                );
            }
        }
    }
}
