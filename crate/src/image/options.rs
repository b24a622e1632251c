//! What a random view may do.

use crate::error::{Error, Result};

/// The augmentations of a random view. Probabilities are 0..=1.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewOptions {
    /// Side of the view in pixels.
    pub size: u32,
    /// Share of the area that a crop keeps, smallest and largest.
    pub crop_scale: (f32, f32),
    /// Aspect ratio of a crop, smallest and largest.
    pub crop_ratio: (f32, f32),
    /// Probability of a horizontal flip.
    pub horizontal_flip: f32,
    /// Probability of a vertical flip.
    pub vertical_flip: f32,
    /// Probability of a rotation.
    pub rotation: f32,
    /// Rotate by a uniform angle of at most this many degrees to either side; without it by 90
    /// degrees.
    pub rotation_degrees: Option<f32>,
    /// Probability of colour jitter.
    pub jitter: f32,
    /// Largest change of brightness.
    pub brightness: f32,
    /// Largest change of contrast.
    pub contrast: f32,
    /// Largest change of saturation.
    pub saturation: f32,
    /// Largest turn of the hue, 0..=0.5 of a circle.
    pub hue: f32,
    /// Probability of a grey picture.
    pub grayscale: f32,
    /// Probability of a blur.
    pub blur: f32,
    /// Deviation of the blur in pixels, smallest and largest.
    pub blur_sigma: (f32, f32),
}

impl ViewOptions {
    /// Says which setting is outside its range.
    pub fn check(&self) -> Result<()> {
        let probabilities = [
            ("transform.horizontalFlip", self.horizontal_flip),
            ("transform.verticalFlip", self.vertical_flip),
            ("transform.rotation", self.rotation),
            ("transform.jitter", self.jitter),
            ("transform.grayscale", self.grayscale),
            ("transform.blur", self.blur),
        ];
        for (field, value) in probabilities {
            check(field, value, (0.0..=1.0).contains(&value), "a probability from 0 to 1")?;
        }
        let strengths = [
            ("transform.brightness", self.brightness),
            ("transform.contrast", self.contrast),
            ("transform.saturation", self.saturation),
        ];
        for (field, value) in strengths {
            check(field, value, value.is_finite() && value >= 0.0, "a number from 0")?;
        }
        check(
            "transform.hue",
            self.hue,
            (0.0..=0.5).contains(&self.hue),
            "a number from 0 to 0.5",
        )?;
        let degrees = self.rotation_degrees.unwrap_or(0.0);
        check(
            "transform.rotationDegrees",
            degrees,
            (0.0..=180.0).contains(&degrees),
            "a number from 0 to 180",
        )?;
        let scale_fits = |v: (f32, f32)| v.0 > 0.0 && v.0 <= v.1 && v.1 <= 1.0;
        check_pair(
            "transform.cropScale",
            self.crop_scale,
            scale_fits,
            "two rising numbers above 0, up to 1",
        )?;
        let ratio_fits = |v: (f32, f32)| v.0 > 0.0 && v.0 <= v.1 && v.1.is_finite();
        check_pair(
            "transform.cropRatio",
            self.crop_ratio,
            ratio_fits,
            "two rising numbers above 0",
        )?;
        // Above this the sums of Pillow's box filter no longer fit 32 bits for certain.
        let sigma_fits = |v: (f32, f32)| v.0 >= 0.0 && v.0 <= v.1 && v.1 <= 1000.0;
        check_pair(
            "transform.blurSigma",
            self.blur_sigma,
            sigma_fits,
            "two rising numbers from 0 to 1000",
        )?;
        check_size(self.size)
    }
}

fn check(field: &str, got: f32, fits: bool, expected: &str) -> Result<()> {
    if fits { Ok(()) } else { Err(Error::config(field, got, expected)) }
}

fn check_pair(
    field: &str,
    got: (f32, f32),
    fits: impl Fn((f32, f32)) -> bool,
    expected: &str,
) -> Result<()> {
    if fits(got) {
        Ok(())
    } else {
        Err(Error::config(field, format!("[{}, {}]", got.0, got.1), expected))
    }
}

/// Says whether a view can have this side.
pub fn check_size(size: u32) -> Result<()> {
    if (1..=4096).contains(&size) {
        Ok(())
    } else {
        Err(Error::config("imageSize", size, "a whole number from 1 to 4096"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// lightly's SimCLRTransform.
    pub(crate) fn simclr(size: u32) -> ViewOptions {
        ViewOptions {
            size,
            crop_scale: (0.08, 1.0),
            crop_ratio: (0.75, 4.0 / 3.0),
            horizontal_flip: 0.5,
            vertical_flip: 0.0,
            rotation: 0.0,
            rotation_degrees: None,
            jitter: 0.8,
            brightness: 0.8,
            contrast: 0.8,
            saturation: 0.8,
            hue: 0.2,
            grayscale: 0.2,
            blur: 0.5,
            blur_sigma: (0.1, 2.0),
        }
    }

    #[test]
    fn the_reference_settings_pass() {
        assert!(simclr(32).check().is_ok());
    }

    #[test]
    fn each_setting_outside_its_range_is_named() {
        let broken = [
            ("imageSize", ViewOptions { size: 0, ..simclr(32) }),
            ("transform.cropScale", ViewOptions { crop_scale: (0.5, 0.2), ..simclr(32) }),
            ("transform.cropRatio", ViewOptions { crop_ratio: (0.0, 1.0), ..simclr(32) }),
            ("transform.horizontalFlip", ViewOptions { horizontal_flip: 1.5, ..simclr(32) }),
            (
                "transform.rotationDegrees",
                ViewOptions { rotation_degrees: Some(-1.0), ..simclr(32) },
            ),
            ("transform.brightness", ViewOptions { brightness: f32::NAN, ..simclr(32) }),
            ("transform.hue", ViewOptions { hue: 0.6, ..simclr(32) }),
            ("transform.blurSigma", ViewOptions { blur_sigma: (-1.0, 2.0), ..simclr(32) }),
        ];
        for (field, options) in broken {
            assert_eq!(options.check().unwrap_err().subject(), field);
        }
    }
}
