//! What the processor multiplies fast, which decides between ways to the same numbers.

#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

/// Whether it multiplies bf16 in hardware, which is what makes bf16 faster than f32.
pub fn has_fast_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether it adds four products of 8-bit numbers to a sum at once.
pub fn has_byte_sums() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512vnni");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether it multiplies tiles of bf16 (AMX), which makes the library's products the fastest way to most
/// convolutions, and whether the system saves them.
pub fn has_bf16_tiles() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        static HAS: OnceLock<bool> = OnceLock::new();
        *HAS.get_or_init(|| has_fast_bf16() && has_tiles(1 << 22))
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether it multiplies tiles of 8-bit numbers (AMX), and the system lets this process use them, which this
/// asks for: oneDNN does too.
pub fn has_byte_tiles() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        static HAS: OnceLock<bool> = OnceLock::new();
        *HAS.get_or_init(|| has_byte_sums() && has_tiles(1 << 25) && may_use_tiles())
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

/// Tiles, `kind` of them (a bit of CPUID 7, EDX), and a system that saves them.
#[cfg(target_arch = "x86_64")]
fn has_tiles(kind: u32) -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
    /// Bits of CPUID (OSXSAVE; AMX-TILE) and of XCR0 (XTILECFG and XTILEDATA).
    const HAS_XGETBV: u32 = 1 << 27;
    const HAS_TILES: u32 = 1 << 24;
    const SAVES_TILES: u64 = 1 << 17 | 1 << 18;
    let has = |bits: u32, wanted: u32| bits & wanted == wanted;
    has(__cpuid(1).ecx, HAS_XGETBV)
        && has(__cpuid_count(7, 0).edx, HAS_TILES | kind)
        // SAFETY: the processor has just said that it has the instruction.
        && unsafe { _xgetbv(0) } & SAVES_TILES == SAVES_TILES
}

/// Linux gives a process the memory for tiles when it asks; asking twice is no error.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn may_use_tiles() -> bool {
    use std::ffi::c_long;
    /// `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`
    const ARCH_PRCTL: c_long = 158;
    const REQUEST: c_long = 0x1023;
    const TILE_DATA: c_long = 18;
    unsafe extern "C" {
        fn syscall(number: c_long, ...) -> c_long;
    }
    // SAFETY: it takes two numbers and writes nothing.
    unsafe { syscall(ARCH_PRCTL, REQUEST, TILE_DATA) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_processor_has_what_linux_says_it_has() {
        let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
        assert_eq!(has_fast_bf16(), has("avx512_bf16"));
        assert_eq!(has_byte_sums(), has("avx512_vnni"));
        assert_eq!(has_bf16_tiles(), has("amx_bf16") && has("amx_tile"));
        // Linux may refuse the process.
        assert!(!has_byte_tiles() || has("amx_int8") && has("amx_tile"));
    }
}
