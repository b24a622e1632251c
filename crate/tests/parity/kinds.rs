//! Losses, memory bank, optimizer, schedule and kNN.

use nnclr::eval::knn_predict;
use nnclr::nn::nt_xent::{normalize, nt_xent_with_bank};
use nnclr::nn::{Loss, MemoryBank};
use nnclr::optim::schedule::{Schedule, cosine_warmup};
use nnclr::optim::{Group, Optimizer, Rule};
use serde_json::Value;
use tch::{Device, Tensor};

use crate::case::{Case, Outcome, listed};

pub fn nt_xent(case: &Case) -> Outcome {
    let shape = [case.int("batch"), case.int("dim")];
    let a = case.fill("a", &shape).set_requires_grad(true);
    let b = case.fill("b", &shape).set_requires_grad(true);
    let temperature = case.float("temperature");
    let loss = match case.setting("bank").and_then(Value::as_array) {
        None => Loss::NtXent.forward(&a, &b, temperature),
        Some(size) => {
            let size: Vec<i64> = size.iter().map(|n| n.as_i64().unwrap()).collect();
            let negatives = normalize(&case.fill("bank", &size)).unwrap();
            nt_xent_with_bank(&a, &b, &negatives, temperature)
        }
    };
    let loss = loss.unwrap();
    loss.backward();
    let worst = [
        case.close("loss", &[loss.double_value(&[])], case.expected("loss"))?,
        case.close("grad_a", &listed(&a.grad()), case.expected("grad_a"))?,
        case.close("grad_b", &listed(&b.grad()), case.expected("grad_b"))?,
    ];
    Ok(worst.into_iter().fold(0.0, f64::max))
}

pub fn paper_loss(case: &Case) -> Outcome {
    let shape = [case.int("batch"), case.int("dim")];
    let b = case.fill("b", &shape).set_requires_grad(true);
    let loss = Loss::Paper.forward(&case.fill("a", &shape), &b, case.float("temperature")).unwrap();
    loss.backward();
    let worst = case.close("loss", &[loss.double_value(&[])], case.expected("loss"))?;
    Ok(worst.max(case.close("grad_b", &listed(&b.grad()), case.expected("grad_b"))?))
}

pub fn bank(case: &Case) -> Outcome {
    let (size, dim, batch) = (case.int("size"), case.int("dim"), case.int("batch"));
    let mut bank =
        MemoryBank::new(size as usize, dim, Device::Cpu, case.dtype(), 0, false).unwrap();
    bank.set_rows(&case.fill("bank", &[size, dim])).unwrap();
    let samples: Vec<i64> = (0..batch).collect();
    let mut worst = 0.0_f64;
    let steps = case.expected("steps").as_array().ok_or("steps: not a list")?;
    if steps.len() as i64 != case.int("steps") {
        return Err(format!("{} steps listed", steps.len()));
    }
    for (k, expected) in steps.iter().enumerate() {
        let z0 = case.fill(&format!("z0.{k}"), &[batch, dim]);
        let z1 = case.fill(&format!("z1.{k}"), &[batch, dim]);
        let n0 = bank.nearest(&z0).unwrap().rows;
        let n1 = bank.nearest(&z1).unwrap().rows;
        bank.push(&z1, &samples, None).unwrap();
        for key in expected.as_object().unwrap().keys() {
            let got = match key.as_str() {
                "neighbours0_unit" => listed(&n0),
                "neighbours1_unit" => listed(&n1),
                "write_position" => vec![bank.position() as f64],
                other => return Err(format!("unknown field {other}")),
            };
            worst = worst.max(case.close(&format!("step {k} {key}"), &got, &expected[key])?);
        }
    }
    Ok(worst)
}

/// Two matrices with weight decay and trust scaling, one bias without.
pub fn lars(case: &Case) -> Outcome {
    let shapes: [&[i64]; 3] = [&[6, 5], &[3, 4], &[7]];
    let parameter = |i: usize| case.fill(&format!("w{i}"), shapes[i]).set_requires_grad(true);
    let w: Vec<Tensor> = (0..3).map(parameter).collect();
    let rule = Rule::Lars {
        momentum: case.float("momentum"),
        nesterov: case.setting("nesterov").and_then(Value::as_bool).unwrap_or(false),
        trust_coefficient: case.float("trust_coefficient"),
    };
    let decay = case.float("weight_decay");
    let named = w.iter().enumerate().map(|(i, w)| (format!("w{i}"), w.shallow_clone()));
    let mut optimizer = Optimizer::new(rule, named, |_, tensor| {
        let matrix = tensor.dim() == 2;
        Group { weight_decay: if matrix { decay } else { 0.0 }, trust: matrix }
    })
    .unwrap();
    let mut worst = 0.0_f64;
    let steps = case.expected("steps").as_array().ok_or("steps: not a list")?;
    if steps.len() as i64 != case.int("steps") {
        return Err(format!("{} steps listed", steps.len()));
    }
    for (k, expected) in steps.iter().enumerate() {
        for (i, w) in w.iter().enumerate() {
            w.shallow_clone().zero_grad();
            // d/dw of 0.25 |w|^2 + <g, w> is the case's gradient.
            let g = case.fill(&format!("g{i}.{k}"), shapes[i]);
            ((w * w) * 0.25 + w * g).sum(case.dtype()).backward();
        }
        optimizer.step(case.float("lr")).unwrap();
        for (i, w) in w.iter().enumerate() {
            worst = worst.max(case.close(&format!("step {k} w{i}"), &listed(w), &expected[i])?);
        }
    }
    Ok(worst)
}

pub fn schedule(case: &Case) -> Outcome {
    let schedule = Schedule {
        max_steps: case.int("max_steps") as u64,
        warmup_steps: case.int("warmup_steps") as u64,
        warmup_start: case.float("warmup_start"),
        lr: case.float("start"),
        lr_end: case.float("end"),
    };
    case.dtype();
    let rates: Vec<f64> =
        (0..=schedule.max_steps).map(|step| cosine_warmup(step, &schedule).unwrap()).collect();
    case.close("values", &rates, case.expected("values"))
}

pub fn knn(case: &Case) -> Outcome {
    let (rows, dim, classes) = (case.int("rows"), case.int("dim"), case.int("classes"));
    let unit = |name: &str, count: i64| normalize(&case.fill(name, &[count, dim])).unwrap();
    let labels: Vec<i64> = (0..rows).map(|i| (i * 7 + 3) % classes).collect();
    let ranked = knn_predict(
        &unit("query", case.int("queries")),
        &unit("bank", rows),
        &Tensor::from_slice(&labels),
        classes,
        case.int("k"),
        case.float("t"),
    )
    .unwrap();
    let mut got = listed(&ranked).into_iter();
    let mut worst = 0.0_f64;
    for expected in case.expected("ranked_classes").as_array().ok_or("not a list")? {
        let row: Vec<f64> = got.by_ref().take(classes as usize).collect();
        worst = worst.max(case.close("ranked_classes", &row, expected)?);
    }
    if got.next().is_some() { Err("more rows than expected".into()) } else { Ok(worst) }
}
