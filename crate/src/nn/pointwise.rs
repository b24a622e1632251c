//! Convolutions of 1x1 and stride 1 in bf16 as what they are, matrix products over all pixels: y = x W',
//! dx = dy W, dW = dy' x.
//!
//! On a processor with tiles they are faster so than as the library's convolutions, and the library's
//! gradient of the weight has threads that wait for each other without ever sleeping (decision 0025).

use tch::{Device, Kind, Tensor};

use super::memory::rows;
use super::node::{self, Gradients, Node};
use crate::error::{Error, Result};
use crate::processor::has_bf16_tiles;

/// Kernel `[O, C, 1, 1]` in f32 on `views [N, C, H, W]`, whose dtype is the results'; None where it would not be
/// better. The kernel is rounded once, for all of them and for their gradients; it is kept all the same, by which
/// autograd sees when it was changed in between.
pub fn conv(views: &[Tensor], weight: &Tensor, stride: i64) -> Result<Option<Vec<Tensor>>> {
    let is_pointwise = stride == 1 && weight.size()[2..] == [1, 1];
    if is_pointwise && views.iter().all(|x| gains(x, weight)) {
        let matrix = matrix(weight, Kind::BFloat16)?;
        let ys: Result<Vec<Tensor>> = views.iter().map(|x| apply(x, weight, &matrix)).collect();
        return ys.map(Some);
    }
    Ok(None)
}

fn apply(x: &Tensor, weight: &Tensor, matrix: &Tensor) -> Result<Tensor> {
    node::apply::<Pointwise>(&[x, weight, matrix])
}

fn gains(x: &Tensor, weight: &Tensor) -> bool {
    let size = x.size();
    size.len() == 4
        && size[1] == weight.size()[1]
        && x.kind() == Kind::BFloat16
        && has_bf16_tiles()
        && x.device() == Device::Cpu
        && weight.kind() == Kind::Float
        && x.numel() > 0
}

/// `[O, C]`, of which no gradient is asked.
fn matrix(weight: &Tensor, kind: Kind) -> Result<Tensor> {
    Ok(weight.f_detach()?.f_reshape([weight.size()[0], weight.size()[1]])?.f_to_kind(kind)?)
}

/// `[pixels, C]`
fn pixels(x: &Tensor) -> Result<Tensor> {
    let rows = rows(x)?;
    let channels = rows.size()[3];
    Ok(rows.f_view([-1, channels])?)
}

/// `[N, C, H, W]` of `[pixels, C]`, on the map of `like`.
fn map(pixels: &Tensor, like: &Tensor) -> Result<Tensor> {
    let &[pictures, _, height, width] = like.size().as_slice() else {
        return Err(Error::shape("convolution", format!("{:?}", like.size()), "[N, C, H, W]"));
    };
    Ok(pixels.f_view([pictures, height, width, -1])?.f_permute([0, 3, 1, 2])?)
}

struct Pointwise;

impl Node for Pointwise {
    fn forward(inputs: &[Tensor]) -> Result<(Tensor, Option<Tensor>)> {
        let [x, _, matrix] = inputs else { return Err(unexpected(inputs)) };
        Ok((map(&pixels(x)?.f_mm(&matrix.f_tr()?)?, x)?, None))
    }

    fn backward(
        kept: &[Tensor],
        gradients: &Gradients,
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let ([x, weight, matrix], [of_x, of_weight, ..]) = (kept, wanted) else {
            return Err(unexpected(kept));
        };
        let gradients = pixels(&gradients.one)?;
        let dx = || map(&gradients.f_mm(matrix)?, x);
        let dweight = || -> Result<Tensor> {
            let sum = gradients.f_tr()?.f_mm(&pixels(x)?)?.f_to_kind(weight.kind())?;
            Ok(sum.f_view_as(weight)?)
        };
        Ok(vec![of_x.then(dx).transpose()?, of_weight.then(dweight).transpose()?, None])
    }
}

fn unexpected(tensors: &[Tensor]) -> Error {
    Error::shape("convolution", format!("{} tensors", tensors.len()), "x, weight and its matrix")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::store::channels_last;

    /// y, dx and dw, by the library's convolution where `kind` is f64.
    fn run(x: &Tensor, w: &Tensor, g: &Tensor, kind: Kind) -> [Tensor; 3] {
        let leaf = |t: &Tensor, kind| t.to_kind(kind).copy().set_requires_grad(true);
        let x = leaf(x, kind);
        let w = leaf(w, if kind == Kind::Double { kind } else { Kind::Float });
        let y = match kind {
            Kind::Double => x.conv2d(&w, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1),
            _ => apply(&x, &w, &matrix(&w, kind).unwrap()).unwrap(),
        };
        assert_eq!(y.kind(), kind);
        (&y * g.to_kind(kind)).sum(kind).backward();
        [y.detach(), x.grad(), w.grad()]
    }

    #[test]
    fn it_equals_the_convolution_and_its_gradients() {
        tch::manual_seed(3);
        let coarse = |shape: [i64; 4]| {
            let values = Tensor::randn(shape, (Kind::Float, Device::Cpu));
            values.to_kind(Kind::BFloat16).to_kind(Kind::Float)
        };
        for [n, c, o, height, width] in [[3, 16, 40, 8, 8], [5, 7, 6, 3, 4], [1, 32, 16, 1, 1]] {
            let dense = [[n, c, height, width], [o, c, 1, 1], [n, o, height, width]].map(coarse);
            let last = dense.each_ref().map(|t| channels_last(t).unwrap());
            let [x, w, g] = dense.each_ref();
            let plain = run(x, w, g, Kind::Double);
            for (kind, tolerance) in [(Kind::Float, 2e-6), (Kind::BFloat16, 1e-2)] {
                for [x, w, g] in [dense.each_ref(), last.each_ref()] {
                    let fast = run(x, w, g, kind);
                    for (which, (fast, plain)) in
                        ["y", "dx", "dw"].iter().zip(fast.iter().zip(&plain))
                    {
                        assert_eq!(fast.size(), plain.size());
                        let off =
                            (fast.to_kind(Kind::Double) - plain).abs().max().double_value(&[]);
                        let scale = plain.abs().max().double_value(&[]);
                        assert!(off < tolerance * scale, "{which} {kind:?} {n}: {off} of {scale}");
                    }
                }
            }
        }
    }

    #[test]
    fn other_kernels_and_dtypes_are_left_to_the_library() {
        let map = |kind| Tensor::zeros([2, 4, 8, 8], (kind, Device::Cpu));
        let kernel = |side| Tensor::zeros([6, 4, side, side], (Kind::Float, Device::Cpu));
        let is_ours = |x: &Tensor, w: &Tensor, stride| {
            let views = [x.shallow_clone(), x.shallow_clone()];
            let made = conv(&views, w, stride).unwrap();
            assert!(made.iter().all(|ys| ys.len() == 2));
            made.is_some()
        };
        assert_eq!(is_ours(&map(Kind::BFloat16), &kernel(1), 1), has_bf16_tiles());
        assert!(!is_ours(&map(Kind::BFloat16), &kernel(1), 2));
        assert!(!is_ours(&map(Kind::BFloat16), &kernel(3), 1));
        assert!(!is_ours(&map(Kind::Float), &kernel(1), 1));
        assert!(!is_ours(&map(Kind::BFloat16).narrow(0, 0, 0), &kernel(1), 1));
    }
}
