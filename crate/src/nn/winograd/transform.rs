//! The linear maps of F(4x4, 3x3), on channels-last memory.
//!
//! A tile is a square of 4x4 outputs and the 6x6 inputs they depend on. In the transformed domain a
//! tile is 36 numbers a channel, stored as `[36, tiles, channels]`: what a batch of 36 matrix products
//! needs. The matrices are those of Lavin and Gray (2015), section 4.3.

/// Outputs of a tile along one side.
pub const TILE: usize = 4;
/// Inputs of a tile along one side, and numbers of its transform.
pub const PATCH: usize = 6;
/// Numbers of a tile's transform.
pub const POINTS: usize = PATCH * PATCH;
/// Channels handled at once: two vector registers. Channel counts must be multiples.
pub const LANES: usize = 16;

type Lane = [f32; LANES];
const ZERO: Lane = [0.0; LANES];

/// Sizes of a map and how tiles cover it; tiles may reach over the right and lower border.
#[derive(Debug, Clone, Copy)]
pub struct Map {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Map {
    /// Tiles down.
    pub fn rows(self) -> usize {
        self.height.div_ceil(TILE)
    }

    /// Tiles across.
    pub fn columns(self) -> usize {
        self.width.div_ceil(TILE)
    }

    /// Tiles of one picture.
    pub fn tiles(self) -> usize {
        self.rows() * self.columns()
    }

    /// Numbers of one picture.
    pub fn len(self) -> usize {
        self.height * self.width * self.channels
    }

