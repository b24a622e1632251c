//! Picture sets, loaders and batches.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use napi::Env;
use napi::bindgen_prelude::{Either, Int32Array, Object, ObjectFinalize, Uint8Array, Uint32Array};
use napi_derive::napi;

use super::promise::pending;
use super::{disposed, to_napi};
use crate::engine::lock;
use crate::error::{Error, Result};
use crate::image::decode::DecodeOptions;
use crate::image::view::ViewOptions;
use crate::loader;

/// Where the pictures of a set come from: `sources` or `planar`.
#[napi(object)]
pub struct PictureSetOptions {
    /// A path or the bytes of a picture file each.
    pub sources: Option<Vec<Either<String, Uint8Array>>>,
    /// Undecoded pixels instead, as in CIFAR's binary files.
    pub planar: Option<Planar>,
    /// One label a picture.
    pub labels: Option<Int32Array>,
    /// Memory for decoded pictures, in bytes; 0 keeps none.
    pub cache_bytes: f64,
    /// Largest picture, in pixels.
    pub max_pixels: f64,
    /// Largest picture, in bytes decoded.
    pub max_bytes: f64,
    /// What transparent pictures stand on, RGB 0..255.
    pub background: Vec<u8>,
}

/// Pictures of one size as raw planes.
#[napi(object)]
pub struct Planar {
    /// `[N, 3, height, width]`
    pub pixels: Uint8Array,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// A set of pictures, decoded when needed and kept within a budget.
#[napi]
pub struct PictureSet {
    inner: Mutex<Option<Arc<loader::PictureSet>>>,
}

#[napi]
impl PictureSet {
    /// Takes the list over; no file is opened yet.
    #[napi(constructor)]
    pub fn new(options: PictureSetOptions) -> napi::Result<Self> {
        let [red, green, blue] = options.background[..] else {
            let error = Error::config("background", options.background.len(), "3 numbers 0..255");
            return Err(to_napi(&error));
        };
        let decode = DecodeOptions {
            max_pixels: options.max_pixels as u64,
            max_bytes: options.max_bytes as u64,
            background: [red, green, blue],
        };
        let labels = options.labels.map(|labels| labels.to_vec());
        let set = match (options.sources, options.planar) {
            (Some(sources), None) => {
                let sources = sources.into_iter().map(|source| match source {
                    Either::A(path) => loader::Source::File(PathBuf::from(path)),
                    Either::B(bytes) => loader::Source::Encoded(bytes.to_vec()),
                });
                let cache_bytes = options.cache_bytes as u64;
                loader::PictureSet::new(sources.collect(), labels, decode, cache_bytes)
            }
            (None, Some(Planar { pixels, width, height })) => {
                loader::PictureSet::planar(pixels.to_vec(), width, height, labels)
            }
            _ => Err(Error::config("sources", "both or none", "either sources or planar")),
        };
        let set = set.map_err(|error| to_napi(&error))?;
        Ok(Self { inner: Mutex::new(Some(Arc::new(set))) })
    }

    /// Number of pictures.
    #[napi(getter)]
    pub fn length(&self) -> napi::Result<u32> {
        Ok(self.get()?.len() as u32)
    }

    /// Lets the list and the decoded pictures go.
    #[napi]
    pub fn dispose(&self) {
        lock(&self.inner).take();
    }

    fn get(&self) -> napi::Result<Arc<loader::PictureSet>> {
        lock(&self.inner).clone().ok_or_else(|| to_napi(&disposed("PictureSet")))
    }
}

/// SimCLR's augmentations; probabilities 0..1, strengths already multiplied in.
#[napi(object)]
pub struct RandomViewOptions {
    /// Smallest and largest area of the crop, as a share of the picture.
    pub crop_scale: (f64, f64),
    /// Smallest and largest width over height of the crop.
    pub crop_ratio: (f64, f64),
    /// Probability.
    pub horizontal_flip: f64,
    /// Probability.
    pub vertical_flip: f64,
    /// Probability.
    pub rotation: f64,
    /// Uniform in plus or minus this many degrees; null turns by 90 degrees.
    pub rotation_degrees: Option<f64>,
    /// Probability of the four colour changes.
    pub jitter: f64,
    /// Largest change of brightness.
    pub brightness: f64,
    /// Largest change of contrast.
    pub contrast: f64,
    /// Largest change of saturation.
    pub saturation: f64,
    /// Largest turn of the hue, in turns.
    pub hue: f64,
    /// Probability.
    pub grayscale: f64,
    /// Probability.
    pub blur: f64,
    /// Smallest and largest sigma in pixels.
    pub blur_sigma: (f64, f64),
}

impl RandomViewOptions {
    fn resolve(&self, size: u32) -> ViewOptions {
        let pair = |(low, high): (f64, f64)| (low as f32, high as f32);
        ViewOptions {
            size,
            crop_scale: pair(self.crop_scale),
            crop_ratio: pair(self.crop_ratio),
            horizontal_flip: self.horizontal_flip as f32,
            vertical_flip: self.vertical_flip as f32,
            rotation: self.rotation as f32,
            rotation_degrees: self.rotation_degrees.map(|degrees| degrees as f32),
            jitter: self.jitter as f32,
            brightness: self.brightness as f32,
            contrast: self.contrast as f32,
            saturation: self.saturation as f32,
            hue: self.hue as f32,
            grayscale: self.grayscale as f32,
            blur: self.blur as f32,
            blur_sigma: pair(self.blur_sigma),
        }
    }
}

/// How a loader makes batches.
#[napi(object)]
pub struct LoaderOptions {
    /// Two random views; null for one plain view, as evaluation wants it.
    pub views: Option<RandomViewOptions>,
    /// Width and height of a view in pixels.
    pub size: u32,
    /// Decides every draw together with epoch, sample and view.
    pub seed: f64,
    /// Threads; never changes a result.
    pub workers: u32,
    /// `error`, `substitute` or `omit`.
    pub on_bad_image: String,
    /// The only pictures that may be substitutes, rising; the whole set when absent.
    pub members: Option<Uint32Array>,
}

/// Makes batches on its own threads.
#[napi]
pub struct Loader {
    inner: Mutex<Option<loader::Loader>>,
}

#[napi]
impl Loader {
    /// Starts the threads.
    #[napi(constructor)]
    pub fn new(set: &PictureSet, options: LoaderOptions) -> napi::Result<Self> {
        let views = match &options.views {
            Some(views) => loader::Views::Random(views.resolve(options.size)),
            None => loader::Views::Evaluation { size: options.size },
        };
        let on_bad = match options.on_bad_image.as_str() {
            "error" => loader::OnBadImage::Error,
            "substitute" => loader::OnBadImage::Substitute,
            "omit" => loader::OnBadImage::Omit,
            other => {
                let error = Error::config("onBadImage", other, "error, substitute or omit");
                return Err(to_napi(&error));
            }
        };
        let (seed, workers) = (options.seed as u64, options.workers as usize);
        let members = options.members.map(|members| members.to_vec());
        let inner = loader::Loader::new(set.get()?, views, seed, workers, on_bad, members)
            .map_err(|error| to_napi(&error))?;
        Ok(Self { inner: Mutex::new(Some(inner)) })
    }

