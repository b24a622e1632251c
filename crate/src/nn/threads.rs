//! Threads for loops of our own, as many as libtorch has; they sleep when there is nothing to do.

use std::sync::{Arc, Mutex, PoisonError};

use rayon::ThreadPool;

static POOL: Mutex<Option<Arc<ThreadPool>>> = Mutex::new(None);

/// Runs `work` where rayon's parallel iterators use the pool. Where no thread can be started, it runs
/// in the caller's.
pub fn install<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match pool(tch::get_num_threads().max(1) as usize) {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

fn pool(threads: usize) -> Option<Arc<ThreadPool>> {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if pool.as_ref().is_none_or(|pool| pool.current_num_threads() != threads) {
        let name = |index| format!("nnclr-math-{index}");
        let made = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build();
        *pool = made.ok().map(Arc::new);
    }
    pool.clone()
}
