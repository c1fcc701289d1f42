//! What the operating system grants and tells. Blocking, files only.

use std::{fs, path::Path};

use rustix::process::{Resource, getrlimit};
use tandem_config::hardware::Hardware;

use crate::report::{doctor::Finding, model::size};

const GIB: u64 = 1 << 30;

/// With less memory than this, a machine should be able to swap.
const SWAP_BELOW: u64 = 8 * GIB;

/// Open files that the daemon needs for a few clients, and that it should have.
const FILES_LEAST: u64 = 256;
const FILES_ENOUGH: u64 = 1024;

/// Looks at the system whose files are below `root`.
pub(super) fn look(root: &Path, hardware: &Hardware) -> Vec<Finding> {
    let files = getrlimit(Resource::Nofile).current;
    [memory(root, hardware), swap(root, hardware), stalls(root), Some(open_files(files))]
        .into_iter()
        .flatten()
        .collect()
}

/// Memory that a control group takes away, or that is too little for anything.
fn memory(root: &Path, hardware: &Hardware) -> Option<Finding> {
    let usable = hardware.memory_usable_bytes();
    if usable < GIB {
        return Some(Finding::problem(
            format!("{} of memory: no model fits beside the daemon", size(usable)),
            "raise the limit of the container or service, or use providers only",
        ));
    }
    let limit = hardware.memory_limit_bytes.filter(|limit| *limit < hardware.memory_bytes)?;
    let unified = root.join("sys/fs/cgroup/cgroup.controllers").exists();
    Some(Finding::fine(format!(
        "a control group (version {}) allows {} of {}, and the defaults follow that",
        if unified { 2 } else { 1 },
        size(limit),
        size(hardware.memory_bytes),
    )))
}

/// Whether memory that is not in use can be moved out; `None` where that is not known.
fn swap(root: &Path, hardware: &Hardware) -> Option<Finding> {
    let table = fs::read_to_string(root.join("proc/swaps")).ok()?;
    // A heading, then name, type, KiB, and more.
    let areas: Vec<(bool, u64)> = table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut cells = line.split_whitespace();
            let compressed = cells.next()?.starts_with("/dev/zram");
            Some((compressed, cells.nth(1)?.parse::<u64>().ok()? << 10))
        })
        .collect();
    let total: u64 = areas.iter().map(|(_, bytes)| bytes).sum();
    let memory = hardware.memory_usable_bytes();
    Some(if total > 0 {
        let kind =
            if areas.iter().any(|(compressed, _)| *compressed) { ", compressed" } else { "" };
        Finding::fine(format!("{} of swap{kind}", size(total)))
    } else if memory < SWAP_BELOW {
        Finding::note(
            format!("no swap beside {} of memory: a shortage ends a program at once", size(memory)),
            "set up zram, as systemd-zram-generator or zram-tools do, or a swap file",
        )
    } else {
        Finding::fine(format!("no swap, and {} of memory", size(memory)))
    })
}

/// Whether the kernel tells of shortages; `None` on systems that have nothing like it.
fn stalls(root: &Path) -> Option<Finding> {
    if !root.join("proc/swaps").exists() {
        return None;
    }
    Some(match fs::read_to_string(root.join("proc/pressure/memory")) {
        Ok(_) => Finding::fine("the kernel tells how long programs wait for memory"),
        Err(_) => Finding::note(
            "the kernel does not tell how long programs wait for memory",
            "boot it with psi=1, so that a shortage is seen earlier",
        ),
    })
}

/// The limit that a daemon inherits when it is started from here; `None` is none.
fn open_files(limit: Option<u64>) -> Finding {
    let fix = "raise it with `ulimit -n 4096`, or LimitNOFILE= of the service";
    match limit {
        Some(files) if files < FILES_LEAST => {
            Finding::problem(format!("only {files} files may be open at a time"), fix)
        }
        Some(files) if files < FILES_ENOUGH => {
            Finding::note(format!("{files} files may be open, which many clients use up"), fix)
        }
        Some(files) => Finding::fine(format!("{files} files may be open at a time")),
        None => Finding::fine("any number of files may be open"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::command::doctor::choices::tests::machine;

    const HEADING: &str = "Filename\tType\tSize\tUsed\tPriority\n";

    fn root(swaps: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/pressure")).unwrap();
        fs::write(root.path().join("proc/swaps"), swaps).unwrap();
        root
    }

    #[test]
    fn a_small_machine_without_swap_is_told_how_to_get_some() {
        let bare = root(HEADING);
        let told = swap(bare.path(), &machine()).unwrap();
        assert!(told.found.starts_with("no swap beside 4.00 GiB"), "{told:?}");
        assert!(told.fix.unwrap().contains("zram"));
        let large = Hardware { memory_bytes: 32 * GIB, ..machine() };
        assert_eq!(swap(bare.path(), &large).unwrap().fix, None);

        let zram = root(&format!("{HEADING}/dev/zram0 partition 2097152 0 100\n"));
        let found = swap(zram.path(), &machine()).unwrap().found;
        assert_eq!(found, "2.00 GiB of swap, compressed");
        assert_eq!(swap(Path::new("/nowhere"), &machine()), None);
    }

    #[test]
    fn a_kernel_that_does_not_tell_of_shortages_is_told_of() {
        let root = root(HEADING);
        assert!(stalls(root.path()).unwrap().fix.unwrap().contains("psi=1"));
        fs::write(root.path().join("proc/pressure/memory"), "some avg10=0.00\n").unwrap();
        assert_eq!(stalls(root.path()).unwrap().fix, None);
        assert_eq!(stalls(Path::new("/nowhere")), None);
    }

    #[test]
    fn a_limit_of_the_group_is_named_and_one_too_low_is_a_problem() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(memory(root.path(), &machine()), None);
        let limited = |bytes| Hardware { memory_limit_bytes: Some(bytes), ..machine() };
        let told = memory(root.path(), &limited(2 * GIB)).unwrap();
        assert!(told.found.contains("(version 1) allows 2.00 GiB of 4.00 GiB"), "{told:?}");
        assert!(memory(root.path(), &limited(GIB / 2)).unwrap().is_problem());
        assert_eq!(memory(root.path(), &limited(8 * GIB)), None, "it limits nothing");
    }

    #[test]
    fn few_open_files_are_a_problem_and_some_a_note() {
        assert!(open_files(Some(100)).is_problem());
        assert!(open_files(Some(512)).fix.is_some() && !open_files(Some(512)).is_problem());
        assert_eq!((open_files(Some(1024)).fix, open_files(None).fix), (None, None));
    }
}
