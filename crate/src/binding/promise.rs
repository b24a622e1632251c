//! Promises that are settled from other threads.

use napi::bindgen_prelude::{Object, ToNapiValue};
use napi::{Env, JsDeferred};

use super::to_napi;
use crate::engine;
use crate::error::Result;

type Resolver<V> = Box<dyn FnOnce(Env) -> napi::Result<V> + Send>;

/// Settles one promise, once, from any thread.
pub struct Settle<V: ToNapiValue + 'static>(JsDeferred<V, Resolver<V>>);

impl<V: ToNapiValue + 'static> Settle<V> {
    /// `convert` runs on the JavaScript thread.
    pub fn with<T: Send + 'static>(
        self,
        result: Result<T>,
        convert: impl FnOnce(Env, T) -> napi::Result<V> + Send + 'static,
    ) {
        match result {
            Ok(value) => self.0.resolve(Box::new(move |env| convert(env, value))),
            Err(error) => self.0.reject(to_napi(&error)),
        }
    }
}

/// A new promise and what settles it.
pub fn pending<V: ToNapiValue + 'static>(env: &Env) -> napi::Result<(Settle<V>, Object<'_>)> {
    let (deferred, promise) = env.create_deferred::<V, Resolver<V>>()?;
    Ok((Settle(deferred), promise))
}

/// Queues `job` on the engine and gives its promise.
pub fn on_engine<'env, T: Send + 'static, V: ToNapiValue + 'static>(
    env: &'env Env,
    operation: &'static str,
    job: impl FnOnce() -> Result<T> + Send + 'static,
    convert: impl FnOnce(Env, T) -> napi::Result<V> + Send + 'static,
) -> napi::Result<Object<'env>> {
    let (settle, promise) = pending(env)?;
    engine::submit(operation, job, move |result| settle.with(result, convert));
    Ok(promise)
}
