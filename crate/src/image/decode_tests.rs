//! Tests of decoding. All pictures are made here.

use super::Picture;
use super::decode::{DecodeOptions, decode, guarded};
use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};
use std::io::Cursor;

fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// 16 x 8: left half red, right half blue. Whole JPEG blocks, so that JPEG keeps the halves apart.
fn halves() -> ImageBuffer<Rgb<u8>, Vec<u8>> {
    ImageBuffer::from_fn(16, 8, |x, _| if x < 8 { Rgb([200, 0, 0]) } else { Rgb([0, 0, 200]) })
}

fn open(bytes: &[u8]) -> Picture {
    decode(bytes, &DecodeOptions::default()).unwrap()
}

fn reason(bytes: &[u8], options: &DecodeOptions) -> String {
    decode(bytes, options).unwrap_err().to_string()
}

fn pixel(picture: &Picture, x: u32, y: u32) -> [u8; 3] {
    let at = (y * picture.width + x) as usize * 3;
    picture.pixels[at..at + 3].try_into().unwrap()
}

fn assert_near(got: [u8; 3], wanted: [u8; 3]) {
    assert!(
        got.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 3),
        "{got:?} instead of {wanted:?}"
    );
}

const FORMATS: [ImageFormat; 6] = [
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::WebP,
    ImageFormat::Gif,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
];

#[test]
fn every_format_is_told_by_its_first_bytes() {
    for format in FORMATS {
        let picture = open(&encode(halves(), format));
        assert_eq!((picture.width, picture.height), (16, 8), "{format:?}");
        assert_near(pixel(&picture, 1, 4), [200, 0, 0]);
        assert_near(pixel(&picture, 14, 4), [0, 0, 200]);
    }
}

#[test]
fn gray_is_repeated() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png] {
        let gray = ImageBuffer::from_pixel(8, 8, Luma([77u8]));
        assert_near(pixel(&open(&encode(gray, format)), 3, 3), [77; 3]);
    }
}

#[test]
fn alpha_lies_over_the_background() {
    let image = ImageBuffer::from_fn(2, 1, |x, _| {
        if x == 0 { Rgba([100u8, 0, 0, 0]) } else { Rgba([100, 0, 0, 51]) }
    });
    let bytes = encode(image, ImageFormat::Png);
    assert_eq!(open(&bytes).pixels, [255, 255, 255, 224, 204, 204]);
    let options = DecodeOptions { background: [0, 10, 20], ..DecodeOptions::default() };
    assert_eq!(decode(&bytes, &options).unwrap().pixels, [0, 10, 20, 20, 8, 16]);
    let gray = ImageBuffer::from_pixel(1, 1, LumaA([100u8, 51]));
    assert_eq!(open(&encode(gray, ImageFormat::Png)).pixels, [224; 3]);
}

#[test]
fn of_16_bits_the_upper_8_are_kept() {
    let gray = ImageBuffer::from_pixel(1, 1, Luma([0x12FFu16]));
    assert_eq!(open(&encode(gray, ImageFormat::Png)).pixels, [0x12; 3]);
    let color = ImageBuffer::from_pixel(1, 1, Rgb([0xFFFFu16, 0x0100, 0x00FF]));
    assert_eq!(open(&encode(color.clone(), ImageFormat::Png)).pixels, [255, 1, 0]);
    assert_eq!(open(&encode(color, ImageFormat::Tiff)).pixels, [255, 1, 0]);
    let clear = ImageBuffer::from_pixel(1, 1, Rgba([0x8000u16, 0, 0, 0]));
    assert_eq!(open(&encode(clear, ImageFormat::Png)).pixels, [255; 3]);
    let clear = ImageBuffer::from_pixel(1, 1, LumaA([0x8000u16, 0xFFFF]));
    assert_eq!(open(&encode(clear, ImageFormat::Png)).pixels, [128; 3]);
}

#[test]
fn a_palette_is_looked_up() {
    // The GIF encoder makes palettes; of an animation the first frame counts.
    let frame = |v| image::Frame::new(ImageBuffer::from_pixel(4, 4, Rgba([v, v, v, 255])));
    let mut bytes = Vec::new();
    image::codecs::gif::GifEncoder::new(&mut bytes).encode_frames([frame(60), frame(200)]).unwrap();
    assert_near(pixel(&open(&bytes), 2, 2), [60; 3]);
}

/// Puts an EXIF block with an orientation behind a JPEG's start marker.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE1], &length, &exif, &jpeg[2..]].concat()
}

#[test]
fn exif_orientation_is_applied() {
    let jpeg = encode(halves(), ImageFormat::Jpeg);
    let mirrored = open(&with_orientation(&jpeg, 2));
    assert_near(pixel(&mirrored, 1, 4), [0, 0, 200]);
    let turned = open(&with_orientation(&jpeg, 6));
    assert_eq!((turned.width, turned.height), (8, 16));
    assert_near(pixel(&turned, 4, 1), [200, 0, 0]);
    assert_near(pixel(&turned, 4, 14), [0, 0, 200]);
    assert_eq!(open(&with_orientation(&jpeg, 1)), open(&jpeg));
}

