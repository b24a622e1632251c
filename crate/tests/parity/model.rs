//! Networks and whole training traces.

use nnclr::nn::{Arch, Head, Loss, MemoryBank, Nnclr, NnclrOptions, ResNet, Stem, Store};
use nnclr::optim::{Optimizer, Rule};
use nnclr::step::{Hyper, Positive, ViewLoss, Views, step};
use tch::{Device, Kind};

use crate::case::{Case, Outcome, listed, norm};

fn fill_store(case: &Case, store: &Store) {
    for entry in store.parameters() {
        store.set(&entry.name, &case.parameter(&entry.name, &entry.tensor.size())).unwrap();
    }
}

fn grad_norms(store: &Store) -> Vec<(String, f64)> {
    store.parameters().map(|e| (e.name.clone(), norm(&e.tensor.grad()))).collect()
}

fn statistics(store: &Store) -> Vec<(String, f64)> {
    let moving = |name: &str| name.ends_with("mean") || name.ends_with("var");
    let entries = store.entries().iter().filter(|entry| moving(&entry.name));
    entries.map(|entry| (entry.name.clone(), norm(&entry.tensor))).collect()
}

pub fn resnet(case: &Case) -> Outcome {
    let mut store = Store::new(Device::Cpu, case.dtype(), 0);
    let arch: Arch = case.text("arch").parse().unwrap();
    let net = ResNet::new(store.scope("backbone"), arch, Stem::Imagenet).unwrap();
    fill_store(case, &store);
    let size = case.int("size");
    let x = case.fill("x", &[case.int("batch"), 3, size, size]);
    let evaluated = net.forward(&x, false).unwrap();
    let trained = net.forward(&x, true).unwrap();
    (&trained * case.fill("g", &trained.size())).sum(case.dtype()).backward();
    let worst = [
        case.close("eval_features", &listed(&evaluated), case.expected("eval_features"))?,
        case.close("train_features", &listed(&trained), case.expected("train_features"))?,
        case.close_by_name("grad_norms", grad_norms(&store), case.expected("grad_norms"))?,
        case.close_by_name(
            "buffers",
            statistics(&store),
            case.expected("buffer_norms_after_one_train_forward"),
        )?,
    ];
    Ok(worst.into_iter().fold(0.0, f64::max))
}

pub fn head(case: &Case) -> Outcome {
    let mut store = Store::new(Device::Cpu, case.dtype(), 0);
    let kind = case.text("head");
    let (inputs, hidden, out) = (case.int("in"), case.int("hidden"), case.int("out"));
    let prefix = format!("{kind}_head");
    let head = match kind {
        "projection" => Head::projection(store.scope(&prefix), inputs, hidden, out).unwrap(),
        "prediction" => Head::prediction(store.scope(&prefix), inputs, hidden, out).unwrap(),
        other => return Err(format!("unknown head {other}")),
    };
    fill_store(case, &store);
    let x = case.fill("x", &[case.int("batch"), inputs]).set_requires_grad(true);
    let y = head.forward(&x, true).unwrap();
    (&y * case.fill("g", &y.size())).sum(case.dtype()).backward();
    let evaluated = head.forward(&x, false).unwrap();
    let names: Vec<String> = store
        .parameters()
        .map(|entry| entry.name.strip_prefix(&format!("{prefix}.")).unwrap().to_owned())
        .collect();
    if case.expected("parameter_names") != &serde_json::json!(names) {
        return Err(format!("parameter_names: {names:?}"));
    }
    let worst = [
        case.close("train_output", &listed(&y), case.expected("train_output"))?,
        case.close("input_grad", &listed(&x.grad()), case.expected("input_grad"))?,
        case.close_by_name("grad_norms", grad_norms(&store), case.expected("grad_norms"))?,
        case.close("eval_output", &listed(&evaluated), case.expected("eval_output"))?,
    ];
    Ok(worst.into_iter().fold(0.0, f64::max))
}

/// Numbers of a training run.
struct Trace {
    losses: Vec<f64>,
    parameters: Vec<(String, f64)>,
    statistics: Vec<(String, f64)>,
    /// The reference's bank holds z itself; ours holds its direction and, beside it, its length.
    bank_norm: f64,
    position: f64,
}

