//! Puts the engine's own matrix kernel before llama.cpp's; see `src/llama/kernel.rs`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if target("OS") == "linux" && target("ARCH") == "x86_64" {
        // The linker gives every call of NAME to __wrap_NAME, and leaves it as __real_NAME.
        for name in ["ggml_cpu_extra_compute_forward", "ggml_cpu_extra_work_size"] {
            println!("cargo:rustc-link-arg=-Wl,--wrap={name}");
        }
    }
}
