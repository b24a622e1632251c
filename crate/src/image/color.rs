//! Colour operations as torchvision applies them to a Pillow picture, bit for bit.

use super::{CHANNELS, Picture};

/// Pixels that are taken apart into channels together: small enough for the nearest cache, whole
/// vectors long.
const BLOCK: usize = 64;
type Plane = [u8; BLOCK];

/// Scales all values; 1 changes nothing, 0 gives black.
pub fn brightness(picture: &mut Picture, factor: f64) {
    blend_all(&mut picture.pixels, 0, factor as f32);
}

/// Moves all values away from (or towards) the mean grey; 1 changes nothing.
pub fn contrast(picture: &mut Picture, factor: f64) {
    let mean = mean_luma(picture);
    blend_all(&mut picture.pixels, mean, factor as f32);
}

/// Moves every pixel away from (or towards) its own grey; 1 changes nothing, 0 gives grey.
pub fn saturation(picture: &mut Picture, factor: f64) {
    saturate(&mut picture.pixels, factor as f32);
}

/// Turns the hue by `factor` of a full circle, -0.5..=0.5.
pub fn hue(picture: &mut Picture, factor: f64) {
    // Pillow's hue is a byte; torchvision adds the truncated shift with wrap-around.
    turn_hue(&mut picture.pixels, (factor * 255.0) as i32 as u8);
}

/// Replaces every pixel by its grey (ITU-R 601).
pub fn grayscale(picture: &mut Picture) {
    make_gray(&mut picture.pixels);
}

/// Pillow's `blend`: from `base` towards `value`, beyond it for a factor above 1.
#[inline(always)]
fn blend(base: u8, value: u8, factor: f32) -> u8 {
    let (base, value) = (i32::from(base), i32::from(value));
    truncate(base as f32 + factor * (value - base) as f32)
}

#[inline(always)]
fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}

vectorised_widest! {
    fn blend_all(pixels: &mut [u8], base: u8, factor: f32) {
        for value in pixels {
            *value = blend(base, *value, factor);
        }
    }
}

fn mean_luma(picture: &Picture) -> u8 {
    let mut sum = 0;
    add_luma(&picture.pixels, &mut sum);
    let count = u64::from(picture.width) * u64::from(picture.height);
    (sum as f64 / count as f64 + 0.5) as u8
}

/// Takes a block apart into its channels. A shorter last block leaves what was behind it.
#[inline(always)]
fn split(block: &[u8], r: &mut Plane, g: &mut Plane, b: &mut Plane) {
    let pixels = block.as_chunks::<CHANNELS>().0.iter();
    for (((pixel, r), g), b) in pixels.zip(r).zip(g).zip(b) {
        [*r, *g, *b] = *pixel;
    }
}

/// Puts a block together again.
#[inline(always)]
fn join(block: &mut [u8], r: &Plane, g: &Plane, b: &Plane) {
    let pixels = block.as_chunks_mut::<CHANNELS>().0.iter_mut();
    for (((pixel, r), g), b) in pixels.zip(r).zip(g).zip(b) {
        *pixel = [*r, *g, *b];
    }
}

vectorised_widest! {
    fn add_luma(pixels: &[u8], sum: &mut u64) {
        // A block's sum of at most 255 * 4096 fits 32 bits.
        for block in pixels.chunks(4096 * CHANNELS) {
            let mut part = 0;
            for &[r, g, b] in block.as_chunks::<CHANNELS>().0 {
                part += u32::from(luma(r, g, b));
            }
            *sum += u64::from(part);
        }
    }
}

// The loops below stand in the functions themselves: a closure would be compiled for the baseline.

vectorised_widest! {
    fn make_gray(pixels: &mut [u8]) {
        let (mut r, mut g, mut b) = ([0; BLOCK], [0; BLOCK], [0; BLOCK]);
        for block in pixels.chunks_mut(BLOCK * CHANNELS) {
            split(block, &mut r, &mut g, &mut b);
            for i in 0..BLOCK {
                r[i] = luma(r[i], g[i], b[i]);
            }
            join(block, &r, &r, &r);
        }
    }
}

