//! Encoded bytes to a [`Picture`].
//!
//! The format is told by the first bytes, never by a name: JPEG, PNG, WebP, GIF, BMP, TIFF. Of an
//! animation the first frame counts. EXIF orientation is applied, grey repeated, alpha composited
//! on a background, CMYK converted; of 16 bits the upper 8 are kept. Colour profiles are not
//! applied. What is cut short is an error, never a picture with a grey rest.

use super::jpeg::decode_jpeg;
use super::{CHANNELS, Picture};
use crate::error::{Error, Result};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How pictures are decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Most pixels of a picture. Checked before memory is taken.
    pub max_pixels: u64,
    /// Most bytes that a decoded picture may take.
    pub max_bytes: u64,
    /// The colour behind transparent pixels.
    pub background: [u8; 3],
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { max_pixels: 100_000_000, max_bytes: 512 << 20, background: [255; 3] }
    }
}

/// Decodes a picture. The error's path is `<bytes>`; who knows a better one replaces it.
pub fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Picture> {
    guarded(|| decode_checked(bytes, options))
        .map_err(|reason| Error::Decode { path: "<bytes>".into(), reason })
}

/// Decoders of damaged files are known to panic.
pub(super) fn guarded<T>(
    work: impl FnOnce() -> std::result::Result<T, String>,
) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err("the decoder failed on damaged data".into()))
}

fn decode_checked(bytes: &[u8], options: &DecodeOptions) -> std::result::Result<Picture, String> {
    let format = recognise(bytes)?;
    let (mut image, orientation) = match format {
        ImageFormat::Jpeg => decode_jpeg(bytes, options)?,
        _ => decode_other(bytes, format, options)?,
    };
    image.apply_orientation(orientation);
    let (width, height) = (image.width(), image.height());
    Ok(Picture { width, height, pixels: to_rgb8(image, options.background) })
}

fn decode_other(
    bytes: &[u8],
    format: ImageFormat,
    options: &DecodeOptions,
) -> std::result::Result<(DynamicImage, Orientation), String> {
    let words = |error: image::ImageError| error.to_string();
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits(options));
    let mut decoder = reader.into_decoder().map_err(words)?;
    check_size(decoder.dimensions(), decoder.total_bytes(), options)?;
    // A broken EXIF block is no reason to lose the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((DynamicImage::from_decoder(decoder).map_err(words)?, orientation))
}

fn recognise(bytes: &[u8]) -> std::result::Result<ImageFormat, String> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    match image::guess_format(bytes) {
        Ok(format @ (Jpeg | Png | WebP | Gif | Bmp | Tiff)) => Ok(format),
        Ok(format) => Err(format!(
            "{format:?} pictures are not supported, only JPEG, PNG, WebP, GIF, BMP and TIFF"
        )),
        Err(_) => {
            Err("not a picture: the first bytes are not those of JPEG, PNG, WebP, GIF, BMP or TIFF"
                .into())
        }
    }
}

fn limits(options: &DecodeOptions) -> Limits {
    let side = u32::try_from(options.max_pixels).unwrap_or(u32::MAX);
    let mut limits = Limits::default();
    limits.max_image_width = Some(side);
    limits.max_image_height = Some(side);
    limits.max_alloc = Some(options.max_bytes);
    limits
}

/// Holds a picture of `decoded` bytes, as its decoder makes them, to the limits.
pub(super) fn check_size(
    (width, height): (u32, u32),
    decoded: u64,
    options: &DecodeOptions,
) -> std::result::Result<(), String> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(format!("a picture of {width} x {height} has no pixels"));
    }
    if pixels > options.max_pixels {
        return Err(format!(
            "{width} x {height} are {pixels} pixels, more than the limit of {}",
            options.max_pixels
        ));
    }
    let bytes = decoded.max(pixels * CHANNELS as u64);
    if bytes > options.max_bytes {
        return Err(format!(
            "{width} x {height} take {bytes} bytes, more than the limit of {}",
            options.max_bytes
        ));
    }
    Ok(())
}

fn to_rgb8(image: DynamicImage, background: [u8; 3]) -> Vec<u8> {
    let high = |v: u16| (v >> 8) as u8;
    match image {
        DynamicImage::ImageRgb8(image) => image.into_raw(),
        DynamicImage::ImageLuma8(image) => image.iter().flat_map(|&v| [v; 3]).collect(),
        DynamicImage::ImageLumaA8(image) => {
            image.pixels().flat_map(|p| over([p[0]; 3], p[1], background)).collect()
        }
        DynamicImage::ImageRgba8(image) => {
            image.pixels().flat_map(|p| over([p[0], p[1], p[2]], p[3], background)).collect()
        }
        DynamicImage::ImageLuma16(image) => image.iter().flat_map(|&v| [high(v); 3]).collect(),
        DynamicImage::ImageRgb16(image) => image.iter().map(|&v| high(v)).collect(),
        DynamicImage::ImageLumaA16(image) => {
            image.pixels().flat_map(|p| over([high(p[0]); 3], high(p[1]), background)).collect()
        }
        DynamicImage::ImageRgba16(image) => image
            .pixels()
            .flat_map(|p| over([p[0], p[1], p[2]].map(high), high(p[3]), background))
            .collect(),
        // Floating point, from TIFF alone: the crate scales 0..1.
        other => other
            .into_rgba8()
            .pixels()
            .flat_map(|p| over([p[0], p[1], p[2]], p[3], background))
            .collect(),
    }
}

fn over(color: [u8; 3], alpha: u8, background: [u8; 3]) -> [u8; 3] {
    let mix = |front: u8, back: u8| {
        let sum = u32::from(front) * u32::from(alpha) + u32::from(back) * (255 - u32::from(alpha));
        ((sum + 127) / 255) as u8
    };
    [mix(color[0], background[0]), mix(color[1], background[1]), mix(color[2], background[2])]
}
