//! Threads for loops of our own, as many as libtorch has; they sleep when there is nothing to do.

use std::sync::{Arc, Mutex, PoisonError};

use rayon::ThreadPool;

use crate::error::{Error, Result};

static POOL: Mutex<Option<Arc<ThreadPool>>> = Mutex::new(None);

/// Runs `work` where rayon's parallel iterators use the pool.
pub fn install<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R> {
    Ok(pool(tch::get_num_threads().max(1) as usize)?.install(work))
}

fn pool(threads: usize) -> Result<Arc<ThreadPool>> {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = pool.as_ref().filter(|pool| pool.current_num_threads() == threads) {
        return Ok(Arc::clone(pool));
    }
    let name = |index| format!("nnclr-math-{index}");
    let made = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build();
    let made = Arc::new(made.map_err(|cause| Error::Torch {
        operation: format!("starting {threads} threads"),
        reason: cause.to_string(),
    })?);
    *pool = Some(Arc::clone(&made));
    Ok(made)
}
