//! What the property tests share: small networks, seeded numbers, plain lists.
#![allow(dead_code, reason = "each test binary uses its own part")]

use nnclr::nn::{Loss, MemoryBank, Nnclr, NnclrOptions};
use nnclr::optim::{Optimizer, Rule};
use nnclr::rng::stream;
use nnclr::step::{Hyper, Positive, ViewLoss};
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Kind, Tensor};

/// Length of z and p of `network`.
pub const OUT: i64 = 8;

/// SGD without momentum or decay.
pub const PLAIN: Rule = Rule::Sgd { momentum: 0.0, nesterov: false };

/// The smallest network there is.
pub fn network(kind: Kind, seed: u64) -> Nnclr {
    // Tests run beside each other: more threads a test would only get in each other's way.
    tch::set_num_threads(1);
    let options = NnclrOptions {
        arch: "resnet10".parse().unwrap(),
        stem: "small".parse().unwrap(),
        projection_hidden: 24,
        out: OUT,
        prediction_hidden: 16,
    };
    Nnclr::new(&options, Device::Cpu, kind, seed).unwrap()
}

/// A bank for `network`.
pub fn bank(size: usize, kind: Kind, only_filled: bool) -> MemoryBank {
    MemoryBank::new(size, OUT, Device::Cpu, kind, 3, only_filled).unwrap()
}

/// An optimizer over the whole network.
pub fn optimizer(rule: Rule, model: &Nnclr) -> Optimizer {
    Optimizer::of_store(rule, &model.store, 0.0, false).unwrap()
}

/// The settings of a step that measures but does not move.
pub fn still(positive: Positive) -> Hyper {
    Hyper {
        loss: Loss::NtXent,
        temperature: 0.5,
        lr: 0.0,
        positive,
        view_loss: ViewLoss::Predicted,
        neighbour_weight: 1.0,
    }
}

/// Standard normal numbers, a function of shape and seed.
pub fn normal(shape: &[i64], kind: Kind, seed: u64) -> Tensor {
    let mut rng = stream(seed, 0, 0, 0);
    let count = shape.iter().product::<i64>();
    let numbers: Vec<f64> = (0..count).map(|_| StandardNormal.sample(&mut rng)).collect();
    Tensor::from_slice(&numbers).reshape(shape).to_kind(kind)
}

/// All elements in row-major order.
pub fn listed(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.detach().to_kind(Kind::Double).contiguous().reshape([-1]);
    Vec::<f64>::try_from(&flat).unwrap()
}

/// Deep copies of a network's named tensors.
pub fn snapshot(model: &Nnclr) -> Vec<(String, Tensor)> {
    let entries = model.store.entries().iter();
    entries.map(|entry| (entry.name.clone(), entry.tensor.detach().copy())).collect()
}

/// The first tensor whose name, shape, dtype or any bit differs.
pub fn difference(a: &[(String, Tensor)], b: &[(String, Tensor)]) -> Option<String> {
    if a.len() != b.len() {
        return Some(format!("{} and {} tensors", a.len(), b.len()));
    }
    let same = |x: &Tensor, y: &Tensor| x.kind() == y.kind() && x.size() == y.size() && x == y;
    let differing = a.iter().zip(b).find(|((n, x), (m, y))| n != m || !same(x, y));
    differing.map(|((name, _), _)| name.clone())
}

/// Whether every element is a finite number.
pub fn is_finite(tensor: &Tensor) -> bool {
    tensor.isfinite().all().int64_value(&[]) == 1
}
