//! Ranks as processes on loopback against one process with the whole batch: the same numbers.
//!
//! The test starts itself again, once for each rank, and the ranks write what they came to.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test stops at the first thing that is wrong"
)]

mod common;
#[path = "distributed/plan.rs"]
mod plan;

use std::env::{current_exe, var, var_os};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{PLAIN, bank, difference, network, normal, snapshot};
use nnclr::checkpoint::{NamedTensors, read_any};
use nnclr::distributed::{GroupOptions, ProcessGroup, Traffic};
use nnclr::optim::Optimizer;
use nnclr::ranks::{Company, Ranks, Word};
use nnclr::step::{Hyper, StepStats, Views, step_among};
use nnclr::{Error, Result, checkpoint};
use plan::Plan;
use tch::{Device, Kind, Tensor};

const WHOLE: usize = 12;
/// Values below it count as being of this size.
const LEAST: f64 = 0.01;

/// Trains on this rank's rows of every batch and writes weights, gradients, bank and losses.
fn train(plan: &Plan, group: Option<&ProcessGroup>, to: &Path) -> Result<()> {
    let rank = group.map_or(0, ProcessGroup::rank);
    // Another rank starts from other weights: rank 0's are taken over.
    let model = network(plan.kind, plan.seed + 10 * rank as u64);
    let mut bank = bank(64, plan.kind, false);
    let mut optimizer = Optimizer::of_store(PLAIN, &model.store, 1e-4, false)?;
    let company = match group {
        None => Company::Alone,
        Some(group) => {
            let all: Vec<Tensor> =
                model.store.entries().iter().map(|e| e.tensor.shallow_clone()).collect();
            tch::no_grad(|| group.broadcast(&all, 0))?;
            Company::Ranks(Ranks::new(group, &model, plan.options)?)
        }
    };
    let (offset, own) = match group {
        None => (0, WHOLE),
        Some(_) => (plan.shares[..rank].iter().sum(), plan.shares[rank]),
    };
    let (mut losses, mut beside) = (Vec::new(), Vec::new());
    for step in 0..plan.steps {
        let whole =
            [0, 1].map(|view| normal(&[WHOLE as i64, 3, 16, 16], plan.kind, 2 * step + view));
        let x = whole.map(|x| x.narrow(0, offset as i64, own as i64).contiguous());
        let x = if plan.half { x.map(|x| x.to_kind(Kind::BFloat16)) } else { x };
        let samples: Vec<i64> = (offset..offset + own).map(|i| i as i64).collect();
        let labels: Vec<i64> = samples.iter().map(|sample| sample % 3).collect();
        let views = Views { x, samples: &samples, labels: Some(&labels) };
        let Plan { loss, lr, positive, view_loss, neighbour_weight, .. } = *plan;
        let hyper = Hyper { loss, temperature: 0.5, lr, positive, view_loss, neighbour_weight };
        let word = Word { stop: i64::from(step == 3), news: 2 };
        let stats = step_among(&company, &model, &mut bank, &mut optimizer, &views, hyper, word)?;
        let ranks = plan.shares.len() as i64;
        let Traffic { waited, averaging, overlap, .. } = stats.traffic;
        if ranks > 1 {
            assert!(averaging >= overlap && waited >= averaging - overlap, "{:?}", stats.traffic);
            beside.push(overlap.as_secs_f64() / averaging.as_secs_f64());
        }
        if group.is_some() {
            assert_eq!(stats.word, Word { stop: i64::from(step == 3) * ranks, news: 2 * ranks });
            assert!(stats.traffic.bytes > 0);
        }
        losses.extend(numbers(&stats));
    }
    if beside.len() > 5 {
        // The first pass finds the order, in one bucket; from then on buckets leave as they fill.
        let most = beside[1..].iter().copied().fold(0.0, f64::max);
        assert!(most > 0.5 && most > beside[0], "beside the backward pass: {beside:.2?}");
    }
    let mut tensors = snapshot(&model);
    for entry in model.store.parameters() {
        let gradient = entry.tensor.grad();
        if gradient.defined() {
            tensors.push((format!("{}.grad", entry.name), gradient));
        }
    }
    for (name, tensor) in bank.state()? {
        tensors.push((format!("bank/{name}"), tensor));
    }
    tensors.push(("losses".into(), Tensor::from_slice(&losses)));
    let whole: Vec<(String, Tensor)> =
        tensors.into_iter().map(|(name, tensor)| (name, tensor.contiguous())).collect();
    checkpoint::write(to, &whole, "{}")
}

