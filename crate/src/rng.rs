//! Random streams. A stream is named, not handed on, so no draw depends on which thread or in which
//! order it happens.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The stream of one view of one sample in one epoch.
///
/// The four words are the generator's whole 32 byte key: different words are different streams,
/// without a hash that could collide.
pub fn stream(seed: u64, epoch: u64, sample: u64, view: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, epoch, sample, view]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::stream;
    use rand::Rng;

    #[test]
    fn each_of_the_four_words_changes_the_stream() {
        let first = |a, b, c, d| stream(a, b, c, d).next_u64();
        let base = first(1, 2, 3, 4);
        assert_eq!(base, first(1, 2, 3, 4));
        for other in [
            first(9, 2, 3, 4),
            first(1, 9, 3, 4),
            first(1, 2, 9, 4),
            first(1, 2, 3, 9),
            first(2, 1, 3, 4),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn high_bits_of_a_word_count() {
        assert_ne!(stream(1, 0, 0, 0).next_u64(), stream(1 | 1 << 63, 0, 0, 0).next_u64());
    }
}