    /// The offset of pixel (y, x), when it is on the map.
    fn at(self, y: isize, x: isize) -> Option<usize> {
        let inside =
            (0..self.height as isize).contains(&y) && (0..self.width as isize).contains(&x);
        inside.then(|| (y as usize * self.width + x as usize) * self.channels)
    }
}

/// A matrix of the method, applied to lanes: `I` numbers to `O`.
trait Transform<const I: usize, const O: usize> {
    fn apply(values: &[Lane; I]) -> [Lane; O];
}

macro_rules! transform {
    ($(#[$meta:meta])* $name:ident: $inputs:literal -> $outputs:literal, |$v:ident| $rows:expr) => {
        $(#[$meta])*
        struct $name;
        impl Transform<$inputs, $outputs> for $name {
            #[inline(always)]
            fn apply(values: &[Lane; $inputs]) -> [Lane; $outputs] {
                let mut out = [ZERO; $outputs];
                for lane in 0..LANES {
                    let $v: [f32; $inputs] = std::array::from_fn(|i| values[i][lane]);
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
    Input: 6 -> 6, |d| [
        4.0 * d[0] - 5.0 * d[2] + d[4],
        d[3] + d[4] - 4.0 * (d[1] + d[2]),
        d[4] - d[3] + 4.0 * (d[1] - d[2]),
        d[4] - d[2] + 2.0 * (d[3] - d[1]),
        d[4] - d[2] - 2.0 * (d[3] - d[1]),
        4.0 * d[1] - 5.0 * d[3] + d[5],
    ]
);
transform!(
    /// B: the gradient of the points to that of the patch.
    InputGradient: 6 -> 6, |v| [
        4.0 * v[0],
        4.0 * (v[2] - v[1] + v[5]) + 2.0 * (v[4] - v[3]),
        -5.0 * v[0] - 4.0 * (v[1] + v[2]) - v[3] - v[4],
        v[1] - v[2] + 2.0 * (v[3] - v[4]) - 5.0 * v[5],
        v[0] + v[1] + v[2] + v[3] + v[4],
        v[5],
    ]
);
transform!(
    /// A': the points to the outputs of a tile.
    Output: 6 -> 4, |m| [
        m[0] + (m[1] + m[2]) + (m[3] + m[4]),
        (m[1] - m[2]) + 2.0 * (m[3] - m[4]),
        (m[1] + m[2]) + 4.0 * (m[3] + m[4]),
        (m[1] - m[2]) + 8.0 * (m[3] - m[4]) + m[5],
    ]
);
transform!(
    /// A: the gradient of a tile's outputs to that of the points.
    OutputGradient: 4 -> 6, |y| [
        y[0],
        (y[0] + y[2]) + (y[1] + y[3]),
        (y[0] + y[2]) - (y[1] + y[3]),
        (y[0] + 4.0 * y[2]) + 2.0 * (y[1] + 4.0 * y[3]),
        (y[0] + 4.0 * y[2]) - 2.0 * (y[1] + 4.0 * y[3]),
        y[3],
    ]
);

/// Down the columns, then along the rows.
#[inline(always)]
fn square<T: Transform<I, O>, const I: usize, const O: usize>(
    values: &[[Lane; I]; I],
) -> [[Lane; O]; O] {
    let tall: [[Lane; O]; I] =
        std::array::from_fn(|column| T::apply(&std::array::from_fn(|row| values[row][column])));
    std::array::from_fn(|row| T::apply(&std::array::from_fn(|column| tall[column][row])))
}

#[inline(always)]
fn load(values: &[f32], at: usize) -> Lane {
    values.get(at..).and_then(|values| values.first_chunk()).copied().unwrap_or(ZERO)
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
pub struct Points(pub *mut f32, pub usize);
// SAFETY: the threads write disjoint tiles, see `write`.
unsafe impl Send for Points {}
// SAFETY: as above.
unsafe impl Sync for Points {}

impl Points {
    /// # Safety
    /// `at + LANES` is within the memory, and no other thread touches these numbers.
    #[inline(always)]
    unsafe fn write(self, at: usize, lane: &Lane) {
        debug_assert!(at + LANES <= self.1);
        // SAFETY: as the caller promises.
        unsafe { std::ptr::copy_nonoverlapping(lane.as_ptr(), self.0.add(at), LANES) }
    }
}

/// The square of pixels from (y, x) on, zero beyond the map.
#[inline(always)]
fn gather<const S: usize>(
    picture: &[f32],
    map: Map,
    (y, x): (isize, isize),
    c: usize,
) -> [[Lane; S]; S] {
    std::array::from_fn(|i| {
        std::array::from_fn(|j| match map.at(y + i as isize, x + j as isize) {
            Some(at) => load(picture, at + c),
            None => ZERO,
        })
    })
}

#[inline(always)]
fn to_points<T: Transform<S, PATCH>, const S: usize>(
    picture: &[f32],
    map: Map,
    margin: isize,
    points: Points,
    place: Place,
) {
    for tile in 0..map.tiles() {
        let corner = |index: usize| (index * TILE) as isize - margin;
        let corner = (corner(tile / map.columns()), corner(tile % map.columns()));
        for c in (0..map.channels).step_by(LANES) {
            let transformed = square::<T, S, PATCH>(&gather::<S>(picture, map, corner, c));
            for (point, lane) in transformed.iter().flatten().enumerate() {
                let at = (point * place.tiles + place.first + tile) * map.channels + c;
                // SAFETY: point < 36 and tile is the picture's own, so this is within
                // [36, tiles, channels] and belongs to this picture.
                unsafe { points.write(at, lane) };
            }
        }
    }
}

#[inline(always)]
fn from_points<T: Transform<PATCH, S>, const S: usize>(
    points: &[f32],
    place: Place,
    map: Map,
    margin: isize,
    picture: &mut [f32],
) {
    for tile in 0..map.tiles() {
        let corner = |index: usize| (index * TILE) as isize - margin;
        let (y, x) = (corner(tile / map.columns()), corner(tile % map.columns()));
        for c in (0..map.channels).step_by(LANES) {
            let at = |point: usize| (point * place.tiles + place.first + tile) * map.channels + c;
            let values =
                std::array::from_fn(|i| std::array::from_fn(|j| load(points, at(i * PATCH + j))));
            let pixels = square::<T, PATCH, S>(&values);
            for (i, row) in pixels.iter().enumerate() {
                for (j, lane) in row.iter().enumerate() {
                    if let Some(at) = map.at(y + i as isize, x + j as isize) {
                        let target = &mut picture[at + c..at + c + LANES];
                        // Patches overlap, tiles of outputs do not.
                        if S == TILE {
                            target.copy_from_slice(lane);
                        } else {
                            target
                                .iter_mut()
                                .zip(lane)
                                .for_each(|(target, value)| *target += value);
                        }
                    }
                }
            }
        }
    }
}

/// Whether the loops below are worth while: without wide vectors they are slower than what they save.
pub fn has_wide_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

/// Compiles a function for the baseline and for AVX2 with FMA; the processor decides.
macro_rules! wide {
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:expr) => {
        $(#[$meta])*
        pub fn $name($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn wide($($arg: $ty),*) {
                    $body
                }
                if has_wide_vectors() {
                    // SAFETY: the processor has just said that it has AVX2 and FMA.
                    return unsafe { wide($($arg),*) };
                }
            }
            $body
        }
    };
}

wide!(
    /// V = B'dB for every tile of one picture of inputs.
    fn input_to_points(picture: &[f32], map: Map, points: Points, place: Place) =
        to_points::<Input, PATCH>(picture, map, 1, points, place)
);
wide!(
    /// dM = A dY A' for every tile of one picture of output gradients.
    fn gradient_to_points(picture: &[f32], map: Map, points: Points, place: Place) =
        to_points::<OutputGradient, TILE>(picture, map, 0, points, place)
);
wide!(
    /// Y = A'MA for one picture of outputs.
    fn points_to_output(points: &[f32], place: Place, map: Map, picture: &mut [f32]) =
        from_points::<Output, TILE>(points, place, map, 0, picture)
);
wide!(
    /// dX = B dV B', added up where patches overlap, to one picture that starts at zero.
    fn points_to_gradient(points: &[f32], place: Place, map: Map, picture: &mut [f32]) =
        from_points::<InputGradient, PATCH>(points, place, map, 1, picture)
);
