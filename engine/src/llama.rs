//! The safe face of llama.cpp: the only module of tandem that calls into it, and the only one
//! with `unsafe`.
//!
//! A C++ exception or a failed assertion inside llama.cpp ends the process; that is why the
//! engine is a process. What callers can prevent (too long a batch, an unknown sequence) is
//! checked here before the call.

#[cfg(test)]
pub mod chain;
mod context;
mod device;
mod embedding;
#[cfg(test)]
pub mod fixture;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod kernel;
mod layers;
mod log;
mod model;
mod order;
mod patience;
mod state;
// Elsewhere ggml has threads of its own.
#[cfg(target_os = "linux")]
mod team;
mod vocabulary;

use std::ffi::CStr;
use std::os::raw::c_char;

use llama_cpp_sys_2 as sys;

pub use context::{Batch, Context, ContextError, ContextSettings, DecodeError, Pulse};
pub use device::{Device, devices};
pub use embedding::EmbeddingSettings;
pub use layers::Layers;
pub use log::recent as recent_log;
pub use model::{Model, ModelSettings};
pub use patience::{Patience, set_patience};
pub use state::RestoreError;

/// Prepares llama.cpp and redirects its log. Call once, before anything else.
pub fn init() {
    log::capture();
    // SAFETY: called once, before any other thread uses llama.cpp.
    unsafe { sys::llama_backend_init() };
}

/// Has ggml compute K-quants with the same kernel whatever the number of rows. Call before the first
/// decode; there is no way back.
pub fn forgo_tiled_kernels() {
    // SAFETY: no other thread reads or changes the environment: those that exist now handle the
    // socket, and ggml reads the variable later, on this one.
    unsafe { std::env::set_var("GGML_CPU_TILED_MM", "0") };
}

/// The CPU features that this build of llama.cpp uses.
pub fn system_info() -> String {
    // SAFETY: returns a pointer to a static, NUL-terminated buffer.
    unsafe { text(sys::llama_print_system_info()) }
}

/// Version and commit of llama.cpp and ggml.
pub fn build_info() -> String {
    // SAFETY: all three return static, NUL-terminated strings.
    let (llama, ggml, commit) = unsafe {
        (text(sys::llama_version()), text(sys::ggml_version()), text(sys::ggml_commit()))
    };
    format!("llama.cpp {llama} ggml {ggml} ({commit})")
}

/// Most sequences that one context can hold.
pub fn sequences_max() -> u32 {
    // SAFETY: returns a constant.
    let most = unsafe { sys::llama_max_parallel_sequences() };
    u32::try_from(most).unwrap_or(u32::MAX)
}

/// Copies a C string; empty for null.
///
/// # Safety
/// `pointer` is null or points to a NUL-terminated string that lives during the call.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: not null, and NUL-terminated as the caller promised.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
