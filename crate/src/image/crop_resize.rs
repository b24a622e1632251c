//! Crop, and antialiased bilinear resampling of the crop alone, in Pillow's integer arithmetic
//! (`Resample.c`).

use super::buffers::{recycle, unwritten};
use super::transpose::{Column, STRIP, to_columns, to_rows};
use super::{CHANNELS, Picture};

/// Fraction bits of a weight, as in Pillow: 32 less 8 for the value and 2 spare.
const PRECISION: u32 = 32 - 8 - 2;
const HALF: i32 = 1 << (PRECISION - 1);

/// A rectangle of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crop {
    /// First column.
    pub left: u32,
    /// First row.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Crop {
    /// All of a picture.
    pub fn whole(picture: &Picture) -> Self {
        Self { left: 0, top: 0, width: picture.width, height: picture.height }
    }

    /// The part that lies within `width` x `height`, never empty.
    fn within(self, width: u32, height: u32) -> Self {
        let (left, top) = (self.left.min(width - 1), self.top.min(height - 1));
        Self {
            left,
            top,
            width: self.width.clamp(1, width - left),
            height: self.height.clamp(1, height - top),
        }
    }
}

/// Crops and resizes to `width` x `height`: pixels outside the crop have no influence. A crop that
/// sticks out is cut to the picture.
pub fn crop_resize(picture: &Picture, crop: Crop, width: u32, height: u32) -> Picture {
    crop_resize_flipped(picture, crop, (width, height), false)
}

/// The same, mirrored left and right where `flipped`: the columns are written in the other order,
/// which costs nothing.
pub(crate) fn crop_resize_flipped(
    picture: &Picture,
    crop: Crop,
    size: (u32, u32),
    flipped: bool,
) -> Picture {
    let window = Crop { left: 0, top: 0, width: size.0, height: size.1 };
    resize(picture, crop, size, window, flipped)
}

/// The part `window` of what resizing `crop` to `size` would give, without computing the rest.
pub(crate) fn resize_window(
    picture: &Picture,
    crop: Crop,
    size: (u32, u32),
    window: Crop,
) -> Picture {
    resize(picture, crop, size, window, false)
}

fn resize(picture: &Picture, crop: Crop, size: (u32, u32), window: Crop, flipped: bool) -> Picture {
    let crop = crop.within(picture.width, picture.height);
    let mut columns = Weights::new(crop.width, size.0, window.left, window.width);
    if flipped {
        columns.spans.reverse();
    }
    let lines = Weights::new(crop.height, size.1, window.top, window.height);
    // Only rows that the vertical pass will read.
    let (first, last) = lines.reach();
    let narrow = resample_rows(picture, crop, first..last, &columns);
    let view = resample_columns(&narrow, first, &lines);
    recycle(narrow);
    view
}

/// For every output position the first input position and the weights from there on.
struct Weights {
    spans: Vec<(usize, std::ops::Range<usize>)>,
    weights: Vec<i32>,
}

