//! One loop, compiled for the baseline and for AVX2.

/// Defines a function whose body is compiled twice and chosen at run time.
///
/// The bodies are integer arithmetic or single IEEE operations and no fused ones, so both give the
/// same bytes.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) {
            #[inline(always)]
            fn portable($($arg: $ty),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $ty),*) {
                    portable($($arg),*);
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has just said that it has AVX2.
                    return unsafe { avx2($($arg),*) };
                }
            }
            portable($($arg),*);
        }
    };
}
