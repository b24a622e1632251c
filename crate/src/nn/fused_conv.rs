//! A convolution as evaluation wants it: the batch norm that follows is folded into its weights, and
//! bias, shortcut and ReLU are applied where it writes its result, instead of in passes of their own.

use std::ffi::c_char;
use std::sync::OnceLock;

use tch::{Device, Kind, Tensor};

use super::callback::{Raw, borrowed, taken};
use super::layers::{BatchNorm, Conv};
use super::small_map;
use super::winograd::{self, After};
use crate::error::{Error, Result};
use crate::processor::has_fast_bf16;

unsafe extern "C" {
    safe fn nnclr_has_fused_conv() -> bool;
    fn nnclr_fused_conv(
        x: Raw,
        weight: Raw,
        bias: Raw,
        shortcut: Raw,
        stride: i64,
        padding: i64,
        relu: bool,
        message: *mut c_char,
    ) -> Raw;
}

/// Convolution and batch norm by its running statistics.
#[derive(Debug)]
pub struct FusedConv {
    /// In the dtype of the norm.
    weight: Tensor,
    bias: Tensor,
    /// The same in that of activations.
    rounded: [Tensor; 2],
    stride: i64,
    padding: i64,
}

impl FusedConv {
    /// With s = g / sqrt(v + e) of the norm's weight, variance and epsilon: w' = s w, b' = b - s m. For
    /// activations of dtype `kind`. DIVERGED where a weight is no number.
    pub fn new(conv: &Conv, norm: &BatchNorm, kind: Kind) -> Result<Self> {
        let (scale, shift) = norm.scale_and_shift()?;
        let weight = conv.weight.f_mul(&scale.f_view([-1, 1, 1, 1])?)?;
        // oneDNN's ReLU makes 0 of what is no number: a broken network would look like a sound one.
        for tensor in [&weight, &shift] {
            let largest = tensor.f_abs()?.f_max()?.f_double_value(&[])?;
            if !largest.is_finite() {
                let subject = "a weight of the backbone, its batch norm folded in,".into();
                return Err(Error::Diverged { subject, value: largest, context: String::new() });
            }
        }
        let rounded = [weight.f_to_kind(kind)?, shift.f_to_kind(kind)?];
        Ok(Self { weight, bias: shift, rounded, stride: conv.stride, padding: conv.padding })
    }

    /// `[N, C, H, W] -> [N, C', H', W']`; the shortcut has the shape of the result.
    pub fn forward(&self, x: &Tensor, shortcut: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        let is_3x3 = self.weight.size()[2] == 3;
        if is_3x3 && self.stride == 1 && winograd::applies(x, &self.weight) {
            let after = After { bias: Some(&self.bias), shortcut, relu };
            return winograd::fused(x, &self.weight, &after);
        }
        let [weight, bias] = &self.rounded;
        let small = if is_3x3 { small_map::conv3x3(x, &self.weight, self.stride)? } else { None };
        let mut y = match small {
            Some(mut y) => y.f_add_(&bias.f_view([-1, 1, 1])?)?,
            None if library_fuses(x) => return self.by_library(x, shortcut, relu),
            None => {
                let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
                x.f_conv2d(weight, Some(bias), stride, padding, [1, 1], 1)?
            }
        };
        if let Some(shortcut) = shortcut {
            y = y.f_add_(shortcut)?;
        }
        Ok(if relu { y.f_relu_()? } else { y })
    }

    fn by_library(&self, x: &Tensor, shortcut: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        let [weight, bias] = self.rounded.each_ref().map(borrowed);
        let shortcut = shortcut.map_or(std::ptr::null_mut(), borrowed);
        // SAFETY: live tensors or null for the shortcut; C++ writes as `taken` asks.
        unsafe {
            taken(|message| {
                let (stride, padding) = (self.stride, self.padding);
                nnclr_fused_conv(
                    borrowed(x),
                    weight,
                    bias,
                    shortcut,
                    stride,
                    padding,
                    relu,
                    message,
                )
            })
        }
    }
}

/// Whether oneDNN has it for this tensor.
fn library_fuses(x: &Tensor) -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    let kind = x.kind() == Kind::Float || x.kind() == Kind::BFloat16 && has_fast_bf16();
    x.device() == Device::Cpu && kind && *HAS.get_or_init(|| nnclr_has_fused_conv())
}
