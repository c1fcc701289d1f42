//! Processes: their memory, their end, and some that only keep cores busy.

use std::fs;
use std::io::Read as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::{Child, Command};

use crate::kill;

/// How long a server may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Memory of a process in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// All that is resident.
    pub(super) resident: u64,
    /// Of this, what is not the content of files.
    pub(super) anonymous: u64,
}

impl Memory {
    /// That of a living process.
    pub(super) fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| path.clone())?;
        let bytes = |key: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_whitespace().next());
            let kilobytes: u64 = number.with_context(|| format!("no {key} in {path}"))?.parse()?;
            Ok(kilobytes * 1024)
        };
        Ok(Self { resident: bytes("VmRSS:")?, anonymous: bytes("RssAnon:")? })
    }
}

/// Asks a process to end and waits until it has; one that does not listen is killed.
pub(super) async fn stop(child: &mut Child) -> Result<()> {
    if let Some(pid) = child.id() {
        kill("TERM", pid);
    }
    match tokio::time::timeout(PATIENCE, child.wait()).await {
        Ok(status) => drop(status?),
        Err(_) => child.kill().await?,
    }
    Ok(())
}

/// Processes that keep every core busy until this is dropped.
#[derive(Debug)]
pub(super) struct Busy {
    _processes: Vec<Child>,
}

impl Busy {
    /// As many processes as there are cores, of this program with `--spin`.
    pub(super) fn start() -> Result<Self> {
        let program = std::env::current_exe()?;
        let start = |_| {
            Command::new(&program).arg("--spin").stdin(Stdio::piped()).kill_on_drop(true).spawn()
        };
        let processes = (0..cores()).map(start).collect::<std::io::Result<_>>();
        Ok(Self { _processes: processes.context("cannot start a busy process")? })
    }
}

/// Cores that this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// Keeps a core busy until standard input ends, as it does when whoever started this is gone.
pub fn spin() {
    let watcher = std::thread::spawn(|| {
        let mut nothing = Vec::new();
        // Failing is an end, too.
        let _ = std::io::stdin().read_to_end(&mut nothing);
    });
    while !watcher.is_finished() {
        for number in 0..1_000_000_u64 {
            std::hint::black_box(number);
        }
    }
}
