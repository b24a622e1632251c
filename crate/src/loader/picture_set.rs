//! The pictures of a data set, decoded on demand and kept while memory lasts.

use crate::error::{Error, Result};
use crate::image::Picture;
use crate::image::decode::{DecodeOptions, decode};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Where one encoded picture comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file, read each time unless the decoded picture is kept.
    File(PathBuf),
    /// The bytes of a file.
    Encoded(Vec<u8>),
    /// Panics when it is read: stands for a bug.
    #[cfg(test)]
    Bug,
}

enum Sources {
    Each(Vec<Source>),
    /// CIFAR's layout: per picture all red, then all green, then all blue values.
    Planar {
        pixels: Vec<u8>,
        width: u32,
        height: u32,
    },
}

/// A set of pictures with optional labels. Shared by loaders; its content never changes.
pub struct PictureSet {
    sources: Sources,
    length: usize,
    labels: Option<Vec<i32>>,
    options: DecodeOptions,
    /// Decoded pictures. Which of them are kept depends on timing, what they show does not.
    kept: Vec<OnceLock<Arc<Picture>>>,
    kept_bytes: AtomicU64,
    cache_bytes: u64,
}

impl PictureSet {
    /// A set of encoded pictures. Decoded ones are kept until they take `cache_bytes`.
    pub fn new(
        sources: Vec<Source>,
        labels: Option<Vec<i32>>,
        options: DecodeOptions,
        cache_bytes: u64,
    ) -> Result<Self> {
        let length = sources.len();
        Self::build(Sources::Each(sources), length, labels, options, cache_bytes)
    }

    /// A set of raw pictures of one size, `3 * height * width` bytes each, planes one after
    /// another. They are in memory as they are.
    pub fn planar(
        pixels: Vec<u8>,
        width: u32,
        height: u32,
        labels: Option<Vec<i32>>,
    ) -> Result<Self> {
        let bytes = planar_bytes(width, height);
        if bytes == 0 || !pixels.len().is_multiple_of(bytes) {
            let expected = format!("a multiple of 3 x {height} x {width} bytes");
            return Err(Error::shape("planar.pixels", format!("{} bytes", pixels.len()), expected));
        }
        let length = pixels.len() / bytes;
        Self::build(
            Sources::Planar { pixels, width, height },
            length,
            labels,
            DecodeOptions::default(),
            0,
        )
    }

    fn build(
        sources: Sources,
        length: usize,
        labels: Option<Vec<i32>>,
        options: DecodeOptions,
        cache_bytes: u64,
    ) -> Result<Self> {
        if u32::try_from(length).is_err() {
            return Err(Error::config("sources", length, "at most 2^32 - 1 pictures"));
        }
        if let Some(labels) = &labels
            && labels.len() != length
        {
            return Err(Error::shape(
                "labels",
                labels.len(),
                format!("one label for each of {length} pictures"),
            ));
        }
        let kept = if cache_bytes == 0 { 0 } else { length };
        let kept = std::iter::repeat_with(OnceLock::new).take(kept).collect();
        Ok(Self {
            sources,
            length,
            labels,
            options,
            kept,
            kept_bytes: AtomicU64::new(0),
            cache_bytes,
        })
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The label of a picture, if the set has labels and the picture.
    pub fn label(&self, index: u32) -> Option<i32> {
        self.labels.as_ref()?.get(index as usize).copied()
    }

    /// Whether the set has labels.
    pub fn has_labels(&self) -> bool {
        self.labels.is_some()
    }

    /// What to call a picture in a message: its path, or `<bytes>`.
    pub fn path(&self, index: u32) -> String {
        match &self.sources {
            Sources::Each(sources) => match sources.get(index as usize) {
                Some(Source::File(path)) => path.display().to_string(),
                _ => "<bytes>".into(),
            },
            Sources::Planar { .. } => "<bytes>".into(),
        }
    }

    /// The decoded picture. The error carries its path.
    pub fn picture(&self, index: u32) -> Result<Arc<Picture>> {
        let place = self.kept.get(index as usize);
        if let Some(picture) = place.and_then(OnceLock::get) {
            return Ok(Arc::clone(picture));
        }
        let picture = Arc::new(self.read(index)?);
        if let Some(place) = place
            && self.reserve(picture.pixels.len() as u64)
            && place.set(Arc::clone(&picture)).is_err()
        {
            // Another thread kept the same picture meanwhile.
            self.kept_bytes.fetch_sub(picture.pixels.len() as u64, Ordering::Relaxed);
        }
        Ok(picture)
    }

    fn reserve(&self, bytes: u64) -> bool {
        let grown = |kept: u64| kept.checked_add(bytes).filter(|&sum| sum <= self.cache_bytes);
        self.kept_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok()
    }

    fn read(&self, index: u32) -> Result<Picture> {
        let outside = || {
            Error::config(
                "indices",
                index,
                format!("an index below the set's length of {}", self.length),
            )
        };
        match &self.sources {
            Sources::Planar { pixels, width, height } => {
                let bytes = planar_bytes(*width, *height);
                let start = index as usize * bytes;
                let row = pixels.get(start..start + bytes).ok_or_else(outside)?;
                Ok(from_planes(row, *width, *height))
            }
            Sources::Each(sources) => match sources.get(index as usize).ok_or_else(outside)? {
                Source::Encoded(bytes) => decode(bytes, &self.options),
                #[cfg(test)]
                Source::Bug => panic!("a bug"),
                Source::File(path) => {
                    let bytes = self.read_file(path)?;
                    decode(&bytes, &self.options).map_err(|error| match error {
                        Error::Decode { reason, .. } => {
                            Error::Decode { path: path.display().to_string(), reason }
                        }
                        other => other,
                    })
                }
            },
        }
    }

    /// Reads a file that is one (a pipe would wait for ever) and of a size that a picture can have.
    fn read_file(&self, path: &Path) -> Result<Vec<u8>> {
        let failed = |cause: &std::io::Error| Error::io("read", path, cause);
        let metadata = std::fs::metadata(path).map_err(|cause| failed(&cause))?;
        if !metadata.is_file() {
            return Err(failed(&std::io::Error::other("it is not a regular file")));
        }
        if metadata.len() > self.options.max_bytes {
            let reason = format!(
                "the file has {} bytes, more than the limit of {}",
                metadata.len(),
                self.options.max_bytes
            );
            return Err(Error::Decode { path: path.display().to_string(), reason });
        }
        std::fs::read(path).map_err(|cause| failed(&cause))
    }
}

fn planar_bytes(width: u32, height: u32) -> usize {
    (width as usize).saturating_mul(height as usize).saturating_mul(3)
}

fn from_planes(row: &[u8], width: u32, height: u32) -> Picture {
    let mut picture = Picture::black(width, height);
    let (red, rest) = row.split_at(row.len() / 3);
    let (green, blue) = rest.split_at(row.len() / 3);
    for (pixel, ((&r, &g), &b)) in
        picture.pixels.as_chunks_mut().0.iter_mut().zip(red.iter().zip(green).zip(blue))
    {
        *pixel = [r, g, b];
    }
    picture
}
