//! Processes of the system, as far as tests deal with them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Sends a signal, named without its "SIG". True when the process was there.
pub fn kill(signal: &str, pid: u32) -> bool {
    // Pid 0 would be every process of this test.
    assert_ne!(pid, 0, "there is no process to kill");
    // The shell's own command, as the program is not on every system.
    Command::new("sh")
        .args(["-c", &format!("kill -s {signal} {pid}")])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// Living processes that were started with this `TANDEM_HOME`: a daemon and its engines.
pub fn with_home(home: &Path) -> Vec<(u32, String)> {
    let marker = format!("TANDEM_HOME={}", home.display());
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        // Unreadable when it belongs to someone else or has ended meanwhile; empty for a zombie.
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        environment.split(|byte| *byte == 0).find(|entry| *entry == marker.as_bytes())?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some((pid, name.trim().to_owned()))
    })
    .collect()
}

/// Memory of a process that is in RAM, in bytes; 0 when there is no such process.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}
