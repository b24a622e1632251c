//! Networks and whole training traces.

use nnclr::nn::{Arch, Head, Loss, MemoryBank, Nnclr, NnclrOptions, ResNet, Stem, Store};
use nnclr::optim::{Optimizer, Rule};
use nnclr::step::{Hyper, Positive, Views, step};
use tch::Device;

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

/// The reference's training loop on fixed batches, through the crate's own step.
pub fn trace(case: &Case) -> Outcome {
    let out = case.int("out");
    let options = NnclrOptions {
        arch: case.text("arch").parse().unwrap(),
        stem: Stem::Imagenet,
        projection_hidden: case.int("hidden"),
        out,
        prediction_hidden: case.int("hidden"),
    };
    let kind = case.dtype();
    let model = Nnclr::new(&options, Device::Cpu, kind, 0).unwrap();
    fill_store(case, &model.store);
    let rows = case.int("bank");
    let mut bank = MemoryBank::new(rows as usize, out, Device::Cpu, kind, 0, false).unwrap();
    bank.set_rows(&case.fill("bank", &[rows, out])).unwrap();
    let rule = Rule::Sgd { momentum: case.float_or("momentum", 0.0), nesterov: false };
    let decay = case.float_or("weight_decay", 0.0);
    let mut optimizer = Optimizer::of_store(rule, &model.store, decay, false).unwrap();
    let hyper = Hyper {
        loss: Loss::NtXent,
        temperature: case.float("temperature"),
        lr: case.float("lr"),
        positive: Positive::Neighbour,
    };
    let (batch, size, distinct) = (case.int("batch"), case.int("size"), case.int("distinct"));
    let samples: Vec<i64> = (0..batch).collect();
    let mut losses = Vec::new();
    for k in 0..case.int("steps") {
        let view = |v: i64| case.fill(&format!("x{v}.{}", k % distinct), &[batch, 3, size, size]);
        let views = Views { x: [view(0), view(1)], samples: &samples, labels: None };
        losses.push(step(&model, &mut bank, &mut optimizer, &views, hyper).unwrap().loss);
    }
    let parameters = model.store.parameters().map(|e| (e.name.clone(), norm(&e.tensor)));
    let parameters: Vec<(String, f64)> = parameters.collect();
    // The reference's bank holds z itself; ours holds its direction and, beside it, its length.
    let worst = [
        case.close("losses", &losses, case.expected("losses"))?,
        case.close_by_name("parameters", parameters, case.expected("parameter_norms"))?,
        case.close_by_name("buffers", statistics(&model.store), case.expected("buffer_norms"))?,
        case.close("bank_norm", &[norm(bank.lengths())], case.expected("bank_norm"))?,
        case.close("write_position", &[bank.position() as f64], case.expected("write_position"))?,
    ];
    Ok(worst.into_iter().fold(0.0, f64::max))
}
