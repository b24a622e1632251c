//! One augmented view: what is drawn, and how it is applied, in the order of lightly's
//! `SimCLRTransform`.

use super::crop_resize::{Crop, crop_resize_flipped, resize_window};
pub use super::options::ViewOptions;
use super::{Picture, blur, color, orient};
use rand::{Rng, RngExt, seq::SliceRandom};

/// Attempts at a random crop before the central one, as in torchvision.
const CROP_ATTEMPTS: usize = 10;

/// One step of the colour jitter with its factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Jitter {
    /// See [`color::brightness`].
    Brightness(f64),
    /// See [`color::contrast`].
    Contrast(f64),
    /// See [`color::saturation`].
    Saturation(f64),
    /// See [`color::hue`].
    Hue(f64),
}

/// Everything that was drawn for a view.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewPlan {
    size: u32,
    crop: Crop,
    horizontal_flip: bool,
    vertical_flip: bool,
    degrees: Option<f64>,
    jitter: Option<[Jitter; 4]>,
    grayscale: bool,
    sigma: Option<f64>,
}

/// A random view of a picture.
pub fn random_view(picture: &Picture, options: &ViewOptions, rng: &mut impl Rng) -> Picture {
    ViewPlan::draw(picture.width, picture.height, options, rng).apply(picture)
}

/// The view for evaluation: the shorter side becomes `size`, then the centre is cut out.
pub fn evaluation_view(picture: &Picture, size: u32) -> Picture {
    let (width, height) = (u64::from(picture.width), u64::from(picture.height));
    let short = width.min(height);
    // Truncated as in torchvision's Resize.
    let longer = |side: u64| u32::try_from(side * u64::from(size) / short).unwrap_or(u32::MAX);
    let resized = (longer(width), longer(height));
    let margin = |side: u32| (f64::from(side - size) / 2.0).round_ties_even() as u32;
    let window =
        Crop { left: margin(resized.0), top: margin(resized.1), width: size, height: size };
    resize_window(picture, Crop::whole(picture), resized, window)
}

impl ViewPlan {
    /// Draws a view of a `width` x `height` picture. Every draw is made, used or not, so that one
    /// setting does not move another's.
    pub fn draw(width: u32, height: u32, options: &ViewOptions, rng: &mut impl Rng) -> Self {
        let crop = draw_crop(width, height, options, rng);
        let horizontal_flip = chance(options.horizontal_flip, rng);
        let vertical_flip = chance(options.vertical_flip, rng);
        let rotated = chance(options.rotation, rng);
        let angle = uniform((-1.0, 1.0), rng);
        let degrees = rotated
            .then(|| options.rotation_degrees.map_or(90.0, |limit| angle * f64::from(limit)));
        let jittered = chance(options.jitter, rng);
        let steps = draw_jitter(options, rng);
        let grayscale = chance(options.grayscale, rng);
        let blurred = chance(options.blur, rng);
        let sigma = uniform(wide(options.blur_sigma), rng);
        Self {
            size: options.size,
            crop,
            horizontal_flip,
            vertical_flip,
            degrees,
            jitter: jittered.then_some(steps),
            grayscale,
            sigma: blurred.then_some(sigma),
        }
    }

    /// Makes the view. The crop comes first: all that follows works on the view's few pixels.
    pub fn apply(&self, picture: &Picture) -> Picture {
        let size = (self.size, self.size);
        let mut view = crop_resize_flipped(picture, self.crop, size, self.horizontal_flip);
        if self.vertical_flip {
            orient::flip_vertical(&mut view);
        }
        if let Some(degrees) = self.degrees {
            view = orient::rotate(&view, degrees);
        }
        for step in self.jitter.iter().flatten() {
            match *step {
                Jitter::Brightness(factor) => color::brightness(&mut view, factor),
                Jitter::Contrast(factor) => color::contrast(&mut view, factor),
                Jitter::Saturation(factor) => color::saturation(&mut view, factor),
                Jitter::Hue(factor) => color::hue(&mut view, factor),
            }
        }
        if self.grayscale {
            color::grayscale(&mut view);
        }
        if let Some(sigma) = self.sigma {
            blur::gaussian_blur(&mut view, sigma);
        }
        view
    }
}

/// torchvision's `RandomResizedCrop.get_params`.
fn draw_crop(width: u32, height: u32, options: &ViewOptions, rng: &mut impl Rng) -> Crop {
    let area = f64::from(width) * f64::from(height);
    let ratio = wide(options.crop_ratio);
    for _ in 0..CROP_ATTEMPTS {
        let target = area * uniform(wide(options.crop_scale), rng);
        let aspect = uniform((ratio.0.ln(), ratio.1.ln()), rng).exp();
        let w = (target * aspect).sqrt().round_ties_even() as u32;
        let h = (target / aspect).sqrt().round_ties_even() as u32;
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let top = rng.random_range(0..=height - h);
            let left = rng.random_range(0..=width - w);
            return Crop { left, top, width: w, height: h };
        }
    }
    central_crop(width, height, ratio)
}

