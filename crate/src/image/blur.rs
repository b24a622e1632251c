//! Gaussian blur as Pillow does it: three passes of a box filter of fractional radius along each
//! axis.

use super::buffers::{recycle, unwritten};
use super::{CHANNELS, Picture};

const PASSES: usize = 3;
/// Pillow keeps weights as 8.24 fixed point.
const ONE: f32 = (1 << 24) as f32;
const HALF: u32 = 1 << 23;

/// A box of `2 * radius + 1` whole weights with a fractional weight at both ends.
struct Kernel {
    radius: usize,
    whole: u32,
    fraction: u32,
}

impl Kernel {
    /// The box whose three-fold repetition has the deviation `sigma` (Gwosdek et al. 2011, in
    /// Pillow's precision).
    fn for_gaussian(sigma: f64) -> Self {
        let sigma = sigma as f32;
        let variance = sigma * sigma / PASSES as f32;
        let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32;
        let whole = ((f64::from(length) - 1.0) / 2.0).floor() as f32;
        let mut fraction = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance);
        fraction /= 6.0 * (variance - (whole + 1.0) * (whole + 1.0));
        Self::for_box(whole + fraction)
    }

    fn for_box(radius: f32) -> Self {
        let whole = (ONE / (radius * 2.0 + 1.0)) as u32;
        let radius = radius as usize;
        let covered = (radius as u32 * 2 + 1).wrapping_mul(whole);
        Self { radius, whole, fraction: (1u32 << 24).wrapping_sub(covered) / 2 }
    }

    /// The mean, of the sum of the whole weights' values and that of the two ends'.
    #[inline(always)]
    fn weigh(&self, inner: u32, ends: u32) -> u8 {
        let inner = inner.wrapping_mul(self.whole);
        let value = inner.wrapping_add(ends.wrapping_mul(self.fraction));
        (value.wrapping_add(HALF) >> 24) as u8
    }
}

/// Blurs in place. `sigma` is the standard deviation in pixels; 0 changes nothing.
pub fn gaussian_blur(picture: &mut Picture, sigma: f64) {
    if sigma == 0.0 {
        return;
    }
    let kernel = Kernel::for_gaussian(sigma);
    blur_rows(picture, &kernel);
    blur_columns(picture, &kernel);
}

/// Pillow's first three passes, along each row while it is in the nearest cache.
fn blur_rows(picture: &mut Picture, kernel: &Kernel) {
    let stride = picture.stride();
    let border = (kernel.radius + 1) * CHANNELS;
    let mut line = vec![0; border + stride + border];
    for row in picture.pixels.chunks_exact_mut(stride) {
        for _ in 0..PASSES {
            line[border..border + stride].copy_from_slice(row);
            continue_ends(&mut line, border);
            box_row(&line, row, kernel);
        }
    }
}

/// Fills both borders of a line of pixels with the pixel next to them.
fn continue_ends(line: &mut [u8], border: usize) {
    let end = line.len() - border;
    for at in (0..border).step_by(CHANNELS) {
        line.copy_within(border..border + CHANNELS, at);
        line.copy_within(end - CHANNELS..end, end + at);
    }
}

vectorised_widest! {
    /// One pass along a row, of the row with `radius + 1` pixels more at both ends.
    fn box_row(line: &[u8], to: &mut [u8], kernel: &Kernel) {
        let length = to.len();
        let beyond = &line[line.len() - length..];
        match kernel.radius {
            0 => box_row_of::<1>(line, beyond, to, kernel),
            1 => box_row_of::<3>(line, beyond, to, kernel),
            _ => box_row_by_running_sums(line, to, kernel),
        }
    }
}

/// The same with a running sum for each channel, at any radius.
#[inline(always)]
fn box_row_by_running_sums(line: &[u8], to: &mut [u8], kernel: &Kernel) {
    let pixels = line.as_chunks::<CHANNELS>().0;
    let window = 2 * kernel.radius + 1;
    // That of the pixel before the first.
    let mut sums = [0; CHANNELS];
    for pixel in &pixels[..window] {
        for channel in 0..CHANNELS {
            sums[channel] += u32::from(pixel[channel]);
        }
    }
    for (x, out) in to.as_chunks_mut::<CHANNELS>().0.iter_mut().enumerate() {
        let (leaving, entering, beyond) = (pixels[x], pixels[x + window], pixels[x + window + 1]);
        for channel in 0..CHANNELS {
            sums[channel] =
                sums[channel] + u32::from(entering[channel]) - u32::from(leaving[channel]);
            let ends = u32::from(leaving[channel]) + u32::from(beyond[channel]);
            out[channel] = kernel.weigh(sums[channel], ends);
        }
    }
}

/// The same with a window of `WINDOW` pixels, `2 * radius + 1`, summed anew for each value: nothing
/// waits for the value before.
#[inline(always)]
fn box_row_of<const WINDOW: usize>(line: &[u8], beyond: &[u8], to: &mut [u8], kernel: &Kernel) {
    let length = to.len();
    let window: [&[u8]; WINDOW] = std::array::from_fn(|k| &line[(k + 1) * CHANNELS..][..length]);
    for i in 0..length {
        let mut sum = 0;
        for values in window {
            sum += u32::from(values[i]);
        }
        to[i] = kernel.weigh(sum, u32::from(line[i]) + u32::from(beyond[i]));
    }
}

