//! What collectives cost a rank.

use std::time::Duration;

use super::ffi::Counted;

/// Since it was last asked for: for a rank in training, what a step cost in messages.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Traffic {
    /// Bytes that this rank gave to collectives.
    pub bytes: u64,
    /// How long it did nothing else but wait for them.
    pub waited: Duration,
    /// From the first bucket of gradients that left to the last that was back; zero on a GPU, where it is
    /// not measured.
    pub averaging: Duration,
    /// What of that was beside the backward pass. `averaging - overlap` is part of `waited`.
    pub overlap: Duration,
}

impl From<Counted> for Traffic {
    fn from(counted: Counted) -> Self {
        let lasted = |nanoseconds: i64| Duration::from_nanos(nanoseconds.max(0) as u64);
        Self {
            bytes: counted.bytes.max(0) as u64,
            waited: lasted(counted.waited_ns),
            averaging: lasted(counted.averaging_ns),
            overlap: lasted(counted.overlap_ns),
        }
    }
}