/// The largest central crop whose aspect ratio lies within `ratio`.
fn central_crop(width: u32, height: u32, ratio: (f64, f64)) -> Crop {
    let given = f64::from(width) / f64::from(height);
    let (w, h) = if given < ratio.0 {
        (width, (f64::from(width) / ratio.0).round_ties_even() as u32)
    } else if given > ratio.1 {
        ((f64::from(height) * ratio.1).round_ties_even() as u32, height)
    } else {
        (width, height)
    };
    // A side of less than half a pixel still keeps one.
    let (w, h) = (w.clamp(1, width), h.clamp(1, height));
    Crop { left: (width - w) / 2, top: (height - h) / 2, width: w, height: h }
}

/// The four steps in random order.
fn draw_jitter(options: &ViewOptions, rng: &mut impl Rng) -> [Jitter; 4] {
    let factor = |strength: f32, rng: &mut _| {
        let strength = f64::from(strength);
        uniform(((1.0 - strength).max(0.0), 1.0 + strength), rng)
    };
    let hue = f64::from(options.hue);
    let mut steps = [
        Jitter::Brightness(factor(options.brightness, rng)),
        Jitter::Contrast(factor(options.contrast, rng)),
        Jitter::Saturation(factor(options.saturation, rng)),
        Jitter::Hue(uniform((-hue, hue), rng)),
    ];
    steps.shuffle(rng);
    steps
}

fn chance(probability: f32, rng: &mut impl Rng) -> bool {
    rng.random::<f64>() < f64::from(probability)
}

fn uniform((low, high): (f64, f64), rng: &mut impl Rng) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

fn wide((low, high): (f32, f32)) -> (f64, f64) {
    (f64::from(low), f64::from(high))
}

#[cfg(test)]
mod tests {
    use super::super::buffers::recycle;
    use super::super::crop_resize::crop_resize;
    use super::super::options::tests::simclr;
    use super::*;
    use crate::rng::stream;
    use sha2::{Digest, Sha256};

    /// Only the crop, everything else off.
    fn plain(size: u32) -> ViewOptions {
        ViewOptions { horizontal_flip: 0.0, jitter: 0.0, grayscale: 0.0, blur: 0.0, ..simclr(size) }
    }

    fn ramp(width: u32, height: u32) -> Picture {
        let mut picture = Picture::black(width, height);
        for (i, value) in picture.pixels.iter_mut().enumerate() {
            *value = (i * 7 % 251) as u8;
        }
        picture
    }

    fn plans(options: &ViewOptions) -> Vec<ViewPlan> {
        (0..2000).map(|i| ViewPlan::draw(50, 40, options, &mut stream(1, 0, i, 0))).collect()
    }

    fn share(plans: &[ViewPlan], holds: impl Fn(&ViewPlan) -> bool) -> f64 {
        plans.iter().filter(|plan| holds(plan)).count() as f64 / plans.len() as f64
    }

    #[test]
    fn equal_streams_give_equal_views_and_other_streams_other_views() {
        let (picture, options) = (ramp(50, 40), simclr(32));
        let view = |seed| random_view(&picture, &options, &mut stream(seed, 0, 5, 0));
        assert_eq!(view(1), view(1));
        assert_ne!(view(1), view(2));
        assert_eq!(view(1).pixels.len(), 32 * 32 * 3);
    }

    #[test]
    fn probabilities_are_met() {
        let plans = plans(&simclr(32));
        let near = |got: f64, wanted: f64| {
            assert!((got - wanted).abs() < 0.04, "{got} instead of {wanted}")
        };
        near(share(&plans, |p| p.horizontal_flip), 0.5);
        near(share(&plans, |p| p.vertical_flip), 0.0);
        near(share(&plans, |p| p.degrees.is_some()), 0.0);
        near(share(&plans, |p| p.jitter.is_some()), 0.8);
        near(share(&plans, |p| p.grayscale), 0.2);
        near(share(&plans, |p| p.sigma.is_some()), 0.5);
        near(share(&plans, |p| matches!(p.jitter, Some([Jitter::Hue(_), ..]))), 0.2);
    }

    #[test]
    fn drawn_values_stay_in_their_ranges_and_reach_both_ends() {
        let mut factors = vec![];
        for plan in plans(&simclr(32)) {
            let share = f64::from(plan.crop.width * plan.crop.height) / 2000.0;
            assert!((0.06..=1.0).contains(&share));
            assert!(
                plan.crop.left + plan.crop.width <= 50 && plan.crop.top + plan.crop.height <= 40
            );
            let aspect = f64::from(plan.crop.width) / f64::from(plan.crop.height);
            assert!((0.68..=1.47).contains(&aspect), "{:?}", plan.crop);
            assert!(plan.sigma.is_none_or(|sigma| (0.1..=2.0).contains(&sigma)));
            for step in plan.jitter.into_iter().flatten() {
                match step {
                    Jitter::Hue(turn) => assert!(turn.abs() <= 0.2001),
                    Jitter::Brightness(f) => factors.push(f),
                    Jitter::Contrast(f) | Jitter::Saturation(f) => {
                        assert!((0.19..=1.81).contains(&f))
                    }
                }
            }
        }
        assert!(factors.iter().any(|&f| f < 0.25) && factors.iter().any(|&f| f > 1.75));
    }

