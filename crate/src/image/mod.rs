//! Pictures: decode, augment. 8 bits a channel all the way, arithmetic as in Pillow and
//! torchvision.

#[macro_use]
mod vectorised;
pub mod blur;
pub(crate) mod buffers;
pub mod color;
pub mod crop_resize;
pub mod decode;
mod jpeg;
pub(crate) mod normalise;
pub(crate) mod options;
pub mod orient;
mod transpose;
pub mod view;

#[cfg(test)]
mod decode_tests;

/// Bytes of a pixel.
pub(crate) const CHANNELS: usize = 3;

/// An RGB picture, 8 bits a channel, rows from top to bottom, channels interleaved.
///
/// `pixels` holds `width * height * 3` bytes; neither side is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The bytes, `[height, width, 3]`.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// A black picture.
    pub fn black(width: u32, height: u32) -> Self {
        Self { width, height, pixels: vec![0; width as usize * height as usize * CHANNELS] }
    }

    /// Bytes of a row.
    pub(crate) fn stride(&self) -> usize {
        self.width as usize * CHANNELS
    }
}
