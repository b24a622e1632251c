//! Batches of views, made by worker threads.
//!
//! A batch is a pure function of the set, the views, the seed, the epoch and its indices. Workers
//! take single samples in any order, and nothing they share can change a pixel.

mod batch;
mod picture_set;
mod pool;
mod sample;

#[cfg(test)]
mod member_tests;
#[cfg(test)]
mod tests;

pub use batch::{BadPicture, Batch, Done, Pixels};
pub use picture_set::{PictureSet, Source};
pub use sample::{OnBadImage, Views};

use crate::error::{Error, Result};
use crate::image::buffers::Buffers;
use batch::Job;
use pool::Pool;
use sample::Recipe;
use std::sync::Arc;

/// Batches whose memory waits for the next ones. They come back one by one, as they are used.
const KEPT_BATCHES: usize = 1;

/// Most workers of a loader.
const MAX_WORKERS: usize = 1024;

/// Makes batches on its own threads. Dropping it joins them; batches that were not finished get
/// [`Error::Disposed`].
pub struct Loader {
    recipe: Arc<Recipe>,
    pool: Pool,
}

impl Loader {
    /// Starts `workers` threads. `members` (rising, without repeats; nothing for the whole set) are
    /// the only pictures that may stand in for an unreadable one: a share of the set held back for
    /// validation must not reach training.
    pub fn new(
        set: Arc<PictureSet>,
        views: Views,
        seed: u64,
        workers: usize,
        on_bad_image: OnBadImage,
        members: Option<Vec<u32>>,
    ) -> Result<Self> {
        views.check()?;
        if let Some(members) = &members {
            check_members(members, set.len())?;
        }
        if !(1..=MAX_WORKERS).contains(&workers) {
            return Err(Error::config(
                "workers",
                workers,
                format!("a whole number from 1 to {MAX_WORKERS}"),
            ));
        }
        let buffers = Arc::new(Buffers::new(KEPT_BATCHES * views.count(), usize::MAX));
        let recipe = Arc::new(Recipe { set, views, seed, on_bad_image, members, buffers });
        Ok(Self { recipe, pool: Pool::new(workers)? })
    }

    /// Asks for the batch of these samples and returns at once.
    ///
    /// `done` is called exactly once: on a worker thread, or here when there is nothing to work on.
    /// The batches that may wait are bounded; beyond the bound `done` gets [`Error::Config`].
    pub fn load(&self, indices: Vec<u32>, epoch: u64, done: Done) {
        let length = self.recipe.set.len();
        if let Some(&index) = indices.iter().find(|&&index| index as usize >= length) {
            return done(Err(Error::config(
                "indices",
                index,
                format!("an index below the set's length of {length}"),
            )));
        }
        match Job::new(Arc::clone(&self.recipe), indices, epoch) {
            Err(error) => done(Err(error)),
            Ok(job) if job.len() == 0 => done(job.finish()),
            Ok(job) => self.pool.push(job, done),
        }
    }
}

fn check_members(members: &[u32], length: usize) -> Result<()> {
    let expected = format!("indices below the set's length of {length}, rising");
    if let Some(pair) = members.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(Error::config("members", format!("{} before {}", pair[0], pair[1]), expected));
    }
    match members.last() {
        Some(&last) if last as usize >= length => Err(Error::config("members", last, expected)),
        _ => Ok(()),
    }
}
