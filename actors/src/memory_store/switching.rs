//! Puts another directory in the place of the store's. A marker beside them is on disk before anything
//! is moved, and goes when all is in its place: whoever opens the store meanwhile finishes.
//!
//! | beside `store`  | what                                                               |
//! |-----------------|--------------------------------------------------------------------|
//! | `store.new`     | a store that is being made; without a marker it is not whole       |
//! | `store.old`     | the store before; removed once the new one is open                 |
//! | `store.switch`  | the marker: the name that the old store gets                       |

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Where the store is made that will take the place of `dir`.
pub(super) fn new_dir(dir: &Path) -> PathBuf {
    beside(dir, ".new")
}

/// What the store is called that is removed once the new one is open.
pub(super) fn old_dir(dir: &Path) -> PathBuf {
    beside(dir, ".old")
}

/// Decides that the new store, which is whole and on disk, takes the place of `dir`, which becomes
/// `old`. Nobody has either open.
pub(super) fn decide(dir: &Path, old: &Path) -> io::Result<()> {
    let name = old.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let draft = beside(dir, ".switching");
    let mut file = File::create(&draft)?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, beside(dir, ".switch"))?;
    sync_parent(dir)
}

/// Does what was decided and is not done, if anything.
pub(super) fn finish(dir: &Path) -> io::Result<()> {
    while step(dir)? {}
    Ok(())
}

/// Makes one move; false when there is none to make.
fn step(dir: &Path) -> io::Result<bool> {
    let (new, marker) = (new_dir(dir), beside(dir, ".switch"));
    let name = match fs::read_to_string(&marker) {
        Ok(name) => name,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if !new.try_exists()? {
        fs::remove_file(&marker)?;
    } else if dir.try_exists()? {
        let old = dir.with_file_name(name);
        if old == old_dir(dir) {
            remove(&old)?;
        }
        fs::rename(dir, old)?;
    } else {
        fs::rename(new, dir)?;
    }
    sync_parent(dir)?;
    Ok(true)
}

/// Removes what is not needed, as `dir` is open. What somebody makes at the moment is left alone.
pub(super) fn clean_up(dir: &Path) -> io::Result<()> {
    let new = new_dir(dir);
    let lock = File::open(new.join("lock")).and_then(|lock| Ok(lock.try_lock()?));
    if !lock.is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
        remove(&new)?;
    }
    remove(&old_dir(dir))
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn beside(dir: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = dir.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    dir.with_file_name(name)
}

fn sync_parent(dir: &Path) -> io::Result<()> {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn stores() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("store");
        for (dir, content) in [(dir.clone(), "before"), (new_dir(&dir), "after")] {
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("file"), content).unwrap();
        }
        (parent, dir)
    }

    fn content(dir: &Path) -> String {
        fs::read_to_string(dir.join("file")).unwrap()
    }

    #[test]
    fn a_crash_behind_any_step_is_finished_by_the_next_opening() {
        for steps in 0..=4 {
            let (_parent, dir) = stores();
            decide(&dir, &old_dir(&dir)).unwrap();
            for _ in 0..steps {
                step(&dir).unwrap();
            }
            finish(&dir).unwrap();
            assert_eq!(
                (content(&dir).as_str(), content(&old_dir(&dir)).as_str()),
                ("after", "before")
            );
            assert!(!step(&dir).unwrap());
            clean_up(&dir).unwrap();
            assert!(!old_dir(&dir).exists());
        }
    }

    #[test]
    fn a_crash_before_the_decision_leaves_the_store_as_it_was() {
        let (_parent, dir) = stores();
        fs::write(beside(&dir, ".switching"), "store.o").unwrap();
        finish(&dir).unwrap();
        clean_up(&dir).unwrap();
        assert_eq!(content(&dir), "before");
        assert!(!new_dir(&dir).exists());
    }

    #[test]
    fn the_old_store_is_kept_under_the_name_that_was_decided() {
        let (_parent, dir) = stores();
        let kept = beside(&dir, ".kept");
        decide(&dir, &kept).unwrap();
        finish(&dir).unwrap();
        clean_up(&dir).unwrap();
        assert_eq!((content(&dir).as_str(), content(&kept).as_str()), ("after", "before"));
    }
}
