//! One loop, compiled for the baseline and for wider vectors.

/// Whether the processor has AVX-512 with shuffles of bytes, as from Ice Lake and Zen 4 on.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_widest() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && std::arch::is_x86_feature_detected!("avx512dq")
        && std::arch::is_x86_feature_detected!("avx512vbmi")
}

/// Compiles a call for more instructions, and returns from the caller by it where the processor has them.
macro_rules! tier {
    ($features:literal, $has:expr, $body:ident($($arg:ident: $ty:ty),*)) => {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = $features)]
            fn compiled($($arg: $ty),*) {
                $body($($arg),*);
            }
            if $has {
                // SAFETY: the processor has just said that it has them.
                return unsafe { compiled($($arg),*) };
            }
        }
    };
}

/// Defines a function whose body is compiled twice, for AVX2 too, and chosen at run time.
///
/// The bodies are integer arithmetic or single IEEE operations and no fused ones, so all give the
/// same bytes.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) {
            #[inline(always)]
            fn portable($($arg: $ty),*) $body
            tier!("avx2", std::arch::is_x86_feature_detected!("avx2"), portable($($arg: $ty),*));
            portable($($arg),*);
        }
    };
}

/// The same for AVX-512 too. Not for every loop: of resampling's and normalising's the compiler makes
/// slower code then (docs/log.md, 2026-11-27).
macro_rules! vectorised_widest {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) {
            #[inline(always)]
            fn portable($($arg: $ty),*) $body
            tier!(
                "avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi",
                $crate::image::vectorised::has_widest(),
                portable($($arg: $ty),*)
            );
            tier!("avx2", std::arch::is_x86_feature_detected!("avx2"), portable($($arg: $ty),*));
            portable($($arg),*);
        }
    };
}
