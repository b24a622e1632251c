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
/// How long the store's host stays for the others to read why it failed.
const LINGER: Duration = Duration::from_millis(3000);
/// How long the store's host waits for the others at an orderly end.
const FAREWELL: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// A note without a reason of its own.
const VICTIM: &str = "";
/// The orderly end.
const DONE: &str = "done";
const FAILED: &str = "failed: ";

/// Whether libtorch's words are about a collective or the store.
pub fn is_of_collective(reason: &str) -> bool {
    const WORDS: [&str; 9] = [
        "gloo",
        "NCCL",
        "Connection",
        "connection",
        "ocket",
        "imed out",
        "timeout",
        "monitoredBarrier",
        "has been left",
    ];
    WORDS.iter().any(|word| reason.contains(word))
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
    let why = plain(why);
    let own = format!("end/{rank}");
    let read = |other: usize| store.get(&format!("end/{other}"));
    // A reason that this rank left before, for example on its way out, stays.
    if store.get(&own).ok().flatten().is_none() {
        let _ = store.set(&own, VICTIM);
    }
    let others: Vec<usize> = (0..world_size).filter(|&other| other != rank).collect();
    let until = Instant::now() + PATIENCE;
    loop {
        let (mut silent, mut left) = (Vec::new(), None);
        for &other in &others {
            match read(other) {
                Ok(Some(note)) if note.starts_with(FAILED) => {
                    return format!("rank {other} failed: {}", &note[FAILED.len()..]);
                }
                Ok(Some(note)) if note == DONE => left = left.or(Some(other)),
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
        if let Some(other) = left {
            return format!("rank {other} left the group while rank {rank} still had work ({why})");
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

/// Leaves this rank's note; a victim has no reason of its own to tell.
pub fn note(store: &Store, rank: usize, reason: Option<&str>) {
    let own = format!("end/{rank}");
    if store.get(&own).ok().flatten().is_none() {
        let note = reason.map_or_else(|| DONE.into(), |reason| format!("{FAILED}{reason}"));
        let _ = store.set(&own, &note);
    }
}

/// Nobody needs another rank's connections any more, but all need the store: its host waits for them.
pub fn linger(store: &Store, options: &GroupOptions, failed: bool) {
    let &GroupOptions { rank, world_size, hosts_store, .. } = options;
    if !hosts_store {
        let _ = store.set(&format!("gone/{rank}"), "");
        return;
    }
    let noted = |other: usize| store.get(&format!("end/{other}")).ok().flatten();
    // A rank that lost others has waited for their notes: those without one are not there to read.
    let is_victim = noted(rank).as_deref() == Some(VICTIM);
    let readers: Vec<usize> = (0..world_size)
        .filter(|&other| other != rank && !(is_victim && noted(other).is_none()))
        .collect();
    let patience = if failed { LINGER } else { FAREWELL };
    let _ = store.missing("gone", readers.into_iter(), patience);
}

/// Gloo's words without its source file and its advice.
fn plain(why: &str) -> &str {
    let start = if why.starts_with('[') { why.find("] ").map_or(0, |end| end + 2) } else { 0 };
    let words = &why[start..];
    let end = [". This ", " Check the logs", "Check the logs"]
        .iter()
        .filter_map(|cut| words.find(cut))
        .min();
    words[..end.unwrap_or(words.len())].trim_end_matches(['.', ' '])
}
