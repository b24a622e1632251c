//! Optimizers and gradient clipping against PyTorch 2.13. The numbers are those of this program:
//!
//! ```python
//! import torch
//! torch.set_default_dtype(torch.float64)
//! def fresh():
//!     return [torch.tensor([[1., -2., .5], [.25, 3., -1.5]], requires_grad=True),
//!             torch.tensor([.1, -.2], requires_grad=True)]
//! def loss(ws, k): return sum((torch.sin(w * (k + 1)) * w).sum() for w in ws)
//! def run(make):
//!     ws = fresh(); opt = make(ws)
//!     for k in range(4):
//!         opt.zero_grad(); loss(ws, k).backward(); opt.step()
//!     return [w.detach().flatten().tolist() for w in ws], opt.state[ws[1]]
//! S, A = torch.optim.SGD, torch.optim.AdamW
//! run(lambda ws: S(ws, lr=.1, weight_decay=.01))
//! run(lambda ws: S(ws, lr=.1, momentum=.9, weight_decay=.01))
//! run(lambda ws: S(ws, lr=.1, momentum=.9, nesterov=True, weight_decay=.01))
//! run(lambda ws: A(ws, lr=.1, weight_decay=.01))
//! run(lambda ws: A([{'params': [ws[0]], 'weight_decay': .3}, {'params': [ws[1]], 'weight_decay': 0.}],
//!                  lr=.05, betas=(.8, .95), eps=1e-3))
//! def orthogonal(G, a=3.4445, b=-4.7750, c=2.0315):  # of a tall matrix, as Muon's authors write it
//!     X = G.T / (G.norm() + 1e-7)
//!     for _ in range(5): A = X @ X.T; X = a * X + (b * A + c * A @ A) @ X
//!     return X.T
//! ws = [torch.arange(24.).sin().reshape(6, 4, 1, 1).requires_grad_(), fresh()[1]]
//! m = torch.zeros(6, 4); adam = A([ws[1]], lr=.05 * .05, weight_decay=.01)
//! for k in range(4):
//!     for w in ws: w.grad = None
//!     loss(ws, k).backward(); g = ws[0].grad.reshape(6, 4); m.lerp_(g, .1)
//!     u = orthogonal(g.lerp(m, .9)) * (6 / 4) ** .5
//!     with torch.no_grad(): ws[0].mul_(1 - .05 * .01).sub_(.05 * u.reshape(6, 4, 1, 1))
//!     adam.step()
//! for most in (1., 100.):
//!     ws = fresh(); loss(ws, 0).backward()
//!     torch.nn.utils.clip_grad_norm_(ws, most), [w.grad.flatten().tolist() for w in ws]
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first thing that is wrong"
)]

mod common;

use common::listed;
use nnclr::optim::{Group, Optimizer, Rule, clip_grad_norm};
use tch::{Kind, Tensor};

fn fresh() -> [Tensor; 2] {
    let matrix = Tensor::from_slice(&[1.0, -2.0, 0.5, 0.25, 3.0, -1.5]).reshape([2, 3]);
    [matrix, Tensor::from_slice(&[0.1, -0.2])].map(|w| w.set_requires_grad(true))
}

fn backward(parameters: &[Tensor; 2], k: i64) {
    let term = |w: &Tensor| ((w * (k + 1) as f64).sin() * w).sum(Kind::Double);
    parameters.iter().map(term).reduce(|a, b| a + b).unwrap().backward();
}

/// Four steps; the optimizer as it ends.
fn check(rule: Rule, lr: f64, weight_decay: [f64; 2], expected: [&[f64]; 2]) -> Optimizer {
    let parameters = fresh();
    let named = ["matrix", "bias"].into_iter().zip(&parameters);
    let named = named.map(|(name, w)| (name.to_owned(), w.shallow_clone()));
    let group = |name: &str, _: &Tensor| Group {
        weight_decay: weight_decay[usize::from(name == "bias")],
        trust: false,
    };
    let mut optimizer = Optimizer::new(rule, named, group).unwrap();
    for k in 0..4 {
        parameters.iter().for_each(|w| w.shallow_clone().zero_grad());
        backward(&parameters, k);
        optimizer.step(lr).unwrap();
    }
    for (w, expected) in parameters.iter().zip(expected) {
        close(&listed(w), expected);
    }
    optimizer
}

fn close(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    let deviation = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(deviation < 1e-13, "{deviation}: {got:?}, expected {expected:?}");
}

#[test]
fn sgd_is_pytorchs() {
    let sgd = |momentum, nesterov| Rule::Sgd { momentum, nesterov };
    check(
        sgd(0.0, false),
        0.1,
        [0.01; 2],
        [
            &[
                1.2474362819370115,
                -1.109848142504303,
                0.04295624276410377,
                0.011210721692048438,
                3.3806506706953434,
                -0.9909513500106271,
            ],
            &[0.0038961432132128796, -0.008426964717077186],
        ],
    );
    check(
        sgd(0.9, false),
        0.1,
        [0.01; 2],
        [
            &[
                0.2595896427707037,
                -1.7747183933046597,
                -0.2898977441329877,
                -0.15707023059131361,
                2.1341884189531006,
                -1.5363793994547115,
            ],
            &[-0.0632877049698515, 0.12616133777826224],
        ],
    );
}

#[test]
fn sgd_with_nesterov_and_weight_decay_is_pytorchs() {
    check(
        Rule::Sgd { momentum: 0.9, nesterov: true },
        0.1,
        [0.01; 2],
        [
            &[
                -0.2608626547246457,
                -3.351782755285471,
                -0.10904047288956999,
                -0.03765781031575696,
                4.013798400261467,
                -1.583963777981571,
            ],
            &[-0.012908804869175913, 0.028307491572574544],
        ],
    );
}

