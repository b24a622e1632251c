//! Unit rows as 8-bit whole numbers: a quarter of the memory, and products that some processors sum
//! four at a time.

use tch::{Kind, Tensor};

use super::products::Packed;
use crate::error::Result;
use crate::nn::memory::slice_of;

/// Largest code; -128 has no counterpart.
const LARGEST: f64 = 127.0;
/// Room above the largest component, for rows that are yet to come.
const HEADROOM: f64 = 1.1;
/// Rows that lose this many times what the first ones did ask for another scale.
const WORN: f64 = 2.0;

/// Rows `[N, D]` as `scale * values`.
#[derive(Debug)]
pub struct Encoded {
    /// `[N, D]`, i8, contiguous.
    pub values: Tensor,
    /// What a code of 1 stands for.
    pub scale: f64,
    /// Length of what the worst row lost; not a number where a row holds what is none.
    pub error: f64,
}

impl Encoded {
    /// Codes of `rows [N, D]`, N and D at least 1; `headroom` times their largest component has a code.
    pub fn of(rows: &Tensor, headroom: f64) -> Result<Self> {
        let largest = rows.f_abs()?.f_max()?.f_double_value(&[])?;
        // Zeros fit any scale, and for what is no number there is none.
        let scale = if largest > 0.0 { headroom * largest / LARGEST } else { 1.0 };
        Self::at_scale(rows, scale)
    }

    fn at_scale(rows: &Tensor, scale: f64) -> Result<Self> {
        let codes = rows.f_div_scalar(scale)?.f_round_()?.f_clamp_(-LARGEST, LARGEST)?;
        let lost = (rows.f_sub(&codes.f_mul_scalar(scale)?)?)
            .f_norm_scalaropt_dim(2.0, [1].as_slice(), false)?
            .f_max()?;
        let values = codes.f_to_kind(Kind::Int8)?.f_contiguous()?;
        Ok(Self { values, scale, error: lost.f_double_value(&[])? })
    }
}

/// The codes of a bank's rows, kept as products take them.
#[derive(Debug)]
pub struct Codes {
    /// One for each row.
    pub values: Packed,
    /// As of `Encoded`.
    pub scale: f64,
    /// As of `Encoded`, of every row that was ever written; not a number once one held what is none.
    pub error: f64,
    first_error: f64,
}

impl Codes {
    /// Codes of `rows [M, D]`, M and D at least 1.
    pub fn of(rows: &Tensor) -> Result<Self> {
        let Encoded { values, scale, error } = Encoded::of(rows, HEADROOM)?;
        let values = Packed::of(slice_of(&values)?, rows.size()[1] as usize);
        Ok(Self { values, scale, error, first_error: error })
    }

    /// Takes over rows that were written from `place` on.
    pub fn write(&mut self, place: usize, rows: &Tensor) -> Result<()> {
        let Encoded { values, error, .. } = Encoded::at_scale(rows, self.scale)?;
        self.values.write(place, slice_of(&values)?);
        // `f64::max` would forget what is no number.
        if error.is_nan() || error > self.error {
            self.error = error;
        }
        Ok(())
    }

    /// Whether codes made anew would tell the rows better.
    pub fn is_worn(&self) -> bool {
        self.error.is_nan() || self.error > WORN * self.first_error
    }
}
