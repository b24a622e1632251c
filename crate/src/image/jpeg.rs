//! JPEG: by the decoder that the `image` crate uses too, without the crate's copy of the file and
//! its second and third reading of the headers.

use super::decode::{DecodeOptions, check_size};
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Decodes to grey, or to RGB, and says how the picture is to be turned.
pub(super) fn decode_jpeg(
    bytes: &[u8],
    options: &DecodeOptions,
) -> Result<(DynamicImage, Orientation), String> {
    if !is_complete(bytes) {
        // The decoder would fill the rest with grey.
        return Err("the JPEG is cut short: its end marker is missing".into());
    }
    let words = |error: DecodeErrors| format!("the JPEG is damaged or of an unknown kind: {error}");
    let settings = DecoderOptions::default()
        .set_strict_mode(false)
        // The limits are checked below.
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), settings);
    decoder.decode_headers().map_err(words)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let (width, height) = (width as u32, height as u32);
    let is_gray = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let color = if is_gray { ColorSpace::Luma } else { ColorSpace::RGB };
    let samples = color.num_components();
    let length = u64::from(width) * u64::from(height) * samples as u64;
    check_size((width, height), length, options)?;
    // A broken EXIF block is no reason to lose the picture.
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    decoder.set_options(settings.jpeg_set_out_colorspace(color));
    let mut pixels = vec![0; length as usize];
    decoder.decode_into(&mut pixels).map_err(words)?;
    let image = if is_gray {
        GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8)
    } else {
        RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8)
    };
    let image = image.ok_or("the decoder gave too few pixels")?;
    Ok((image, orientation.unwrap_or(Orientation::NoTransforms)))
}

/// Follows the markers of a JPEG up to the end marker. A thumbnail's end marker lies inside a
/// segment and does not count.
fn is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // Between segments only fill bytes are allowed; other bytes are passed over as decoders do.
        let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(0xFF, rest)) else {
            return false;
        };
        at += found;
        match bytes.get(at + 1) {
            None => return false,
            Some(0xD9) => return true,
            Some(0xFF) => at += 1,
            // Stuffed zeros and restarts belong to the compressed data, 01 stands alone.
            Some(0x00 | 0x01 | 0xD0..=0xD8) => at += 2,
            Some(_) => match bytes.get(at + 2..at + 4) {
                Some(&[high, low]) => at += 2 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
        }
    }
}
