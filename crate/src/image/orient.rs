//! Flips and rotation.

use super::{CHANNELS, Picture};

/// Mirrors left and right.
pub fn flip_horizontal(picture: &mut Picture) {
    let stride = picture.stride();
    for row in picture.pixels.chunks_exact_mut(stride) {
        row.as_chunks_mut::<CHANNELS>().0.reverse();
    }
}

/// Mirrors top and bottom.
pub fn flip_vertical(picture: &mut Picture) {
    let stride = picture.stride();
    let half = picture.height as usize / 2 * stride;
    let (top, rest) = picture.pixels.split_at_mut(half);
    for (upper, lower) in top.chunks_exact_mut(stride).zip(rest.rchunks_exact_mut(stride)) {
        upper.swap_with_slice(lower);
    }
}

/// Rotates counter-clockwise about the centre; the size stays, nearest neighbour, corners black
/// (torchvision's `rotate`).
pub fn rotate(picture: &Picture, degrees: f64) -> Picture {
    let (width, height) = (i64::from(picture.width), i64::from(picture.height));
    // From an output position back to its source. Pillow rounds to 15 digits, so that right angles
    // are exact.
    let angle = -degrees.rem_euclid(360.0).to_radians();
    let rounded = |value: f64| (value * 1e15).round() / 1e15;
    let (cos, sin) = (rounded(angle.cos()), rounded(angle.sin()));
    let (cx, cy) = (width as f64 / 2.0, height as f64 / 2.0);
    // 16.16 fixed point at the middle of the first pixel, as in Pillow's affine_fixed.
    let fixed = |value: f64| (value * 65536.0 + 0.5).floor() as i64;
    let mut start_x = fixed(cx - cos * cx - sin * cy + cos * 0.5 + sin * 0.5);
    let mut start_y = fixed(cy + sin * cx - cos * cy - sin * 0.5 + cos * 0.5);
    let (cos, sin, minus_sin) = (fixed(cos), fixed(sin), fixed(-sin));

    let mut out = Picture::black(picture.width, picture.height);
    for row in out.pixels.chunks_exact_mut(picture.stride()) {
        let (mut x, mut y) = (start_x, start_y);
        for pixel in row.chunks_exact_mut(CHANNELS) {
            let (column, line) = (x >> 16, y >> 16);
            if (0..width).contains(&column) && (0..height).contains(&line) {
                let from = (line * width + column) as usize * CHANNELS;
                pixel.copy_from_slice(&picture.pixels[from..from + CHANNELS]);
            }
            x += cos;
            y += minus_sin;
        }
        start_x += sin;
        start_y += cos;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2 x 2: red values 1 2 / 3 4.
    fn four() -> Picture {
        Picture { width: 2, height: 2, pixels: vec![1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0, 0] }
    }

    fn reds(picture: &Picture) -> Vec<u8> {
        picture.pixels.iter().step_by(3).copied().collect()
    }

    #[test]
    fn flips_move_whole_pixels() {
        let mut picture = four();
        flip_horizontal(&mut picture);
        assert_eq!(picture.pixels, [2, 0, 0, 1, 0, 0, 4, 0, 0, 3, 0, 0]);
        flip_vertical(&mut picture);
        assert_eq!(reds(&picture), [4, 3, 2, 1]);
    }

    #[test]
    fn a_vertical_flip_leaves_the_middle_row_of_an_odd_height() {
        let mut picture = Picture { width: 1, height: 3, pixels: vec![1, 1, 1, 2, 2, 2, 3, 3, 3] };
        flip_vertical(&mut picture);
        assert_eq!(reds(&picture), [3, 2, 1]);
    }

    #[test]
    fn right_angles_turn_counter_clockwise_without_loss() {
        assert_eq!(reds(&rotate(&four(), 90.0)), [2, 4, 1, 3]);
        assert_eq!(reds(&rotate(&four(), -90.0)), [3, 1, 4, 2]);
        assert_eq!(reds(&rotate(&four(), 180.0)), [4, 3, 2, 1]);
        assert_eq!(rotate(&four(), 0.0), four());
    }

    #[test]
    fn corners_that_come_from_outside_are_black() {
        let white = Picture { width: 9, height: 9, pixels: vec![255; 243] };
        let turned = rotate(&white, 45.0);
        assert_eq!(turned.pixels[0], 0);
        assert_eq!(turned.pixels[(4 * 9 + 4) * 3], 255);
    }
}
