//! The cache of freed tensor memory (`csrc/caching_allocator.cpp`), PyTorch's `torch.cuda` counterpart
//! for the CPU.

use std::sync::Once;

unsafe extern "C" {
    safe fn nnclr_cache_memory();
    safe fn nnclr_empty_cache();
    safe fn nnclr_cached_bytes() -> usize;
}

/// From now on, freed blocks of 256 KiB and more are kept for the next tensor of their size.
pub fn enable() {
    static ENABLED: Once = Once::new();
    ENABLED.call_once(|| nnclr_cache_memory());
}

/// Gives what is not in use back to the system (`torch.cuda.empty_cache`).
pub fn empty() {
    nnclr_empty_cache();
}

/// Bytes kept and not in use.
pub fn cached_bytes() -> usize {
    nnclr_cached_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    /// One test, since the cache is the process's.
    #[test]
    fn a_freed_block_serves_the_next_of_its_size_and_ever_other_sizes_do_not_pile_up() {
        enable();
        // A size that no other test asks for.
        let make = || Tensor::ones([7_654_321], (Kind::Float, Device::Cpu));
        let first = make();
        let place = first.data_ptr();
        drop(first);
        assert!(cached_bytes() >= 4 * 7_654_321);
        let second = make();
        assert_eq!(second.data_ptr(), place);
        empty();
        assert_eq!(second.sum(Kind::Double).double_value(&[]), 7_654_321.0);

        const MIB: i64 = 1 << 18;
        for size in (40..140).step_by(7) {
            drop(Tensor::zeros([size * MIB], (Kind::Float, Device::Cpu)));
        }
        // Their sum is 1.2 GiB, the greatest 138 MiB.
        assert!(cached_bytes() < 600 << 20, "{}", cached_bytes());
    }
}