    #[test]
    fn one_setting_does_not_move_another_ones_draw() {
        let without = ViewOptions { blur: 0.0, jitter: 0.0, ..simclr(32) };
        for (a, b) in plans(&simclr(32)).iter().zip(plans(&without)) {
            assert_eq!(
                (a.crop, a.horizontal_flip, a.grayscale),
                (b.crop, b.horizontal_flip, b.grayscale)
            );
        }
    }

    #[test]
    fn rotation_without_degrees_is_a_right_angle_and_otherwise_within_them() {
        let right = ViewOptions { rotation: 1.0, ..plain(8) };
        assert!(plans(&right).iter().all(|p| p.degrees == Some(90.0)));
        let free = plans(&ViewOptions { rotation_degrees: Some(30.0), ..right });
        assert!(free.iter().all(|p| p.degrees.is_some_and(|d| d.abs() <= 30.0)));
        assert!(
            free.iter().any(|p| p.degrees < Some(-20.0))
                && free.iter().any(|p| p.degrees > Some(20.0))
        );
    }

    fn small_views() -> Vec<Picture> {
        let sides = [(50, 40), (7, 90), (1, 3), (64, 17), (16, 1)];
        let mut views = Vec::new();
        for (number, (size, (width, height))) in [1, 2, 17, 33, 65]
            .into_iter()
            .flat_map(|size| sides.map(|side| (size, side)))
            .enumerate()
        {
            let mut rng = stream(3, 0, number as u64, 0);
            let options = ViewOptions { rotation: 0.3, vertical_flip: 0.5, ..simclr(size) };
            views.extend((0..8).map(|_| random_view(&ramp(width, height), &options, &mut rng)));
            views.push(evaluation_view(&ramp(width, height), size));
        }
        views
    }

    #[test]
    fn what_lay_in_memory_before_has_no_influence() {
        let clean = small_views();
        for length in [3, 700, 4000, 30_000, 90_000] {
            for _ in 0..4 {
                recycle(Picture { width: 1, height: 1, pixels: vec![0xaa; length] });
            }
            assert_eq!(small_views(), clean);
        }
    }

    /// Seen with AVX-512, with AVX2 and without either.
    #[test]
    fn every_machine_makes_the_same_bytes() {
        let mut hash = Sha256::new();
        small_views().iter().for_each(|view| hash.update(&view.pixels));
        let digest: String = hash.finalize()[..8].iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(digest, "54004c75dec3ba2f");
    }

    #[test]
    fn a_picture_too_flat_for_any_crop_gives_its_centre() {
        assert_eq!(
            central_crop(1000, 3, (0.75, 1.25)),
            Crop { left: 498, top: 0, width: 4, height: 3 }
        );
        assert_eq!(
            central_crop(1, 900, (0.75, 1.25)),
            Crop { left: 0, top: 449, width: 1, height: 1 }
        );
        let view = random_view(&ramp(1000, 1), &simclr(16), &mut stream(0, 0, 0, 0));
        assert_eq!((view.width, view.height), (16, 16));
    }

    #[test]
    fn a_single_pixel_makes_a_view() {
        let dot = Picture { width: 1, height: 1, pixels: vec![9, 8, 7] };
        assert_eq!(
            random_view(&dot, &plain(3), &mut stream(0, 0, 0, 0)).pixels,
            [9, 8, 7].repeat(9)
        );
        assert_eq!(evaluation_view(&dot, 3).pixels, [9, 8, 7].repeat(9));
    }

    #[test]
    fn the_steps_come_in_the_order_of_the_reference() {
        let plan = ViewPlan {
            size: 8,
            crop: Crop { left: 2, top: 3, width: 9, height: 7 },
            horizontal_flip: true,
            vertical_flip: true,
            degrees: Some(90.0),
            jitter: Some([
                Jitter::Hue(0.1),
                Jitter::Contrast(1.5),
                Jitter::Brightness(0.5),
                Jitter::Saturation(1.7),
            ]),
            grayscale: true,
            sigma: Some(1.0),
        };
        let picture = ramp(20, 20);
        let mut expected = crop_resize(&picture, plan.crop, 8, 8);
        orient::flip_horizontal(&mut expected);
        orient::flip_vertical(&mut expected);
        expected = orient::rotate(&expected, 90.0);
        color::hue(&mut expected, 0.1);
        color::contrast(&mut expected, 1.5);
        color::brightness(&mut expected, 0.5);
        color::saturation(&mut expected, 1.7);
        color::grayscale(&mut expected);
        blur::gaussian_blur(&mut expected, 1.0);
        assert_eq!(plan.apply(&picture), expected);
    }

    #[test]
    fn the_evaluation_view_is_the_centre_of_the_resized_picture() {
        let picture = ramp(90, 40);
        let resized = crop_resize(&picture, Crop::whole(&picture), 45, 20);
        let centre =
            crop_resize(&resized, Crop { left: 12, top: 0, width: 20, height: 20 }, 20, 20);
        assert_eq!(evaluation_view(&picture, 20), centre);
    }
}
