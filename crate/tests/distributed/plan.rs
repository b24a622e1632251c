//! What the ranks are told to train.

use nnclr::nn::Loss;
use nnclr::ranks::RanksOptions;
use nnclr::step::{Positive, ViewLoss};
use tch::Kind;

/// What a rank, or the one process, is told.
#[derive(Clone)]
pub struct Plan {
    pub kind: Kind,
    /// Activations in bf16.
    pub half: bool,
    pub loss: Loss,
    pub positive: Positive,
    pub view_loss: ViewLoss,
    pub neighbour_weight: f64,
    pub options: RanksOptions,
    /// Small: at 0.05 this network on noise multiplies any rounding by four with each step, in f64 too.
    pub lr: f64,
    pub seed: u64,
    pub steps: u64,
    /// Rows of each rank.
    pub shares: Vec<usize>,
}

impl Plan {
    /// By the words of a task's name.
    pub fn named(name: &str, shares: &[usize]) -> Self {
        let has = |word: &str| name.split('-').any(|part| part == word);
        Self {
            half: has("bf16"),
            kind: if has("f64") { Kind::Double } else { Kind::Float },
            loss: if has("paper") { Loss::Paper } else { Loss::NtXent },
            positive: match (has("random"), has("views")) {
                (true, _) => Positive::Random,
                (_, true) => Positive::View,
                _ => Positive::Neighbour,
            },
            view_loss: if has("simclr") { ViewLoss::SimClr } else { ViewLoss::Predicted },
            neighbour_weight: if has("mixed") { 0.5 } else { 1.0 },
            options: RanksOptions { sync_batch_norm: !has("local"), gather_negatives: !has("own") },
            lr: if has("f64") { 1e-3 } else { 1e-5 },
            seed: if has("seed6") {
                6
            } else if has("seed7") {
                7
            } else {
                5
            },
            steps: if has("short") { 4 } else { 20 },
            shares: shares.to_vec(),
        }
    }
}