vectorised_widest! {
    fn saturate(pixels: &mut [u8], factor: f32) {
        let (mut r, mut g, mut b) = ([0; BLOCK], [0; BLOCK], [0; BLOCK]);
        for block in pixels.chunks_mut(BLOCK * CHANNELS) {
            split(block, &mut r, &mut g, &mut b);
            for i in 0..BLOCK {
                let gray = luma(r[i], g[i], b[i]);
                r[i] = blend(gray, r[i], factor);
                g[i] = blend(gray, g[i], factor);
                b[i] = blend(gray, b[i], factor);
            }
            join(block, &r, &g, &b);
        }
    }
}

vectorised_widest! {
    fn turn_hue(pixels: &mut [u8], shift: u8) {
        let (mut r, mut g, mut b) = ([0; BLOCK], [0; BLOCK], [0; BLOCK]);
        let (mut h, mut s, mut v) = ([0; BLOCK], [0; BLOCK], [0; BLOCK]);
        for block in pixels.chunks_mut(BLOCK * CHANNELS) {
            split(block, &mut r, &mut g, &mut b);
            // Three loops, because in one the compiler finds no vectors.
            for i in 0..BLOCK {
                h[i] = hue_byte(r[i], g[i], b[i]).wrapping_add(shift);
            }
            for i in 0..BLOCK {
                v[i] = r[i].max(g[i]).max(b[i]);
                let range = v[i] - r[i].min(g[i]).min(b[i]);
                s[i] = truncate(range as f32 * 255.0 / v[i].max(1) as f32);
            }
            for i in 0..BLOCK {
                (r[i], g[i], b[i]) = to_rgb(h[i], s[i], v[i]);
            }
            join(block, &r, &g, &b);
        }
    }
}

/// The hue of Pillow's `rgb2hsv`, without branches. Pillow mixes single and double precision; single
/// gives the same bytes when the smaller quotient is taken off last, or added last (a test compares
/// all colours).
#[inline(always)]
fn hue_byte(r: u8, g: u8, b: u8) -> u8 {
    let max = r.max(g).max(b);
    let range = max - r.min(g).min(b);
    // Grey has no hue: a divisor of 1 then makes it 0.
    let divisor = range.max(1) as f32;
    // Pillow: bc - gc, 2 + rc - bc or 4 + gc - rc.
    let (offset, plus, minus) = if r == max {
        (0.0, b, g)
    } else if g == max {
        (2.0, r, b)
    } else {
        (4.0, g, r)
    };
    let (plus, minus) = (max - plus, max - minus);
    // Of a colour one quotient is 1; with that one first, only one step rounds.
    let one = f32::from(range.min(1));
    let smaller = f32::from(plus.min(minus)) / divisor;
    let sixths = if plus >= minus { offset + one - smaller } else { offset - one + smaller };
    let turned = sixths / 6.0;
    let hue = if turned < 0.0 { turned + 1.0 } else { turned };
    // SAFETY: all quotients are from 0 to 1, so the hue is, whatever the three bytes are.
    let byte = unsafe { (hue * 255.0).to_int_unchecked::<i32>() };
    // The product may have been rounded up to the integer: 256 hue - hue is compared exactly.
    let rounded_up = hue * 256.0 - (byte as f32) < hue;
    (byte - i32::from(rounded_up)) as u8
}

/// Pillow's `hsv2rgb`. Integers up to the last division give the same bytes for every input.
#[inline(always)]
fn to_rgb(h: u8, s: u8, v: u8) -> (u8, u8, u8) {
    const WHOLE: i32 = 255 * 255;
    let (h, s, v) = (i32::from(h) * 6, i32::from(s), i32::from(v));
    let sector = h / 255;
    let fraction = h - sector * 255;
    let scaled = |share: i32| truncate((v * (WHOLE - share)) as f32 * (1.0 / WHOLE as f32) + 0.5);
    let (p, q, t) = (scaled(s * 255), scaled(s * fraction), scaled(s * (255 - fraction)));
    let v = v as u8;
    let choose = |a: bool, x: u8, y: u8| if a { x } else { y };
    // Sectors 0..=5 are vtp, qvp, pvt, pqv, tpv, vpq; a hue byte of 255 is the full circle, sector
    // 6 = 0.
    let red =
        choose(sector == 1, q, choose(sector == 4, t, choose(sector == 2 || sector == 3, p, v)));
    let green = choose(sector == 3, q, choose(sector % 6 == 0, t, choose(sector >= 4, p, v)));
    let blue =
        choose(sector == 5, q, choose(sector == 2, t, choose(sector == 3 || sector == 4, v, p)));
    (red, green, blue)
}