impl Weights {
    /// Weights of the outputs `from..from + count` when `input` positions become `output`.
    fn new(input: u32, output: u32, from: u32, count: u32) -> Self {
        let scale = f64::from(input as f32) / f64::from(output);
        // The filter widens with the reduction: that is the antialiasing.
        let support = scale.max(1.0);
        let mut all = Self { spans: Vec::with_capacity(count as usize), weights: Vec::new() };
        let mut exact = Vec::new();
        for position in from..from + count {
            let centre = (f64::from(position) + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(input as usize);
            exact.clear();
            exact.extend(
                (first..last)
                    .map(|x| (1.0 - ((x as f64 - centre + 0.5) * (1.0 / support)).abs()).max(0.0)),
            );
            let sum: f64 = exact.iter().sum();
            let start = all.weights.len();
            all.weights
                .extend(exact.iter().map(|w| (0.5 + w / sum * f64::from(1 << PRECISION)) as i32));
            all.spans.push((first, start..all.weights.len()));
        }
        all
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.spans.iter().map(|(first, span)| (*first, &self.weights[span.clone()]))
    }

    /// First input position used and the one after the last.
    fn reach(&self) -> (usize, usize) {
        let first = self.spans.first().map_or(0, |(first, _)| *first);
        (first, self.spans.last().map_or(0, |(first, span)| first + span.len()))
    }
}

/// The horizontal pass over the crop's rows `rows`.
fn resample_rows(
    picture: &Picture,
    crop: Crop,
    rows: std::ops::Range<usize>,
    weights: &Weights,
) -> Picture {
    let mut out = unwritten(weights.spans.len() as u32, rows.len() as u32);
    let (stride, out_stride) = (picture.stride(), out.stride());
    let left = crop.left as usize * CHANNELS;
    let mut columns: Vec<Column> = vec![[0; STRIP * CHANNELS]; crop.width as usize];
    let mut made: Vec<Column> = vec![[0; STRIP * CHANNELS]; weights.spans.len()];
    let from = &picture.pixels[(crop.top as usize + rows.start) * stride..];
    for (part, to) in from.chunks(STRIP * stride).zip(out.pixels.chunks_mut(STRIP * out_stride)) {
        let lines = to.len() / out_stride;
        to_columns(&part[left..lines * stride], stride, &mut columns);
        resample_strip(&columns, weights, &mut made);
        to_rows(&made, to, out_stride);
    }
    out
}

vectorised! {
    /// Makes all output columns of one strip.
    fn resample_strip(strip: &[Column], weights: &Weights, to: &mut [Column]) {
        for ((first, weights), to) in weights.iter().zip(to) {
            let mut sums = [HALF; STRIP * CHANNELS];
            for (column, weight) in strip[first..].iter().zip(weights) {
                for (sum, value) in sums.iter_mut().zip(column) {
                    *sum += i32::from(*value) * weight;
                }
            }
            for (value, sum) in to.iter_mut().zip(sums) {
                *value = narrow(sum);
            }
        }
    }
}

/// The vertical pass. Row 0 of `picture` is the position `offset` of the weights.
fn resample_columns(picture: &Picture, offset: usize, weights: &Weights) -> Picture {
    let mut out = unwritten(picture.width, weights.spans.len() as u32);
    let stride = picture.stride();
    let mut sums = vec![0; stride];
    for (to, (first, weights)) in out.pixels.chunks_exact_mut(stride).zip(weights.iter()) {
        resample_line(&picture.pixels[(first - offset) * stride..], weights, &mut sums, to);
    }
    out
}

vectorised! {
    /// Makes one output row of as many input rows as there are weights.
    fn resample_line(from: &[u8], weights: &[i32], sums: &mut [i32], to: &mut [u8]) {
        sums.fill(HALF);
        for (row, weight) in from.chunks_exact(to.len()).zip(weights) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += i32::from(*value) * weight;
            }
        }
        for (out, sum) in to.iter_mut().zip(sums.iter()) {
            *out = narrow(*sum);
        }
    }
}

#[inline(always)]
fn narrow(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: u32, height: u32) -> Picture {
        let mut picture = Picture::black(width, height);
        for (i, pixel) in picture.pixels.chunks_exact_mut(3).enumerate() {
            let (x, y) = (i as u32 % width, i as u32 / width);
            pixel.copy_from_slice(&[x as u8, y as u8, 7]);
        }
        picture
    }

    #[test]
    fn a_crop_of_the_target_size_is_copied() {
        let out =
            crop_resize(&ramp(40, 30), Crop { left: 5, top: 9, width: 20, height: 18 }, 20, 18);
        assert_eq!((out.width, out.height), (20, 18));
        assert_eq!(out.pixels[..3], [5, 9, 7]);
        assert_eq!(out.pixels[(17 * 20 + 19) * 3..], [24, 26, 7]);
    }

    #[test]
    fn pixels_outside_the_crop_have_no_influence() {
        let mut picture = Picture { width: 30, height: 30, pixels: vec![255; 2700] };
        for y in 10..20 {
            picture.pixels[(y * 30 + 10) * 3..(y * 30 + 20) * 3].fill(50);
        }
        let out = crop_resize(&picture, Crop { left: 10, top: 10, width: 10, height: 10 }, 37, 3);
        assert!(out.pixels.iter().all(|&v| v == 50));
    }

    #[test]
    fn a_reduction_averages_all_pixels() {
        let mut picture = Picture::black(64, 1);
        picture.pixels.chunks_exact_mut(6).for_each(|pair| pair[3..].fill(200));
        let out = crop_resize(&picture, Crop::whole(&picture), 4, 1);
        assert!(out.pixels.iter().all(|&v| (98..=102).contains(&v)), "{:?}", out.pixels);
    }

    #[test]
    fn a_window_equals_the_same_part_of_the_whole() {
        let picture = ramp(61, 47);
        let crop = Crop { left: 3, top: 2, width: 55, height: 41 };
        let whole = crop_resize(&picture, crop, 23, 19);
        let part =
            resize_window(&picture, crop, (23, 19), Crop { left: 4, top: 6, width: 11, height: 8 });
        for y in 0..8 {
            let from = ((y + 6) * 23 + 4) * 3;
            assert_eq!(part.pixels[y * 33..(y + 1) * 33], whole.pixels[from..from + 33]);
        }
    }

    #[test]
    fn a_crop_that_sticks_out_is_cut_to_the_picture() {
        let picture = ramp(8, 8);
        let out = crop_resize(&picture, Crop { left: 6, top: 90, width: 50, height: 50 }, 2, 1);
        assert_eq!(out.pixels, [6, 7, 7, 7, 7, 7]);
    }
}