/// How far f32 and f64 may drift apart before a step's numbers are rounding noise.
const DETERMINED: f64 = 1e-4;

/// The reference's training loop on fixed batches, through the crate's own step.
///
/// An f32 trace on tiny batches can be chaotic: rounding decides a neighbour, and from there on the
/// reference itself gives other numbers on another processor or number of threads. So an f32 case is
/// run in f64 too, and compared up to the step where the two part; two steps at the least.
pub fn trace(case: &Case) -> Outcome {
    let got = run_trace(case, case.dtype());
    let expected = case.expected("losses");
    let steps = got.losses.len();
    let determined = match case.dtype() {
        Kind::Double => steps,
        _ => {
            let exact = run_trace(case, Kind::Double).losses;
            let agree = |(a, b): &(&f64, &f64)| ((*a - *b) / *b).abs() < DETERMINED;
            got.losses.iter().zip(&exact).take_while(agree).count()
        }
    };
    if determined < 2.min(steps) {
        return Err(format!("f32 and f64 part after {determined} steps"));
    }
    let listed = expected.as_array().ok_or("losses: not a list")?;
    if listed.len() != steps {
        return Err(format!("{} losses listed", listed.len()));
    }
    let prefix = serde_json::json!(listed[..determined]);
    let mut worst = case.close("losses", &got.losses[..determined], &prefix)?;
    worst = worst.max(case.close(
        "write_position",
        &[got.position],
        case.expected("write_position"),
    )?);
    let ends = ["parameter_norms", "buffer_norms", "bank_norm"].map(|key| case.expected(key));
    if determined < steps {
        println!(
            "      the case determines {determined} of {steps} steps in f32, and no end state"
        );
        let finite = got.losses.iter().all(|loss| loss.is_finite());
        return if finite { Ok(worst) } else { Err("a loss is not finite".into()) };
    }
    worst = worst.max(case.close_by_name("parameters", got.parameters, ends[0])?);
    worst = worst.max(case.close_by_name("buffers", got.statistics, ends[1])?);
    Ok(worst.max(case.close("bank_norm", &[got.bank_norm], ends[2])?))
}

fn run_trace(case: &Case, kind: Kind) -> Trace {
    let out = case.int("out");
    let options = NnclrOptions {
        arch: case.text("arch").parse().unwrap(),
        stem: Stem::Imagenet,
        projection_hidden: case.int("hidden"),
        out,
        prediction_hidden: case.int("hidden"),
    };
    let model = Nnclr::new(&options, Device::Cpu, kind, 0).unwrap();
    fill_store(case, &model.store);
    let rows = case.int("bank");
    let mut bank = MemoryBank::new(rows as usize, out, Device::Cpu, kind, 0, false).unwrap();
    bank.set_rows(&case.fill("bank", &[rows, out]).to_kind(kind)).unwrap();
    let rule = Rule::Sgd { momentum: case.float_or("momentum", 0.0), nesterov: false };
    let decay = case.float_or("weight_decay", 0.0);
    let mut optimizer = Optimizer::of_store(rule, &model.store, decay, false).unwrap();
    let hyper = Hyper {
        loss: Loss::NtXent,
        temperature: case.float("temperature"),
        lr: case.float("lr"),
        positive: Positive::Neighbour,
        view_loss: ViewLoss::Predicted,
        neighbour_weight: 1.0,
    };
    let (batch, size, distinct) = (case.int("batch"), case.int("size"), case.int("distinct"));
    let samples: Vec<i64> = (0..batch).collect();
    let mut losses = Vec::new();
    for k in 0..case.int("steps") {
        let view = |v: i64| {
            case.fill(&format!("x{v}.{}", k % distinct), &[batch, 3, size, size]).to_kind(kind)
        };
        let views = Views { x: [view(0), view(1)], samples: &samples, labels: None };
        losses.push(step(&model, &mut bank, &mut optimizer, &views, hyper).unwrap().loss);
    }
    Trace {
        losses,
        parameters: model.store.parameters().map(|e| (e.name.clone(), norm(&e.tensor))).collect(),
        statistics: statistics(&model.store),
        bank_norm: norm(bank.lengths()),
        position: bank.position() as f64,
    }
}
