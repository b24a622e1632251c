//! The linear maps of F(4x4, 3x3), on channels-last memory.
//!
//! A tile is a square of 4x4 outputs and the 6x6 inputs they depend on. In the transformed domain a
//! tile is 36 numbers a channel, stored as `[36, tiles, channels]`: what a batch of 36 matrix products
//! needs. The matrices are those of Lavin and Gray (2015, section 4.3), for the points of interpolation
//! 0, p, -p, q, -q and infinity of `Value`.

use std::marker::PhantomData;

use crate::nn::value::{LANES, Lane, Value, ZERO, load, stored};
use crate::nn::wide::wide;

/// Outputs of a tile along one side.
pub const TILE: usize = 4;
/// Inputs of a tile along one side, and numbers of its transform.
pub const PATCH: usize = 6;
/// Numbers of a tile's transform.
pub const POINTS: usize = PATCH * PATCH;
/// Sizes of a map and how tiles cover it; tiles may reach over the right and lower border.
#[derive(Debug, Clone, Copy)]
pub struct Map {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Map {
    /// Tiles down.
    #[inline(always)]
    pub fn rows(self) -> usize {
        self.height.div_ceil(TILE)
    }

    /// Tiles across.
    #[inline(always)]
    pub fn columns(self) -> usize {
        self.width.div_ceil(TILE)
    }

    /// Tiles of one picture.
    #[inline(always)]
    pub fn tiles(self) -> usize {
        self.rows() * self.columns()
    }

    /// Numbers of one picture.
    pub fn len(self) -> usize {
        self.height * self.width * self.channels
    }

    /// The pixel where a tile with its margin begins.
    #[inline(always)]
    fn corner(self, tile: usize, margin: isize) -> (isize, isize) {
        let (row, column) = (tile / self.columns(), tile % self.columns());
        ((row * TILE) as isize - margin, (column * TILE) as isize - margin)
    }

