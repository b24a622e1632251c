//! What a training step tells Node.

use napi::Either;
use napi::bindgen_prelude::Null;
use napi_derive::napi;

use crate::step::StepStats;

/// Numbers of one step.
#[napi(object)]
pub struct StepNumbers {
    /// Mean of the two symmetric terms, each mixed as the weight says.
    pub loss: f64,
    /// Learning rate used.
    pub lr: f64,
    /// Mean cosine similarity of z and its neighbour.
    pub neighbour_similarity: f64,
    /// Mean cosine similarity of the two z of a sample.
    pub view_similarity: f64,
    /// Share of samples whose two z have the same neighbour.
    pub neighbour_agreement: f64,
    /// Distinct neighbours over queries, 0..1.
    pub unique_neighbours: f64,
    /// Share of neighbours that are an older view of the same sample.
    pub self_neighbour_rate: f64,
    /// Mean age of the neighbours, in steps.
    pub neighbour_age: f64,
    /// Share of neighbours of the query's class; null without labels.
    #[napi(ts_type = "number | null")]
    pub same_class_rate: Either<f64, Null>,
    /// Spread of unit z over the batch: near 1 healthy, near 0 collapsed.
    pub feature_std: f64,
    /// Rows of the bank that hold a past z.
    pub bank_filled: u32,
    /// Whether any rank was asked to stop.
    pub stop: bool,
    /// Reports that the ranks have for each other.
    pub news: u32,
    /// Bytes that this rank gave to collectives; 0 alone.
    pub communicated_bytes: f64,
    /// Seconds it did nothing else but wait for them.
    pub communication_seconds: f64,
    /// Seconds from the first bucket of gradients that left to the last that was back; 0 alone and on a
    /// GPU, where it is not measured.
    pub averaging_seconds: f64,
    /// What of them was beside the backward pass.
    pub overlap_seconds: f64,
}

impl From<StepStats> for StepNumbers {
    fn from(stats: StepStats) -> Self {
        Self {
            loss: stats.loss,
            lr: stats.lr,
            neighbour_similarity: stats.neighbour_similarity,
            view_similarity: stats.view_similarity,
            neighbour_agreement: stats.neighbour_agreement,
            unique_neighbours: stats.unique_neighbours,
            self_neighbour_rate: stats.self_neighbour_rate,
            neighbour_age: stats.neighbour_age,
            same_class_rate: stats.same_class_rate.map_or(Either::B(Null), Either::A),
            feature_std: stats.feature_std,
            bank_filled: stats.bank_filled as u32,
            stop: stats.word.stop > 0,
            news: stats.word.news as u32,
            communicated_bytes: stats.traffic.bytes as f64,
            communication_seconds: stats.traffic.waited.as_secs_f64(),
            averaging_seconds: stats.traffic.averaging.as_secs_f64(),
            overlap_seconds: stats.traffic.overlap.as_secs_f64(),
        }
    }
}