fn blur_columns(picture: &mut Picture, kernel: &Kernel) {
    let stride = picture.stride();
    let mut sums = vec![0; stride];
    let mut other = unwritten(picture.width, picture.height);
    for _ in 0..PASSES {
        box_columns(&picture.pixels, &mut other.pixels, stride, kernel, &mut sums);
        std::mem::swap(&mut picture.pixels, &mut other.pixels);
    }
    recycle(other);
}

vectorised_widest! {
    /// One pass down all columns. Outside the picture its first and last row go on.
    fn box_columns(from: &[u8], to: &mut [u8], stride: usize, kernel: &Kernel, sums: &mut [u32]) {
        let radius = kernel.radius;
        // The window of the row before the first: `radius + 1` times the first row, then `radius`
        // rows from the top.
        for (sum, &first) in sums.iter_mut().zip(row(from, stride, 0)) {
            *sum = u32::from(first) * (radius as u32 + 1);
        }
        for y in 0..radius {
            for (sum, &value) in sums.iter_mut().zip(row(from, stride, y)) {
                *sum += u32::from(value);
            }
        }
        for (y, out) in to.chunks_exact_mut(stride).enumerate() {
            let leaving = row(from, stride, y.saturating_sub(radius + 1));
            let entering = row(from, stride, y + radius);
            let beyond = row(from, stride, y + radius + 1);
            let values = leaving.iter().zip(entering).zip(beyond);
            let sums = sums.iter_mut().zip(out);
            for ((sum, out), ((&leaving, &entering), &beyond)) in sums.zip(values) {
                *sum = sum.wrapping_add(u32::from(entering)).wrapping_sub(u32::from(leaving));
                *out = kernel.weigh(*sum, u32::from(leaving) + u32::from(beyond));
            }
        }
    }
}

/// A row, the last one below it.
#[inline(always)]
fn row(pixels: &[u8], stride: usize, y: usize) -> &[u8] {
    let y = y.min(pixels.len() / stride - 1);
    &pixels[y * stride..(y + 1) * stride]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spike(side: u32) -> Picture {
        let mut picture = Picture::black(side, side);
        let centre = (side / 2 * side + side / 2) as usize * 3;
        picture.pixels[centre..centre + 3].fill(255);
        picture
    }

    fn transposed(picture: &Picture) -> Picture {
        let mut out = Picture::black(picture.height, picture.width);
        for (i, pixel) in picture.pixels.as_chunks::<CHANNELS>().0.iter().enumerate() {
            let (x, y) = (i % picture.width as usize, i / picture.width as usize);
            out.pixels.as_chunks_mut::<CHANNELS>().0[x * picture.height as usize + y] = *pixel;
        }
        out
    }

    #[test]
    fn rows_are_blurred_as_the_columns_of_the_transposed_picture() {
        for (width, height) in [(1, 1), (2, 3), (5, 4), (37, 11), (64, 2)] {
            for sigma in [0.1, 0.7, 1.3, 1.5, 2.0, 2.5, 9.0] {
                let mut rows = Picture::black(width, height);
                for (i, value) in rows.pixels.iter_mut().enumerate() {
                    *value = (i * i * 31 % 257) as u8;
                }
                let mut columns = transposed(&rows);
                let kernel = Kernel::for_gaussian(sigma);
                blur_rows(&mut rows, &kernel);
                blur_columns(&mut columns, &kernel);
                assert_eq!(rows, transposed(&columns), "{width} x {height}, sigma {sigma}");
            }
        }
    }

    #[test]
    fn a_flat_picture_stays_flat_at_every_radius() {
        for sigma in [0.1, 0.7, 2.0, 9.0] {
            let mut picture = Picture { width: 7, height: 5, pixels: vec![200; 105] };
            gaussian_blur(&mut picture, sigma);
            assert!(picture.pixels.iter().all(|&v| v == 200), "sigma {sigma}");
        }
    }

    #[test]
    fn a_spike_spreads_evenly_in_all_four_directions() {
        let mut picture = spike(15);
        gaussian_blur(&mut picture, 1.5);
        let at = |x: usize, y: usize| picture.pixels[(y * 15 + x) * 3];
        assert!(at(7, 7) > at(6, 7) && at(6, 7) > at(5, 7));
        assert_eq!(at(6, 7), at(8, 7));
        assert_eq!(at(7, 6), at(7, 8));
        assert_eq!(at(6, 7), at(7, 6));
    }

    #[test]
    fn a_wider_sigma_spreads_further() {
        let (mut narrow, mut wide) = (spike(21), spike(21));
        gaussian_blur(&mut narrow, 0.5);
        gaussian_blur(&mut wide, 2.0);
        assert!(narrow.pixels[(10 * 21 + 10) * 3] > wide.pixels[(10 * 21 + 10) * 3]);
        assert_eq!(narrow.pixels[(10 * 21 + 15) * 3], 0);
    }

    #[test]
    fn a_sigma_of_zero_changes_nothing() {
        let mut picture = spike(5);
        gaussian_blur(&mut picture, 0.0);
        assert_eq!(picture, spike(5));
    }
}
