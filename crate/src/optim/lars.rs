//! LARS's direction: the step of each tensor is scaled to a fixed share of the tensor's length.

use tch::{Kind, Tensor};

use super::{Group, sgd};
use crate::error::Result;

const EPSILON: f64 = 1e-8;

/// (gradient + wd * w) * trust * |w| / (|gradient| + wd * |w| + eps); plain where the group has no
/// trust scaling, no weight decay (lightly's rule) or one of the lengths is 0.
pub fn direction(
    parameter: &Tensor,
    gradient: &Tensor,
    group: Group,
    trust_coefficient: f64,
) -> Result<Tensor> {
    let plain = sgd::direction(parameter, gradient, group)?;
    if !group.trust || group.weight_decay == 0.0 {
        return Ok(plain);
    }
    // As tensors without a side: the host does not wait for a GPU to have them.
    let length = parameter.f_norm()?.f_to_kind(Kind::Double)?;
    let gradient_length = gradient.f_norm()?.f_to_kind(Kind::Double)?;
    let decayed = length.f_mul_scalar(group.weight_decay)?;
    let divisor = gradient_length.f_add(&decayed)?.f_add_scalar_(EPSILON)?;
    let ratio = length.f_div(&divisor)?.f_mul_scalar_(trust_coefficient)?;
    // Without a length, what weight decay adds is 0 and this is the gradient.
    let ratio = ratio
        .f_masked_fill(&gradient_length.f_eq(0.0)?, 0.0)?
        .f_masked_fill(&length.f_eq(0.0)?, 1.0)?;
    Ok(plain.f_mul(&ratio)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn the_trust_ratio_scales_what_has_a_length_and_leaves_the_rest() {
        let group = Group { weight_decay: 0.1, trust: true };
        for kind in [Kind::Float, Kind::Double] {
            let tensor = |values: [f64; 2]| Tensor::from_slice(&values).to_kind(kind);
            let of = |parameter, gradient, group| {
                let step = direction(&tensor(parameter), &tensor(gradient), group, 0.001).unwrap();
                assert_eq!((step.kind(), step.device()), (kind, Device::Cpu));
                Vec::<f64>::try_from(&step.to_kind(Kind::Double)).unwrap()
            };
            // Lengths 5 and 10: (g + 0.1 w) 0.001 5 / (10 + 0.5).
            let [x, y] = of([3.0, 4.0], [6.0, 8.0], group)[..] else { panic!("two numbers") };
            assert!((x - 6.3 * 0.005 / 10.5).abs() < 1e-9 && (y - 8.4 * 0.005 / 10.5).abs() < 1e-9);
            assert_eq!(of([0.0, 0.0], [6.0, 8.0], group), [6.0, 8.0]);
            assert_eq!(of([3.0, 4.0], [0.0, 0.0], group), [0.0, 0.0]);
            assert_eq!(of([0.0, 0.0], [0.0, 0.0], group), [0.0, 0.0]);
            let untrusted = Group { trust: false, ..group };
            assert!((of([3.0, 4.0], [6.0, 8.0], untrusted)[0] - 6.3).abs() < 1e-6);
            let undecayed = Group { weight_decay: 0.0, ..group };
            assert_eq!(of([3.0, 4.0], [6.0, 8.0], undecayed), [6.0, 8.0]);
        }
    }
}
