//! Initial values of named tensors.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first thing that is wrong"
)]

mod common;

use common::listed;
use nnclr::nn::layers::{BatchNorm, Conv, Linear};
use nnclr::nn::{Init, Store};
use tch::{Device, Kind};

fn store(seed: u64) -> Store {
    Store::new(Device::Cpu, Kind::Float, seed)
}

fn named(store: &Store, name: &str) -> Vec<f64> {
    listed(&store.entries().iter().find(|entry| entry.name == name).unwrap().tensor)
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (mean, (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt())
}

#[test]
fn a_convolution_starts_with_the_spread_of_kaimings_fan_out() {
    for (inputs, outputs, kernel) in [(32, 64, 3), (3, 64, 7), (256, 64, 1)] {
        let mut store = store(1);
        Conv::new(store.scope("conv"), inputs, outputs, kernel, 1).unwrap();
        let values = named(&store, "conv.weight");
        let expected = (2.0 / (outputs * kernel * kernel) as f64).sqrt();
        let (mean, deviation) = mean_and_deviation(&values);
        let noise = 4.0 / (values.len() as f64).sqrt();
        assert!(mean.abs() < noise * expected, "mean {mean}");
        assert!((deviation / expected - 1.0).abs() < noise, "{deviation}, expected {expected}");
        let far = values.iter().filter(|x| x.abs() > 2.0 * expected).count() as f64;
        assert!((far / values.len() as f64 - 0.0455).abs() < 0.01, "not a normal distribution");
    }
}

#[test]
fn a_linear_layer_starts_evenly_within_one_over_the_root_of_its_inputs() {
    let mut store = store(1);
    Linear::new(store.scope("linear"), 100, 300, true).unwrap();
    for name in ["linear.weight", "linear.bias"] {
        let (values, bound) = (named(&store, name), 0.1_f64);
        assert!(values.iter().all(|x| x.abs() <= bound), "{name} leaves its bounds");
        assert!(
            values.iter().any(|x| *x > 0.95 * bound) && values.iter().any(|x| *x < -0.95 * bound)
        );
        let (mean, deviation) = mean_and_deviation(&values);
        let noise = 4.0 / (values.len() as f64).sqrt();
        assert!(mean.abs() < noise * bound, "{name}: mean {mean}");
        assert!((deviation * 3.0_f64.sqrt() / bound - 1.0).abs() < noise, "{name}: {deviation}");
    }
}

#[test]
fn a_batch_norm_starts_as_the_identity() {
    let mut store = store(1);
    BatchNorm::new(store.scope("bn"), 3).unwrap();
    for (name, value) in
        [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)]
    {
        assert_eq!(named(&store, &format!("bn.{name}")), [value; 3]);
    }
    assert_eq!(named(&store, "bn.num_batches_tracked"), [0.0]);
    let trained: Vec<&str> = store.parameters().map(|entry| entry.name.as_str()).collect();
    assert_eq!(trained, ["bn.weight", "bn.bias"]);
}

#[test]
fn a_start_depends_on_seed_and_name_alone() {
    let start = |seed, extra: bool, kind| {
        let mut store = Store::new(Device::Cpu, kind, seed);
        Conv::new(store.scope("first"), 3, 4, 3, 1).unwrap();
        if extra {
            Linear::new(store.scope("extra"), 9, 9, true).unwrap();
        }
        Linear::new(store.scope("last"), 4, 5, true).unwrap();
        ["first.weight", "last.weight", "last.bias"].map(|name| named(&store, name))
    };
    let plain = start(7, false, Kind::Float);
    assert_eq!(plain, start(7, true, Kind::Float), "another layer changed a start");
    assert_eq!(plain, start(7, false, Kind::Double), "the dtype changed a start");
    for (a, b) in plain.iter().zip(&start(8, false, Kind::Float)) {
        assert_ne!(a, b, "the seed did not change a start");
    }
}

#[test]
fn a_value_of_another_shape_or_an_unknown_name_is_refused() {
    let mut store = store(1);
    let tensor = store.scope("a").parameter("w", &[2, 3], Init::Constant(1.0)).unwrap();
    let value = tensor.detach().zeros_like();
    assert_eq!(store.set("a.w", &value.tr()).unwrap_err().code(), "SHAPE");
    assert_eq!(store.set("b.w", &value).unwrap_err().code(), "SHAPE");
    assert_eq!(listed(&tensor), [1.0; 6]);
    store.set("a.w", &value).unwrap();
    assert_eq!(listed(&tensor), [0.0; 6], "the module's own handle follows");
}
