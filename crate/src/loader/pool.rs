//! A fixed set of threads that take samples from a bounded queue of batches.

use super::batch::{Done, Job, Task};
use crate::error::{Error, Result};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Most batches that may wait or be under way. A caller ahead by so many has lost count.
const MAX_PENDING: usize = 256;

pub(super) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Batches with samples that nobody took yet, oldest first.
    waiting: VecDeque<Waiting>,
    /// Batches that are not finished: the waiting ones and those whose last samples are being made.
    pending: usize,
    closed: bool,
}

struct Waiting {
    work: Arc<Work>,
    next: usize,
    length: usize,
}

/// A batch in the making and who waits for it. Empty once it was handed over.
struct Work(Mutex<Option<(Job, Done)>>);

impl Pool {
    pub(super) fn new(workers: usize) -> Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new() });
        let mut pool = Self { shared: Arc::clone(&shared), workers: Vec::with_capacity(workers) };
        for number in 0..workers {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("nnclr-load-{number}"));
            let handle = thread.spawn(move || shared.work()).map_err(|cause| {
                Error::config(
                    "workers",
                    workers,
                    format!("as many threads as the system grants ({cause})"),
                )
            })?;
            pool.workers.push(handle);
        }
        Ok(pool)
    }

    /// Queues a batch that has samples.
    pub(super) fn push(&self, job: Job, done: Done) {
        let length = job.len();
        let mut queue = lock(&self.shared.queue);
        if queue.pending >= MAX_PENDING {
            drop(queue);
            return done(Err(Error::config(
                "batches in flight",
                MAX_PENDING + 1,
                format!("at most {MAX_PENDING}"),
            )));
        }
        queue.pending += 1;
        let work = Arc::new(Work(Mutex::new(Some((job, done)))));
        queue.waiting.push_back(Waiting { work, next: 0, length });
        drop(queue);
        self.shared.changed.notify_all();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let unfinished = {
            let mut queue = lock(&self.shared.queue);
            queue.closed = true;
            std::mem::take(&mut queue.waiting)
        };
        self.shared.changed.notify_all();
        let own = std::thread::current().id();
        for worker in self.workers.drain(..) {
            // A `done` that drops the loader runs on a worker, which cannot wait for itself.
            if worker.thread().id() != own {
                // A worker catches panics; one that died all the same has nothing more to say.
                let _ = worker.join();
            }
        }
        for waiting in unfinished {
            let work = lock(&waiting.work.0).take();
            if let Some((_, done)) = work {
                call(done, Err(Error::Disposed { subject: "the loader".into() }));
            }
        }
    }
}

impl Shared {
    /// A worker's life.
    fn work(&self) {
        while let Some((work, task)) = self.take() {
            let outcome = task.run();
            let mut slot = lock(&work.0);
            let last = slot.as_mut().is_some_and(|(job, _)| job.accept(outcome));
            if let Some((job, done)) = if last { slot.take() } else { None } {
                drop(slot);
                lock(&self.queue).pending -= 1;
                call(done, job.finish());
            }
        }
    }

    /// The next sample; nothing when the pool closes.
    fn take(&self) -> Option<(Arc<Work>, Task)> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.closed {
                return None;
            }
            if let Some(first) = queue.waiting.front_mut() {
                let (work, position) = (Arc::clone(&first.work), first.next);
                first.next += 1;
                if first.next == first.length {
                    queue.waiting.pop_front();
                }
                drop(queue);
                let task = lock(&work.0).as_ref().and_then(|(job, _)| job.task(position));
                match task {
                    Some(task) => return Some((work, task)),
                    None => {
                        queue = lock(&self.queue);
                        continue;
                    }
                }
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A caller's panic must not take a worker with it.
fn call(done: Done, result: Result<super::Batch>) {
    let _ = catch_unwind(AssertUnwindSafe(|| done(result)));
}

/// No lock is held while foreign code runs, so a poisoned one holds whole values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