    /// A batch of the given samples as they look in `epoch`.
    #[napi(ts_return_type = "Promise<Batch>")]
    pub fn load<'env>(
        &self,
        env: &'env Env,
        indices: Uint32Array,
        epoch: u32,
    ) -> napi::Result<Object<'env>> {
        let inner = lock(&self.inner);
        let loader = inner.as_ref().ok_or_else(|| to_napi(&disposed("Loader")))?;
        let (settle, promise) = pending::<Batch>(env)?;
        let done = Box::new(move |result: Result<loader::Batch>| settle.with(result, Batch::new));
        loader.load(indices.to_vec(), u64::from(epoch), done);
        Ok(promise)
    }

    /// Ends the threads; batches not yet made are rejected.
    #[napi]
    pub fn dispose(&self) {
        let taken = lock(&self.inner).take();
        drop(taken);
    }
}

/// A picture that could not be read.
#[napi(object)]
pub struct BadPicture {
    /// Its place in the set.
    pub index: u32,
    /// Its path, `<bytes>` when from memory.
    pub path: String,
    /// `IO` or `DECODE`.
    pub code: String,
    /// Why.
    pub reason: String,
}

/// Views of some samples, ready for a step.
#[napi(custom_finalize)]
pub struct Batch {
    inner: Mutex<Option<Arc<loader::Batch>>>,
    bytes: i64,
}

impl Batch {
    fn new(env: Env, batch: loader::Batch) -> napi::Result<Self> {
        let bytes = batch.views.iter().map(|view| view.len()).sum::<usize>() as i64;
        env.adjust_external_memory(bytes)?;
        Ok(Self { inner: Mutex::new(Some(Arc::new(batch))), bytes })
    }

    pub(super) fn get(&self) -> napi::Result<Arc<loader::Batch>> {
        lock(&self.inner).clone().ok_or_else(|| to_napi(&disposed("Batch")))
    }
}

impl ObjectFinalize for Batch {
    fn finalize(self, env: Env) -> napi::Result<()> {
        if lock(&self.inner).is_some() {
            env.adjust_external_memory(-self.bytes)?;
        }
        Ok(())
    }
}

#[napi]
impl Batch {
    /// Number of samples.
    #[napi(getter)]
    pub fn length(&self) -> napi::Result<u32> {
        Ok(self.get()?.indices.len() as u32)
    }

    /// Width and height of a view in pixels.
    #[napi(getter)]
    pub fn size(&self) -> napi::Result<u32> {
        Ok(self.get()?.size)
    }

    /// The samples, after substitution of unreadable ones.
    #[napi(getter)]
    pub fn indices(&self) -> napi::Result<Uint32Array> {
        Ok(Uint32Array::with_data_copied(&self.get()?.indices))
    }

    /// Their labels, null when the set has none.
    #[napi(getter)]
    pub fn labels(&self) -> napi::Result<Option<Int32Array>> {
        Ok(self.get()?.labels.as_ref().map(Int32Array::with_data_copied))
    }

    /// Pictures met on the way that could not be read.
    #[napi(getter)]
    pub fn bad(&self) -> napi::Result<Vec<BadPicture>> {
        let batch = self.get()?;
        let bad = batch.bad.iter().map(|bad| BadPicture {
            index: bad.index,
            path: bad.path.clone(),
            code: bad.code.clone(),
            reason: bad.reason.clone(),
        });
        Ok(bad.collect())
    }

    /// The pixels of a view, `[length, size, size, 3]`.
    #[napi]
    pub fn pixels(&self, view: u32) -> napi::Result<Uint8Array> {
        let batch = self.get()?;
        let pixels = batch.views.get(view as usize).ok_or_else(|| {
            to_napi(&Error::config("view", view, format!("0 to {}", batch.views.len() - 1)))
        })?;
        Ok(Uint8Array::with_data_copied(&**pixels))
    }

    /// Lets the pixels go, at once instead of when collected; their loader makes the next ones in their place.
    #[napi]
    pub fn dispose(&self, env: Env) -> napi::Result<()> {
        if lock(&self.inner).take().is_some() {
            env.adjust_external_memory(-self.bytes)?;
        }
        Ok(())
    }
}