    /// The offset of pixel (y, x), when it is on the map.
    #[inline(always)]
    fn at(self, y: isize, x: isize) -> Option<usize> {
        if y < 0 || x < 0 || y >= self.height as isize || x >= self.width as isize {
            return None;
        }
        Some((y as usize * self.width + x as usize) * self.channels)
    }
}

/// A matrix of the method, applied to lanes: `I` numbers to `O`.
trait Transform<const I: usize, const O: usize> {
    fn apply(values: &[Lane; I]) -> [Lane; O];
}

macro_rules! transform {
    (
        $(#[$meta:meta])* $name:ident: $inputs:literal -> $outputs:literal,
        |$v:ident, $p:ident, $q:ident| $rows:expr
    ) => {
        $(#[$meta])*
        struct $name<T>(PhantomData<T>);
        impl<T: Value> Transform<$inputs, $outputs> for $name<T> {
            #[inline(always)]
            fn apply(values: &[Lane; $inputs]) -> [Lane; $outputs] {
                let ($p, $q) = (T::P, T::Q);
                let mut out = [ZERO; $outputs];
                for lane in 0..LANES {
                    let mut $v = [0.0_f32; $inputs];
                    for (value, lanes) in $v.iter_mut().zip(values) {
                        *value = lanes[lane];
                    }
                    let rows: [f32; $outputs] = $rows;
                    for (out, row) in out.iter_mut().zip(rows) {
                        out[lane] = row;
                    }
                }
                out
            }
        }
    };
}

transform!(
    /// B': a patch of inputs to the points.
    Input: 6 -> 6, |d, p, q| {
        let (pp, qq) = (p * p, q * q);
        let (even_p, odd_p) = (d[4] - qq * d[2], p * (d[3] - qq * d[1]));
        let (even_q, odd_q) = (d[4] - pp * d[2], q * (d[3] - pp * d[1]));
        [
            pp * qq * d[0] - (pp + qq) * d[2] + d[4],
            even_p + odd_p,
            even_p - odd_p,
            even_q + odd_q,
            even_q - odd_q,
            pp * qq * d[1] - (pp + qq) * d[3] + d[5],
        ]
    }
);
transform!(
    /// B: the gradient of the points to that of the patch.
    InputGradient: 6 -> 6, |v, p, q| {
        let (pp, qq) = (p * p, q * q);
        let (even_p, odd_p) = (v[1] + v[2], p * (v[1] - v[2]));
        let (even_q, odd_q) = (v[3] + v[4], q * (v[3] - v[4]));
        [
            pp * qq * v[0],
            pp * qq * v[5] - qq * odd_p - pp * odd_q,
            -(pp + qq) * v[0] - qq * even_p - pp * even_q,
            odd_p + odd_q - (pp + qq) * v[5],
            v[0] + even_p + even_q,
            v[5],
        ]
    }
);
transform!(
    /// A': the points to the outputs of a tile.
    Output: 6 -> 4, |m, p, q| {
        let (pp, qq) = (p * p, q * q);
        let (even_p, odd_p) = (m[1] + m[2], p * (m[1] - m[2]));
        let (even_q, odd_q) = (m[3] + m[4], q * (m[3] - m[4]));
        [
            m[0] + even_p + even_q,
            odd_p + odd_q,
            pp * even_p + qq * even_q,
            pp * odd_p + qq * odd_q + m[5],
        ]
    }
);
transform!(
    /// A: the gradient of a tile's outputs to that of the points.
    OutputGradient: 4 -> 6, |y, p, q| {
        let (pp, qq) = (p * p, q * q);
        let (even_p, odd_p) = (y[0] + pp * y[2], p * (y[1] + pp * y[3]));
        let (even_q, odd_q) = (y[0] + qq * y[2], q * (y[1] + qq * y[3]));
        [y[0], even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, y[3]]
    }
);

/// A transform of a square of `$inputs` x `$inputs` lanes, `$lane` of each row and column: down the
/// columns, then along the rows. A macro, since closures would be compiled without the processor's
/// wide vectors.
macro_rules! square {
    ($matrix:ident: $inputs:ident -> $outputs:ident, |$row:ident, $column:ident| $lane:expr) => {{
        let mut tall = [[ZERO; $inputs]; $outputs];
        for $column in 0..$inputs {
            let mut down = [ZERO; $inputs];
            for ($row, lane) in down.iter_mut().enumerate() {
                *lane = $lane;
            }
            for (row, lane) in $matrix::apply(&down).into_iter().enumerate() {
                tall[row][$column] = lane;
            }
        }
        let mut out = [[ZERO; $outputs]; $outputs];
        for (out, row) in out.iter_mut().zip(&tall) {
            *out = $matrix::apply(row);
        }
        out
    }};
}

/// Where the transforms of one picture's tiles stand among those of a chunk.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The picture's first tile within the chunk.
    pub first: usize,
    /// Tiles of the chunk.
    pub tiles: usize,
}

/// A chunk of transforms that several threads fill, each its own tiles.
#[derive(Debug, Clone, Copy)]
pub struct Points<T>(pub *mut T, pub usize);
// SAFETY: the threads write disjoint tiles, see `write`.
unsafe impl<T: Value> Send for Points<T> {}
// SAFETY: as above.
unsafe impl<T: Value> Sync for Points<T> {}

impl<T: Value> Points<T> {
    /// # Safety
    /// `at + LANES` is within the memory, and no other thread touches these numbers.
    #[inline(always)]
    unsafe fn write(self, at: usize, lane: &Lane) {
        debug_assert!(at + LANES <= self.1);
        // SAFETY: as the caller promises.
        unsafe { self.0.add(at).cast::<[T; LANES]>().write_unaligned(stored(lane)) }
    }
}

#[inline(always)]
fn to_points<M: Transform<S, PATCH>, T: Value, const S: usize>(
    picture: &[T],
    map: Map,
    margin: isize,
    points: Points<T>,
    place: Place,
) {
    for tile in 0..map.tiles() {
        let (y, x) = map.corner(tile, margin);
        for c in (0..map.channels).step_by(LANES) {
            let transformed = square!(M: S -> PATCH, |row, column| {
                match map.at(y + row as isize, x + column as isize) {
                    Some(at) => load(picture, at + c),
                    None => ZERO,
                }
            });
            for (point, lane) in transformed.iter().flatten().enumerate() {
                let at = (point * place.tiles + place.first + tile) * map.channels + c;
                // SAFETY: point < 36 and tile is the picture's own, so this is within
                // [36, tiles, channels] and belongs to this picture.
                unsafe { points.write(at, lane) };
            }
        }
    }
}

/// What becomes of an output before it is written.
#[derive(Debug, Clone, Copy)]
pub struct Finish<'a, T> {
    /// Added to each channel.
    pub bias: Option<&'a [f32]>,
    /// Added: the picture's numbers `[H, W, C]`.
    pub shortcut: Option<&'a [T]>,
    /// Negative sums become 0.
    pub relu: bool,
}

impl<T: Value> Finish<'_, T> {
    /// Nothing.
    pub const NONE: Self = Self { bias: None, shortcut: None, relu: false };

