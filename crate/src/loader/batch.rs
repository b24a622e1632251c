//! A batch while it is made, and when it is finished.

use super::sample::{Recipe, Sample};
use crate::error::{Error, Result};
use crate::image::buffers::{Buffers, recycle};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

/// Called once with the finished batch.
pub type Done = Box<dyn FnOnce(Result<Batch>) + Send>;

/// Views of some samples.
#[derive(Debug, PartialEq)]
pub struct Batch {
    /// Each `[B, size, size, 3]`, 8 bits: two for training, one for evaluation.
    pub views: Vec<Pixels>,
    /// Side of a view.
    pub size: u32,
    /// The pictures used, after substitution.
    pub indices: Vec<u32>,
    /// Their labels, if the set has labels.
    pub labels: Option<Vec<i32>>,
    /// Pictures asked for that could not be used, in the batch's order.
    pub bad: Vec<BadPicture>,
}

/// Bytes of a view of a whole batch, which go back to the loader that made them.
#[derive(Debug)]
pub struct Pixels {
    bytes: Vec<u8>,
    home: Weak<Buffers>,
}

impl Pixels {
    /// Of `length` bytes, each still to be written.
    fn unwritten(length: usize, home: &Arc<Buffers>) -> Self {
        Self { bytes: home.take(length), home: Arc::downgrade(home) }
    }
}

impl From<Vec<u8>> for Pixels {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, home: Weak::new() }
    }
}

impl std::ops::Deref for Pixels {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl PartialEq for Pixels {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Drop for Pixels {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            home.give(std::mem::take(&mut self.bytes));
        }
    }
}

/// A picture that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPicture {
    /// Its index in the set.
    pub index: u32,
    /// Its path, `<bytes>` when it came from memory.
    pub path: String,
    /// The error's code: `IO`, `DECODE`.
    pub code: String,
    /// The error's message.
    pub reason: String,
}

/// What one place of the batch turned into.
enum Place {
    Waiting,
    Filled { index: u32, bad: Option<BadPicture> },
    Omitted(BadPicture),
    Failed(Error),
}

/// A batch in the making.
pub(super) struct Job {
    recipe: Arc<Recipe>,
    asked: Vec<u32>,
    epoch: u64,
    view_bytes: usize,
    /// Allocated with the first finished sample, so that waiting batches cost nothing.
    views: Vec<Pixels>,
    places: Vec<Place>,
    waiting: usize,
}

/// One sample's work, without the job's lock.
pub(super) struct Task {
    recipe: Arc<Recipe>,
    position: usize,
    index: u32,
    epoch: u64,
}

/// A finished task.
pub(super) struct Outcome {
    position: usize,
    sample: Result<Sample>,
}

impl Task {
    /// Does the work. A panic becomes the sample's error.
    pub(super) fn run(self) -> Outcome {
        let work = || self.recipe.sample(self.index, self.epoch);
        let sample = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|payload| Err(Error::from_panic("a loader worker", payload.as_ref())));
        Outcome { position: self.position, sample }
    }
}

impl Job {
    pub(super) fn new(recipe: Arc<Recipe>, asked: Vec<u32>, epoch: u64) -> Result<Self> {
        let side = recipe.views.size() as usize;
        let view_bytes = side * side * 3;
        let most = isize::MAX as usize / (view_bytes * recipe.views.count());
        if asked.len() > most {
            return Err(Error::config(
                "indices",
                format!("{} samples", asked.len()),
                format!("at most {most}"),
            ));
        }
        let places = std::iter::repeat_with(|| Place::Waiting).take(asked.len()).collect();
        let waiting = asked.len();
        Ok(Self { recipe, asked, epoch, view_bytes, views: Vec::new(), places, waiting })
    }

    /// Samples asked for.
    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    pub(super) fn task(&self, position: usize) -> Option<Task> {
        let index = *self.asked.get(position)?;
        Some(Task { recipe: Arc::clone(&self.recipe), position, index, epoch: self.epoch })
    }

    /// Takes a finished task in; true when it was the last one.
    pub(super) fn accept(&mut self, outcome: Outcome) -> bool {
        let Outcome { position, sample } = outcome;
        let asked = self.asked[position];
        let bad = |error: Error| self.describe(asked, &error);
        let (place, pictures) = match sample {
            Err(error) => (Place::Failed(error), Vec::new()),
            Ok(Sample { made: Some((index, pictures)), bad: error }) => {
                (Place::Filled { index, bad: error.map(bad) }, pictures)
            }
            Ok(Sample { made: None, bad: Some(error) }) => (Place::Omitted(bad(error)), Vec::new()),
            Ok(Sample { made: None, bad: None }) => (Place::Failed(lost(asked)), Vec::new()),
        };
        if self.views.is_empty() {
            let bytes = self.asked.len() * self.view_bytes;
            let view = || Pixels::unwritten(bytes, &self.recipe.buffers);
            self.views = std::iter::repeat_with(view).take(self.recipe.views.count()).collect();
        }
        let start = position * self.view_bytes;
        for (view, picture) in self.views.iter_mut().zip(pictures) {
            view.bytes[start..start + self.view_bytes].copy_from_slice(&picture.pixels);
            recycle(picture);
        }
        self.places[position] = place;
        self.waiting -= 1;
        self.waiting == 0
    }

    /// The batch, or the error of its first place that failed.
    pub(super) fn finish(mut self) -> Result<Batch> {
        let mut indices = Vec::with_capacity(self.places.len());
        let mut reported = Vec::new();
        for (position, place) in self.places.into_iter().enumerate() {
            match place {
                Place::Failed(error) => return Err(error),
                Place::Waiting => return Err(lost(self.asked[position])),
                Place::Omitted(bad) => reported.push(bad),
                Place::Filled { index, bad } => {
                    // Behind an omitted sample all views move up.
                    let from = position * self.view_bytes;
                    let to = indices.len() * self.view_bytes;
                    if from != to {
                        for view in &mut self.views {
                            view.bytes.copy_within(from..from + self.view_bytes, to);
                        }
                    }
                    indices.push(index);
                    reported.extend(bad);
                }
            }
        }
        self.views.resize_with(self.recipe.views.count(), || Vec::new().into());
        for view in &mut self.views {
            view.bytes.truncate(indices.len() * self.view_bytes);
        }
        let set = &self.recipe.set;
        let labels = set
            .has_labels()
            .then(|| indices.iter().filter_map(|&index| set.label(index)).collect());
        Ok(Batch {
            views: self.views,
            size: self.recipe.views.size(),
            indices,
            labels,
            bad: reported,
        })
    }

    fn describe(&self, index: u32, error: &Error) -> BadPicture {
        let (code, reason) = (error.code().to_owned(), error.to_string());
        BadPicture { index, path: self.recipe.set.path(index), code, reason }
    }
}

/// A place that nobody filled would be a bug of the loader.
fn lost(index: u32) -> Error {
    Error::Panic { operation: "the loader".into(), reason: format!("sample {index} was lost") }
}
