//! What a kernel sees of a picture, place by place, and back.

use tch::Tensor;

use crate::error::{Error, Result};
use crate::nn::value::Value;
use crate::nn::wide::wide;

/// A picture's map, and the kernel that moves over it.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub kernel: usize,
    pub stride: usize,
}

impl Window {
    /// That of a convolution with padding K / 2.
    pub fn of(x: &Tensor, weight: &Tensor, stride: i64) -> Result<Self> {
        let [_, channels, height, width] = x.size()[..] else {
            return Err(Error::shape("convolution", format!("{:?}", x.size()), "[N, C, H, W]"));
        };
        let [height, width, channels, kernel, stride] =
            [height, width, channels, weight.size()[2], stride].map(|side| side as usize);
        Ok(Self { height, width, channels, kernel, stride })
    }

    /// Places of the kernel along a side.
    pub fn places(self, side: usize) -> usize {
        (side - 1) / self.stride + 1
    }

    /// Numbers of a picture.
    pub fn picture(self) -> usize {
        self.height * self.width * self.channels
    }

    /// Numbers that the kernel sees at one place.
    pub fn row(self) -> usize {
        self.kernel * self.kernel * self.channels
    }

    /// Numbers that it sees while it moves along a line.
    pub fn line(self) -> usize {
        self.places(self.width) * self.row()
    }

    /// What a row of the kernel covers at `place` along a line: numbers beyond the border before, where in the
    /// picture's row it begins, and how many it sees. They are neighbours in memory.
    #[inline(always)]
    fn run(self, place: usize) -> (usize, usize, usize) {
        let (padding, left) = (self.kernel / 2, place * self.stride);
        let before = padding.saturating_sub(left);
        let first = left + before - padding;
        let count = self.kernel.min(self.width + padding - left) - before;
        (before * self.channels, first * self.channels, count * self.channels)
    }

    /// Where in the picture each row of the kernel at line `y` begins; none beyond the border.
    #[inline(always)]
    fn rows(self, y: usize) -> impl Iterator<Item = Option<usize>> {
        let (padding, top) = (self.kernel / 2, y * self.stride);
        (top..top + self.kernel).map(move |row| {
            let row = row.checked_sub(padding).filter(|&row| row < self.height)?;
            Some(row * self.width * self.channels)
        })
    }

    /// For each place of the kernel along line `y`, what it sees `[K, K, C]` of the picture `[H, W, C]`, zero
    /// beyond the border.
    pub fn unfold<T: Copy + Default>(self, picture: &[T], y: usize, line: &mut [T]) {
        for (place, seen) in line.chunks_exact_mut(self.row()).enumerate() {
            let (before, first, count) = self.run(place);
            let to = seen.chunks_exact_mut(self.kernel * self.channels);
            for (row, to) in self.rows(y).zip(to) {
                let Some(row) = row else {
                    to.fill(T::default());
                    continue;
                };
                to[..before].fill(T::default());
                to[before..before + count].copy_from_slice(&picture[row + first..][..count]);
                to[before + count..].fill(T::default());
            }
        }
    }

    #[inline(always)]
    fn add_up<T: Value>(self, columns: &[T], picture: &mut [T]) {
        let mut sums = vec![0.0; self.picture()];
        for (y, line) in columns.chunks_exact(self.line()).enumerate() {
            for (place, seen) in line.chunks_exact(self.row()).enumerate() {
                let (before, first, count) = self.run(place);
                let from = seen.chunks_exact(self.kernel * self.channels);
                for (row, from) in self.rows(y).zip(from) {
                    let Some(row) = row else { continue };
                    let sums = &mut sums[row + first..][..count];
                    for (sum, value) in sums.iter_mut().zip(&from[before..before + count]) {
                        *sum += value.wide();
                    }
                }
            }
        }
        for (to, sum) in picture.iter_mut().zip(sums) {
            *to = T::narrow(sum);
        }
    }
}

wide!(
    /// The other way, for all lines of a picture: each of its numbers is the sum of those in `columns` that were
    /// seen there.
    fn fold(columns: &[T], window: Window, picture: &mut [T]) = window.add_up(columns, picture)
);
