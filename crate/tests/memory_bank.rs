//! The memory bank against a plain queue, and the ties of its look-up.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first thing that is wrong"
)]

mod common;

use std::collections::VecDeque;

use common::{difference, listed, normal};
use nnclr::nn::MemoryBank;
use nnclr::nn::memory_bank::NO_SAMPLE;
use nnclr::nn::nt_xent::normalize;
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

const DIM: i64 = 5;

#[derive(Clone, Debug, PartialEq)]
struct Row {
    unit: Vec<f64>,
    length: f64,
    sample: i64,
    label: i64,
    push: i64,
}

/// First in, first out, a row at a time.
struct Queue {
    rows: VecDeque<Row>,
    pushes: i64,
    total: usize,
}

impl Queue {
    fn of(bank: &MemoryBank) -> Self {
        let numbers = listed(bank.rows());
        let rows = numbers.chunks(DIM as usize).map(|unit| Row {
            unit: unit.to_vec(),
            length: 1.0,
            sample: NO_SAMPLE,
            label: NO_SAMPLE,
            push: 0,
        });
        Self { rows: rows.collect(), pushes: 0, total: 0 }
    }

    fn push(&mut self, z: &[Vec<f64>], samples: &[i64], labels: Option<&[i64]>) {
        for (i, z) in z.iter().enumerate() {
            let length = z.iter().map(|x| x * x).sum::<f64>().sqrt();
            self.rows.pop_front();
            self.rows.push_back(Row {
                unit: z.iter().map(|x| x / length).collect(),
                length,
                sample: samples[i],
                label: labels.map_or(NO_SAMPLE, |labels| labels[i]),
                push: self.pushes,
            });
        }
        self.pushes += 1;
        self.total += z.len();
    }

    /// The oldest row stands where the ring writes next.
    fn check(&self, bank: &MemoryBank) {
        let size = self.rows.len();
        assert_eq!(bank.filled(), self.total.min(size));
        let (rows, lengths) = (listed(bank.rows()), listed(bank.lengths()));
        for (i, expected) in self.rows.iter().enumerate() {
            let place = (bank.position() + i) % size;
            let unit = &rows[place * DIM as usize..][..DIM as usize];
            let close = |a: &f64, b: &f64| (a - b).abs() < 1e-12;
            assert!(unit.iter().zip(&expected.unit).all(|(a, b)| close(a, b)), "row {place}");
            assert!(close(&lengths[place], &expected.length), "length of row {place}");
            assert_eq!(bank.samples()[place], expected.sample, "sample of row {place}");
            assert_eq!(bank.labels()[place], expected.label, "label of row {place}");
            assert_eq!(bank.age(place), self.pushes - expected.push, "age of row {place}");
        }
    }
}

