//! Threads for loops of our own: libtorch's, which are awake while it computes. Waking threads of another
//! pool between one of libtorch's loops and the next costs what they gain.

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::ThreadPool;
use rayon::iter::{ParallelBridge, ParallelIterator};

use crate::error::{Error, Result};

/// `work` on each of `items` once, in any order, by as many threads as libtorch has.
pub fn each<I: Send>(
    items: impl Iterator<Item = I> + Send,
    work: impl Fn(I) + Send + Sync,
) -> Result<()> {
    let is_one = items.size_hint().1.is_some_and(|most| most < 2);
    match (if is_one { 1 } else { count() }, openmp()) {
        (1, _) => items.for_each(work),
        (threads, Some(parallel)) => by_team(parallel, threads, items, work),
        (threads, None) => pool(threads)?.install(|| items.par_bridge().for_each(work)),
    }
    Ok(())
}

/// Threads that libtorch computes with.
fn count() -> usize {
    tch::get_num_threads().max(1) as usize
}

/// `GOMP_parallel(fn, data, num_threads, flags)`: the threads of this thread's team call `fn(data)`.
type Parallel = unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, u32, u32);

/// That of the OpenMP which libtorch itself uses: another copy of it would have threads of its own.
#[cfg(target_os = "linux")]
fn openmp() -> Option<Parallel> {
    use libloading::os::unix::{Library, RTLD_NOW};

    /// `RTLD_NOLOAD` of Linux: only what is loaded already.
    const LOADED: i32 = 4;
    static FOUND: std::sync::OnceLock<Option<Parallel>> = std::sync::OnceLock::new();
    *FOUND.get_or_init(|| {
        // As libtorch's own calls are bound: to what the whole process shares, such as a preloaded
        // runtime, else to what libtorch is linked to.
        // SAFETY: nothing is loaded, so nothing is run.
        let torch = || unsafe { Library::open(Some("libtorch_cpu.so"), RTLD_NOW | LOADED) }.ok();
        [Some(Library::this()), torch()].into_iter().flatten().find_map(|library| {
            // SAFETY: the signature is that of GCC's runtime, kept by LLVM's.
            let found = unsafe { library.get::<Parallel>(b"GOMP_parallel\0") }.ok().map(|f| *f)?;
            // Never closed: the function is kept.
            std::mem::forget(library);
            Some(found)
        })
    })
}

#[cfg(not(target_os = "linux"))]
fn openmp() -> Option<Parallel> {
    None
}

/// What the threads of a team share.
struct Job<I, F> {
    items: Mutex<I>,
    work: F,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

fn by_team<I: Iterator + Send, F: Fn(I::Item) + Sync>(
    parallel: Parallel,
    threads: usize,
    items: I,
    work: F,
) {
    extern "C" fn run<I: Iterator + Send, F: Fn(I::Item) + Sync>(job: *mut c_void) {
        // SAFETY: the job below, which outlives its team's call.
        let job = unsafe { &*job.cast::<Job<I, F>>() };
        let next = || job.items.lock().unwrap_or_else(PoisonError::into_inner).next();
        // No panic may leave a function that C calls.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            while let Some(item) = next() {
                (job.work)(item);
            }
        }));
        if let Err(panic) = outcome {
            job.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
    }
    let mut job = Job { items: Mutex::new(items), work, panic: Mutex::new(None) };
    // SAFETY: `run` takes the job that is given, of the same types, and shares it as its fields allow: the
    // items are behind a lock, `work` may be called by all. The call returns when all threads have.
    unsafe { parallel(run::<I, F>, (&raw mut job).cast(), threads as u32, 0) };
    if let Some(panic) = job.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(panic);
    }
}

/// Threads of our own, where libtorch's cannot be had.
fn pool(threads: usize) -> Result<Arc<ThreadPool>> {
    static POOL: Mutex<Option<Arc<ThreadPool>>> = Mutex::new(None);
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

#[cfg(test)]
mod tests {
    use std::sync::Condvar;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    type Way = Box<dyn Fn(&mut [u64], &(dyn Fn(&mut u64) + Sync))>;

    fn ways() -> Vec<Way> {
        let mut ways: Vec<Way> = vec![
            Box::new(|items, work| each(items.iter_mut(), work).unwrap()),
            Box::new(|items, work| {
                pool(3).unwrap().install(|| items.iter_mut().par_bridge().for_each(work));
            }),
        ];
        if let Some(parallel) = openmp() {
            ways.push(Box::new(move |items, work| by_team(parallel, 3, items.iter_mut(), work)));
        }
        ways
    }

    #[test]
    fn every_item_is_worked_on_once() {
        assert_eq!(openmp().is_some(), cfg!(target_os = "linux"));
        for way in ways() {
            for count in [0, 1, 2, 1000] {
                let mut items: Vec<u64> = (0..count).collect();
                let calls = AtomicUsize::new(0);
                way(&mut items, &|item| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    *item += 7;
                });
                assert_eq!(items, (7..7 + count).collect::<Vec<u64>>());
                assert_eq!(calls.into_inner(), count as usize);
            }
        }
    }

    #[test]
    fn a_panic_comes_back_to_the_caller_and_the_threads_work_on() {
        for way in ways() {
            let failing = || {
                way(&mut [1, 2, 3, 4], &|item| assert!(*item != 3, "item {item}"));
            };
            let panic = catch_unwind(AssertUnwindSafe(failing)).unwrap_err();
            assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("item 3"));
            let mut items = [1, 2];
            way(&mut items, &|item| *item *= 2);
            assert_eq!(items, [2, 4]);
        }
    }

    /// Each item waits until as many are worked on at once as there are threads.
    #[test]
    fn several_threads_share_the_work() {
        for (threads, way) in [count(), 3, 3].into_iter().zip(ways()) {
            let (together, changed) = (Mutex::new(0), Condvar::new());
            way(&mut vec![0; threads], &|_| {
                let mut together = together.lock().unwrap();
                *together += 1;
                changed.notify_all();
                let lacks = |together: &mut usize| *together < threads;
                let patience = Duration::from_secs(20);
                let (together, waited) =
                    changed.wait_timeout_while(together, patience, lacks).unwrap();
                assert!(!waited.timed_out(), "{} of {threads} threads", *together);
            });
        }
    }
}
