//! The instruction sets that matter to a model on a CPU.

/// Those that this CPU has, the most capable last.
#[cfg(target_arch = "x86_64")]
pub(super) fn of_this_cpu() -> Vec<&'static str> {
    use std::arch::is_x86_feature_detected as has;
    let sets = [
        ("AVX", has!("avx")),
        ("AVX2", has!("avx2")),
        ("FMA", has!("fma")),
        ("F16C", has!("f16c")),
        ("AVX-VNNI", has!("avxvnni")),
        ("AVX-512", has!("avx512f")),
        ("AVX-512 BF16", has!("avx512bf16")),
        ("AVX-512 VNNI", has!("avx512vnni")),
    ];
    sets.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

/// Those that this CPU has, the most capable last.
#[cfg(target_arch = "aarch64")]
pub(super) fn of_this_cpu() -> Vec<&'static str> {
    use std::arch::is_aarch64_feature_detected as has;
    let sets = [
        ("NEON", has!("neon")),
        ("FP16", has!("fp16")),
        ("DotProd", has!("dotprod")),
        ("I8MM", has!("i8mm")),
        ("SVE", has!("sve")),
    ];
    sets.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

/// Nothing is known of other CPUs.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn of_this_cpu() -> Vec<&'static str> {
    Vec::new()
}
