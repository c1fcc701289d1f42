//! Graphics processors, as the kernel shows them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A graphics processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Who made it.
    pub vendor: GpuVendor,
    /// What its driver calls it, if that says.
    pub name: Option<String>,
    /// Memory of its own in bytes, if the driver says.
    pub memory_bytes: Option<u64>,
    /// How much of that is in use, if the driver says.
    pub memory_used_bytes: Option<u64>,
    /// How much of its time it computes, 0 to 100, if the driver says.
    pub busy_percent: Option<u8>,
}

impl Gpu {
    fn of(vendor: GpuVendor) -> Self {
        Self { vendor, name: None, memory_bytes: None, memory_used_bytes: None, busy_percent: None }
    }
}

/// Who makes graphics processors for which llama.cpp can be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GpuVendor {
    /// For builds with CUDA.
    Nvidia,
    /// For builds with `ROCm` or Vulkan.
    Amd,
    /// For builds with Vulkan.
    Intel,
    /// For builds with Metal.
    Apple,
}

impl fmt::Display for GpuVendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nvidia => "NVIDIA",
            Self::Amd => "AMD",
            Self::Intel => "Intel",
            Self::Apple => "Apple",
        })
    }
}

/// Those of the system whose files are below `root`.
pub fn find(root: &Path) -> Vec<Gpu> {
    if cfg!(all(target_os = "macos", target_arch = "aarch64")) {
        // Part of every such chip, with the machine's memory.
        return vec![Gpu::of(GpuVendor::Apple)];
    }
    // The driver of NVIDIA has folders of its own, with or without a display.
    let nvidia = folders(&root.join("proc/driver/nvidia/gpus")).into_iter().map(|folder| Gpu {
        name: line(&folder.join("information"), "Model:"),
        ..Gpu::of(GpuVendor::Nvidia)
    });
    let drm = folders(&root.join("sys/class/drm")).into_iter().filter_map(|card| {
        // Outputs are `card0-HDMI-A-1`, and render nodes have the same device once more.
        let name = card.file_name()?.to_str()?.strip_prefix("card")?;
        name.parse::<u32>().ok()?;
        let device = card.join("device");
        let vendor = match text(&device.join("vendor"))?.as_str() {
            "0x1002" => GpuVendor::Amd,
            "0x8086" => GpuVendor::Intel,
            _ => return None,
        };
        Some(Gpu {
            name: text(&device.join("product_name")),
            memory_bytes: number(&device.join("mem_info_vram_total")),
            memory_used_bytes: number(&device.join("mem_info_vram_used")),
            busy_percent: number(&device.join("gpu_busy_percent")).filter(|busy| *busy <= 100),
            ..Gpu::of(vendor)
        })
    });
    nvidia.chain(drm).collect()
}

/// What is in a folder, in order.
fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn number<N: FromStr>(path: &Path) -> Option<N> {
    text(path)?.parse().ok()
}

/// What stands behind `key` in a file.
fn line(path: &Path, key: &str) -> Option<String> {
    let text = text(path)?;
    text.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn each_processor_is_found_once_with_what_its_driver_says() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(find(root), []);
        let nvidia = "proc/driver/nvidia/gpus/0000:01:00.0/information";
        write(root, nvidia, "Model: \t\t NVIDIA H200\nIRQ:   \t\t 99\n");
        // The same one again, as a display.
        write(root, "sys/class/drm/card0/device/vendor", "0x10de\n");
        write(root, "sys/class/drm/card1/device/vendor", "0x1002\n");
        write(root, "sys/class/drm/card1/device/mem_info_vram_total", "17163091968\n");
        write(root, "sys/class/drm/card1/device/mem_info_vram_used", "1048576\n");
        write(root, "sys/class/drm/card1/device/gpu_busy_percent", "37\n");
        write(root, "sys/class/drm/card1-HDMI-A-1/device/vendor", "0x1002\n");
        write(root, "sys/class/drm/renderD128/device/vendor", "0x1002\n");
        let nvidia = Gpu { name: Some("NVIDIA H200".to_owned()), ..Gpu::of(GpuVendor::Nvidia) };
        let amd = Gpu {
            memory_bytes: Some(17_163_091_968),
            memory_used_bytes: Some(1 << 20),
            busy_percent: Some(37),
            ..Gpu::of(GpuVendor::Amd)
        };
        assert_eq!(find(root), [nvidia, amd]);
    }
}
