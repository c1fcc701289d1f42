//! What the machine has, as far as settings depend on it. Blocking, some milliseconds.

use std::path::{Path, PathBuf};
use std::{fs, thread};

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

pub mod cgroup;
pub mod gpu;
mod instructions;

pub use gpu::{Gpu, GpuVendor};

/// A machine, seen from this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardware {
    /// The CPU as its maker calls it.
    pub cpu: String,
    /// Cores of silicon; of several threads that share one, one counts. `None` if it is not known.
    pub cores_physical: Option<u32>,
    /// Cores that this process may use: those of its affinity mask, within the quota of its control
    /// group.
    pub cores_usable: u32,
    /// Bytes of the largest cache that all cores share, if it is known.
    pub cache_bytes: Option<u64>,
    /// Instruction sets that matter to a model on a CPU, the most capable last.
    pub instructions: Vec<&'static str>,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// What the control group of this process leaves of it.
    pub memory_limit_bytes: Option<u64>,
    /// Graphics processors that the system shows.
    pub gpus: Vec<Gpu>,
}

impl Hardware {
    /// Looks at this machine.
    pub fn probe() -> Self {
        let kind = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        // Without it nothing is known of CPU and memory, and everything else still is.
        let system = System::new_with_specifics(kind).ok();
        let cpu = system.as_ref().and_then(|system| system.cpus().first());
        let cpu = cpu.map(|cpu| cpu.brand().trim().to_owned());
        let count = |cores: usize| u32::try_from(cores).unwrap_or(u32::MAX);
        Self {
            cpu: cpu.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown CPU".to_owned()),
            cores_physical: System::physical_core_count().map(count).ok(),
            cores_usable: thread::available_parallelism().map_or(1, |cores| count(cores.get())),
            cache_bytes: shared_cache(Path::new("/sys/devices/system/cpu/cpu0/cache")),
            instructions: instructions::of_this_cpu(),
            memory_bytes: system.map_or(0, |system| system.total_memory()),
            memory_limit_bytes: memory_limit(),
            gpus: gpu::find(Path::new("/")),
        }
    }

    /// Bytes of memory that there are for this process and all others in its group.
    pub fn memory_usable_bytes(&self) -> u64 {
        self.memory_limit_bytes.unwrap_or(u64::MAX).min(self.memory_bytes)
    }
}

/// Bytes of memory that there are for this process; `None` if that is not known. Faster than
/// [`Hardware::probe`].
pub(crate) fn memory_usable_bytes() -> Option<u64> {
    let kind = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let memory = System::new_with_specifics(kind).map_or(0, |system| system.total_memory());
    let memory = Some(memory).filter(|bytes| *bytes > 0);
    memory.into_iter().chain(memory_limit()).min()
}

/// The tightest limit of the control groups that this process is in.
fn memory_limit() -> Option<u64> {
    let limits = cgroup::of_this_process().into_iter();
    limits.filter_map(|group| cgroup::read(&group)).map(|limit| limit.total).min()
}

/// The size of the last level in a folder as `/sys/devices/system/cpu/cpu0/cache`.
fn shared_cache(folder: &Path) -> Option<u64> {
    let caches: Vec<PathBuf> = fs::read_dir(folder).ok()?.flatten().map(|it| it.path()).collect();
    let file = |cache: &Path, name| fs::read_to_string(cache.join(name)).ok();
    let of = |cache: &PathBuf| {
        let level: u32 = file(cache, "level")?.trim().parse().ok()?;
        let size = file(cache, "size")?;
        let kib: u64 = size.trim().strip_suffix('K')?.parse().ok()?;
        Some((level, kib << 10))
    };
    caches.iter().filter_map(of).max().map(|(_, bytes)| bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn this_machine_has_cores_and_memory() {
        let hardware = Hardware::probe();
        assert!(hardware.cores_usable > 0 && hardware.memory_bytes > 0, "{hardware:?}");
        assert!(hardware.memory_usable_bytes() <= hardware.memory_bytes);
        assert_eq!(memory_usable_bytes(), Some(hardware.memory_usable_bytes()));
    }

    #[test]
    fn the_shared_cache_is_the_last_level() {
        let folder = tempfile::tempdir().unwrap();
        for (name, level, size) in [("index0", "1", "32K"), ("index3", "3", "32768K")] {
            let cache = folder.path().join(name);
            fs::create_dir(&cache).unwrap();
            fs::write(cache.join("level"), format!("{level}\n")).unwrap();
            fs::write(cache.join("size"), format!("{size}\n")).unwrap();
        }
        fs::write(folder.path().join("uevent"), "").unwrap();
        assert_eq!(shared_cache(folder.path()), Some(32 << 20));
        assert_eq!(shared_cache(Path::new("/nowhere")), None);
    }
}
