//! Loops compiled for the widest vectors that the processor has.

/// Whether loops of our own are worth while: without wide vectors they are slower than what they save.
pub fn has_wide_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

/// Whether it has AVX-512.
#[cfg(target_arch = "x86_64")]
pub fn has_widest_vectors() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && std::arch::is_x86_feature_detected!("avx512dq")
}

/// Compiles a function for the baseline, for AVX2 with FMA and for AVX-512; the processor decides.
macro_rules! wide {
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:expr) => {
        $(#[$meta])*
        pub fn $name<T: $crate::nn::value::Value>($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn wide<T: $crate::nn::value::Value>($($arg: $ty),*) {
                    $body
                }
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
                fn widest<T: $crate::nn::value::Value>($($arg: $ty),*) {
                    $body
                }
                if $crate::nn::wide::has_widest_vectors() {
                    // SAFETY: the processor has just said that it has them.
                    return unsafe { widest($($arg),*) };
                }
                if $crate::nn::wide::has_wide_vectors() {
                    // SAFETY: the processor has just said that it has AVX2 and FMA.
                    return unsafe { wide($($arg),*) };
                }
            }
            $body
        }
    };
}
pub(super) use wide;
