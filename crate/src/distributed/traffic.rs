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
    /// How long gradients were under way; zero on a GPU, where it is not measured.
    pub averaging: Duration,
    /// What of that was beside the backward pass. `averaging - overlap` is part of `waited`.
    pub overlap: Duration,
}

impl From<Counted> for Traffic {
    fn from(counted: Counted) -> Self {
        let lasted = |nanoseconds: i64| Duration::from_nanos(nanoseconds.max(0) as u64);
        Self {
            bytes: counted.bytes.max(0) as u64,
            waited: lasted(counted.nanoseconds),
            averaging: lasted(counted.averaging),
            overlap: lasted(counted.overlap),
        }
    }
}