#[test]
fn adamw_is_pytorchs() {
    let optimizer = check(
        Rule::ADAMW,
        0.1,
        [0.01; 2],
        [
            &[
                0.8339257523339753,
                -1.9163423775019839,
                0.09883577421561199,
                -0.09339937122720254,
                3.0552957465329262,
                -1.4802877949080013,
            ],
            &[0.02051472911520561, 0.07771752704430777],
        ],
    );
    let state = optimizer.state();
    let names: Vec<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["exp_avg", "exp_avg_sq", "step"]
        .map(|kind| [format!("matrix.{kind}"), format!("bias.{kind}")]);
    assert_eq!(names.len(), 6);
    assert!(expected.as_flattened().iter().all(|name| names.contains(&name.as_str())), "{names:?}");
    let of_bias = |kind: &str| {
        let name = format!("bias.{kind}");
        listed(&state.iter().find(|(n, _)| *n == name).unwrap().1)
    };
    assert_eq!(of_bias("step"), [4.0]);
    close(&of_bias("exp_avg"), &[-0.04742633008851017, -0.0005734916028876472]);
    close(&of_bias("exp_avg_sq"), &[0.0002654779517741419, 0.000669531192922173]);
}

#[test]
fn adamw_with_other_betas_and_a_decay_for_each_group_is_pytorchs() {
    check(
        Rule::AdamW { betas: (0.8, 0.95), epsilon: 1e-3 },
        0.05,
        [0.3, 0.0],
        [
            &[
                0.8940761687867854,
                -1.838677236858323,
                0.27465851171620165,
                0.03979110663747083,
                2.858338354555266,
                -1.4143241685652053,
            ],
            &[-0.03167021020638971, -0.0013355902797438368],
        ],
    );
}

#[test]
fn muon_is_its_authors_on_convolutions_and_adamw_elsewhere() {
    let kernel = Tensor::arange(24, (Kind::Double, tch::Device::Cpu)).sin();
    let parameters =
        [kernel.reshape([6, 4, 1, 1]).set_requires_grad(true), fresh()[1].shallow_clone()];
    let named = ["kernel", "bias"].into_iter().zip(&parameters);
    let named = named.map(|(name, w)| (name.to_owned(), w.shallow_clone()));
    let rule = Rule::Muon { momentum: 0.9, adam_share: 0.05 };
    let group = |_: &str, _: &Tensor| Group { weight_decay: 0.01, trust: false };
    let mut optimizer = Optimizer::new(rule, named, group).unwrap();
    for k in 0..4 {
        parameters.iter().for_each(|w| w.shallow_clone().zero_grad());
        backward(&parameters, k);
        optimizer.step(0.05).unwrap();
    }
    let kernel = listed(&parameters[0].flatten(0, -1));
    let of_kernel = [(0, -0.03473394903993395), (7, 0.5514968267153737), (23, -0.7853738356018747)];
    for (place, expected) in of_kernel {
        close(&kernel[place..=place], &[expected]);
    }
    assert!((kernel.iter().sum::<f64>() - 1.0358967327700026).abs() < 1e-12, "{kernel:?}");
    close(&listed(&parameters[1]), &[0.09023454448397905, -0.1901890459504493]);
    let names: Vec<String> = optimizer.state().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["kernel.momentum", "bias.exp_avg", "bias.exp_avg_sq", "bias.step"]);
}

#[test]
fn clipping_is_pytorchs() {
    let short: [&[f64]; 2] = [
        &[
            0.39217633838090826,
            -0.02185528580103721,
            0.26060925664184853,
            0.13896788393340248,
            -0.802889284716181,
            -0.313225128482522,
        ],
        &[0.056575136701050764, -0.11201924086803021],
    ];
    let whole: [&[f64]; 2] = [
        &[
            1.3817732906760363,
            -0.0770037537313969,
            0.9182168195493894,
            0.4896320646821841,
            -2.828857481741469,
            -1.1036007891056088,
        ],
        &[0.19933383317463074, -0.3946826463633095],
    ];
    for (most, expected) in [(1.0, short), (100.0, whole)] {
        let parameters = fresh();
        backward(&parameters, 0);
        let length = clip_grad_norm(&parameters, most).unwrap();
        close(&[length], &[3.5233459116996144]);
        for (w, expected) in parameters.iter().zip(expected) {
            close(&listed(&w.grad()), expected);
        }
    }
}

#[test]
fn clipping_leaves_out_what_has_no_gradient_and_refuses_a_negative_length() {
    let [with, without] = fresh();
    assert_eq!(clip_grad_norm([&with, &without], 1.0).unwrap(), 0.0);
    (&with * 2.0).sum(Kind::Double).backward();
    close(&[clip_grad_norm([&with, &without], 1.0).unwrap()], &[24.0_f64.sqrt()]);
    assert!(!without.grad().defined());
    for most in [-1.0, f64::NAN] {
        assert_eq!(clip_grad_norm([&with], most).unwrap_err().code(), "CONFIG");
    }
}

#[test]
fn settings_out_of_range_are_config_errors() {
    let rules = [
        Rule::Sgd { momentum: 0.0, nesterov: true },
        Rule::AdamW { betas: (1.0, 0.999), epsilon: 1e-8 },
        Rule::AdamW { betas: (0.9, -0.1), epsilon: 1e-8 },
        Rule::AdamW { betas: (0.9, 0.999), epsilon: f64::NAN },
        Rule::Muon { momentum: 1.0, adam_share: 0.05 },
    ];
    for rule in rules {
        let made = Optimizer::new(rule, [], |_, _| Group { weight_decay: 0.0, trust: false });
        assert_eq!(made.unwrap_err().code(), "CONFIG", "{rule:?}");
    }
}
