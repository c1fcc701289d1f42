//! A memory control group of its own, for programs that shall have less memory than the machine.

use std::path::{Component, Path, PathBuf};
use std::time::Instant;
use std::{env, fs, io, process};

use tokio::process::Command;

use crate::{DEADLINE, LOOK_AGAIN};

/// Set to `required`, a machine on which no group can be made fails the tests that need one.
const VARIABLE: &str = "TANDEM_TEST_CGROUP";

/// Joins the group whose list of processes is `$0`, then becomes the program.
const JOIN: &str = "echo $$ >\"$0\" && exec \"$@\"";

/// How a version of control groups calls what is needed here.
#[derive(Debug)]
struct Version {
    limit: &'static str,
    /// The limit of memory and swap together, or of swap; with the first one it has the same value.
    swap: &'static str,
    swap_is_sum: bool,
    used: &'static str,
    cached: [&'static str; 2],
    /// Where kills for lack of memory are counted.
    events: &'static str,
}

const FIRST: Version = Version {
    limit: "memory.limit_in_bytes",
    swap: "memory.memsw.limit_in_bytes",
    swap_is_sum: true,
    used: "memory.usage_in_bytes",
    cached: ["total_active_file", "total_inactive_file"],
    events: "memory.oom_control",
};

const SECOND: Version = Version {
    limit: "memory.max",
    swap: "memory.swap.max",
    swap_is_sum: false,
    used: "memory.current",
    cached: ["active_file", "inactive_file"],
    events: "memory.events",
};

/// A group with a limit. It goes when its last process has.
#[derive(Debug)]
pub struct ControlGroup {
    path: PathBuf,
    version: &'static Version,
    limit: u64,
}

impl ControlGroup {
    /// A group whose processes may have so many bytes together, and no swap. Where none can be made,
    /// as that needs rights that few users have, this is said, and there is nothing to test; with
    /// `TANDEM_TEST_CGROUP=required` the test fails.
    pub fn with_memory(bytes: u64) -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut refusals = Vec::new();
        for (parent, version) in parents(Path::new("/sys/fs/cgroup"), &own) {
            match Self::below(&parent, version, bytes) {
                Ok(group) => return Some(group),
                Err(error) => refusals.push(format!("{}: {error}", parent.display())),
            }
        }
        let refusals = refusals.join("; ");
        assert!(
            env::var(VARIABLE).as_deref() != Ok("required"),
            "no control group can be made: {refusals}"
        );
        #[allow(clippy::print_stderr, reason = "says why nothing is tested")]
        {
            eprintln!("nothing is tested, as no control group can be made: {refusals}");
        }
        None
    }

    fn below(parent: &Path, version: &'static Version, bytes: u64) -> io::Result<Self> {
        let path = parent.join(format!("tandem-test-{}", process::id()));
        fs::create_dir(&path)?;
        let group = Self { path, version, limit: bytes };
        group.write(version.limit, bytes)?;
        // A kernel that does not count swap has no such file.
        if group.path.join(version.swap).exists() {
            group.write(version.swap, if version.swap_is_sum { bytes } else { 0 })?;
        }
        Ok(group)
    }

    /// Starts programs in the group.
    pub fn command(&self, program: &Path) -> Command {
        joining(&self.processes(), program)
    }

    /// The file that a process joins the group through.
    pub(crate) fn processes(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Bytes that its processes can still get, those of the page cache included.
    pub fn available_bytes(&self) -> u64 {
        let used = self.read(self.version.used).trim().parse::<u64>().unwrap();
        let stat = self.read("memory.stat");
        let cached: u64 = self.version.cached.iter().map(|name| entry(&stat, name)).sum();
        self.limit.saturating_sub(used.saturating_sub(cached))
    }

    /// Processes that were killed for lack of memory.
    pub fn killed(&self) -> u64 {
        entry(&self.read(self.version.events), "oom_kill")
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap()
    }

    fn write(&self, file: &str, bytes: u64) -> io::Result<()> {
        let path = self.path.join(file);
        // Not made when it is not there, which a control group says with another error.
        let mut file = fs::OpenOptions::new().write(true).open(path)?;
        io::Write::write_all(&mut file, bytes.to_string().as_bytes())
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        // A process that has ended stays in its group for a moment.
        while fs::remove_dir(&self.path).is_err() && self.path.exists() && Instant::now() < deadline
        {
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// A program that joins a group before it begins.
pub(crate) fn joining(processes: &Path, program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", JOIN]).arg(processes).arg(program);
    command
}

/// Groups below which one may be made: that of this process first, then the outermost.
fn parents(root: &Path, proc_self_cgroup: &str) -> Vec<(PathBuf, &'static Version)> {
    let mut parents = Vec::new();
    for line in proc_self_cgroup.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (mounted, version) = match controllers {
            "" => (root.to_owned(), &SECOND),
            list if list.split(',').any(|it| it == "memory") => (root.join("memory"), &FIRST),
            _ => continue,
        };
        let named = |part: &Component| matches!(part, Component::Normal(_));
        let own: PathBuf = Path::new(path).components().filter(named).collect();
        parents.push((mounted.join(own), version));
        parents.push((mounted, version));
    }
    parents.retain(|(path, _)| path.is_dir());
    parents.dedup_by(|one, other| one.0 == other.0);
    parents
}

/// The number behind a name in a file of such lines; 0 when it is not there.
fn entry(text: &str, name: &str) -> u64 {
    let mut entries = text.lines().filter_map(|line| line.split_once(' '));
    let value = entries.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse().ok());
    value.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_comes_before_the_outermost() {
        let root = tempfile::tempdir().unwrap();
        let memory = root.path().join("memory");
        fs::create_dir_all(memory.join("a/b")).unwrap();
        let found = |text: &str| -> Vec<PathBuf> {
            parents(root.path(), text).into_iter().map(|(path, _)| path).collect()
        };
        let text = "5:cpu:/x\n4:memory:/a/b\n0::/\n";
        assert_eq!(found(text), [memory.join("a/b"), memory.clone(), root.path().to_owned()]);
        assert_eq!(found("4:memory:/gone\n"), [memory], "seen from inside a container");
        assert!(found("").is_empty());
    }

    #[test]
    fn numbers_are_found_by_their_whole_name() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!((entry(text, "oom_kill"), entry(text, "oom")), (3, 0));
    }
}
