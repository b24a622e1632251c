//! Gradients against central differences in f64, and where no gradient may flow.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first thing that is wrong"
)]

mod common;

use common::{OUT, bank, listed, network, normal, optimizer, still};
use nnclr::nn::nt_xent::{normalize, nt_xent_with_bank};
use nnclr::nn::{Head, Loss, Store};
use nnclr::step::{Hyper, Positive, ViewLoss, Views, step};
use tch::{Device, Kind, Tensor};

const STEP: f64 = 1e-6;
const TOLERANCE: f64 = 1e-6;

/// The slope of `loss` in one element of `leaf`, by moving that element.
fn slope(leaf: &Tensor, place: i64, loss: impl Fn() -> f64) -> f64 {
    let before = leaf.detach().copy();
    let nudge = Tensor::zeros([leaf.numel() as i64], (Kind::Double, Device::Cpu));
    let _ = nudge.get(place).fill_(STEP);
    let nudge = nudge.reshape(leaf.size());
    let at = |value: &Tensor| {
        tch::no_grad(|| leaf.shallow_clone().copy_(value));
        loss()
    };
    let (above, below) = (at(&(&before + &nudge)), at(&(&before - &nudge)));
    tch::no_grad(|| leaf.shallow_clone().copy_(&before));
    (above - below) / (2.0 * STEP)
}

/// Checks every element of `leaf`.
fn check_all(what: &str, leaf: &Tensor, loss: impl Fn() -> Tensor) {
    leaf.shallow_clone().zero_grad();
    loss().backward();
    for (place, gradient) in (0..).zip(listed(&leaf.grad())) {
        let expected = slope(leaf, place, || tch::no_grad(|| loss().double_value(&[])));
        let deviation = (gradient - expected).abs() / (1.0 + expected.abs());
        assert!(deviation < TOLERANCE, "{what}[{place}]: {gradient}, differences {expected}");
    }
}

fn leaf(shape: &[i64], seed: u64) -> Tensor {
    normal(shape, Kind::Double, seed).set_requires_grad(true)
}

#[test]
fn both_losses_agree_with_central_differences() {
    for (n, dim) in [(2, 3), (5, 4)] {
        let (a, b) = (leaf(&[n, dim], 1), leaf(&[n, dim], 2));
        for loss in [Loss::NtXent, Loss::Paper] {
            for temperature in [0.1, 0.5, 1.0] {
                let value = || loss.forward(&a, &b, temperature).unwrap();
                check_all(&format!("{loss:?} positive"), &a, value);
                check_all(&format!("{loss:?} prediction"), &b, value);
            }
        }
    }
}

#[test]
fn the_loss_with_bank_negatives_agrees_with_central_differences() {
    let (a, b) = (leaf(&[4, 5], 1), leaf(&[4, 5], 2));
    let negatives = normalize(&normal(&[7, 5], Kind::Double, 3)).unwrap();
    let value = || nt_xent_with_bank(&a, &b, &negatives, 0.2).unwrap();
    check_all("a", &a, value);
    check_all("b", &b, value);
}

#[test]
fn both_heads_agree_with_central_differences() {
    let mut store = Store::new(Device::Cpu, Kind::Double, 5);
    let heads = [
        Head::projection(store.scope("projection"), 5, 7, 4).unwrap(),
        Head::prediction(store.scope("prediction"), 5, 6, 4).unwrap(),
    ];
    let (x, weights) = (leaf(&[6, 5], 1), normal(&[6, 4], Kind::Double, 2));
    for (head, name) in heads.iter().zip(["projection", "prediction"]) {
        for train in [true, false] {
            let value = || (head.forward(&x, train).unwrap() * &weights).sum(Kind::Double);
            check_all(&format!("input of {name}"), &x, value);
            for entry in store.parameters().filter(|entry| entry.name.starts_with(name)) {
                check_all(&entry.name, &entry.tensor, value);
            }
        }
    }
}