/// One 8 x 8 block of four components with the levels 160, 96, 128, 160, by hand: no encoder here
/// writes four components.
fn four_components(adobe_transform: u8) -> Vec<u8> {
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xEE, 0, 14];
    bytes.extend(b"Adobe\0d\0\0\0\0");
    bytes.push(adobe_transform);
    bytes.extend([0xFF, 0xDB, 0, 67, 0]);
    bytes.extend([255; 64]);
    bytes.extend([
        0xFF, 0xC0, 0, 20, 8, 0, 8, 0, 8, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0,
    ]);
    // Differences: 00 is 0, 01 and a sign is +-1. Frequencies: 0 ends the block.
    bytes.extend([0xFF, 0xC4, 0, 21, 0x00, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    bytes.extend([0xFF, 0xC4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([0xFF, 0xDA, 0, 14, 4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0]);
    bytes.extend([0b0110_0100, 0b0000_1101, 0xFF, 0xD9]);
    bytes
}

#[test]
fn cmyk_and_ycck_are_converted() {
    // Stored inverted, as everybody does: red is c * k / 255.
    assert_near(pixel(&open(&four_components(0)), 4, 4), [100, 60, 80]);
    // YCCK: the first three are 255 - RGB of the YCbCr values.
    assert_near(pixel(&open(&four_components(2)), 4, 4), [60, 53, 95]);
}

#[test]
fn an_empty_file_and_what_is_not_a_picture_are_told_apart() {
    let options = DecodeOptions::default();
    assert!(reason(b"", &options).contains("the file is empty"));
    assert!(reason(b"<html>not found</html>", &options).contains("not a picture"));
    assert!(reason(b"P6 1 1 255 abc", &options).contains("not supported"));
    assert_eq!(decode(b"", &options).unwrap_err().code(), "DECODE");
}

#[test]
fn what_is_cut_short_is_an_error_in_every_format() {
    for format in FORMATS {
        let noisy = ImageBuffer::from_fn(40, 40, |x, y| {
            Rgb([(x * 37 + y * 91) as u8, (x * y) as u8, (y * 53) as u8])
        });
        let bytes = encode(noisy, format);
        for length in [bytes.len() / 10, bytes.len() / 2, bytes.len() * 9 / 10] {
            let cut = decode(&bytes[..length], &DecodeOptions::default());
            assert!(cut.is_err(), "{format:?} cut to {length} of {}", bytes.len());
        }
    }
}

#[test]
fn a_jpeg_with_a_complete_thumbnail_but_cut_short_is_an_error() {
    let jpeg = encode(halves(), ImageFormat::Jpeg);
    // The thumbnail's end marker lies in a segment.
    let length = (jpeg.len() as u16 + 2).to_be_bytes();
    let whole = [&jpeg[..2], &[0xFF, 0xE5], &length, &jpeg, &jpeg[2..]].concat();
    assert!(decode(&whole, &DecodeOptions::default()).is_ok());
    assert!(reason(&whole[..whole.len() - 2], &DecodeOptions::default()).contains("cut short"));
}

#[test]
fn bytes_behind_a_jpeg_are_ignored() {
    let mut jpeg = encode(halves(), ImageFormat::Jpeg);
    let plain = open(&jpeg);
    jpeg.extend(b"some camera's notes");
    assert_eq!(open(&jpeg), plain);
}

#[test]
fn limits_are_checked_with_the_numbers_in_the_message() {
    let pixels = DecodeOptions { max_pixels: 100, ..DecodeOptions::default() };
    let bytes = DecodeOptions { max_bytes: 300, ..DecodeOptions::default() };
    let exact = DecodeOptions { max_pixels: 128, max_bytes: 384, ..DecodeOptions::default() };
    let jpeg = encode(halves(), ImageFormat::Jpeg);
    assert!(reason(&jpeg, &pixels).contains("128 pixels, more than the limit of 100"));
    assert!(reason(&jpeg, &bytes).contains("384 bytes, more than the limit of 300"));
    assert!(decode(&jpeg, &exact).is_ok());
}

#[test]
fn a_header_that_promises_a_huge_picture_takes_no_memory() {
    let mut jpeg = encode(halves(), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xFF, 0xFE, 0xFF, 0xFE]);
    assert!(reason(&jpeg, &DecodeOptions::default()).contains("more than the limit"));
    let mut bmp = encode(halves(), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&60_000i32.to_le_bytes());
    bmp[22..26].copy_from_slice(&60_000i32.to_le_bytes());
    assert!(reason(&bmp, &DecodeOptions::default()).contains("more than the limit"));
}

#[test]
fn a_single_pixel_is_a_picture() {
    for format in FORMATS {
        let picture = open(&encode(ImageBuffer::from_pixel(1, 1, Rgb([90u8, 90, 90])), format));
        assert_near(pixel(&picture, 0, 0), [90; 3]);
    }
}

#[test]
fn a_panic_of_a_decoder_becomes_an_error() {
    let result: Result<(), String> = guarded(|| panic!("index out of bounds"));
    assert!(result.unwrap_err().contains("damaged"));
}

#[test]
fn damaged_bytes_never_escape_as_a_panic() {
    let options =
        DecodeOptions { max_pixels: 10_000, max_bytes: 1 << 20, ..DecodeOptions::default() };
    for format in FORMATS {
        let bytes = encode(halves(), format);
        for at in 0..bytes.len().min(600) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            if let Ok(picture) = decode(&damaged, &options) {
                assert_eq!(
                    picture.pixels.len(),
                    picture.width as usize * picture.height as usize * 3
                );
            }
        }
    }
}
