//! How ranks find each other.

use std::time::Duration;

use super::GroupOptions;
use super::ffi::Config;
use super::store::Store;

/// Why ranks did not come to speak.
pub enum Meeting {
    /// The store did not open.
    Closed(String),
    /// It opened, and then did not answer.
    Lost(String),
}

/// Opens the store, says that this rank is here, and waits; gives those that did not come.
pub fn meet(
    config: &Config,
    options: &GroupOptions,
    patience: Duration,
) -> std::result::Result<(Store, Vec<usize>), Meeting> {
    let store = Store::open(config).map_err(Meeting::Closed)?;
    store.set(&format!("here/{}", options.rank), "").map_err(Meeting::Lost)?;
    let missing = store.missing("here", 0..options.world_size, patience).map_err(Meeting::Lost)?;
    Ok((store, missing))
}
