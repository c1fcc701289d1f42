//! Memory limits of control groups, version 2 and version 1.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Where control groups are mounted.
const MOUNTED: &str = "/sys/fs/cgroup";
/// Version 1 writes no limit as the largest number of pages; no machine has half as much memory.
const NO_LIMIT_FROM: u64 = 1 << 62;

/// What a control group allows.
#[derive(Debug, PartialEq, Eq)]
pub struct Limit {
    /// Bytes that all processes of the group may have.
    pub total: u64,
    /// Bytes that are left, the page cache that can be given up included.
    pub available: u64,
}

/// How one version of control groups names what is read here.
struct Version {
    limit: &'static str,
    used: &'static str,
    /// Page cache in `memory.stat`, groups below included.
    cached: [&'static str; 2],
}

const VERSIONS: [Version; 2] = [
    Version {
        limit: "memory.max",
        used: "memory.current",
        cached: ["active_file", "inactive_file"],
    },
    Version {
        limit: "memory.limit_in_bytes",
        used: "memory.usage_in_bytes",
        cached: ["total_active_file", "total_inactive_file"],
    },
];

/// Directories of the groups of this process, one a version, each followed by those around it.
pub fn of_this_process() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    directories(Path::new(MOUNTED), &own)
}

/// Directories of the groups that `/proc/self/cgroup` names and of all groups around them.
fn directories(root: &Path, proc_self_cgroup: &str) -> Vec<PathBuf> {
    let own = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let mounted = match controllers {
            "" => root.to_owned(),
            list if list.split(',').any(|controller| controller == "memory") => root.join("memory"),
            _ => return None,
        };
        // Seen from inside a container the path may begin outside of what is mounted.
        let own = Path::new(path.strip_prefix('/')?).components();
        let own: PathBuf = own.skip_while(|part| *part == Component::ParentDir).collect();
        let around: Vec<_> = own.ancestors().map(|part| mounted.join(part)).collect();
        Some(around)
    };
    proc_self_cgroup.lines().filter_map(own).flatten().collect()
}

/// The limit of the group in `dir`; `None` when it has none.
pub fn read(dir: &Path) -> Option<Limit> {
    let file = |name: &str| fs::read_to_string(dir.join(name)).ok();
    VERSIONS.iter().find_map(|version| {
        let limit = file(version.limit)?;
        version.parse(&limit, &file(version.used)?, &file("memory.stat")?)
    })
}

impl Version {
    fn parse(&self, limit: &str, used: &str, stat: &str) -> Option<Limit> {
        let total = limit.trim().parse().ok().filter(|bytes| *bytes < NO_LIMIT_FROM)?;
        let used: u64 = used.trim().parse().ok()?;
        let cached = stat
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(name, _)| self.cached.contains(name))
            .filter_map(|(_, bytes)| bytes.parse::<u64>().ok())
            .fold(0, u64::saturating_add);
        Some(Limit { total, available: total.saturating_sub(used.saturating_sub(cached)) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const STAT: &str = "anon 700\nfile 200\nactive_file 50\ninactive_file 100\nslab 9\n";
    const STAT_1: &str = "cache 200\nactive_file 1\ninactive_file 1\ntotal_active_file 50\n\
                          total_inactive_file 100\n";

    fn parse(max: &str, current: &str, stat: &str) -> Option<Limit> {
        VERSIONS[0].parse(max, current, stat)
    }

    fn group(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

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
        assert_eq!(VERSIONS[1].parse("9223372036854771712\n", "850\n", STAT_1), None);
        assert_eq!(read(Path::new("/nowhere")), None);
    }

    #[test]
    fn all_groups_around_the_own_one_count() {
        let root = Path::new("/c");
        let dirs = |text: &str| directories(root, text);
        assert_eq!(
            dirs("4:freezer:/x\n0::/user.slice/tandem.service\n"),
            ["/c/user.slice/tandem.service", "/c/user.slice", "/c"].map(PathBuf::from)
        );
        assert_eq!(dirs("0::/"), ["/c"].map(PathBuf::from));
        assert_eq!(dirs("0::/../../a"), ["/c/a", "/c"].map(PathBuf::from));
        assert_eq!(
            dirs("4:cpu,memory:/a/b:c\n3:cpuset:/x\n"),
            ["/c/memory/a/b:c", "/c/memory/a", "/c/memory"].map(PathBuf::from)
        );
        for nothing in ["", "4:freezer:/x\n", "4:memory\n", "memory:/x\n"] {
            assert!(dirs(nothing).is_empty(), "{nothing:?}");
        }
    }

    #[test]
    fn a_limit_is_read_from_its_directory() {
        let dir = group(&[("memory.max", "1000\n"), ("memory.current", "400\n")]);
        assert_eq!(read(dir.path()), None);
        fs::write(dir.path().join("memory.stat"), STAT).unwrap();
        assert_eq!(read(dir.path()), Some(Limit { total: 1000, available: 750 }));
    }

    #[test]
    fn a_limit_of_version_1_counts_the_cache_of_the_groups_below() {
        let files = [
            ("memory.limit_in_bytes", "1000\n"),
            ("memory.usage_in_bytes", "400\n"),
            ("memory.stat", STAT_1),
        ];
        assert_eq!(read(group(&files).path()), Some(Limit { total: 1000, available: 750 }));
    }
}
