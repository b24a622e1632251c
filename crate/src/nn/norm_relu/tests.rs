//! Values and gradients against the library's layers in f64.

use super::*;
use crate::nn::layers::BatchNorm;
use crate::nn::store::{Store, channels_last};

const EPSILON: f64 = 1e-5;

fn randn(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

/// As bf16 has them, so that they are the same in every dtype.
fn coarse(x: &Tensor) -> Tensor {
    x.to_kind(Kind::BFloat16).to_kind(Kind::Float)
}

/// x, far from 0 in all channels, weight, of which the last is negative, bias, shortcut and the gradient of y.
fn inputs(shape: [i64; 4]) -> [Tensor; 5] {
    let map = |x: Tensor| channels_last(&coarse(&x)).unwrap();
    let weight = Tensor::rand([shape[1]], (Kind::Float, Device::Cpu)) + 0.5;
    let _ = weight.get(shape[1] - 1).fill_(-1.5);
    let bias = randn(&[shape[1]]) * 0.5;
    [map(randn(&shape) * 4.0 + 16.0), weight, bias, map(randn(&shape)), map(randn(&shape))]
}

/// 1 where rounding in f32 can't change the sign of what ReLU gets, else 0.
fn is_clear([x, weight, bias, shortcut, _]: &[Tensor; 5], has_shortcut: bool) -> Tensor {
    let wide = |t: &Tensor| t.to_kind(Kind::Double);
    let (weight, bias, none) = (wide(weight), wide(bias), None::<&Tensor>);
    let y = wide(x).batch_norm(Some(&weight), Some(&bias), none, none, true, 0.1, EPSILON, true);
    let y = if has_shortcut { y + wide(shortcut) } else { y };
    y.abs().gt(1e-4).to_kind(Kind::Float)
}

/// y and the gradients of x, weight, bias and shortcut; in f64 by the library.
fn run(inputs: &[Tensor; 5], has_shortcut: bool, kind: Kind) -> Vec<Tensor> {
    let parameters = if kind == Kind::Double { kind } else { Kind::Float };
    let leaf = |t: &Tensor, kind| t.to_kind(kind).copy().set_requires_grad(true);
    let [x, weight, bias, shortcut, dy] = inputs;
    let [x, shortcut] = [x, shortcut].map(|t| leaf(t, kind));
    let [weight, bias] = [weight, bias].map(|t| leaf(t, parameters));
    let y = if kind == Kind::Double {
        let none = None::<&Tensor>;
        let y = x.batch_norm(Some(&weight), Some(&bias), none, none, true, 0.1, EPSILON, true);
        if has_shortcut { (y + &shortcut).relu() } else { y.relu() }
    } else {
        let wide = x.detach().to_kind(Kind::Double);
        let dims = [0, 2, 3].as_slice();
        let deviation = (wide.var_dim(dims, false, false) + EPSILON).sqrt();
        let mean = wide.mean_dim(dims, false, None);
        let [mean, deviation] = [mean, deviation].map(|t| t.to_kind(Kind::Float));
        let (parameters, statistics) = ([&weight, &bias], [&mean, &deviation]);
        if has_shortcut {
            let both = apply_with(&shortcut, &x, parameters, statistics).unwrap();
            return by_two_readers(both, dy, [x, weight, bias, shortcut]);
        }
        apply(&x, parameters, statistics).unwrap()
    };
    assert_eq!(y.kind(), kind);
    (&y * dy.to_kind(kind)).sum(kind).backward();
    let mut made = vec![y.detach(), x.grad(), weight.grad(), bias.grad()];
    if has_shortcut {
        made.push(shortcut.grad());
    }
    made
}

/// The same of a result that comes twice: by its readers -1 and 2 times the gradient, which bf16 holds both.
fn by_two_readers([one, other]: [Tensor; 2], dy: &Tensor, leaves: [Tensor; 4]) -> Vec<Tensor> {
    assert!(one == other);
    let part = |y: &Tensor, share: f64| (y * dy * share).sum(Kind::Float);
    (part(&one, -1.0) + part(&other, 2.0)).backward();
    std::iter::once(one.detach()).chain(leaves.map(|leaf| leaf.grad())).collect()
}

#[test]
fn it_equals_the_layers_and_their_gradients() {
    tch::manual_seed(5);
    // Fewer pixels than are taken at a time, some more, several shares, one map of which is no whole number.
    for shape in [[3, 16, 1, 1], [4, 32, 5, 7], [9, 64, 17, 13], [5, 2048, 7, 7]] {
        for has_shortcut in [false, true] {
            let mut inputs = inputs(shape);
            inputs[4] *= is_clear(&inputs, has_shortcut);
            let fast = run(&inputs, has_shortcut, Kind::BFloat16);
            let plain = run(&inputs, has_shortcut, Kind::Double);
            let names = ["y", "dx", "dw", "db", "of the shortcut"];
            assert_eq!(fast.len(), if has_shortcut { 5 } else { 4 });
            for (which, (fast, plain)) in names.iter().zip(fast.iter().zip(&plain)) {
                assert_eq!(fast.size(), plain.size());
                let scale = plain.abs().max().double_value(&[]);
                let off = (fast.to_kind(Kind::Double) - plain).abs().max().double_value(&[]);
                // Half a unit of bf16's last place where the result is bf16.
                let tolerance = if fast.kind() == Kind::BFloat16 { 2f64.powi(-8) } else { 1e-5 };
                assert!(off <= tolerance * scale, "{which} {shape:?}: {off} of {scale}");
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
    for has_shortcut in [false, true] {
        let [a, b] = [&inputs, &other].map(|inputs| run(inputs, has_shortcut, Kind::BFloat16));
        assert!(a.iter().zip(&b).all(|(a, b)| a.equal(b)));
    }
}

#[test]
fn what_is_no_number_stays_none() {
    let [x, weight, bias, shortcut, _] = inputs([2, 16, 8, 8]);
    let [x, shortcut] = [x, shortcut].map(|t| t.to_kind(Kind::BFloat16));
    let ones = Tensor::ones([16], (Kind::Float, Device::Cpu));
    let nans = |shortcut: Option<&Tensor>| {
        let (parameters, statistics) = ([&weight, &bias], [&ones, &ones]);
        let y = match shortcut {
            None => apply(&x, parameters, statistics).unwrap(),
            Some(shortcut) => {
                let [y, _] = apply_with(shortcut, &x, parameters, statistics).unwrap();
                y
            }
        };
        Vec::<i64>::try_from(y.isnan().nonzero().flatten(0, -1)).unwrap()
    };
    assert!(nans(None).is_empty() && nans(Some(&shortcut)).is_empty());
    let _ = x.get(1).get(3).get(4).get(5).fill_(f64::NAN);
    let _ = shortcut.get(0).get(2).get(1).get(7).fill_(f64::NAN);
    assert_eq!(nans(None), [1, 3, 4, 5]);
    assert_eq!(nans(Some(&shortcut)), [0, 2, 1, 7, 1, 3, 4, 5]);
}

#[test]
fn a_shortcut_of_another_shape_is_an_error() {
    let [x, weight, bias, shortcut, _] = inputs([2, 16, 8, 4]);
    let [x, shortcut] = [x, shortcut.transpose(2, 3)].map(|t| t.to_kind(Kind::BFloat16));
    let ones = Tensor::ones([16], (Kind::Float, Device::Cpu));
    let made = apply_with(&shortcut, &x, [&weight, &bias], [&ones, &ones]);
    assert!(made.unwrap_err().to_string().contains("[2, 16, 4, 8]"));
    let mut store = Store::new(Device::Cpu, Kind::Float, 1);
    let norm = BatchNorm::new(store.root(), 16).unwrap();
    let views = [x.shallow_clone(), x];
    let made = norm.forward_sum_relu(&views, &views[..1], true);
    assert_eq!(made.unwrap_err().code(), "SHAPE");
}

#[test]
fn other_maps_are_left_to_the_library() {
    let map = |shape: [i64; 4], kind| Tensor::zeros(shape, (kind, Device::Cpu));
    assert_eq!(applies(&map([2, 16, 4, 4], Kind::BFloat16)), has_fast_bf16() && has_wide_vectors());
    assert!(!applies(&map([2, 16, 4, 4], Kind::Float)));
    assert!(!applies(&map([2, 24, 4, 4], Kind::BFloat16)));
    assert!(!applies(&map([0, 16, 4, 4], Kind::BFloat16)));
    assert!(!applies(&Tensor::zeros([2, 16], (Kind::BFloat16, Device::Cpu))));
}

/// Two batches, each normalised by itself, whose statistics are taken over: values, gradients of the parameters
/// and statistics of a layer in bf16 against f64.
#[test]
fn a_layer_does_the_same_as_without() {
    tch::manual_seed(7);
    let layer = |kind| {
        let mut store = Store::new(Device::Cpu, kind, 1);
        let norm = BatchNorm::new(store.root(), 16).unwrap();
        (store, norm)
    };
    let views = [2, 5].map(|pictures| inputs([pictures, 16, 6, 6]));
    let of = |place: usize, kind| views.each_ref().map(|view| view[place].to_kind(kind));
    let close = |a: &Tensor, b: &Tensor, tolerance: f64| {
        let off = (a.to_kind(Kind::Double) - b).abs().max().double_value(&[]);
        off <= tolerance * b.abs().max().double_value(&[])
    };
    for train in [true, false] {
        for has_shortcut in [true, false] {
            let ((store, norm), (wide_store, wide_norm)) =
                (layer(Kind::Float), layer(Kind::Double));
            let run = |norm: &BatchNorm, kind| {
                let ys = if has_shortcut {
                    let [ys, _] = norm.forward_sum_relu(&of(0, kind), &of(3, kind), train).unwrap();
                    ys
                } else {
                    norm.forward_relu(&of(0, kind), train).unwrap()
                };
                let dys = of(4, kind);
                let sum = |(y, dy): (&Tensor, &Tensor)| (y * dy).sum(Kind::Double);
                ys.iter().zip(&dys).map(sum).sum::<Tensor>().backward();
                ys
            };
            let (ys, wide_ys) = (run(&norm, Kind::BFloat16), run(&wide_norm, Kind::Double));
            assert!(ys.iter().all(|y| y.kind() == Kind::BFloat16));
            assert!(ys.iter().zip(&wide_ys).all(|(y, wide)| close(y, wide, 1e-2)), "{train}");
            for (entry, wide) in store.entries().iter().zip(wide_store.entries()) {
                let name = &entry.name;
                assert!(close(&entry.tensor, &wide.tensor, 1e-5), "{train} {name}");
                if entry.trainable {
                    let close = close(&entry.tensor.grad(), &wide.tensor.grad(), 3e-2);
                    assert!(close, "{train} {name}'s gradient");
                }
            }
            if train && has_shortcut && applies(&ys[0]) {
                // Rounded once, where the layers round twice.
                let [x, shortcut] =
                    [0, 3].map(|place| of(place, Kind::BFloat16)[0].shallow_clone());
                let (_store, norm) = layer(Kind::Float);
                let apart = norm.forward(&[x], true).unwrap()[0].shallow_clone() + shortcut;
                assert!(ys[0] != apart.relu());
            }
        }
        let (_store, norm) = layer(Kind::Float);
        let one = Tensor::zeros([1, 16, 1, 1], (Kind::BFloat16, Device::Cpu));
        assert!(!train || norm.forward_relu(&[one], train).unwrap_err().code() == "SHAPE");
    }
}

/// As a network that was converted has them.
#[test]
fn parameters_in_bf16_are_left_to_the_library() {
    let mut store = Store::new(Device::Cpu, Kind::BFloat16, 1);
    let norm = BatchNorm::new(store.root(), 16).unwrap();
    let x = inputs([2, 16, 8, 8])[0].to_kind(Kind::BFloat16);
    for made in [norm.forward_relu(&[x.copy()], true), norm.forward_pooled(&[x], true)] {
        assert_eq!(made.unwrap()[0].kind(), Kind::BFloat16);
    }
}
