//! The memory of our engines, by what the kernel says of processes. Blocking: a scan of all
//! processes takes some milliseconds, a look at those that were found much less.

use std::fs;
use std::path::Path;

/// Processes that we started and that run a program of their own.
#[derive(Debug, Default)]
pub(super) struct Engines {
    pids: Vec<u32>,
}

impl Engines {
    /// Those of the process `parent`, by a folder as `/proc`.
    pub(super) fn find(proc: &Path, parent: u32) -> Self {
        let Some(own) = name(proc, parent) else { return Self::default() };
        let processes = fs::read_dir(proc).into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        // Those with our own name read documents.
        let is_engine = |pid: &u32| {
            parent_of(proc, *pid) == Some(parent) && name(proc, *pid).is_some_and(|it| it != own)
        };
        Self { pids: pids.filter(is_engine).collect() }
    }

    /// Bytes in memory, of all of them together. One that has ended has none.
    pub(super) fn memory_bytes(&self, proc: &Path) -> u64 {
        self.pids.iter().filter_map(|pid| resident_bytes(proc, *pid)).sum()
    }
}

fn name(proc: &Path, pid: u32) -> Option<String> {
    fs::read_to_string(proc.join(pid.to_string()).join("comm")).ok()
}

fn parent_of(proc: &Path, pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?;
    // A name may hold spaces and brackets; state and parent follow it.
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn resident_bytes(proc: &Path, pid: u32) -> Option<u64> {
    let status = fs::read_to_string(proc.join(pid.to_string()).join("status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// A process with a parent and memory in KiB.
    fn process(proc: &Path, pid: u32, name: &str, parent: u32, kib: u64) {
        let dir = proc.join(pid.to_string());
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("comm"), format!("{name}\n")).unwrap();
        fs::write(dir.join("stat"), format!("{pid} ({name}) S {parent} 1 1 0\n")).unwrap();
        fs::write(dir.join("status"), format!("Name:\t{name}\nVmRSS:\t{kib:>8} kB\n")).unwrap();
    }

    #[test]
    fn engines_are_the_children_that_run_another_program() {
        let proc = tempfile::tempdir().unwrap();
        let proc = proc.path();
        process(proc, 10, "tandemd", 1, 1);
        process(proc, 11, "tandem-engine", 10, 100);
        process(proc, 12, "odd ) S 7 (", 10, 50);
        process(proc, 13, "tandemd", 10, 7);
        process(proc, 14, "tandem-engine", 1, 9);
        fs::create_dir(proc.join("sys")).unwrap();

        let engines = Engines::find(proc, 10);
        assert_eq!(engines.memory_bytes(proc), 150 << 10);
        fs::remove_dir_all(proc.join("11")).unwrap();
        assert_eq!(engines.memory_bytes(proc), 50 << 10);
        assert_eq!(Engines::find(proc, 99).memory_bytes(proc), 0);
    }
}
