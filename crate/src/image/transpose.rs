//! Rows of pixels as columns, and back: 16 times 16 pixels at a time where the processor can permute bytes.

use super::CHANNELS;

/// Rows that are taken together: their columns are then contiguous and fill whole vectors.
pub(super) const STRIP: usize = 16;
/// The pixels of one column of a strip.
pub(super) type Column = [u8; STRIP * CHANNELS];

/// Rows `stride` bytes apart, at most `STRIP` of them, as columns: as many as there is room for, and no more than
/// the last row has pixels. What the columns of fewer rows end with stays.
pub(super) fn to_columns(rows: &[u8], stride: usize, columns: &mut [Column]) {
    #[cfg(target_arch = "x86_64")]
    if super::vectorised::has_widest() && rows.len() > (STRIP - 1) * stride {
        // SAFETY: the processor has just said that it has them.
        return unsafe { blocks::to_columns(rows, stride, columns) };
    }
    pixels_to_columns(rows, stride, columns);
}

/// The columns as rows of `stride` bytes, as many as there is room for.
pub(super) fn to_rows(columns: &[Column], rows: &mut [u8], stride: usize) {
    #[cfg(target_arch = "x86_64")]
    if super::vectorised::has_widest() && rows.len() > (STRIP - 1) * stride {
        // SAFETY: the processor has just said that it has them.
        return unsafe { blocks::to_rows(columns, rows, stride) };
    }
    pixels_to_rows(columns, rows, stride);
}

fn pixels_to_columns(rows: &[u8], stride: usize, columns: &mut [Column]) {
    for (line, row) in rows.chunks(stride).take(STRIP).enumerate() {
        for (column, pixel) in columns.iter_mut().zip(row.as_chunks::<CHANNELS>().0) {
            column.as_chunks_mut::<CHANNELS>().0[line] = *pixel;
        }
    }
}

