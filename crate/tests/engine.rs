//! The engine's thread: order, errors, end. One engine serves the process, so the tests take turns.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first thing that is wrong"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use nnclr::engine::{lock, run, shut_down, submit};
use nnclr::{Error, Result};
use tch::{Device, Kind, Tensor};

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    lock(&TURN)
}

fn zeros(shape: [i64; 2]) -> Tensor {
    Tensor::zeros(shape, (Kind::Float, Device::Cpu))
}

#[test]
fn a_panic_becomes_a_coded_error_with_its_operation_and_the_engine_goes_on() {
    let _turn = turn();
    let error = run("brewing", || -> Result<()> { panic!("no tea: {}", 7) }).unwrap_err();
    assert_eq!((error.code(), error.subject()), ("PANIC", "brewing"));
    assert!(error.to_string().contains("no tea: 7"), "{error}");
    assert_eq!(run("after", || Ok(1)).unwrap(), 1);
}

#[test]
fn an_exception_of_libtorch_becomes_a_coded_error_with_its_operation() {
    let _turn = turn();
    let job = || Ok(zeros([2, 3]).f_matmul(&zeros([2, 3]))?.size());
    let error = run("multiplying", job).unwrap_err();
    assert_eq!((error.code(), error.subject()), ("TORCH", "multiplying"));
    assert!(error.to_string().contains("cannot be multiplied"), "{error}");
    assert!(!error.to_string().contains("Exception raised from"), "the C++ stack is left out");
    assert_eq!(run("after", || Ok(1)).unwrap(), 1);
}

#[test]
fn an_exception_that_tch_turns_into_a_panic_is_coded_too() {
    let _turn = turn();
    let error = run("multiplying", || Ok(zeros([2, 3]).matmul(&zeros([2, 3])).size())).unwrap_err();
    assert_eq!((error.code(), error.subject()), ("PANIC", "multiplying"));
    assert!(error.to_string().contains("cannot be multiplied"), "{error}");
}

#[test]
fn errors_of_a_job_keep_their_own_words() {
    let _turn = turn();
    let error = run("asking", || -> Result<()> { Err(Error::config("lr", -1, "above 0")) });
    assert_eq!(error.unwrap_err().to_string(), "lr: got -1, expected above 0");
}

#[test]
fn jobs_run_in_the_order_they_were_asked_for_on_one_thread() {
    let _turn = turn();
    let (sender, receiver) = channel();
    for i in 0..500 {
        let sender = sender.clone();
        let job = move || Ok((i, std::thread::current().id()));
        submit("counting", job, move |result| sender.send(result.unwrap()).unwrap());
    }
    let seen: Vec<_> = (0..500).map(|_| receiver.recv().unwrap()).collect();
    assert!(seen.iter().enumerate().all(|(i, (number, _))| i == *number));
    assert!(seen.iter().all(|(_, thread)| *thread == seen[0].1));
    let name = run("name", || Ok(std::thread::current().name().map(str::to_owned)));
    assert_eq!(name.unwrap().as_deref(), Some("nnclr-engine"));
}

#[test]
fn a_panic_of_who_waits_does_not_end_the_engine() {
    let _turn = turn();
    submit("one", || Ok(1), |_| panic!("the caller's own bug"));
    assert_eq!(run("two", || Ok(2)).unwrap(), 2);
}

#[test]
fn shutting_down_waits_for_the_job_under_way_and_drops_the_queue() {
    let _turn = turn();
    let finished = Arc::new(AtomicUsize::new(0));
    let (started, has_started) = channel();
    let count = Arc::clone(&finished);
    let long = move || {
        started.send(()).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    let (sender, outcome) = channel();
    submit("long", long, move |result| sender.send(result.is_ok()).unwrap());
    let count = Arc::clone(&finished);
    let (kept, dropped) = channel::<()>();
    let queued = move || {
        count.fetch_add(100, Ordering::SeqCst);
        Ok(kept)
    };
    submit("queued", queued, |_| {});
    has_started.recv().unwrap();
    shut_down();
    assert_eq!(finished.load(Ordering::SeqCst), 1, "the job under way alone was finished");
    assert!(outcome.try_recv().unwrap(), "its result was handed over before the end");
    assert!(dropped.try_recv().is_err());
    shut_down();
    assert_eq!(run("after", || Ok(3)).unwrap(), 3, "a later job starts the engine anew");
}
