//! Memory limits of control groups, version 2.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// What a control group allows.
#[derive(Debug, PartialEq, Eq)]
pub struct Limit {
    /// Bytes that all processes of the group may have.
    pub total: u64,
    /// Bytes that are left, the page cache that can be given up included.
    pub available: u64,
}

/// Directories of the group of this process and of all groups around it.
pub fn of_this_process() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    directories(Path::new("/sys/fs/cgroup"), &own)
}

/// Directories of the group that `/proc/self/cgroup` names and of all groups around it.
fn directories(root: &Path, proc_self_cgroup: &str) -> Vec<PathBuf> {
    let Some(own) = proc_self_cgroup.lines().find_map(|line| line.strip_prefix("0::/")) else {
        return Vec::new();
    };
    // Seen from inside a container the path may begin outside of what is mounted.
    let own = Path::new(own).components();
    let own: PathBuf = own.skip_while(|part| *part == Component::ParentDir).collect();
    own.ancestors().map(|part| root.join(part)).collect()
}

/// The limit of the group in `dir`; `None` when it has none.
pub fn read(dir: &Path) -> Option<Limit> {
    let file = |name: &str| fs::read_to_string(dir.join(name)).ok();
    let max = file("memory.max")?;
    parse(&max, &file("memory.current")?, &file("memory.stat")?)
}

fn parse(max: &str, current: &str, stat: &str) -> Option<Limit> {
    let total = max.trim().parse().ok()?;
    let used: u64 = current.trim().parse().ok()?;
    let cached = stat
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, _)| matches!(*name, "active_file" | "inactive_file"))
        .filter_map(|(_, bytes)| bytes.parse::<u64>().ok())
        .fold(0, u64::saturating_add);
    Some(Limit { total, available: total.saturating_sub(used.saturating_sub(cached)) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const STAT: &str = "anon 700\nfile 200\nactive_file 50\ninactive_file 100\nslab 9\n";

    #[test]
    fn the_page_cache_counts_as_available() {
        let limit = parse("1000\n", "850\n", STAT).unwrap();
        assert_eq!(limit, Limit { total: 1000, available: 300 });
        assert_eq!(parse("1000", "2000", "").unwrap().available, 0);
        assert_eq!(parse("1000", "100", STAT).unwrap().available, 1000);
    }

    #[test]
    fn a_group_without_a_limit_limits_nothing() {
        assert_eq!(parse("max\n", "850\n", STAT), None);
        assert_eq!(parse("1000", "", STAT), None);
        assert_eq!(read(Path::new("/nowhere")), None);
    }

    #[test]
    fn all_groups_around_the_own_one_count() {
        let root = Path::new("/c");
        let dirs = |text: &str| directories(root, text);
        assert_eq!(
            dirs("4:memory:/x\n0::/user.slice/tandem.service\n"),
            ["/c/user.slice/tandem.service", "/c/user.slice", "/c"].map(PathBuf::from)
        );
        assert_eq!(dirs("0::/"), ["/c"].map(PathBuf::from));
        assert_eq!(dirs("0::/../../a"), ["/c/a", "/c"].map(PathBuf::from));
        assert!(dirs("4:memory:/x\n").is_empty());
    }

    #[test]
    fn a_limit_is_read_from_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("memory.max", "1000\n"), ("memory.current", "400\n")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        assert_eq!(read(dir.path()), None);
        fs::write(dir.path().join("memory.stat"), STAT).unwrap();
        assert_eq!(read(dir.path()), Some(Limit { total: 1000, available: 750 }));
    }
}
