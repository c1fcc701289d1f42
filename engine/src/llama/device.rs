//! Graphics processors that this build of llama.cpp can use.

use llama_cpp_sys_2 as sys;

use super::text;

/// A graphics processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// As its driver calls it.
    pub name: String,
    /// Bytes that nobody uses just now.
    pub memory_free: u64,
    /// Bytes that it has.
    pub memory_total: u64,
}

/// Those that llama.cpp would use for a model: all with memory of their own, else those that share the
/// machine's.
pub fn devices() -> Vec<Device> {
    let own = of_type(sys::GGML_BACKEND_DEVICE_TYPE_GPU);
    if own.is_empty() { of_type(sys::GGML_BACKEND_DEVICE_TYPE_IGPU) } else { own }
}

fn of_type(wanted: sys::ggml_backend_dev_type) -> Vec<Device> {
    let mut found = Vec::new();
    // SAFETY: devices are registered once, before the first of these calls returns, and stay; every
    // index below the count names one, and its names are NUL-terminated and static.
    unsafe {
        for index in 0..sys::ggml_backend_dev_count() {
            let device = sys::ggml_backend_dev_get(index);
            if device.is_null() || sys::ggml_backend_dev_type(device) != wanted {
                continue;
            }
            let (mut free, mut total) = (0, 0);
            sys::ggml_backend_dev_memory(device, &raw mut free, &raw mut total);
            let name = text(sys::ggml_backend_dev_description(device));
            found.push(Device { name, memory_free: free as u64, memory_total: total as u64 });
        }
    }
    found
}