/// To a byte: saturating, towards zero.
#[inline(always)]
#[expect(clippy::manual_clamp, reason = "clamp would let a NaN through")]
fn truncate(value: f32) -> u8 {
    let value = value.max(0.0).min(255.0);
    // SAFETY: `max` made a NaN 0, so the value is finite and fits. The checked conversion has no
    // vector instruction.
    unsafe { value.to_int_unchecked::<i32>() as u8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(r: u8, g: u8, b: u8) -> Picture {
        Picture { width: 1, height: 1, pixels: vec![r, g, b] }
    }

    fn with(mut picture: Picture, change: impl Fn(&mut Picture)) -> Vec<u8> {
        change(&mut picture);
        picture.pixels
    }

    #[test]
    fn factor_one_changes_nothing() {
        for operation in [brightness, contrast, saturation] {
            assert_eq!(with(one(10, 130, 250), |p| operation(p, 1.0)), [10, 130, 250]);
        }
    }

    #[test]
    fn brightness_scales_and_saturates() {
        assert_eq!(with(one(10, 100, 200), |p| brightness(p, 1.5)), [15, 150, 255]);
        assert_eq!(with(one(10, 100, 200), |p| brightness(p, 0.0)), [0, 0, 0]);
    }

    #[test]
    fn contrast_moves_away_from_the_mean_gray() {
        let picture = Picture { width: 2, height: 1, pixels: vec![50, 50, 50, 150, 150, 150] };
        assert_eq!(with(picture.clone(), |p| contrast(p, 0.0)), [100; 6]);
        assert_eq!(with(picture, |p| contrast(p, 2.0)), [0, 0, 0, 200, 200, 200]);
    }

    #[test]
    fn saturation_zero_is_the_gray_picture() {
        assert_eq!(
            with(one(10, 130, 250), |p| saturation(p, 0.0)),
            with(one(10, 130, 250), grayscale)
        );
    }

    #[test]
    fn a_third_of_a_circle_turns_red_into_green_and_back_into_blue() {
        assert_eq!(with(one(255, 0, 0), |p| hue(p, 1.0 / 3.0)), [0, 255, 0]);
        // Pillow's byte of hue is not exact backwards: 171 instead of 170.
        assert_eq!(with(one(255, 0, 0), |p| hue(p, -1.0 / 3.0)), [6, 0, 255]);
    }

    /// The hue as Pillow's `rgb2hsv` computes it.
    fn pillow_hue(r: u8, g: u8, b: u8) -> u8 {
        let (max, min) = (r.max(g).max(b), r.min(g).min(b));
        if max == min {
            return 0;
        }
        let part = |value: u8| f64::from(f32::from(max - value) / f32::from(max - min));
        let (rc, gc, bc) = (part(r), part(g), part(b));
        let sixths = match max {
            _ if r == max => bc - gc,
            _ if g == max => 2.0 + rc - bc,
            _ => 4.0 + gc - rc,
        } as f32;
        let hue = (f64::from(sixths) / 6.0 + 1.0).rem_euclid(1.0) as f32;
        (f64::from(hue) * 255.0) as u8
    }

    #[test]
    fn the_hue_of_every_colour_is_pillows() {
        // It depends on the distances from the largest channel alone.
        for low in 0..=255 {
            for other in low..=255 {
                for [r, g, b] in [
                    [255, low, other],
                    [255, other, low],
                    [low, 255, other],
                    [other, 255, low],
                    [low, other, 255],
                    [other, low, 255],
                ] {
                    assert_eq!(hue_byte(r, g, b), pillow_hue(r, g, b), "{r} {g} {b}");
                }
            }
        }
    }

    #[test]
    fn hue_leaves_gray_alone() {
        for v in [0, 1, 77, 255] {
            assert_eq!(with(one(v, v, v), |p| hue(p, 0.2)), [v; 3]);
        }
    }

    #[test]
    fn a_picture_that_is_not_a_whole_number_of_blocks_is_changed_to_its_end() {
        let pixels = [200, 100, 50].repeat(BLOCK + 3);
        let picture = Picture { width: BLOCK as u32 + 3, height: 1, pixels };
        let gray = with(one(200, 100, 50), grayscale);
        assert_eq!(with(picture, grayscale), gray.repeat(BLOCK + 3));
    }
}
