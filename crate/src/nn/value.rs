//! Numbers as maps and points hold them: f32, or bf16 as the 16 bits that it is in memory. All
//! arithmetic in between is f32.

use tch::Kind;
use tch::kind::Element;

/// Channels handled at once: a few vector registers. Channel counts must be multiples.
pub const LANES: usize = 16;

/// The f32 values of `LANES` channels.
pub type Lane = [f32; LANES];
/// Beyond the border.
pub const ZERO: Lane = [0.0; LANES];

/// How a number is stored.
pub trait Value: Element + Copy + Default + Send + Sync {
    /// The tensor's dtype.
    const STORED: Kind;
    /// The method's points of interpolation are 0, P, -P, Q, -Q and infinity.
    const P: f32;
    /// See `P`.
    const Q: f32;
    /// Exact.
    fn wide(self) -> f32;
    /// Rounds to nearest even, where anything is lost; what is no number stays none.
    fn narrow(value: f32) -> Self;
}

impl Value for f32 {
    const STORED: Kind = Kind::Float;
    // Those of Lavin and Gray.
    const P: f32 = 1.0;
    const Q: f32 = 2.0;
    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        value
    }
}

impl Value for i16 {
    const STORED: Kind = Kind::BFloat16;
    // Half the rounding error of 1 and 2 (docs/log.md).
    const P: f32 = 0.75;
    const Q: f32 = 1.5;
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self as u16) << 16)
    }
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
        let none = bits & 0x7fff_ffff > 0x7f80_0000;
        ((if none { bits | 0x40_0000 } else { rounded }) >> 16) as i16
    }
}

/// The lane from `at` on.
#[inline(always)]
pub fn load<T: Value>(values: &[T], at: usize) -> Lane {
    let mut lane = ZERO;
    for (value, stored) in lane.iter_mut().zip(&values[at..at + LANES]) {
        *value = stored.wide();
    }
    lane
}

/// As it is stored.
#[inline(always)]
pub fn stored<T: Value>(lane: &Lane) -> [T; LANES] {
    let mut stored = [T::default(); LANES];
    for (stored, &value) in stored.iter_mut().zip(lane) {
        *stored = T::narrow(value);
    }
    stored
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Tensor;

    #[test]
    fn bf16_is_rounded_as_the_library_rounds() {
        let mut values: Vec<f32> =
            (0..1 << 16).map(|i| f32::from_bits(i * 0xffff + 0x123)).collect();
        values.extend([
            0.0,
            -0.0,
            f32::MAX,
            f32::INFINITY,
            f32::NEG_INFINITY,
            // Half way between two numbers of bf16, of which the even one is below and above.
            1.0 + 1.0 / 256.0,
            1.0 + 3.0 / 256.0,
        ]);
        let wide: Vec<f32> =
            Vec::try_from(Tensor::from_slice(&values).to_kind(Kind::BFloat16).to_kind(Kind::Float))
                .unwrap();
        for (value, expected) in values.iter().zip(wide) {
            let got = i16::narrow(*value).wide();
            assert!(got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan());
        }
        for none in [f32::NAN, f32::from_bits(0x7fff_ffff), f32::from_bits(0xff80_0001)] {
            assert!(i16::narrow(none).wide().is_nan());
        }
    }
}