fn pixels_to_rows(columns: &[Column], rows: &mut [u8], stride: usize) {
    for (line, row) in rows.chunks_mut(stride).take(STRIP).enumerate() {
        for (column, pixel) in columns.iter().zip(row.as_chunks_mut::<CHANNELS>().0) {
            *pixel = column.as_chunks::<CHANNELS>().0[line];
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod blocks {
    use std::arch::x86_64::{
        __m512i, _mm512_loadu_si512, _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8,
        _mm512_permutexvar_epi8, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_unpackhi_epi32,
        _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    };

    use super::{CHANNELS, Column, STRIP, pixels_to_columns, pixels_to_rows};

    /// Bytes of 16 pixels, and a bit for each.
    const BYTES: usize = STRIP * CHANNELS;
    const MASK: u64 = (1 << BYTES) - 1;

    /// Where each byte comes from when pixels become numbers of 32 bits, and back.
    const APART: [u8; 64] = places(4, CHANNELS);
    const TOGETHER: [u8; 64] = places(CHANNELS, 4);

    const fn places(to: usize, from: usize) -> [u8; 64] {
        let mut places = [0; 64];
        let mut pixel = 0;
        while pixel < STRIP {
            let mut channel = 0;
            while channel < CHANNELS {
                places[pixel * to + channel] = (pixel * from + channel) as u8;
                channel += 1;
            }
            pixel += 1;
        }
        places
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi")]
    pub fn to_columns(rows: &[u8], stride: usize, columns: &mut [Column]) {
        let last = &rows[(STRIP - 1) * stride..];
        let pixels = columns.len().min(last.len().min(stride) / CHANNELS);
        let whole = pixels / STRIP * STRIP;
        let (blocks, rest) = columns[..pixels].split_at_mut(whole);
        for (place, block) in blocks.as_chunks_mut::<STRIP>().0.iter_mut().enumerate() {
            let mut lines = [zero(); STRIP];
            for (line, row) in lines.iter_mut().zip(rows.chunks(stride)) {
                *line = load(&row[place * BYTES..][..BYTES]);
            }
            for (column, line) in block.iter_mut().zip(transposed(lines)) {
                store(line, column);
            }
        }
        pixels_to_columns(&rows[whole * CHANNELS..], stride, rest);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi")]
    pub fn to_rows(columns: &[Column], rows: &mut [u8], stride: usize) {
        let last = &rows[(STRIP - 1) * stride..];
        let pixels = columns.len().min(last.len().min(stride) / CHANNELS);
        let whole = pixels / STRIP * STRIP;
        let (blocks, rest) = columns[..pixels].split_at(whole);
        for (place, block) in blocks.as_chunks::<STRIP>().0.iter().enumerate() {
            let mut lines = [zero(); STRIP];
            for (line, column) in lines.iter_mut().zip(block) {
                *line = load(column);
            }
            for (row, line) in rows.chunks_mut(stride).zip(transposed(lines)) {
                store(line, &mut row[place * BYTES..][..BYTES]);
            }
        }
        pixels_to_rows(rest, &mut rows[whole * CHANNELS..], stride);
    }

    #[target_feature(enable = "avx512f")]
    fn zero() -> __m512i {
        _mm512_setzero_si512()
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    fn load(bytes: &[u8]) -> __m512i {
        let bytes = &bytes[..BYTES];
        // SAFETY: it reads so many bytes.
        unsafe { _mm512_maskz_loadu_epi8(MASK, bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    fn store(pixels: __m512i, bytes: &mut [u8]) {
        let bytes = &mut bytes[..BYTES];
        // SAFETY: it writes so many bytes.
        unsafe { _mm512_mask_storeu_epi8(bytes.as_mut_ptr().cast(), MASK, pixels) };
    }

    #[target_feature(enable = "avx512f,avx512vbmi")]
    fn permuted(bytes: __m512i, places: &[u8; 64]) -> __m512i {
        // SAFETY: 64 bytes.
        let places = unsafe { _mm512_loadu_si512(places.as_ptr().cast()) };
        _mm512_permutexvar_epi8(places, bytes)
    }

    /// Of 16 lines of 16 pixels the columns.
    #[target_feature(enable = "avx512f,avx512vbmi")]
    fn transposed(mut lines: [__m512i; STRIP]) -> [__m512i; STRIP] {
        for line in &mut lines {
            *line = permuted(*line, &APART);
        }
        // Within each quarter of a register, of four lines at a time.
        for four in lines.as_chunks_mut::<4>().0 {
            let [a, b, c, d] = *four;
            let (low, high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
            (four[0], four[1]) =
                (_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
            let (low, high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
            (four[2], four[3]) =
                (_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
        }
        // Then the quarters: column 4 q + k is quarter q of the k-th register of each four.
        for k in 0..4 {
            const EVEN: i32 = 0b10_00_10_00;
            const ODD: i32 = 0b11_01_11_01;
            let [a, b, c, d] = [lines[k], lines[4 + k], lines[8 + k], lines[12 + k]];
            let (even, odd) =
                (_mm512_shuffle_i32x4::<EVEN>(a, b), _mm512_shuffle_i32x4::<ODD>(a, b));
            let (next_even, next_odd) =
                (_mm512_shuffle_i32x4::<EVEN>(c, d), _mm512_shuffle_i32x4::<ODD>(c, d));
            lines[k] = _mm512_shuffle_i32x4::<EVEN>(even, next_even);
            lines[4 + k] = _mm512_shuffle_i32x4::<EVEN>(odd, next_odd);
            lines[8 + k] = _mm512_shuffle_i32x4::<ODD>(even, next_even);
            lines[12 + k] = _mm512_shuffle_i32x4::<ODD>(odd, next_odd);
        }
        for line in &mut lines {
            *line = permuted(*line, &TOGETHER);
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that tell their place.
    fn bytes(count: usize) -> Vec<u8> {
        (0..count).map(|i| (i * 167 % 251) as u8).collect()
    }

    #[test]
    fn rows_become_columns_and_columns_rows() {
        for width in [1, 15, 16, 17, 40, 48] {
            for more in [0, 2] {
                for lines in [1, 9, STRIP] {
                    // The last row may end before its stride.
                    let stride = (width + more) * CHANNELS;
                    let rows = bytes((lines - 1) * stride + width * CHANNELS);
                    let kept = [7; STRIP * CHANNELS];
                    let mut columns = vec![kept; width];
                    to_columns(&rows, stride, &mut columns);
                    for (x, column) in columns.iter().enumerate() {
                        for (line, pixel) in column.as_chunks::<CHANNELS>().0.iter().enumerate() {
                            let at = line * stride + x * CHANNELS;
                            let expected =
                                if line < lines { &rows[at..at + 3] } else { &kept[..3] };
                            assert_eq!(pixel, expected, "{width} {lines}: {x}, {line}");
                        }
                    }
                    let mut back = vec![9; rows.len()];
                    to_rows(&columns, &mut back, stride);
                    for (line, (got, row)) in
                        back.chunks(stride).zip(rows.chunks(stride)).enumerate()
                    {
                        assert_eq!(got[..width * 3], row[..width * 3], "{width} {lines}: {line}");
                        assert!(got[width * 3..].iter().all(|&byte| byte == 9));
                    }
                }
            }
        }
    }

    #[test]
    fn both_ways_give_the_same() {
        let rows = bytes(STRIP * 37 * CHANNELS);
        let columns = || vec![[0; STRIP * CHANNELS]; 35];
        let (mut fast, mut plain) = (columns(), columns());
        to_columns(&rows, 37 * CHANNELS, &mut fast);
        pixels_to_columns(&rows, 37 * CHANNELS, &mut plain);
        assert!(fast == plain);
        let (mut fast, mut back) = (vec![9; rows.len()], vec![9; rows.len()]);
        to_rows(&plain, &mut fast, 37 * CHANNELS);
        pixels_to_rows(&plain, &mut back, 37 * CHANNELS);
        assert!(fast == back && back != rows);
    }
}
