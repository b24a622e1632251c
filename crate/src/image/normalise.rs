//! From bytes to the numbers a network sees.

use super::CHANNELS;

/// Values that are made together: whole pixels and whole vectors.
const RUN: usize = 8 * CHANNELS;

/// The mean to take off each channel, and what to multiply by afterwards.
pub(crate) struct Normalisation {
    /// Of red, green and blue.
    pub(crate) mean: [f32; CHANNELS],
    /// One over the deviation.
    pub(crate) scale: [f32; CHANNELS],
}

impl Normalisation {
    /// Writes `(value - mean) * scale` for each value of interleaved `pixels`, which begin with red.
    pub(crate) fn apply(&self, pixels: &[u8], to: &mut [f32]) {
        let along = |values: [f32; CHANNELS]| std::array::from_fn(|i| values[i % CHANNELS]);
        normalise(pixels, to, &along(self.mean), &along(self.scale));
    }
}

vectorised! {
    fn normalise(pixels: &[u8], to: &mut [f32], mean: &[f32; RUN], scale: &[f32; RUN]) {
        let (runs, rest) = pixels.as_chunks::<RUN>();
        let (to, to_rest) = to.as_chunks_mut::<RUN>();
        for (run, to) in runs.iter().zip(to) {
            for i in 0..RUN {
                to[i] = (f32::from(run[i]) - mean[i]) * scale[i];
            }
        }
        for (i, (value, to)) in rest.iter().zip(to_rest).enumerate() {
            *to = (f32::from(*value) - mean[i]) * scale[i];
        }
    }
}
