//! Nearest-neighbour search over embedded pictures.

use std::sync::{Arc, Mutex};

use napi::Env;
use napi::bindgen_prelude::{Float32Array, Int32Array, Object, Uint32Array};
use napi_derive::napi;

use super::disposed;
use super::promise::on_engine;
use crate::engine::lock;
use crate::error::{Error, Result};
use crate::eval;

/// How neighbours vote.
#[napi(object)]
pub struct VoteOptions {
    /// Neighbours that vote; lowered to the rows there are.
    pub k: u32,
    /// Each votes exp(similarity / temperature).
    pub temperature: f64,
    /// Number of classes.
    pub classes: u32,
}

/// Neighbours of each query, best first, row-major `[queries, k]`.
#[napi(object)]
pub struct Found {
    /// Rows of the index in the order they were added.
    pub indices: Uint32Array,
    /// Cosine similarities.
    pub similarities: Float32Array,
}

/// Feature rows that can be searched and can vote.
#[napi]
pub struct FeatureIndex {
    inner: Arc<Mutex<Option<eval::FeatureIndex>>>,
}

#[napi]
impl FeatureIndex {
    /// An empty index for features of length `dim`.
    #[napi(constructor)]
    pub fn new(dim: u32) -> napi::Result<Self> {
        if dim == 0 {
            return Err(super::to_napi(&Error::config("dim", dim, "at least 1")));
        }
        let index = eval::FeatureIndex::new(i64::from(dim));
        Ok(Self { inner: Arc::new(Mutex::new(Some(index))) })
    }

    /// Appends rows, with one label each or none at all.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn add<'env>(
        &self,
        env: &'env Env,
        features: Float32Array,
        labels: Option<Int32Array>,
    ) -> napi::Result<Object<'env>> {
        let features = features.to_vec();
        let labels: Vec<i64> =
            labels.map_or_else(Vec::new, |labels| labels.iter().map(|&l| i64::from(l)).collect());
        self.queue(env, "adding features", move |index| index.add(&features, &labels), |()| ())
    }

    /// The winning class of each query.
    #[napi(ts_return_type = "Promise<Int32Array>")]
    pub fn classify<'env>(
        &self,
        env: &'env Env,
        features: Float32Array,
        options: VoteOptions,
    ) -> napi::Result<Object<'env>> {
        let features = features.to_vec();
        let job = move |index: &mut eval::FeatureIndex| {
            let (classes, k) = (i64::from(options.classes), i64::from(options.k));
            index.classify(&features, classes, k, options.temperature)
        };
        let convert = |classes: Vec<i64>| {
            Int32Array::new(classes.into_iter().map(|class| class as i32).collect())
        };
        self.queue(env, "kNN vote", job, convert)
    }

    /// The k most similar rows of each query.
    #[napi(ts_return_type = "Promise<Found>")]
    pub fn search<'env>(
        &self,
        env: &'env Env,
        features: Float32Array,
        k: u32,
    ) -> napi::Result<Object<'env>> {
        let features = features.to_vec();
        let job = move |index: &mut eval::FeatureIndex| index.search(&features, i64::from(k));
        let convert = |(rows, similarities): (Vec<i64>, Vec<f32>)| Found {
            indices: Uint32Array::new(rows.into_iter().map(|row| row as u32).collect()),
            similarities: Float32Array::new(similarities),
        };
        self.queue(env, "search", job, convert)
    }

    /// Lets the rows go.
    #[napi]
    pub fn dispose(&self) {
        lock(&self.inner).take();
    }

    fn queue<'env, T: Send + 'static, V: napi::bindgen_prelude::ToNapiValue + 'static>(
        &self,
        env: &'env Env,
        operation: &'static str,
        job: impl FnOnce(&mut eval::FeatureIndex) -> Result<T> + Send + 'static,
        convert: impl FnOnce(T) -> V + Send + 'static,
    ) -> napi::Result<Object<'env>> {
        let inner = Arc::clone(&self.inner);
        let job = move || match lock(&inner).as_mut() {
            Some(index) => job(index),
            None => Err(disposed("FeatureIndex")),
        };
        on_engine(env, operation, job, move |_, value| Ok(convert(value)))
    }
}
