//! What this engine was built from.

use crate::llama;

/// Engine version, llama.cpp version and commit, and a fingerprint of the CPU features in use.
/// Settings that work for one build need not for another.
pub fn name() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let features = fingerprint(llama::system_info().as_bytes());
    format!("{version} {} features {features:016x}", llama::build_info())
}

/// The kinds of graphics processors that this build can use.
pub fn gpu_kinds() -> Vec<&'static str> {
    let kinds = [
        ("cuda", cfg!(feature = "cuda")),
        ("rocm", cfg!(feature = "rocm")),
        ("vulkan", cfg!(feature = "vulkan")),
        // For Apple's systems llama.cpp builds it in by itself.
        ("metal", cfg!(any(feature = "metal", target_os = "macos"))),
    ];
    kinds.into_iter().filter(|(_, built_in)| *built_in).map(|(kind, _)| kind).collect()
}

/// FNV-1a: the same on every machine and in every build, which the standard hasher does not promise.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_fnv_1a() {
        assert_eq!(fingerprint(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
