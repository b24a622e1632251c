//! The loops over some pixels `[pixels, C]`, channels innermost. Memory is what they wait for, so each reads
//! and writes everything once.

use crate::nn::norm_gradient::{Norm, Spread};
use crate::nn::value::{LANES, Lane, Value, load, stored};
use crate::nn::wide::wide;

/// Pixels at a time, one from each of so many parts of a share: memory gives several streams faster than one.
const STREAMS: usize = 4;

/// What is no number stays none, as in the library.
#[inline(always)]
fn normalised<T: Value>(x: &[T], at: usize, scale: &Lane, shift: &Lane) -> Lane {
    let mut lane = load(x, at);
    for k in 0..LANES {
        lane[k] = lane[k] * scale[k] + shift[k];
    }
    lane
}

#[inline(always)]
fn write<T: Value>(x: &[T], shortcut: Option<&[T]>, norm: Norm<'_>, y: &mut [T]) {
    let channels = norm.scale.len();
    let apart = x.len() / (STREAMS * channels) * channels;
    for first in (0..apart).step_by(channels) {
        write_pixels::<T, STREAMS>(x, shortcut, norm, [first, apart], y);
    }
    for first in (STREAMS * apart..x.len()).step_by(channels) {
        write_pixels::<T, 1>(x, shortcut, norm, [first, 0], y);
    }
}

#[inline(always)]
fn write_pixels<T: Value, const COUNT: usize>(
    x: &[T],
    shortcut: Option<&[T]>,
    norm: Norm<'_>,
    [first, apart]: [usize; 2],
    y: &mut [T],
) {
    for c in (0..norm.scale.len()).step_by(LANES) {
        let (scale, shift) = (load(norm.scale, c), load(norm.shift, c));
        for pixel in 0..COUNT {
            let at = first + pixel * apart + c;
            let mut lane = normalised(x, at, &scale, &shift);
            if let Some(shortcut) = shortcut {
                let more = load(shortcut, at);
                for k in 0..LANES {
                    lane[k] += more[k];
                }
            }
            for value in &mut lane {
                *value = if *value < 0.0 { 0.0 } else { *value };
            }
            y[at..at + LANES].copy_from_slice(&stored(&lane));
        }
    }
}

