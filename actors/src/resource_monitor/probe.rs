//! Reads the machine's state from the operating system. Blocking, about a millisecond; every
//! [`SLOW_EVERY`]th time some more.

use std::fs;
use std::path::{Path, PathBuf};

use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tandem_config::hardware::cgroup;
use tandem_proto::v1::ResourceStatus;

use super::engines::Engines;
use super::sensors::Sensors;
use super::stall;

/// Every how many samples those values are read that change slowly.
const SLOW_EVERY: u32 = 10;
const ROOT: &str = "/";
const PROC: &str = "/proc";

/// What one sample leaves for the next: CPU use is a difference.
#[derive(Debug)]
pub struct Probe {
    system: System,
    pid: Pid,
    /// Our control groups and those around them.
    cgroups: Vec<PathBuf>,
    data_dir: PathBuf,
    /// Samples until the slow values are read again.
    slow_in: u32,
    sensors: Sensors,
    engines: Engines,
}

impl Probe {
    /// One that tells the space on the disk of `data_dir`.
    pub(super) fn new(data_dir: PathBuf) -> Result<Self, sysinfo::Error> {
        Ok(Self {
            system: System::new()?,
            pid: sysinfo::get_current_pid()?,
            cgroups: cgroup::of_this_process(),
            data_dir,
            slow_in: 0,
            sensors: Sensors::default(),
            engines: Engines::default(),
        })
    }

    /// The state now, without a judgement of the pressure.
    pub(super) fn sample(&mut self) -> ResourceStatus {
        if self.slow_in == 0 {
            self.slow_in = SLOW_EVERY;
            self.sensors = Sensors::read(Path::new(ROOT), &self.data_dir);
            self.engines = Engines::find(Path::new(PROC), self.pid.as_u32());
        }
        self.slow_in -= 1;
        let Self { system, pid, cgroups, .. } = self;
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        system.refresh_cpu_usage();
        let only_memory = ProcessRefreshKind::nothing().with_memory().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[*pid]), true, only_memory);

        let (mut total, mut available) = (system.total_memory(), system.available_memory());
        for limit in cgroups.iter().filter_map(|dir| cgroup::read(dir)) {
            total = total.min(limit.total);
            available = available.min(limit.available);
        }
        let mut sample = ResourceStatus {
            memory_total_bytes: total,
            memory_available_bytes: available,
            daemon_memory_bytes: system.process(*pid).map_or(0, sysinfo::Process::memory),
            engines_memory_bytes: self.engines.memory_bytes(Path::new(PROC)),
            cpu_used: f64::from(system.global_cpu_usage() / 100.0).clamp(0.0, 1.0),
            cores: u32::try_from(system.cpus().len()).unwrap_or(u32::MAX),
            cpu_stalled: stalled(cgroups, "cpu"),
            memory_stalled: stalled(cgroups, "memory"),
            io_stalled: stalled(cgroups, "io"),
            ..ResourceStatus::default()
        };
        self.sensors.fill(&mut sample);
        sample
    }
}

/// What the kernel says of the whole machine or of our own group, whichever is worse.
fn stalled(cgroups: &[PathBuf], resource: &str) -> Option<f64> {
    let machine = Path::new(PROC).join("pressure").join(resource);
    let group = cgroups.first().map(|group| group.join(format!("{resource}.pressure")));
    let share = |file: PathBuf| stall::parse(&fs::read_to_string(file).ok()?);
    [Some(machine), group].into_iter().flatten().filter_map(share).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn waiting_in_the_own_group_counts_like_waiting_on_the_machine() {
        let group = tempfile::tempdir().unwrap();
        let file = group.path().join("memory.pressure");
        fs::write(file, "some avg10=100.00 avg60=0.00 avg300=0.00 total=0\n").unwrap();
        let groups = [group.path().to_owned(), PathBuf::from("/nowhere")];
        assert_eq!(stalled(&groups, "memory"), Some(1.0));
        assert_eq!(stalled(&groups[1..], "no such resource"), None);
    }
}
