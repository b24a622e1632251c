//! The training step: order of look-up and push, batch-norm statistics, and inputs at the edge.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first thing that is wrong"
)]

mod common;

use common::{
    OUT, PLAIN, bank, difference, is_finite, network, normal, optimizer, snapshot, still,
};
use nnclr::Result;
use nnclr::nn::{Head, Loss, MemoryBank, Nnclr, Store};
use nnclr::step::{Hyper, Positive, StepStats, Views, step};
use tch::{Device, Kind, Tensor};

fn pictures(count: i64, seed: u64) -> Tensor {
    normal(&[count, 3, 16, 16], Kind::Float, seed)
}

fn run(model: &Nnclr, bank: &mut MemoryBank, x: [&Tensor; 2], hyper: Hyper) -> Result<StepStats> {
    let samples: Vec<i64> = (0..x[0].size()[0]).collect();
    let views =
        Views { x: x.map(Tensor::shallow_clone), samples: &samples, labels: Some(&samples) };
    step(model, bank, &mut optimizer(PLAIN, model), &views, hyper)
}

#[test]
fn no_row_of_this_step_is_reachable_in_this_step() {
    let (model, x) = (network(Kind::Float, 1), pictures(4, 1));
    for (size, only_filled) in [(64, false), (4, false), (3, false), (64, true)] {
        let mut bank = bank(size, Kind::Float, only_filled);
        // Both views are equal: a row of this step would be a neighbour of similarity 1.
        let first = run(&model, &mut bank, [&x, &x], still(Positive::Neighbour)).unwrap();
        assert_eq!(first.self_neighbour_rate, 0.0, "{size} rows");
        assert!(first.neighbour_similarity < 0.999, "{size} rows: {first:?}");
        let second = run(&model, &mut bank, [&x, &x], still(Positive::Neighbour)).unwrap();
        assert!(second.neighbour_similarity > 0.8, "{size} rows: {second:?}");
        if size >= 4 {
            assert_eq!((second.self_neighbour_rate, second.neighbour_age), (1.0, 1.0));
            assert!((second.neighbour_similarity - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn the_bank_takes_the_second_views_z() {
    let (model, x) = (network(Kind::Float, 1), [pictures(4, 1), pictures(4, 2)]);
    let mut bank = bank(4, Kind::Float, true);
    run(&model, &mut bank, [&x[0], &x[1]], still(Positive::Neighbour)).unwrap();
    let (z1, _) = model.forward(&x[1]).unwrap();
    let deviation = (nnclr::nn::nt_xent::normalize(&z1).unwrap() - bank.rows()).abs().max();
    assert!(deviation.double_value(&[]) < 1e-6);
}

#[test]
fn an_unfilled_bank_leaves_the_positives_to_the_views() {
    let (model, x) = (network(Kind::Float, 1), [pictures(4, 1), pictures(4, 2)]);
    let x = x.each_ref();
    let empty =
        run(&model, &mut bank(8, Kind::Float, true), x, still(Positive::Neighbour)).unwrap();
    let views = run(&model, &mut bank(8, Kind::Float, true), x, still(Positive::View)).unwrap();
    let random = run(&model, &mut bank(8, Kind::Float, false), x, still(Positive::Random)).unwrap();
    assert_eq!(empty.loss, views.loss);
    assert_ne!(views.loss, random.loss);
}

type Measured = (f64, Vec<(String, Tensor)>);

fn gradients(model: &Nnclr) -> Vec<(String, Tensor)> {
    model.store.parameters().map(|entry| (entry.name.clone(), entry.tensor.grad().copy())).collect()
}

/// Loss and gradients of a step from the same network, bank and pictures each time.
fn measured(kind: Kind, only_filled: bool, hyper: Hyper) -> Measured {
    let (model, x) = (network(kind, 1), [1, 2].map(|seed| normal(&[4, 3, 16, 16], kind, seed)));
    let stats = run(&model, &mut bank(32, kind, only_filled), x.each_ref(), hyper).unwrap();
    (stats.loss, gradients(&model))
}

/// The same without `step`, with what was found in the bank as the only positive.
fn written_out(kind: Kind, loss: Loss, positive: Positive) -> Measured {
    let (model, x) = (network(kind, 1), [1, 2].map(|seed| normal(&[4, 3, 16, 16], kind, seed)));
    let bank = bank(32, kind, false);
    let [(z0, p0), (z1, p1)] = model.forward_pair(&x).unwrap();
    let rows = |z: &Tensor, view| match positive {
        Positive::Random => bank.random_rows(4, view).unwrap(),
        _ => bank.nearest(z).unwrap().rows,
    };
    let forward = |a: &Tensor, b: &Tensor| loss.forward(a, b, 0.5).unwrap();
    let value = (forward(&rows(&z0, 0), &p1) + forward(&rows(&z1, 1), &p0)) * 0.5;
    value.backward();
    (value.double_value(&[]), gradients(&model))
}

/// Every loss, neighbours and random rows, in f32 and f64.
fn weighted() -> impl Iterator<Item = (Kind, Hyper)> {
    [Kind::Float, Kind::Double].into_iter().flat_map(|kind| {
        [Loss::NtXent, Loss::Paper].into_iter().flat_map(move |loss| {
            [Positive::Neighbour, Positive::Random]
                .map(|positive| (kind, Hyper { loss, ..still(positive) }))
        })
    })
}

#[track_caller]
fn same_bits(a: &Measured, b: &Measured, of: impl std::fmt::Debug) {
    assert_eq!(a.0.to_bits(), b.0.to_bits(), "{of:?}");
    assert_eq!(difference(&a.1, &b.1), None, "{of:?}");
}

#[test]
fn with_the_whole_weight_neighbours_are_the_only_positives_bit_for_bit() {
    for (kind, hyper) in weighted() {
        let expected = written_out(kind, hyper.loss, hyper.positive);
        same_bits(&measured(kind, false, hyper), &expected, hyper);
    }
}

#[test]
fn without_weight_the_other_view_is_the_only_positive_bit_for_bit() {
    for (kind, hyper) in weighted() {
        let views = measured(kind, false, Hyper { positive: Positive::View, ..hyper });
        let none = Hyper { neighbour_weight: 0.0, ..hyper };
        same_bits(&measured(kind, false, none), &views, hyper);
        assert_ne!(views.0, measured(kind, false, hyper).0);
    }
}

#[test]
fn a_weight_mixes_losses_and_gradients() {
    for (kind, hyper) in weighted().filter(|(kind, _)| *kind == Kind::Double) {
        let rows = measured(kind, false, hyper);
        let views = measured(kind, false, Hyper { positive: Positive::View, ..hyper });
        for weight in [0.5, 0.25] {
            let mixed = measured(kind, false, Hyper { neighbour_weight: weight, ..hyper });
            let expected = weight * rows.0 + (1.0 - weight) * views.0;
            assert!((mixed.0 - expected).abs() < 1e-12, "{hyper:?}: {} {expected}", mixed.0);
            for (((name, got), (_, a)), (_, b)) in mixed.1.iter().zip(&rows.1).zip(&views.1) {
                let apart = (got - (a * weight + b * (1.0 - weight))).abs().max();
                assert!(apart.double_value(&[]) < 1e-12, "{hyper:?} {weight}: {name} {apart:?}");
            }
            assert!(difference(&rows.1, &views.1).is_some());
        }
    }
}

#[test]
fn a_weight_has_no_effect_where_neighbours_are_not_the_positives() {
    for kind in [Kind::Float, Kind::Double] {
        let views = measured(kind, true, still(Positive::View));
        for positive in [Positive::View, Positive::Neighbour] {
            // The bank is empty.
            let half = Hyper { neighbour_weight: 0.5, ..still(positive) };
            same_bits(&measured(kind, true, half), &views, positive);
        }
    }
}

#[test]
fn a_weight_that_is_no_share_is_a_config_error_and_changes_nothing() {
    let (model, x) = (network(Kind::Float, 1), pictures(4, 1));
    let mut bank = bank(8, Kind::Float, false);
    let (before, rows) = (snapshot(&model), bank.rows().copy());
    for weight in [-0.1, 1.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for positive in [Positive::Neighbour, Positive::View, Positive::Random] {
            let hyper = Hyper { lr: 0.1, neighbour_weight: weight, ..still(positive) };
            let error = run(&model, &mut bank, [&x, &x], hyper).unwrap_err();
            assert_eq!((error.code(), error.subject()), ("CONFIG", "neighbourWeight"));
        }
    }
    assert_eq!(difference(&before, &snapshot(&model)), None);
    assert_eq!((bank.filled(), bank.rows()), (0, &rows));
    assert!(model.store.parameters().all(|entry| !entry.tensor.grad().defined()));
}

#[test]
fn a_batch_without_an_id_or_a_label_for_each_picture_is_a_shape_error_and_changes_nothing() {
    let (model, x) = (network(Kind::Float, 1), pictures(4, 1));
    let mut bank = bank(8, Kind::Float, false);
    let before = snapshot(&model);
    let ids = [0, 1, 2, 3, 4];
    for (samples, labels) in [(2, None), (5, None), (0, None), (4, Some(2)), (4, Some(5))] {
        let views = Views {
            x: [&x, &x].map(Tensor::shallow_clone),
            samples: &ids[..samples],
            labels: labels.map(|count| &ids[..count]),
        };
        let hyper = Hyper { lr: 0.1, ..still(Positive::Neighbour) };
        let mut sgd = optimizer(PLAIN, &model);
        let error = step(&model, &mut bank, &mut sgd, &views, hyper).unwrap_err();
        assert_eq!((error.code(), error.subject()), ("SHAPE", "batch"));
    }
    assert_eq!((difference(&before, &snapshot(&model)), bank.filled()), (None, 0));
}

#[test]
fn two_views_never_share_batch_norm_statistics() {
    let x = [pictures(4, 1), pictures(4, 2)];
    let (stepped, separate, joined) =
        (network(Kind::Float, 1), network(Kind::Float, 1), network(Kind::Float, 1));
    run(&stepped, &mut bank(8, Kind::Float, false), x.each_ref(), still(Positive::Neighbour))
        .unwrap();
    let forward = |model: &Nnclr, x: &Tensor| drop(model.forward(x).unwrap());
    x.iter().for_each(|x| forward(&separate, x));
    forward(&joined, &Tensor::cat(&x, 0));
    let buffers = |model: &Nnclr| -> Vec<(String, Tensor)> {
        snapshot(model).into_iter().filter(|(name, _)| name.contains(".running_")).collect()
    };
    assert_eq!(difference(&buffers(&stepped), &buffers(&separate)), None);
    assert!(difference(&buffers(&stepped), &buffers(&joined)).is_some());
    for (name, value) in snapshot(&stepped) {
        if name.ends_with("num_batches_tracked") {
            assert_eq!(value.int64_value(&[]), 2, "{name}");
        }
    }
}

#[test]
fn batch_norm_with_one_value_per_channel_is_a_shape_error() {
    let mut store = Store::new(Device::Cpu, Kind::Float, 1);
    let head = Head::projection(store.scope("head"), 5, 7, 4).unwrap();
    let one = normal(&[1, 5], Kind::Float, 1);
    assert_eq!(head.forward(&one, true).unwrap_err().code(), "SHAPE");
    assert!(head.forward(&one, false).is_ok(), "evaluation takes a single row");
    let model = network(Kind::Float, 1);
    let mut bank = bank(8, Kind::Float, false);
    let x = pictures(1, 1);
    let error = run(&model, &mut bank, [&x, &x], still(Positive::Neighbour)).unwrap_err();
    assert_eq!(error.code(), "SHAPE");
    assert_eq!(bank.filled(), 0);
}

#[test]
fn inputs_at_the_edge_train_on_in_finite_numbers() {
    let black = Tensor::zeros([4, 3, 16, 16], (Kind::Float, Device::Cpu));
    let equal = pictures(1, 1).expand([4, 3, 16, 16], false);
    let inputs = [
        ("black", black),
        ("equal", equal),
        ("pair", pictures(2, 1)),
        ("huge", pictures(4, 1) * 1e6),
    ];
    for (name, x) in &inputs {
        for loss in [Loss::NtXent, Loss::Paper] {
            for positive in [Positive::Neighbour, Positive::View, Positive::Random] {
                let model = network(Kind::Float, 1);
                // Smaller than the batch.
                let mut bank = bank(1, Kind::Float, false);
                let hyper = Hyper { loss, temperature: 0.01, lr: 0.01, ..still(positive) };
                for k in 0..2 {
                    let stats = run(&model, &mut bank, [x, x], hyper)
                        .unwrap_or_else(|error| panic!("{name}, step {k}: {error}"));
                    assert!(stats.loss.is_finite() && stats.feature_std.is_finite());
                }
                assert!(is_finite(bank.rows()), "{name}: the bank's rows");
                for (tensor, value) in snapshot(&model) {
                    assert!(is_finite(&value), "{name} {loss:?} {positive:?}: {tensor}");
                }
            }
        }
    }
}

#[test]
fn losses_of_zero_and_equal_vectors_are_finite_with_finite_gradients() {
    for kind in [Kind::Float, Kind::Double] {
        let zero = Tensor::zeros([4, OUT], (kind, Device::Cpu));
        let equal = normal(&[1, OUT], kind, 1).expand([4, OUT], false).copy();
        let some = normal(&[4, OUT], kind, 2);
        let tiny = &some * 1e-30;
        let inputs = [zero, equal, some, tiny];
        for a in &inputs {
            for b in &inputs {
                for loss in [Loss::NtXent, Loss::Paper] {
                    for temperature in [0.01, 1.0] {
                        let a = a.copy().set_requires_grad(true);
                        let b = b.copy().set_requires_grad(true);
                        let value = loss.forward(&a, &b, temperature).unwrap();
                        value.backward();
                        assert!(is_finite(&value) && is_finite(&a.grad()) && is_finite(&b.grad()));
                    }
                }
            }
        }
    }
}

#[test]
fn a_zero_vector_in_the_bank_and_as_query_is_finite() {
    let mut bank = bank(6, Kind::Float, false);
    let zero = Tensor::zeros([3, OUT], (Kind::Float, Device::Cpu));
    bank.push(&zero, &[0, 1, 2], None).unwrap();
    let found = bank.nearest(&zero).unwrap();
    assert!(is_finite(&found.similarity) && is_finite(&found.rows) && is_finite(bank.lengths()));
    assert_eq!(common::listed(&found.indices), [0.0; 3]);
}

#[test]
fn temperatures_that_are_no_temperatures_are_config_errors() {
    let a = normal(&[4, OUT], Kind::Float, 1);
    for temperature in [0.0, -0.1, f64::NAN, f64::INFINITY] {
        for loss in [Loss::NtXent, Loss::Paper] {
            let error = loss.forward(&a, &a, temperature).unwrap_err();
            assert_eq!((error.code(), error.subject()), ("CONFIG", "temperature"));
        }
    }
    let error = Loss::Paper.forward(&a, &a.narrow(0, 0, 3), 0.1).unwrap_err();
    assert_eq!(error.code(), "SHAPE");
}

#[test]
fn a_loss_that_is_no_number_leaves_network_and_bank_as_they_were() {
    let model = network(Kind::Float, 1);
    let mut bank = bank(8, Kind::Float, false);
    let x = pictures(4, 1);
    run(&model, &mut bank, [&x, &x], Hyper { lr: 0.1, ..still(Positive::Neighbour) }).unwrap();
    let (before, filled) = (snapshot(&model), bank.filled());
    let hyper = Hyper { lr: 0.1, ..still(Positive::Neighbour) };
    let error = run(&model, &mut bank, [&x, &(&x * f64::NAN)], hyper).unwrap_err();
    assert_eq!(error.code(), "DIVERGED");
    assert_eq!(difference(&before, &snapshot(&model)), None);
    assert_eq!(bank.filled(), filled);
    assert!(is_finite(bank.rows()));
}

#[test]
fn a_batch_large_enough_for_the_fast_convolutions_gives_the_loss_and_gradients_of_f64() {
    let losses = [Kind::Float, Kind::Double].map(|kind| {
        let (model, x) =
            (network(kind, 1), [1, 2].map(|seed| normal(&[64, 3, 32, 32], kind, seed)));
        let (mut bank, mut optimizer) = (bank(64, kind, false), optimizer(PLAIN, &model));
        let hyper = Hyper { lr: 0.05, ..still(Positive::View) };
        let samples: Vec<i64> = (0..64).collect();
        // The second loss depends on every gradient of the first step.
        [(); 2].map(|()| {
            let x = x.each_ref().map(Tensor::shallow_clone);
            let views = Views { x, samples: &samples, labels: None };
            step(&model, &mut bank, &mut optimizer, &views, hyper).unwrap().loss
        })
    });
    for (got, expected) in losses[0].iter().zip(&losses[1]) {
        // Rounding alone, through a step of 0.05 and units whose ReLU it turns, makes 1.3e-5; a gradient
        // a hundredth off would make about 4e-4.
        assert!((got - expected).abs() < 5e-5 * expected, "{losses:?}");
    }
    assert!((losses[1][0] - losses[1][1]).abs() > 1e-3, "{losses:?}");
}
