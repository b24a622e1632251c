//! Values and gradients against the library's layers in f64.

use super::*;
use crate::nn::layers::BatchNorm;
use crate::nn::store::{Store, channels_last};

const EPSILON: f64 = 1e-5;

/// x, weight and bias; x is far from 0 in all channels, the weight of the last is negative, as are most
/// values of the first.
fn inputs(shape: [i64; 4]) -> [Tensor; 3] {
    let randn = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
    // As bf16 has them, so that they are the same in every dtype, and some of a window are equal.
    let coarse = |x: Tensor| x.to_kind(Kind::BFloat16).to_kind(Kind::Float);
    let x = channels_last(&(randn(&shape) * 4.0 + 16.0)).unwrap();
    let weight = Tensor::rand([shape[1]], (Kind::Float, Device::Cpu)) + 0.5;
    let bias = randn(&[shape[1]]) * 0.5;
    let _ = weight.get(shape[1] - 1).fill_(-1.5);
    let _ = bias.get(0).fill_(-2.0);
    [coarse(x), weight, bias]
}

/// y and the gradients of the inputs; in f64 by the library.
fn run(inputs: &[Tensor; 3], kind: Kind) -> [Tensor; 4] {
    let parameters = if kind == Kind::Double { kind } else { Kind::Float };
    let leaf = |t: &Tensor, kind| t.to_kind(kind).copy().set_requires_grad(true);
    let (x, [weight, bias]) =
        (leaf(&inputs[0], kind), [1, 2].map(|place| leaf(&inputs[place], parameters)));
    let y = if kind == Kind::Double {
        let none = None::<&Tensor>;
        let y = x.batch_norm(Some(&weight), Some(&bias), none, none, true, 0.1, EPSILON, true);
        y.relu().max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)
    } else {
        let wide = x.detach().to_kind(Kind::Double);
        let dims = [0, 2, 3].as_slice();
        let deviation = (wide.var_dim(dims, false, false) + EPSILON).sqrt();
        let mean = wide.mean_dim(dims, false, None);
        let [mean, deviation] = [mean, deviation].map(|t| t.to_kind(Kind::Float));
        apply(&x, [&weight, &bias], [&mean, &deviation]).unwrap()
    };
    assert_eq!(y.kind(), kind);
    let g = Tensor::arange(y.numel() as i64, (Kind::Double, Device::Cpu)).sin();
    (&y * g.to_kind(Kind::BFloat16).to_kind(kind).view_as(&y)).sum(kind).backward();
    [y.detach(), x.grad(), weight.grad(), bias.grad()]
}

#[test]
fn it_equals_the_three_layers_and_their_gradients() {
    tch::manual_seed(5);
    let shapes = [
        [4, 16, 8, 8],
        [2, 64, 16, 16],
        [3, 32, 7, 5],
        [9, 16, 1, 1],
        [5, 16, 2, 1],
        [70, 48, 9, 9],
    ];
    for (kind, tolerance) in [(Kind::Float, 2e-6), (Kind::BFloat16, 1e-2)] {
        for shape in shapes {
            let inputs = inputs(shape);
            let (fast, plain) = (run(&inputs, kind), run(&inputs, Kind::Double));
            for (which, (fast, plain)) in
                ["y", "dx", "dw", "db"].iter().zip(fast.iter().zip(&plain))
            {
                assert_eq!(fast.size(), plain.size());
                let scale = plain.abs().max().double_value(&[]);
                let off = (fast.to_kind(Kind::Double) - plain).abs().max().double_value(&[]);
                assert!(off <= tolerance * scale, "{which} {kind:?} {shape:?}: {off} of {scale}");
            }
        }
    }
}

#[test]
fn memory_in_another_order_is_read_right() {
    tch::manual_seed(6);
    let inputs = inputs([3, 16, 6, 6]);
    let other = inputs.each_ref().map(Tensor::contiguous);
    assert_ne!(other[0].stride(), inputs[0].stride());
    let (a, b) = (run(&inputs, Kind::Float), run(&other, Kind::Float));
    assert!(a.iter().zip(&b).all(|(a, b)| a.equal(b)));
}

#[test]
fn what_is_no_number_stays_none() {
    let [x, weight, bias] = inputs([2, 16, 8, 8]);
    let ones = Tensor::ones([16], (Kind::Float, Device::Cpu));
    let nans = |x: &Tensor| {
        let y = apply(x, [&weight, &bias], [&ones, &ones]).unwrap();
        Vec::<i64>::try_from(y.isnan().nonzero().flatten(0, -1)).unwrap()
    };
    assert!(nans(&x).is_empty());
    // The one window that has the pixel as its middle.
    let _ = x.get(1).get(3).get(4).get(4).fill_(f64::NAN);
    assert_eq!(nans(&x), [1, 3, 2, 2]);
}

#[test]
fn other_maps_are_left_to_the_library() {
    let map = |shape: [i64; 4], kind| Tensor::zeros(shape, (kind, Device::Cpu));
    assert_eq!(applies(&map([2, 16, 4, 4], Kind::Float)), has_wide_vectors());
    assert_eq!(applies(&map([2, 16, 4, 4], Kind::BFloat16)), has_fast_bf16() && has_wide_vectors());
    assert!(!applies(&map([2, 24, 4, 4], Kind::Float)));
    assert!(!applies(&map([0, 16, 4, 4], Kind::Float)));
    assert!(!applies(&map([2, 16, 4, 4], Kind::Double)));
    assert!(!applies(&Tensor::zeros([2, 16], (Kind::Float, Device::Cpu))));
}

/// Two batches, each normalised by itself, whose statistics are taken over.
#[test]
fn a_layer_keeps_the_same_statistics_as_without() {
    tch::manual_seed(7);
    let layer = |kind| {
        let mut store = Store::new(Device::Cpu, kind, 1);
        let norm = BatchNorm::new(store.root(), 16).unwrap();
        (store, norm)
    };
    let shape = [4, 16, 6, 6];
    let views = [inputs(shape)[0].copy(), &inputs(shape)[0] * 2.0];
    let of_kind = |kind| views.each_ref().map(|view| view.to_kind(kind));
    let close = |a: &Tensor, b: &Tensor, tolerance: f64| {
        let off = (a.to_kind(Kind::Double) - b).abs().max().double_value(&[]);
        off <= tolerance * b.abs().max().double_value(&[])
    };
    for (kind, tolerance) in [(Kind::Float, 2e-6), (Kind::BFloat16, 1e-2)] {
        let ((store, norm), (wide_store, wide_norm)) = (layer(Kind::Float), layer(Kind::Double));
        let ys = norm.forward_pooled(&of_kind(kind), true).unwrap();
        let wide_ys = wide_norm.forward_pooled(&of_kind(Kind::Double), true).unwrap();
        assert!(ys.iter().zip(&wide_ys).all(|(y, wide)| close(y, wide, tolerance)), "{kind:?}");
        for (entry, wide) in store.entries().iter().zip(wide_store.entries()) {
            assert!(close(&entry.tensor, &wide.tensor, 2e-6), "{kind:?} {}", entry.name);
        }
        let one = Tensor::zeros([1, 16, 1, 1], (kind, Device::Cpu));
        assert_eq!(norm.forward_pooled(&[one], true).unwrap_err().code(), "SHAPE");
    }
}
