//! Reads the machine's state from the operating system. Blocking, well under a millisecond.

use std::fs;
use std::path::{Path, PathBuf};

use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tandem_config::hardware::cgroup;
use tandem_proto::v1::ResourceStatus;

use super::stall;

/// What one sample leaves for the next: CPU use is a difference.
#[derive(Debug)]
pub struct Probe {
    system: System,
    pid: Pid,
    /// Our control group and those around it.
    cgroups: Vec<PathBuf>,
}

impl Probe {
    pub(super) fn new() -> Result<Self, sysinfo::Error> {
        let cgroups = cgroup::of_this_process();
        Ok(Self { system: System::new()?, pid: sysinfo::get_current_pid()?, cgroups })
    }

    /// The state now, without a judgement of the pressure.
    pub(super) fn sample(&mut self) -> ResourceStatus {
        let Self { system, pid, cgroups } = self;
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        system.refresh_cpu_usage();
        let only_memory = ProcessRefreshKind::nothing().with_memory().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[*pid]), true, only_memory);

        let (mut total, mut available) = (system.total_memory(), system.available_memory());
        for limit in cgroups.iter().filter_map(|dir| cgroup::read(dir)) {
            total = total.min(limit.total);
            available = available.min(limit.available);
        }
        ResourceStatus {
            memory_total_bytes: total,
            memory_available_bytes: available,
            daemon_memory_bytes: system.process(*pid).map_or(0, sysinfo::Process::memory),
            cpu_used: f64::from(system.global_cpu_usage() / 100.0).clamp(0.0, 1.0),
            cores: u32::try_from(system.cpus().len()).unwrap_or(u32::MAX),
            cpu_stalled: stalled("cpu"),
            memory_stalled: stalled("memory"),
            io_stalled: stalled("io"),
            ..ResourceStatus::default()
        }
    }
}

fn stalled(resource: &str) -> Option<f64> {
    stall::parse(&fs::read_to_string(Path::new("/proc/pressure").join(resource)).ok()?)
}