    /// The lane of channels `c..` at offset `at`.
    #[inline(always)]
    fn apply(self, lane: &mut Lane, at: usize, c: usize) {
        if let Some(bias) = self.bias {
            for (value, bias) in lane.iter_mut().zip(&bias[c..c + LANES]) {
                *value += bias;
            }
        }
        if let Some(shortcut) = self.shortcut {
            for (value, other) in lane.iter_mut().zip(&shortcut[at..at + LANES]) {
                *value += other.wide();
            }
        }
        if self.relu {
            for value in lane {
                // What is no number stays none.
                *value = if *value < 0.0 { 0.0 } else { *value };
            }
        }
    }
}

/// To pixels of outputs, or, added up where patches overlap, of inputs.
#[inline(always)]
fn from_points<M: Transform<PATCH, S>, T: Value, U: Value, const S: usize>(
    points: &[T],
    place: Place,
    map: Map,
    margin: isize,
    picture: &mut [U],
    finish: Finish<'_, T>,
) {
    for tile in 0..map.tiles() {
        let (y, x) = map.corner(tile, margin);
        for c in (0..map.channels).step_by(LANES) {
            let pixels = square!(M: PATCH -> S, |row, column| {
                let point = row * PATCH + column;
                load(points, (point * place.tiles + place.first + tile) * map.channels + c)
            });
            for (i, row) in pixels.iter().enumerate() {
                for (j, lane) in row.iter().enumerate() {
                    if let Some(at) = map.at(y + i as isize, x + j as isize) {
                        let mut lane = *lane;
                        finish.apply(&mut lane, at + c, c);
                        let target = &mut picture[at + c..at + c + LANES];
                        for (target, value) in target.iter_mut().zip(&lane) {
                            // Patches overlap, tiles of outputs do not.
                            let before = if S == TILE { 0.0 } else { target.wide() };
                            *target = U::narrow(before + value);
                        }
                    }
                }
            }
        }
    }
}

/// Patches are added up in f32 and rounded once.
#[inline(always)]
fn add_patches<T: Value>(points: &[T], place: Place, map: Map, picture: &mut [T]) {
    let mut sums = vec![0.0_f32; map.len()];
    from_points::<InputGradient<T>, T, f32, PATCH>(points, place, map, 1, &mut sums, Finish::NONE);
    for (pixel, sum) in picture.iter_mut().zip(sums) {
        *pixel = T::narrow(sum);
    }
}

wide!(
    /// V = B'dB for every tile of one picture of inputs.
    fn input_to_points(picture: &[T], map: Map, points: Points<T>, place: Place) =
        to_points::<Input<T>, T, PATCH>(picture, map, 1, points, place)
);
wide!(
    /// dM = A dY A' for every tile of one picture of output gradients.
    fn gradient_to_points(picture: &[T], map: Map, points: Points<T>, place: Place) =
        to_points::<OutputGradient<T>, T, TILE>(picture, map, 0, points, place)
);
wide!(
    /// Y = A'MA for one picture of outputs, and what `finish` makes of it.
    fn points_to_output(
        points: &[T],
        place: Place,
        map: Map,
        picture: &mut [T],
        finish: Finish<'_, T>,
    ) = from_points::<Output<T>, T, T, TILE>(points, place, map, 0, picture, finish)
);
wide!(
    /// dX = B dV B', added up where patches overlap, to one picture.
    fn points_to_gradient(points: &[T], place: Place, map: Map, picture: &mut [T]) =
        add_patches(points, place, map, picture)
);
