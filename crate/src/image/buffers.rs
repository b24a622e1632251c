//! Memory of finished pictures for the next ones: the kernel zeroes fresh pages one by one, and the
//! allocator a whole picture, for bytes that are all written anyway.

use super::{CHANNELS, Picture};
use std::sync::{Mutex, PoisonError};

/// Buffers kept for the next that fit into them.
pub(crate) struct Buffers {
    kept: Mutex<Vec<Vec<u8>>>,
    most: usize,
    longest: usize,
}

impl Buffers {
    /// Keeps at most `most` buffers, none with room for more than `longest` bytes.
    pub(crate) const fn new(most: usize, longest: usize) -> Self {
        Self { kept: Mutex::new(Vec::new()), most, longest }
    }

    /// A buffer of `length` bytes, whichever they are.
    pub(crate) fn take(&self, length: usize) -> Vec<u8> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = |k: usize| kept[k].capacity();
        let fitting = (0..kept.len()).filter(|&k| room(k) >= length).min_by_key(|&k| room(k));
        // Where none fits, the shortest makes place for the one that will come back instead.
        let found = fitting.or_else(|| (0..kept.len()).min_by_key(|&k| room(k)));
        let buffer = found.map(|k| kept.swap_remove(k));
        drop(kept);
        match buffer {
            Some(mut buffer) if buffer.capacity() >= length => {
                buffer.resize(length, 0);
                buffer
            }
            _ => vec![0; length],
        }
    }

    /// Takes a buffer back that nobody needs any more.
    pub(crate) fn give(&self, buffer: Vec<u8>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < self.most && (1..=self.longest).contains(&buffer.capacity()) {
            kept.push(buffer);
        }
    }
}

thread_local! {
    /// A sample in the making has its two views and what one of them needs meanwhile. A rare giant picture
    /// leaves nothing.
    static OWN: Buffers = const { Buffers::new(3, 4 << 20) };
}

/// A picture of which every pixel is still to be written.
pub(super) fn unwritten(width: u32, height: u32) -> Picture {
    let length = width as usize * height as usize * CHANNELS;
    Picture { width, height, pixels: OWN.with(|own| own.take(length)) }
}

/// Keeps a finished picture's memory for this thread's next ones.
pub(crate) fn recycle(picture: Picture) {
    OWN.with(|own| own.give(picture.pixels));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_given_back_is_the_next_of_its_length() {
        let buffers = Buffers::new(2, 1000);
        let (short, long) = (vec![1; 10], vec![2; 500]);
        let places = [short.as_ptr(), long.as_ptr()];
        buffers.give(short);
        buffers.give(long);
        let (mut short, mut long) = (buffers.take(9), buffers.take(10));
        assert_eq!([short.as_ptr(), long.as_ptr()], places);
        assert_eq!((short.len(), long.len()), (9, 10));
        // Also when it was cut short meanwhile.
        short.truncate(2);
        long.truncate(3);
        buffers.give(short);
        buffers.give(long);
        let (long, short) = (buffers.take(400), buffers.take(10));
        assert_eq!([short.as_ptr(), long.as_ptr()], places);
        assert_eq!((short.len(), long.len()), (10, 400));
        buffers.give(short);
        assert_eq!(buffers.take(600), vec![0; 600], "one that is too short is no use");
        assert!(buffers.kept.lock().unwrap().is_empty(), "and makes place");
    }

    #[test]
    fn neither_many_nor_large_buffers_are_kept() {
        let buffers = Buffers::new(2, 1000);
        for length in [1001, 0, 10, 20, 30] {
            buffers.give(vec![7; length]);
        }
        let kept: Vec<usize> =
            buffers.kept.lock().unwrap().iter().map(|buffer| buffer.len()).collect();
        assert_eq!(kept, [10, 20]);
    }
}
