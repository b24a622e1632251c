//! By tiles of AMX: 16 queries times 16 rows of 64 codes in one instruction. The compiler's own functions
//! for it are not stable yet, so that it is written in assembly.

use std::arch::asm;
use std::arch::x86_64::{
    _CMP_GE_OQ, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps, _mm512_load_si512, _mm512_set1_ps,
};

use super::{Group, Line, MORE_LINES, ROWS, Rows, start};

/// Rows of a tile.
pub const QUERIES: usize = 16;
/// Bytes of a tile's row, and numbers of 32 bits.
const BYTES: usize = 64;
const LANES: usize = 16;
/// Lines that fill a tile.
const LINES: usize = 16;

#[derive(Clone)]
#[repr(C, align(64))]
struct Tile([[u8; BYTES]; QUERIES]);

pub struct InTiles {
    /// 64 codes of each query after the other, the last filled up with zeros.
    codes: Vec<Tile>,
    /// A number of 32 bits for each query and row.
    start: Tile,
}

impl Group<QUERIES> for InTiles {
    fn of(queries: &[i8], width: usize) -> Self {
        let empty = Tile([[0; BYTES]; QUERIES]);
        let mut group = Self { codes: vec![empty.clone(); width.div_ceil(BYTES)], start: empty };
        for (query, codes) in queries.chunks_exact(width).enumerate() {
            for (tile, codes) in group.codes.iter_mut().zip(codes.chunks(BYTES)) {
                for (byte, code) in tile.0[query].iter_mut().zip(codes) {
                    *byte = code.cast_unsigned();
                }
            }
            for bytes in group.start.0[query].as_chunks_mut().0 {
                *bytes = start(codes).to_ne_bytes();
            }
        }
        group
    }

    type Ready = Shaped;

    unsafe fn ready() -> Shaped {
        // SAFETY: the caller knows the processor.
        unsafe { Shaped::new() }
    }

    unsafe fn multiply(
        &self,
        rows: &Rows,
        floors: &[f32; QUERIES],
        sums: &mut [Line<i32>; QUERIES],
    ) -> [u64; QUERIES] {
        assert!(!self.codes.is_empty() && rows.len() >= LINES * self.codes.len());
        // SAFETY: the caller knows the processor and has shaped the tiles; the loop is gone through once at least and reads `LINES` lines of rows for
        // each tile of codes, and writes a line for each query.
        unsafe {
            asm!(
                "tileloadd tmm0, [{start} + {narrow}*1]",
                "tileloadd tmm1, [{start} + {narrow}*1]",
                "tileloadd tmm2, [{start} + {narrow}*1]",
                "tileloadd tmm3, [{start} + {narrow}*1]",
                "2:",
                "tileloadd tmm4, [{codes} + {narrow}*1]",
                "tileloadd tmm5, [{rows} + {wide}*1]",
                "tileloadd tmm6, [{rows} + {wide}*1 + 64]",
                "tileloadd tmm7, [{rows} + {wide}*1 + 128]",
                // Signed codes of queries by unsigned ones of rows.
                "tdpbsud tmm0, tmm4, tmm5",
                "tileloadd tmm5, [{rows} + {wide}*1 + 192]",
                "tdpbsud tmm1, tmm4, tmm6",
                "tdpbsud tmm2, tmm4, tmm7",
                "tdpbsud tmm3, tmm4, tmm5",
                "add {codes}, {tile}",
                "add {rows}, {lines}",
                "dec {tiles}",
                "jnz 2b",
                "tilestored [{sums} + {wide}*1], tmm0",
                "tilestored [{sums} + {wide}*1 + 64], tmm1",
                "tilestored [{sums} + {wide}*1 + 128], tmm2",
                "tilestored [{sums} + {wide}*1 + 192], tmm3",
                start = in(reg) &raw const self.start,
                codes = inout(reg) self.codes.as_ptr() => _,
                rows = inout(reg) rows.as_ptr() => _,
                tiles = inout(reg) self.codes.len() => _,
                sums = in(reg) sums.as_mut_ptr(),
                narrow = in(reg) BYTES,
                wide = in(reg) size_of::<Line<u32>>(),
                tile = const size_of::<Tile>(),
                lines = const LINES * size_of::<Line<u32>>(),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
            compared(floors, sums)
        }
    }
}

const _: () = assert!(MORE_LINES >= LINES - 1 && size_of::<Line<u32>>() == 4 * BYTES);

#[target_feature(enable = "avx512f")]
fn compared(floors: &[f32; QUERIES], sums: &[Line<i32>; QUERIES]) -> [u64; QUERIES] {
    let mut all = [0; QUERIES];
    for ((sums, floor), reached) in sums.iter().zip(floors).zip(&mut all) {
        let floor = _mm512_set1_ps(*floor);
        for at in (0..ROWS).step_by(LANES) {
            // SAFETY: a line is as long as four registers and aligned as they are.
            let sums = unsafe { _mm512_load_si512(sums.0[at..].as_ptr().cast()) };
            let mask = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(_mm512_cvtepi32_ps(sums), floor);
            *reached |= u64::from(mask) << at;
        }
    }
    all
}

/// What `ldtilecfg` takes: palette, bytes of a row and rows of each tile.
#[derive(Clone, PartialEq, Eq, Debug)]
#[repr(C, align(64))]
struct Shapes([u8; 64]);

impl Shapes {
    /// All eight of full size.
    fn full() -> Self {
        let mut shapes = [0; 64];
        shapes[0] = 1;
        for tile in 0..8 {
            shapes[16 + 2 * tile] = BYTES as u8;
            shapes[48 + tile] = QUERIES as u8;
        }
        Self(shapes)
    }

    /// Those of this thread.
    ///
    /// # Safety
    /// The processor has tiles.
    unsafe fn now() -> Self {
        let mut shapes = Self([0; 64]);
        // SAFETY: it writes 64 bytes.
        unsafe { asm!("sttilecfg [{}]", in(reg) &raw mut shapes, options(nostack)) };
        shapes
    }

    /// For this thread; without a palette its tiles are given back.
    ///
    /// # Safety
    /// As of `now`, and the shapes are ones that it can have.
    unsafe fn set(&self) {
        // SAFETY: it reads 64 bytes. What tiles hold is lost, which no compiler keeps there.
        unsafe {
            asm!(
                "ldtilecfg [{}]", in(reg) self,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, readonly),
            );
        }
    }
}

/// Tiles of full size until it is dropped; then the shapes of before, whoever on this thread counts on them.
pub struct Shaped(Shapes);

impl Shaped {
    /// # Safety
    /// The processor has tiles, and the system lets the process use them.
    unsafe fn new() -> Self {
        // SAFETY: as the caller says.
        unsafe {
            let before = Shapes::now();
            Shapes::full().set();
            Self(before)
        }
    }
}

impl Drop for Shaped {
    fn drop(&mut self) {
        // SAFETY: there were tiles when it was made, in these shapes.
        unsafe { self.0.set() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::has_byte_tiles;

    #[test]
    fn shapes_are_as_before_afterwards() {
        if !has_byte_tiles() {
            return;
        }
        let mut others = Shapes::full();
        (others.0[16], others.0[48]) = (32, 7);
        for before in [Shapes([0; 64]), others] {
            // SAFETY: there are tiles, in shapes that they can have.
            unsafe {
                before.set();
                let shaped = Shaped::new();
                assert_eq!(Shapes::now(), Shapes::full());
                drop(shaped);
                assert_eq!(Shapes::now(), before);
                Shapes([0; 64]).set();
            }
        }
    }
}
