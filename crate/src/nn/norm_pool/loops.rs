//! The loops over one picture, channels innermost.

use crate::nn::norm_gradient::{Norm, Spread};
use crate::nn::value::{LANES, Lane, Value, ZERO, load, stored};
use crate::nn::wide::wide;

/// The place of a value that is none of its window's: all of them are negative.
const NOWHERE: u8 = 9;

/// The sizes of a map.
#[derive(Debug, Clone, Copy)]
pub struct Map {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Map {
    /// Numbers of one map.
    pub fn len(self) -> usize {
        self.height * self.width * self.channels
    }

    /// Sizes after pooling: a window covers 3x3 pixels and begins every second one, one pixel before the
    /// border.
    #[inline(always)]
    pub fn pooled(self) -> Self {
        let [height, width] = [self.height, self.width].map(|side| side.div_ceil(2));
        Self { height, width, channels: self.channels }
    }

    #[inline(always)]
    fn at(self, row: usize, column: usize) -> usize {
        (row * self.width + column) * self.channels
    }
}

/// The pixels along one side of `length` that a window covers, with their places in it.
#[inline(always)]
fn pixels(window: usize, length: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..3).filter_map(move |place| {
        let pixel = (2 * window + place).checked_sub(1)?;
        (pixel < length).then_some((pixel, place))
    })
}

/// The windows, of so many along one side, that cover a pixel, with its place in each: those of which
/// `2 window + place - 1` is the pixel.
#[inline(always)]
fn windows(pixel: usize, count: usize) -> impl Iterator<Item = (usize, usize)> {
    ((pixel + 1) % 2..3)
        .step_by(2)
        .map(move |place| ((pixel + 1 - place) / 2, place))
        .filter(move |&(window, _)| window < count)
}

#[inline(always)]
fn pool<T: Value>(x: &[T], map: Map, norm: Norm<'_>, y: &mut [T], places: &mut [u8]) {
    let pooled = map.pooled();
    for row in 0..pooled.height {
        for column in 0..pooled.width {
            for c in (0..map.channels).step_by(LANES) {
                let (scale, shift) = (load(norm.scale, c), load(norm.shift, c));
                // ReLU: what isn't above 0 is nowhere.
                let (mut best, mut taken) = (ZERO, [u32::from(NOWHERE); LANES]);
                for (i, down) in pixels(row, map.height) {
                    for (j, across) in pixels(column, map.width) {
                        let (lane, place) = (load(x, map.at(i, j) + c), 3 * down + across);
                        for k in 0..LANES {
                            let value = lane[k] * scale[k] + shift[k];
                            // What is no number is never given up.
                            let wins = value > best[k] || value.is_nan();
                            best[k] = if wins { value } else { best[k] };
                            taken[k] = if wins { place as u32 } else { taken[k] };
                        }
                    }
                }
                let at = pooled.at(row, column) + c;
                y[at..at + LANES].copy_from_slice(&stored(&best));
                for (to, place) in places[at..at + LANES].iter_mut().zip(taken) {
                    *to = place as u8;
                }
            }
        }
    }
}

/// Where the values of the pooled map were, and their gradients.
#[derive(Debug, Clone, Copy)]
pub struct Pooled<'a, T> {
    pub places: &'a [u8],
    pub dy: &'a [T],
}

impl<T: Value> Pooled<'_, T> {
    /// The gradient of the normalised values of a pixel, from channel c on.
    #[inline(always)]
    fn gradient(self, map: Map, row: usize, column: usize, c: usize) -> Lane {
        let (pooled, mut sum) = (map.pooled(), ZERO);
        for (i, down) in windows(row, pooled.height) {
            for (j, across) in windows(column, pooled.width) {
                let (at, place) = (pooled.at(i, j) + c, (3 * down + across) as u8);
                let (dy, places) = (load(self.dy, at), &self.places[at..at + LANES]);
                for k in 0..LANES {
                    sum[k] += if places[k] == place { dy[k] } else { 0.0 };
                }
            }
        }
        sum
    }
}

#[inline(always)]
fn sum<T: Value>(x: &[T], map: Map, pooled: Pooled<'_, T>, mean: &[f32], sums: &mut [f64]) {
    let (of_gradient, of_product) = sums.split_at_mut(map.channels);
    for row in 0..map.height {
        for c in (0..map.channels).step_by(LANES) {
            let (mean, mut gradients, mut products) = (load(mean, c), ZERO, ZERO);
            for column in 0..map.width {
                let gradient = pooled.gradient(map, row, column, c);
                let lane = load(x, map.at(row, column) + c);
                for k in 0..LANES {
                    gradients[k] += gradient[k];
                    products[k] += gradient[k] * (lane[k] - mean[k]);
                }
            }
            for k in 0..LANES {
                of_gradient[c + k] += f64::from(gradients[k]);
                of_product[c + k] += f64::from(products[k]);
            }
        }
    }
}

#[inline(always)]
fn spread<T: Value>(x: &[T], map: Map, pooled: Pooled<'_, T>, by: Spread<'_>, dx: &mut [T]) {
    for row in 0..map.height {
        for column in 0..map.width {
            for c in (0..map.channels).step_by(LANES) {
                let gradient = pooled.gradient(map, row, column, c);
                let at = map.at(row, column) + c;
                let lane = by.lane(load(x, at), &gradient, c);
                dx[at..at + LANES].copy_from_slice(&stored(&lane));
            }
        }
    }
}

wide!(
    /// y = max(0, scale x + shift) over each window, and the place in it where that is.
    fn to_pooled(x: &[T], map: Map, norm: Norm<'_>, y: &mut [T], places: &mut [u8]) =
        pool(x, map, norm, y, places)
);
wide!(
    /// Adds up, a channel, the gradients g of the normalised values and g (x - mean): `[2, C]`.
    fn add_sums(x: &[T], map: Map, pooled: Pooled<'_, T>, mean: &[f32], sums: &mut [f64]) =
        sum(x, map, pooled, mean, sums)
);
wide!(
    /// The gradient of x.
    fn from_pooled(x: &[T], map: Map, pooled: Pooled<'_, T>, by: Spread<'_>, dx: &mut [T]) =
        spread(x, map, pooled, by, dx)
);