fn numbers(stats: &StepStats) -> Vec<f64> {
    vec![
        stats.loss,
        stats.neighbour_similarity,
        stats.view_similarity,
        stats.neighbour_agreement,
        stats.unique_neighbours,
        stats.self_neighbour_rate,
        stats.neighbour_age,
        stats.same_class_rate.unwrap_or(-1.0),
        stats.feature_std,
        stats.bank_filled as f64,
    ]
}

fn join(rank: usize, world_size: usize, port: u16, timeout: Duration) -> Result<ProcessGroup> {
    ProcessGroup::join(GroupOptions {
        rank,
        world_size,
        master_addr: "127.0.0.1".into(),
        master_port: port,
        hosts_store: rank == 0,
        prefix: "test".into(),
        network_interface: None,
        device: Device::Cpu,
        join_timeout: timeout,
        timeout,
    })
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// This test again, as a rank.
fn rank_process(task: &str, rank: usize, shares: &[usize], port: u16, to: &Path) -> Child {
    let shares: Vec<String> = shares.iter().map(ToString::to_string).collect();
    Command::new(current_exe().unwrap())
        .args(["--exact", "one_rank", "--nocapture", "--ignored"])
        .env("NNCLR_TEST_TASK", task)
        .env("NNCLR_TEST_RANK", rank.to_string())
        .env("NNCLR_TEST_SHARES", shares.join(","))
        .env("NNCLR_TEST_PORT", port.to_string())
        .env("NNCLR_TEST_TO", to)
        .env("OMP_WAIT_POLICY", "passive")
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The body of a rank; does nothing when run by hand.
#[test]
#[ignore = "a rank of the tests below"]
fn one_rank() {
    let Some(to) = var_os("NNCLR_TEST_TO").map(PathBuf::from) else { return };
    let told = |name: &str| var(format!("NNCLR_TEST_{name}")).unwrap();
    let rank: usize = told("RANK").parse().unwrap();
    let shares: Vec<usize> = told("SHARES").split(',').map(|n| n.parse().unwrap()).collect();
    let (task, port) = (told("TASK"), told("PORT").parse().unwrap());
    let outcome = act(&task, rank, &shares, port, &to);
    let words = outcome.err().map_or_else(|| "done".into(), |error| error.to_string());
    std::fs::write(to.with_extension("txt"), words).unwrap();
}

fn act(task: &str, rank: usize, shares: &[usize], port: u16, to: &Path) -> Result<()> {
    let patience = Duration::from_secs(if task.starts_with("fail") { 3 } else { 60 });
    let group = join(rank, shares.len(), port, patience)?;
    let outcome = match task {
        "fail-reason" if rank == 1 => Err(Error::config("data", "a broken disk", "a whole one")),
        "fail-kill" if rank == 1 => std::process::abort(),
        "fail-early" if rank == 1 => Ok(()),
        "fail-shape" => group.agree("test", &[format!("a tensor of {}", 3 + rank)]),
        "fail-barrier" if rank == 1 => {
            std::thread::sleep(Duration::from_secs(4));
            Ok(())
        }
        "fail-barrier" => group.barrier(Duration::from_secs(1)),
        _ if task.starts_with("fail") => {
            let tensor = Tensor::ones([4], (Kind::Float, Device::Cpu));
            group.sum(&tensor)
        }
        _ => train(&Plan::named(task, shares), Some(&group), to),
    };
    group.leave(outcome.as_ref().err().map(ToString::to_string).as_deref());
    outcome
}

/// What each rank came to: its words, and its file where there is one.
fn run(task: &str, shares: &[usize], folder: &Path) -> Vec<(String, PathBuf)> {
    let port = free_port();
    let file = |rank: usize| folder.join(format!("{task}-{}-{rank}.safetensors", shares.len()));
    let ranks: Vec<Child> =
        (0..shares.len()).map(|rank| rank_process(task, rank, shares, port, &file(rank))).collect();
    for mut rank in ranks {
        rank.wait().unwrap();
    }
    let words = |rank: usize| {
        std::fs::read_to_string(file(rank).with_extension("txt")).unwrap_or_else(|_| "gone".into())
    };
    (0..shares.len()).map(|rank| (words(rank), file(rank))).collect()
}

fn load(path: &Path) -> NamedTensors {
    read_any(path).unwrap().into_iter().collect()
}

/// The greatest deviation, as a share of the tensor's greatest value. What moves by rounding alone (a
/// shift before a batch norm, and its gradient) is measured against what does not.
fn deviation(a: &NamedTensors, b: &NamedTensors) -> (f64, String) {
    assert_eq!(a.len(), b.len());
    let greatest = |x: &Tensor| x.abs().max().to_kind(Kind::Double).double_value(&[]);
    let gradients = a.iter().filter(|(name, _)| name.ends_with(".grad"));
    let of_gradients = gradients.map(|(_, x)| greatest(x)).fold(1e-30, f64::max);
    let mut worst = (0.0, String::new());
    for (name, x) in a {
        let (x, y) = (x.to_kind(Kind::Double), b[name].to_kind(Kind::Double));
        assert_eq!(x.size(), y.size(), "{name}");
        let scale = if name.ends_with(".grad") { of_gradients } else { greatest(&x).max(LEAST) };
        let apart = greatest(&(&x - &y)) / scale;
        if apart > worst.0 {
            worst = (apart, name.clone());
        }
    }
    worst
}

fn alone(task: &str, folder: &Path) -> NamedTensors {
    let path = folder.join(format!("{task}-alone.safetensors"));
    train(&Plan::named(task, &[WHOLE]), None, &path).unwrap();
    load(&path)
}

/// Ranks against one process; the ranks' replicas must be bit-identical.
fn compare(task: &str, shares: &[usize]) -> (f64, String) {
    let folder = tempfile::tempdir().unwrap();
    let expected = alone(task, folder.path());
    let files: Vec<PathBuf> = run(task, shares, folder.path())
        .into_iter()
        .map(|(words, file)| {
            assert_eq!(words, "done", "{task} {shares:?}");
            file
        })
        .collect();
    let replicas: Vec<Vec<(String, Tensor)>> = files
        .iter()
        .map(|file| {
            let mut tensors: Vec<(String, Tensor)> = load(file).into_iter().collect();
            tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
            tensors
        })
        .collect();
    for replica in &replicas {
        assert_eq!(difference(&replicas[0], replica), None, "{task} {shares:?}");
    }
    deviation(&expected, &load(&files[0]))
}

#[test]
fn ranks_give_the_numbers_of_one_process_in_f64() {
    exact(&[
        ("f64-ntxent", &[6, 6]),
        ("f64-paper-short", &[3, 3, 2, 4]),
        ("f64-paper-mixed-short", &[5, 7]),
        ("f64-paper-mixed-simclr-short", &[7, 5]),
        ("f64-ntxent-views-simclr-short", &[4, 8]),
    ]);
}

#[test]
#[ignore = "long: npm run test:distributed"]
fn any_number_of_ranks_gives_the_numbers_of_one_process_in_f64() {
    exact(&[
        ("f64-paper-single", &[12]),
        ("f64-paper", &[4, 4, 4]),
        ("f64-ntxent-random", &[3, 3, 2, 4]),
    ]);
}

fn exact(cases: &[(&str, &[usize])]) {
    for (task, shares) in cases {
        let (worst, name) = compare(task, shares);
        assert!(worst < 1e-10, "{task} {shares:?}: {name} is {worst:.1e} apart");
    }
}

/// In f32 one unit whose ReLU turns by rounding changes gradients by a thousandth. That befalls some
/// networks; a wrong formula would befall all of them.
#[test]
#[ignore = "long: npm run test:distributed"]
fn ranks_give_the_numbers_of_one_process_in_f32() {
    let apart =
        ["f32-ntxent", "f32-ntxent-seed6", "f32-paper-seed7"].map(|task| compare(task, &[5, 7]));
    let (least, place) =
        apart.iter().min_by(|(a, _), (b, _)| a.total_cmp(b)).expect("three networks");
    // One process in f32 is 1.2e-5 from itself in f64.
    assert!(*least < 3e-5, "{place} is {least:.1e} apart");
}

/// bf16 leaves little to compare on networks that make much of little: how far the heads' gradients are
/// from those in f32 is the measure, for one process and for ranks.
#[test]
#[ignore = "long: npm run test:distributed"]
fn ranks_round_in_bf16_as_one_process_does() {
    let folder = tempfile::tempdir().unwrap();
    let heads = |all: NamedTensors| -> NamedTensors {
        let is_head = |name: &str| name.starts_with("prediction_head") && name.ends_with(".grad");
        all.into_iter().filter(|(name, _)| is_head(name)).collect()
    };
    let exact = heads(alone("f32-short", folder.path()));
    let from_exact = |found: NamedTensors| deviation(&exact, &heads(found)).0;
    let on_ranks = |task: &str| {
        let (words, file) = run(task, &[6, 6], folder.path()).remove(0);
        assert_eq!(words, "done", "{task}");
        from_exact(load(&file))
    };
    let one = from_exact(alone("bf16-short", folder.path()));
    let [ranks, local] = ["bf16-short", "bf16-short-local"].map(on_ranks);
    println!("from f32: one process {one:.1e}, ranks {ranks:.1e}, own statistics {local:.1e}");
    assert!(ranks < 2.0 * one && local > 2.0 * one, "{one:.1e}, {ranks:.1e}, {local:.1e}");
}

#[test]
fn without_a_shared_part_the_numbers_are_others() {
    for task in ["f64-ntxent-local-short", "f64-ntxent-own-short"] {
        let (worst, _) = compare(task, &[6, 6]);
        assert!(worst > 1e-3, "{task}: {worst:.1e} apart");
    }
}

#[test]
fn a_failure_names_the_rank_and_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("fail-reason", "rank 1 failed: data: got a broken disk"),
        ("fail-kill", "rank 1 does not answer"),
        ("fail-early", "rank 1 left the group while rank 0 still had work"),
        ("fail-shape", "rank 1 brings a tensor of 4 where rank 0 brings a tensor of 3"),
        ("fail-barrier", "anks 1 failed to pass monitoredBarrier"),
    ];
    for (task, expected) in cases {
        let words = &run(task, &[1, 1], folder.path())[0].0;
        assert!(words.contains(expected), "{task}: {words}");
    }
}

#[test]
fn who_does_not_come_is_named() {
    let error = join(0, 3, free_port(), Duration::from_millis(300)).unwrap_err();
    assert_eq!(error.code(), "DISTRIBUTED");
    assert!(error.to_string().contains("ranks 1 and 2 of 3 did not come"), "{error}");
    let error = join(1, 2, free_port(), Duration::from_millis(300)).unwrap_err();
    assert!(error.to_string().contains("rank 1 cannot reach the store at 127.0.0.1"), "{error}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = join(0, 2, port, Duration::from_millis(300)).unwrap_err();
    assert!(error.to_string().contains("rank 0 cannot hold the store"), "{error}");
}
