//! From a batch's 8-bit pixels to the network's input.

use tch::{Device, Kind, Tensor};

use crate::device::send;
use crate::error::{Error, Result};
use crate::image::normalise::Normalisation;
use crate::loader::Batch;
use crate::nn::memory::slice_of_mut;
use crate::threads;

/// ImageNet's channel means and deviations, for pixels 0..255.
const MEAN: [f64; 3] = [0.485 * 255.0, 0.456 * 255.0, 0.406 * 255.0];
const DEVIATION: [f64; 3] = [0.229 * 255.0, 0.224 * 255.0, 0.225 * 255.0];

/// Values that a thread makes at a time, whole pixels.
const SHARE: usize = 3 << 15;

/// A view of a batch as a normalised f32 `[N, 3, H, W]`, channels last in memory as it came.
pub fn input(batch: &Batch, view: usize, device: Device) -> Result<Tensor> {
    let pixels = batch.views.get(view).ok_or_else(|| {
        Error::shape("batch", format!("view {view}"), format!("{} views", batch.views.len()))
    })?;
    let (count, size) = (batch.indices.len() as i64, i64::from(batch.size));
    let shape = [count, size, size, 3];
    let values = match device {
        Device::Cpu => in_one_pass(pixels, shape)?,
        _ => by_tensors(pixels, shape, device)?,
    };
    Ok(values.f_permute([0, 3, 1, 2])?)
}

fn normalisation() -> Normalisation {
    Normalisation {
        mean: MEAN.map(|mean| mean as f32),
        scale: DEVIATION.map(|deviation| (1.0 / deviation) as f32),
    }
}

/// Reads each byte and writes each number once.
fn in_one_pass(pixels: &[u8], shape: [i64; 4]) -> Result<Tensor> {
    let mut values = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
    let to = slice_of_mut::<f32>(&mut values)?;
    let normalisation = normalisation();
    let shares = pixels.chunks(SHARE).zip(to.chunks_mut(SHARE));
    threads::each(shares, |(pixels, to)| normalisation.apply(pixels, to))?;
    Ok(values)
}

/// On another device, where the bytes, a quarter of the numbers, travel.
fn by_tensors(pixels: &[u8], shape: [i64; 4], device: Device) -> Result<Tensor> {
    // Made there, so that nothing is waited for.
    let channel = |values: [f32; 3]| {
        let one = |value| Tensor::f_full([1], f64::from(value), (Kind::Float, device));
        let [red, green, blue] = values.map(one);
        Tensor::f_cat(&[red?, green?, blue?], 0)
    };
    let Normalisation { mean, scale } = normalisation();
    Ok(send(&Tensor::f_from_data_size(pixels, &shape, Kind::Uint8)?, device)?
        .f_to_kind(Kind::Float)?
        .f_sub_(&channel(mean)?)?
        .f_mul_(&channel(scale)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte in every channel, several shares and a rest that fills none.
    #[test]
    fn one_pass_makes_the_numbers_of_the_tensors() {
        let side = 211;
        let pixels: Vec<u8> = (0..3 * side * side * 3).map(|i| (i / 3 + i % 3) as u8).collect();
        let shape = [3, side, side, 3];
        let fast = in_one_pass(&pixels, shape).unwrap();
        let plain = by_tensors(&pixels, shape, Device::Cpu).unwrap();
        assert!(fast == plain);
        assert!(pixels.len() > 2 * SHARE && !pixels.len().is_multiple_of(24));
    }

    #[test]
    fn the_view_has_channels_last_and_the_mean_at_zero() {
        let pixels = [124, 116, 104].repeat(4);
        let views = vec![pixels.into()];
        let batch = Batch { views, size: 2, indices: vec![0], labels: None, bad: Vec::new() };
        let input = input(&batch, 0, Device::Cpu).unwrap();
        assert_eq!(input.size(), [1, 3, 2, 2]);
        assert_eq!(input.stride(), [12, 1, 6, 3]);
        assert!(input.abs().max().double_value(&[]) < 0.02);
    }
}
