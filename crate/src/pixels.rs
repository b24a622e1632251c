//! From a batch's 8-bit pixels to the network's input.

use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::loader::Batch;

/// ImageNet's channel means and deviations, for pixels 0..255.
const MEAN: [f64; 3] = [0.485 * 255.0, 0.456 * 255.0, 0.406 * 255.0];
const DEVIATION: [f64; 3] = [0.229 * 255.0, 0.224 * 255.0, 0.225 * 255.0];

/// A view of a batch as a normalised f32 `[N, 3, H, W]`, channels last in memory as it came.
pub fn input(batch: &Batch, view: usize, device: Device) -> Result<Tensor> {
    let pixels = batch.views.get(view).ok_or_else(|| {
        Error::shape("batch", format!("view {view}"), format!("{} views", batch.views.len()))
    })?;
    let (count, size) = (batch.indices.len() as i64, i64::from(batch.size));
    let channel = |values: [f64; 3]| -> Result<Tensor> {
        let values = values.map(|value| value as f32);
        Ok(Tensor::f_from_slice(&values)?.f_to_device(device)?.f_view([1, 3, 1, 1])?)
    };
    let (mean, scale) = (channel(MEAN)?, channel(DEVIATION.map(|deviation| 1.0 / deviation))?);
    Ok(Tensor::f_from_data_size(pixels, &[count, size, size, 3], Kind::Uint8)?
        .f_to_device(device)?
        .f_permute([0, 3, 1, 2])?
        .f_to_kind(Kind::Float)?
        .f_sub_(&mean)?
        .f_mul_(&scale)?)
}
