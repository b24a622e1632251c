//! Who is to blame for a failed collective. Gloo says "connection closed by peer"; a person wants to
//! know which rank, and why it went.
//!
//! A rank that fails by itself leaves its reason in the store. One that loses the others leaves a
//! note that it is a victim, looks for the others' notes, and names those who left none.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::GroupOptions;
use super::store::Store;

/// How long the others' notes are waited for.
const PATIENCE: Duration = Duration::from_millis(2000);
/// How long the store's host stays for the others to read.
const LINGER: Duration = Duration::from_millis(1500);
/// How long the store's host waits for the others at an orderly end.
const FAREWELL: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// A note without a reason of its own.
const VICTIM: &str = "";
/// The orderly end.
const DONE: &str = "done";
const FAILED: &str = "failed: ";

/// Whether libtorch's words are about a collective.
pub fn is_of_collective(reason: &str) -> bool {
    ["gloo", "NCCL", "Connection ", "Socket ", "Timed out waiting"]
        .iter()
        .any(|word| reason.contains(word))
}

/// `rank 1`, `ranks 1 and 3` ...
pub fn named(ranks: &[usize]) -> String {
    let words: Vec<String> = ranks.iter().map(ToString::to_string).collect();
    match words.as_slice() {
        [one] => format!("rank {one}"),
        [most @ .., last] => format!("ranks {} and {last}", most.join(", ")),
        [] => "no rank".into(),
    }
}

/// The reason in a person's words, from what the ranks left in the store.
pub fn find(store: &Store, rank: usize, world_size: usize, hosts_store: bool, why: &str) -> String {
    let own = format!("end/{rank}");
    let read = |other: usize| store.get(&format!("end/{other}"));
    // A reason that this rank left before, for example on its way out, stays.
    if store.get(&own).ok().flatten().is_none() {
        let _ = store.set(&own, VICTIM);
    }
    let others: Vec<usize> = (0..world_size).filter(|&other| other != rank).collect();
    let until = Instant::now() + PATIENCE;
    loop {
        let mut silent = Vec::new();
        for &other in &others {
            match read(other) {
                Ok(Some(note)) if note == DONE => {
                    return format!(
                        "rank {other} left the group while rank {rank} still had work ({why})"
                    );
                }
                Ok(Some(note)) if note.starts_with(FAILED) => {
                    return format!("rank {other} failed: {}", &note[FAILED.len()..]);
                }
                Ok(Some(_)) => {}
                Ok(None) => silent.push(other),
                Err(_) if !hosts_store => {
                    return format!(
                        "the process that holds the store is gone, rank 0 as a rule ({why})"
                    );
                }
                Err(_) => return why.into(),
            }
        }
        if silent.is_empty() {
            return why.into();
        }
        if Instant::now() >= until {
            let verb = if silent.len() == 1 { "does" } else { "do" };
            return format!("{} {verb} not answer: gone, or hanging ({why})", named(&silent));
        }
        sleep(LOOK);
    }
}

/// Leaves a note, and gives the others the time they need.
pub fn leave(store: &Store, options: &GroupOptions, reason: Option<&str>) {
    let &GroupOptions { rank, world_size, hosts_store, .. } = options;
    let own = format!("end/{rank}");
    let noted = store.get(&own).ok().flatten();
    // A victim has no reason of its own to tell.
    if noted.is_none() {
        let note = reason.map_or_else(|| DONE.into(), |reason| format!("{FAILED}{reason}"));
        let _ = store.set(&own, &note);
    }
    let others = (0..world_size).filter(|&other| other != rank);
    // Nobody needs another rank's connections any more, but all need the store.
    let patience = match reason {
        _ if !hosts_store => Duration::ZERO,
        None => FAREWELL,
        Some(_) => LINGER,
    };
    let _ = store.missing("end", others.clone(), patience);
    // The store ends with its host: not before the others have heard that all are there.
    if hosts_store && reason.is_none() {
        let _ = store.missing("gone", others, Duration::from_secs(1));
    } else {
        let _ = store.set(&format!("gone/{rank}"), "");
    }
}
