//! The one thread that talks to libtorch.
//!
//! Each calling thread would get an OpenMP pool of its own, and libuv's four threads are shared with
//! files and DNS, so every tensor job of the process runs here, in the order it was asked for. This is
//! also the one place where panics are caught: libtorch's C++ exceptions arrive as `TchError` or as a
//! panic of tch, and both leave as a coded error.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::distributed;
use crate::error::{Error, Result};
use crate::memory_cache;

/// How long the end of the process waits for a job that may wait for another rank.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(10);

type Job = Box<dyn FnOnce() + Send>;

struct Thread {
    sender: Sender<Job>,
    closing: Arc<AtomicBool>,
    handle: JoinHandle<()>,
}

static THREAD: Mutex<Option<Thread>> = Mutex::new(None);
static THREADS: Mutex<Option<i32>> = Mutex::new(None);

/// A lock whose owner panicked is still a lock: the jobs behind it report their own errors.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Queues `job`; `done` gets its result, on the engine's thread. `operation` names it in errors.
pub fn submit<T: Send + 'static>(
    operation: impl Into<Cow<'static, str>>,
    job: impl FnOnce() -> Result<T> + Send + 'static,
    done: impl FnOnce(Result<T>) + Send + 'static,
) {
    let operation = operation.into();
    let mut thread = lock(&THREAD);
    if thread.is_none() {
        match start() {
            Ok(started) => *thread = Some(started),
            Err(cause) => {
                let reason = format!("cannot start the engine's thread: {cause}");
                return done(Err(Error::Torch { operation: operation.into_owned(), reason }));
            }
        }
    }
    if let Some(thread) = thread.as_ref() {
        // The thread ends only in `shut_down`, which takes it out of the slot first.
        let _ = thread.sender.send(Box::new(move || done(guard(&operation, job))));
    }
}

/// Runs `job` on the engine and waits: for Rust callers and tests.
pub fn run<T: Send + 'static>(
    operation: &'static str,
    job: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = channel();
    submit(operation, job, move |result| {
        let _ = sender.send(result);
    });
    receiver.recv().unwrap_or_else(|_| Err(Error::Disposed { subject: "engine".into() }))
}

/// Number of threads libtorch computes with; takes effect from the next job on.
pub fn set_threads(count: i32) {
    *lock(&THREADS) = Some(count);
    let job = move || {
        tch::set_num_threads(count);
        Ok(())
    };
    submit("set threads", job, |_| {});
}

/// Ends the thread after the job under way; what is still queued is dropped. A process that exits
/// while libtorch computes would otherwise pull its statics from under it.
pub fn shut_down() {
    let thread = lock(&THREAD).take();
    if let Some(Thread { sender, closing, handle }) = thread {
        closing.store(true, Ordering::Release);
        drop(sender);
        if distributed::is_connected() {
            // It may wait for a rank that hangs, and sleeps meanwhile: it is left behind.
            let until = Instant::now() + PATIENCE;
            while !handle.is_finished() && Instant::now() < until {
                sleep(LOOK);
            }
            if !handle.is_finished() {
                return;
            }
        }
        let _ = handle.join();
    }
}

/// A panic or a libtorch exception as a coded error that names the operation.
pub fn guard<T>(operation: &str, job: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(job)) {
        Ok(result) => result.map_err(|error| error.during(operation)),
        Err(payload) => {
            // tch's `no_grad` does not survive a panic: the thread would make no gradients ever after.
            // SAFETY: sets a flag of this thread.
            unsafe { torch_sys::at_grad_set_enabled(1) };
            Err(Error::from_panic(operation, payload.as_ref()))
        }
    }
}

fn start() -> std::io::Result<Thread> {
    let (sender, receiver) = channel::<Job>();
    let closing = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&closing);
    let handle = Builder::new().name("nnclr-engine".into()).spawn(move || {
        memory_cache::enable();
        if let Some(count) = *lock(&THREADS) {
            tch::set_num_threads(count);
        }
        for job in receiver {
            if stop.load(Ordering::Acquire) {
                break;
            }
            // Jobs guard themselves; what is left to catch here is a panic in a `done`.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    })?;
    Ok(Thread { sender, closing, handle })
}
