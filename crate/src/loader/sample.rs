//! One sample of a batch: its views, or why there are none.

use super::picture_set::PictureSet;
use crate::error::{Error, Result};
use crate::image::Picture;
use crate::image::buffers::Buffers;
use crate::image::options::check_size;
use crate::image::view::{ViewOptions, evaluation_view, random_view};
use crate::rng::stream;
use std::sync::Arc;

/// How many pictures after an unreadable one are tried before the batch is given up: a set where so
/// many in a row are bad needs a person.
const MAX_SUBSTITUTES: usize = 1000;

/// What happens when a picture cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBadImage {
    /// The batch fails.
    Error,
    /// The next readable picture among the loader's members (after the last comes the first) takes
    /// its place, with the draws of the picture asked for.
    Substitute,
    /// The batch gets shorter.
    Omit,
}

/// Which views a batch has.
#[derive(Debug, Clone, PartialEq)]
pub enum Views {
    /// Two random views of each sample.
    Random(ViewOptions),
    /// One view of each sample, without chance.
    Evaluation {
        /// Side in pixels.
        size: u32,
    },
}

impl Views {
    /// Side of a view.
    pub fn size(&self) -> u32 {
        match self {
            Self::Random(options) => options.size,
            Self::Evaluation { size } => *size,
        }
    }

    /// Views of each sample.
    pub fn count(&self) -> usize {
        match self {
            Self::Random(_) => 2,
            Self::Evaluation { .. } => 1,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Random(options) => options.check(),
            Self::Evaluation { size } => check_size(*size),
        }
    }
}

/// All that samples depend on besides index and epoch.
pub(super) struct Recipe {
    pub(super) set: Arc<PictureSet>,
    pub(super) views: Views,
    pub(super) seed: u64,
    pub(super) on_bad_image: OnBadImage,
    /// Who may be a substitute, rising; nothing for the whole set.
    pub(super) members: Option<Vec<u32>>,
    /// Memory of batches that are over.
    pub(super) buffers: Arc<Buffers>,
}

/// What came of one sample.
pub(super) struct Sample {
    /// The picture used and its views; nothing when it was omitted.
    pub(super) made: Option<(u32, Vec<Picture>)>,
    /// Why the picture asked for could not be used.
    pub(super) bad: Option<Error>,
}

impl Recipe {
    pub(super) fn sample(&self, index: u32, epoch: u64) -> Result<Sample> {
        let error = match self.set.picture(index) {
            Ok(picture) => {
                return Ok(Sample {
                    made: Some((index, self.views(&picture, index, epoch))),
                    bad: None,
                });
            }
            Err(error) => error,
        };
        match self.on_bad_image {
            OnBadImage::Error => Err(error),
            OnBadImage::Omit => Ok(Sample { made: None, bad: Some(error) }),
            OnBadImage::Substitute => match self.substitute(index) {
                Some((other, picture)) => Ok(Sample {
                    made: Some((other, self.views(&picture, index, epoch))),
                    bad: Some(error),
                }),
                None => Err(error),
            },
        }
    }

    fn substitute(&self, index: u32) -> Option<(u32, Arc<Picture>)> {
        let read = |other: u32| Some((other, self.set.picture(other).ok()?));
        match &self.members {
            None => {
                let (place, length) = (index as usize, self.set.len());
                let others = (1..length).map(|step| ((place + step) % length) as u32);
                others.take(MAX_SUBSTITUTES).find_map(read)
            }
            Some(members) => {
                let next = members.partition_point(|&member| member <= index);
                let (before, after) = members.split_at(next);
                let others = after.iter().chain(before).copied().filter(|&other| other != index);
                others.take(MAX_SUBSTITUTES).find_map(read)
            }
        }
    }

    fn views(&self, picture: &Picture, sample: u32, epoch: u64) -> Vec<Picture> {
        match &self.views {
            Views::Random(options) => (0..2)
                .map(|view| {
                    random_view(
                        picture,
                        options,
                        &mut stream(self.seed, epoch, u64::from(sample), view),
                    )
                })
                .collect(),
            Views::Evaluation { size } => vec![evaluation_view(picture, *size)],
        }
    }
}