#[test]
fn the_step_has_the_gradient_of_its_loss() {
    let model = network(Kind::Double, 1);
    let x = [0, 1].map(|view| normal(&[4, 3, 16, 16], Kind::Double, view));
    let samples = [0, 1, 2, 3];
    for (half, loss) in [Loss::NtXent, Loss::Paper].into_iter().enumerate() {
        let run = || {
            let views = Views {
                x: x.each_ref().map(Tensor::shallow_clone),
                samples: &samples,
                labels: None,
            };
            let hyper = Hyper { loss, ..still(Positive::Neighbour) };
            let mut bank = bank(32, Kind::Double, false);
            let mut optimizer = optimizer(common::PLAIN, &model);
            step(&model, &mut bank, &mut optimizer, &views, hyper).unwrap().loss
        };
        run();
        let gradients: Vec<Tensor> =
            model.store.parameters().map(|entry| entry.tensor.grad().copy()).collect();
        for (entry, gradient) in model.store.parameters().zip(gradients).skip(half).step_by(2) {
            // Each loss checks every second parameter, where its gradient is largest.
            let place = gradient.abs().reshape([-1]).argmax(0, false).int64_value(&[]);
            let gradient = gradient.reshape([-1]).double_value(&[place]);
            let expected = slope(&entry.tensor, place, run);
            let deviation = (gradient - expected).abs() / (1e-3 + expected.abs());
            assert!(deviation < 1e-4, "{loss:?} {}: {gradient}, not {expected}", entry.name);
        }
    }
}

#[test]
fn the_bank_gets_no_gradient() {
    let model = network(Kind::Double, 1);
    let mut bank = bank(16, Kind::Double, false);
    // As if somebody trained the rows: still nothing may reach them.
    let rows = bank.rows().shallow_clone().set_requires_grad(true);
    let x = [0, 1].map(|view| normal(&[4, 3, 16, 16], Kind::Double, view));
    let views = Views { x, samples: &[0, 1, 2, 3], labels: None };
    assert!(!bank.nearest(&normal(&[2, OUT], Kind::Double, 9)).unwrap().rows.requires_grad());
    let mut optimizer = optimizer(common::PLAIN, &model);
    step(&model, &mut bank, &mut optimizer, &views, still(Positive::Neighbour)).unwrap();
    step(&model, &mut bank, &mut optimizer, &views, still(Positive::Random)).unwrap();
    assert!(!rows.grad().defined());
}

#[test]
fn no_gradient_flows_through_z() {
    let model = network(Kind::Double, 1);
    let x = [0, 1].map(|view| normal(&[4, 3, 16, 16], Kind::Double, view));
    let (z0, p0) = model.forward(&x[0]).unwrap();
    let (z1, p1) = model.forward(&x[1]).unwrap();
    let [c0, c1] = [z0.detach(), z1.detach()];
    let a = Loss::NtXent.forward(&c0, &p1, 0.5).unwrap();
    let b = Loss::NtXent.forward(&c1, &p0, 0.5).unwrap();
    ((a + b) * 0.5).backward();
    let expected: Vec<Vec<f64>> =
        model.store.parameters().map(|entry| listed(&entry.tensor.grad())).collect();

    let views = Views { x, samples: &[0, 1, 2, 3], labels: None };
    let (mut bank, mut optimizer) =
        (bank(16, Kind::Double, false), optimizer(common::PLAIN, &model));
    step(&model, &mut bank, &mut optimizer, &views, still(Positive::View)).unwrap();
    for (entry, expected) in model.store.parameters().zip(expected) {
        assert_eq!(listed(&entry.tensor.grad()), expected, "{}", entry.name);
    }
}

#[test]
fn the_views_own_loss_is_of_both_z_and_leaves_p_without_gradient() {
    for loss in [Loss::NtXent, Loss::Paper] {
        let model = network(Kind::Double, 1);
        let x = [0, 1].map(|view| normal(&[4, 3, 16, 16], Kind::Double, view));
        let [(z0, _), (z1, _)] = model.forward_pair(&x).unwrap();
        let both = loss.forward(&z0, &z1, 0.5).unwrap() + loss.forward(&z1, &z0, 0.5).unwrap();
        (both * 0.5).backward();
        let gradients = || -> Vec<(String, Option<Vec<f64>>)> {
            let of = |tensor: &Tensor| {
                let gradient = tensor.grad();
                gradient.defined().then(|| listed(&gradient))
            };
            model.store.parameters().map(|e| (e.name.clone(), of(&e.tensor))).collect()
        };
        let expected = gradients();

        let views = Views { x, samples: &[0, 1, 2, 3], labels: None };
        let (mut bank, mut optimizer) =
            (bank(16, Kind::Double, false), optimizer(common::PLAIN, &model));
        let hyper = Hyper { loss, view_loss: ViewLoss::SimClr, ..still(Positive::View) };
        step(&model, &mut bank, &mut optimizer, &views, hyper).unwrap();
        assert_eq!(gradients(), expected, "{loss:?}");
        let without: Vec<String> =
            expected.into_iter().filter(|(_, g)| g.is_none()).map(|(name, _)| name).collect();
        assert!(without.iter().all(|name| name.starts_with("prediction_head")), "{without:?}");
        assert_eq!(without.len(), 5);
    }
}