/// Where ReLU's gradient comes from, and goes.
#[derive(Debug)]
pub enum Relu<'a, T> {
    /// Of y = scale x + shift.
    Of(Norm<'a>),
    /// y, which had a shortcut too, and its gradient by another reader; the gradient of the sum is the
    /// shortcut's as well, and is written, rounded, while it is added up as it is.
    With { y: &'a [T], other: Option<&'a [T]>, gradient: &'a mut [T] },
}

#[inline(always)]
fn sum<T: Value>(x: &[T], dy: &[T], mean: &[f32], relu: Relu<'_, T>, sums: &mut [f32]) {
    let channels = mean.len();
    let apart = x.len() / (STREAMS * channels) * channels;
    match relu {
        Relu::Of(norm) => {
            for first in (0..apart).step_by(channels) {
                sum_of::<T, STREAMS>(x, dy, [first, apart], mean, norm, sums);
            }
            for first in (STREAMS * apart..x.len()).step_by(channels) {
                sum_of::<T, 1>(x, dy, [first, 0], mean, norm, sums);
            }
        }
        Relu::With { y, other, gradient } => {
            for first in (0..apart).step_by(channels) {
                sum_with::<T, STREAMS>(x, (dy, other), [first, apart], mean, (y, gradient), sums);
            }
            for first in (STREAMS * apart..x.len()).step_by(channels) {
                sum_with::<T, 1>(x, (dy, other), [first, 0], mean, (y, gradient), sums);
            }
        }
    }
}

/// Adds the gradients g of a pixel's normalised values, and g (x - mean).
#[inline(always)]
fn add(gradient: &Lane, x: &Lane, mean: &Lane, gradients: &mut Lane, products: &mut Lane) {
    for k in 0..LANES {
        gradients[k] += gradient[k];
        products[k] += gradient[k] * (x[k] - mean[k]);
    }
}

/// The gradient where ReLU let the value pass.
#[inline(always)]
fn passed(value: &Lane, mut gradient: Lane) -> Lane {
    for k in 0..LANES {
        gradient[k] = if value[k] <= 0.0 { 0.0 } else { gradient[k] };
    }
    gradient
}

#[inline(always)]
fn sum_of<T: Value, const COUNT: usize>(
    x: &[T],
    dy: &[T],
    [first, apart]: [usize; 2],
    mean: &[f32],
    norm: Norm<'_>,
    sums: &mut [f32],
) {
    let channels = mean.len();
    for c in (0..channels).step_by(LANES) {
        let (scale, shift, centre) = (load(norm.scale, c), load(norm.shift, c), load(mean, c));
        let (mut gradients, mut products) = (load(sums, c), load(sums, channels + c));
        for pixel in 0..COUNT {
            let at = first + pixel * apart + c;
            let gradient = passed(&normalised(x, at, &scale, &shift), load(dy, at));
            add(&gradient, &load(x, at), &centre, &mut gradients, &mut products);
        }
        sums[c..c + LANES].copy_from_slice(&gradients);
        sums[channels + c..channels + c + LANES].copy_from_slice(&products);
    }
}

#[inline(always)]
fn sum_with<T: Value, const COUNT: usize>(
    x: &[T],
    (dy, other): (&[T], Option<&[T]>),
    [first, apart]: [usize; 2],
    mean: &[f32],
    (y, to): (&[T], &mut [T]),
    sums: &mut [f32],
) {
    let channels = mean.len();
    for c in (0..channels).step_by(LANES) {
        let centre = load(mean, c);
        let (mut gradients, mut products) = (load(sums, c), load(sums, channels + c));
        for pixel in 0..COUNT {
            let at = first + pixel * apart + c;
            let mut gradient = load(dy, at);
            if let Some(other) = other {
                let more = load(other, at);
                for k in 0..LANES {
                    gradient[k] += more[k];
                }
            }
            let gradient = passed(&load(y, at), gradient);
            to[at..at + LANES].copy_from_slice(&stored(&gradient));
            add(&gradient, &load(x, at), &centre, &mut gradients, &mut products);
        }
        sums[c..c + LANES].copy_from_slice(&gradients);
        sums[channels + c..channels + c + LANES].copy_from_slice(&products);
    }
}

#[inline(always)]
fn spread<T: Value>(x: &[T], dy: &[T], relu: Option<Norm<'_>>, by: Spread<'_>, dx: &mut [T]) {
    let channels = by.mean.len();
    // In its order: of several streams it is no faster.
    for first in (0..x.len()).step_by(channels) {
        for c in (0..channels).step_by(LANES) {
            let at = first + c;
            let mut gradient = load(dy, at);
            if let Some(norm) = relu {
                let value = normalised(x, at, &load(norm.scale, c), &load(norm.shift, c));
                gradient = passed(&value, gradient);
            }
            let lane = by.lane(load(x, at), &gradient, c);
            dx[at..at + LANES].copy_from_slice(&stored(&lane));
        }
    }
}

wide!(
    /// y = max(0, scale x + shift + shortcut)
    fn forward(x: &[T], shortcut: Option<&[T]>, norm: Norm<'_>, y: &mut [T]) =
        write(x, shortcut, norm, y)
);
wide!(
    /// Adds up, a channel, the gradients g of the normalised values and g (x - mean): `[2, C]`.
    fn add_sums(x: &[T], dy: &[T], mean: &[f32], relu: Relu<'_, T>, sums: &mut [f32]) =
        sum(x, dy, mean, relu, sums)
);
wide!(
    /// The gradient of x; `dy` is that of y = max(0, scale x + shift), or without `relu` that of the sum.
    fn gradient_of_input(x: &[T], dy: &[T], relu: Option<Norm<'_>>, by: Spread<'_>, dx: &mut [T]) =
        spread(x, dy, relu, by, dx)
);