fn checked_look_up(bank: &MemoryBank, only_filled: bool, seed: u64) {
    let queries = normalize(&normal(&[3, DIM], Kind::Double, seed)).unwrap();
    let found = bank.nearest(&queries).unwrap();
    let visible = if only_filled { bank.filled().max(1) } else { bank.size() };
    let all = queries.matmul(&bank.rows().tr()).narrow(1, 0, visible as i64);
    let (similarities, indices) = (listed(&found.similarity), listed(&found.indices));
    for (query, all) in listed(&all).chunks(visible).enumerate() {
        let best = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert!((similarities[query] - best).abs() < 1e-12);
        assert!((all[indices[query] as usize] - best).abs() < 1e-12, "an invisible row");
    }
    assert_eq!(listed(&found.rows), listed(&bank.rows().index_select(0, &found.indices)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn the_bank_is_a_queue(
        size in 1_usize..24,
        only_filled: bool,
        batches in prop::collection::vec((0_i64..40, any::<bool>()), 1..8),
        seed: u64,
    ) {
        let new = |seed| MemoryBank::new(size, DIM, Device::Cpu, Kind::Double, seed, only_filled);
        let mut bank = new(seed).unwrap();
        let mut queue = Queue::of(&bank);
        assert_eq!(bank.has_neighbours(), !only_filled);
        let mut next = 0;
        for (k, (count, labelled)) in batches.into_iter().enumerate() {
            let seed = seed.wrapping_add(k as u64);
            let z = normal(&[count, DIM], Kind::Double, seed) * 3.0;
            let samples: Vec<i64> = (next..next + count).collect();
            next += count;
            let labels: Vec<i64> = samples.iter().map(|sample| sample % 7).collect();
            let labels = labelled.then_some(labels.as_slice());
            let position = (bank.position() + (count as usize).min(size)) % size;
            bank.push(&z, &samples, labels).unwrap();
            assert_eq!(bank.position(), position);
            let rows: Vec<Vec<f64>> = listed(&z).chunks(DIM as usize).map(<[f64]>::to_vec).collect();
            queue.push(&rows, &samples, labels);
            queue.check(&bank);
            checked_look_up(&bank, only_filled, seed);

            // A bank that took over the state goes on like the one that gave it.
            let state = bank.state().unwrap();
            let mut other = new(seed + 1).unwrap();
            let get = |name: &str| {
                Ok(state.iter().find(|(n, _)| n == name).unwrap().1.shallow_clone())
            };
            other.restore(&get).unwrap();
            assert_eq!(difference(&state, &other.state().unwrap()), None);
            queue.check(&other);
        }
    }
}

#[test]
fn a_batch_of_the_banks_size_replaces_every_row_and_returns_to_the_start() {
    let mut bank = MemoryBank::new(6, DIM, Device::Cpu, Kind::Double, 0, true).unwrap();
    let z = normal(&[6, DIM], Kind::Double, 1);
    bank.push(&z, &[1, 2, 3, 4, 5, 6], None).unwrap();
    assert_eq!((bank.position(), bank.filled()), (0, 6));
    assert_eq!(listed(bank.rows()), listed(&normalize(&z).unwrap()));
    assert_eq!(bank.samples(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn ties_go_to_the_lowest_row_within_and_across_blocks() {
    tch::set_num_threads(1);
    for kind in [Kind::Float, Kind::Double] {
        for dim in [12, 16, 128] {
            for (size, distinct) in [(37, 5), (4097, 4095), (5003, 7), (8192, 4096), (10_000, 6001)]
            {
                let base = normalize(&normal(&[distinct, dim], kind, 4)).unwrap();
                let repeated = Tensor::arange(size, (Kind::Int64, Device::Cpu)).remainder(distinct);
                let mut bank =
                    MemoryBank::new(size as usize, dim, Device::Cpu, kind, 0, false).unwrap();
                bank.set_rows(&base.index_select(0, &repeated)).unwrap();
                let count = distinct.min(300);
                let queries = base.narrow(0, distinct - count, count);
                let found = listed(&bank.nearest(&queries).unwrap().indices);
                let expected: Vec<f64> =
                    (distinct - count..distinct).map(|row| row as f64).collect();
                assert_eq!(found, expected, "{kind:?} {dim} {size} {distinct}");
            }
        }
    }
}

#[test]
fn equal_rows_give_the_first() {
    for (size, only_filled, filled) in [(10_000, false, 0), (10_000, true, 4500), (5, false, 3)] {
        let mut bank = MemoryBank::new(size, 8, Device::Cpu, Kind::Float, 0, only_filled).unwrap();
        let row = normal(&[1, 8], Kind::Float, 1);
        bank.set_rows(&row.expand([size as i64, 8], false)).unwrap();
        let ids = vec![0; filled];
        bank.push(&row.expand([filled as i64, 8], false), &ids, None).unwrap();
        let queries = normal(&[64, 8], Kind::Float, 2);
        assert!(listed(&bank.nearest(&queries).unwrap().indices).iter().all(|&index| index == 0.0));
    }
}

#[test]
fn what_does_not_fit_is_a_coded_error_and_changes_nothing() {
    let mut bank = MemoryBank::new(6, DIM, Device::Cpu, Kind::Double, 0, false).unwrap();
    let copies = |bank: &MemoryBank| -> Vec<(String, Tensor)> {
        bank.state().unwrap().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect()
    };
    let before = copies(&bank);
    let z = normal(&[2, DIM], Kind::Double, 1);
    let wide = normal(&[2, DIM + 1], Kind::Double, 1);
    let errors = [
        bank.push(&wide, &[0, 1], None).unwrap_err(),
        bank.push(&z, &[0], None).unwrap_err(),
        bank.push(&z, &[0, 1], Some(&[0])).unwrap_err(),
        bank.push(&z.get(0), &[0], None).unwrap_err(),
        bank.nearest(&wide).unwrap_err(),
        bank.set_rows(&z).unwrap_err(),
    ];
    assert!(errors.iter().all(|error| error.code() == "SHAPE"), "{errors:?}");
    assert_eq!(difference(&before, &copies(&bank)), None);
    let none = MemoryBank::new(0, DIM, Device::Cpu, Kind::Double, 0, false);
    assert_eq!(none.unwrap_err().code(), "CONFIG");
}

/// The neighbours are those of the rows as they stand, in f32, where a processor that can looks up by
/// 8-bit codes that must follow every change.
#[test]
fn a_look_up_sees_the_rows_as_they_are_now() {
    for only_filled in [false, true] {
        let (size, dim) = (96_usize, 32);
        let new =
            |seed| MemoryBank::new(size, dim, Device::Cpu, Kind::Float, seed, only_filled).unwrap();
        let queries = normal(&[17, dim], Kind::Float, 1);
        let check = |bank: &MemoryBank, when: &str| {
            let visible = if only_filled { bank.filled().max(1) } else { size } as i64;
            let rows = bank.rows().narrow(0, 0, visible);
            let queries = queries.to_kind(rows.kind());
            let expected = normalize(&queries).unwrap().matmul(&rows.tr());
            let found = bank.nearest(&queries).unwrap();
            // Rows that are no number are nobody's neighbours.
            let expected = expected.nan_to_num(-2.0, None, None).argmax(1, false);
            assert!(found.indices.equal(&expected), "{when}, only filled: {only_filled}");
        };
        let push = |bank: &mut MemoryBank, z: &Tensor| {
            let ids: Vec<i64> = (0..z.size()[0]).collect();
            bank.push(z, &ids, None).unwrap();
        };
        let mut bank = new(5);
        check(&bank, "at first");
        for round in 0..5 {
            push(&mut bank, &(normal(&[40, dim], Kind::Float, 10 + round) * (1.0 + round as f64)));
            check(&bank, "after a push");
        }
        // Rows that the scale of the others cuts off.
        push(&mut bank, &Tensor::eye(dim, (Kind::Float, Device::Cpu)));
        check(&bank, "after rows of another kind");
        push(&mut bank, &normal(&[3 * size as i64 + 5, dim], Kind::Float, 30));
        check(&bank, "after more rows than it holds");
        // Wraps: what is no number comes first, what is one last.
        push(&mut bank, &normal(&[size as i64 - 7, dim], Kind::Float, 31));
        let broken = normal(&[20, dim], Kind::Float, 32);
        let _ = broken.get(1).fill_(f64::NAN);
        push(&mut bank, &broken);
        check(&bank, "with a row that is no number");
        let whole = normal(&[size as i64, dim], Kind::Float, 77);
        bank.set_rows(&whole).unwrap();
        check(&bank, "after rows were set");
        let state = bank.state().unwrap();
        let mut other = new(6);
        check(&other, "of another");
        let get = |name: &str| Ok(state.iter().find(|(n, _)| n == name).unwrap().1.shallow_clone());
        other.restore(&get).unwrap();
        check(&other, "after a restore");
        other.convert(Device::Cpu, Kind::Double).unwrap();
        check(&other, "in f64");
        other.convert(Device::Cpu, Kind::Float).unwrap();
        check(&other, "in f32 again");
        let none = other.nearest(&normal(&[0, dim], Kind::Float, 1)).unwrap();
        assert_eq!(none.rows.size(), [0, dim]);
    }
    let mut narrow = MemoryBank::new(9, 1, Device::Cpu, Kind::Float, 1, false).unwrap();
    narrow
        .set_rows(&Tensor::from_slice(&[1_f32, 1., -1., 1., 1., 1., 1., 1., 1.]).view([9, 1]))
        .unwrap();
    let found = narrow.nearest(&Tensor::from_slice(&[-3_f32, 2.0]).view([2, 1])).unwrap();
    assert!(found.indices.equal(&Tensor::from_slice(&[2_i64, 0])));
}

/// What the codes' scale and errors remember of the rows of before changes no bit.
#[test]
fn a_look_up_depends_on_the_rows_alone() {
    for (size, dim) in [(20, 2), (20, 8), (33, 5), (300, 32)] {
        let new = |seed| MemoryBank::new(size, dim, Device::Cpu, Kind::Float, seed, true).unwrap();
        let mut bank = new(1);
        for round in 0..12 {
            let z = normal(&[8, dim], Kind::Float, 100 + round);
            let state = bank.state().unwrap();
            let get =
                |name: &str| Ok(state.iter().find(|(n, _)| n == name).unwrap().1.shallow_clone());
            let mut other = new(2);
            other.restore(&get).unwrap();
            let (own, others) = (bank.nearest(&z).unwrap(), other.nearest(&z).unwrap());
            assert!(own.indices.equal(&others.indices), "{size} {dim} {round}");
            assert!(own.similarity.equal(&others.similarity), "{size} {dim} {round}");
            bank.push(&z, &[0; 8], None).unwrap();
        }
    }
}
