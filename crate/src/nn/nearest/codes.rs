//! Unit rows as 8-bit whole numbers: a quarter of the memory, and products that some processors sum
//! four at a time.

use tch::{Kind, Tensor};

use crate::error::Result;

/// Largest code; -128 has no counterpart.
const LARGEST: f64 = 127.0;
/// Room above the largest component, for rows that are yet to come.
pub const HEADROOM: f64 = 1.1;
/// Rows that lose this many times what the first ones did ask for another scale.
const WORN: f64 = 2.0;

/// `[M, D]` rows as `scale * values`.
#[derive(Debug)]
pub struct Codes {
    /// `[M, D]`, i8.
    pub values: Tensor,
    /// What a code of 1 stands for.
    pub scale: f64,
    /// Length of what the worst row lost; not a number once a row held what is none.
    pub error: f64,
    first_error: f64,
}

impl Codes {
    /// Codes of `rows [M, D]`, M and D at least 1; `headroom` times their largest component has a code.
    pub fn of(rows: &Tensor, headroom: f64) -> Result<Self> {
        let largest = rows.f_abs()?.f_max()?.f_double_value(&[])?;
        // Zeros fit any scale, and for what is no number there is none.
        let scale = if largest > 0.0 { headroom * largest / LARGEST } else { 1.0 };
        let (values, error) = encoded(rows, scale)?;
        Ok(Self { values, scale, error, first_error: error })
    }

    /// Takes over rows that were written from `place` on.
    pub fn write(&mut self, place: usize, rows: &Tensor) -> Result<()> {
        let (values, error) = encoded(rows, self.scale)?;
        self.values.f_narrow(0, place as i64, rows.size()[0])?.f_copy_(&values)?;
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

/// Codes, and the length of what the worst row lost.
fn encoded(rows: &Tensor, scale: f64) -> Result<(Tensor, f64)> {
    let codes = rows.f_div_scalar(scale)?.f_round_()?.f_clamp_(-LARGEST, LARGEST)?;
    let lost = (rows.f_sub(&codes.f_mul_scalar(scale)?)?)
        .f_norm_scalaropt_dim(2.0, [1].as_slice(), false)?
        .f_max()?;
    Ok((codes.f_to_kind(Kind::Int8)?.f_contiguous()?, lost.f_double_value(&[])?))
}
