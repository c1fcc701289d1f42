//! Room on the disk. sled needs some even to open what it has, so a file holds it ready: the ballast,
//! which goes when the disk is full and comes back when there is space again. While it is away, and
//! when little is left beside it, nothing is written and every change is refused.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tracing::{info, warn};

use crate::{Error, Result};

/// What opening takes at most.
const BALLAST_BYTES: u64 = 16 << 20;
/// Below this nothing is written: about what a group of changes and sled's own work take.
const LEAST_FREE_BYTES: u64 = 8 << 20;

/// Keeps room for one store.
#[derive(Debug)]
pub(super) struct Room {
    ballast: PathBuf,
    /// The file system cannot hold space ready.
    unsupported: bool,
    /// Nothing is written.
    full: bool,
}

impl Room {
    /// Room beside the store in `dir`, which need not be there.
    pub(super) fn beside(dir: &Path) -> Self {
        Self { ballast: dir.with_extension("ballast"), unsupported: false, full: false }
    }

    /// Gives the ballast up, so that the store can be opened. False when there was none.
    pub(super) fn give_up(&mut self) -> bool {
        let given_up = fs::remove_file(&self.ballast).is_ok();
        if given_up {
            warn!(ballast = %self.ballast.display(), "the disk is full; the ballast is given up");
        }
        given_up
    }

    /// Whether there is room for changes; [`Error::DiskFull`] when not.
    pub(super) fn check(&mut self) -> Result<()> {
        let checked = self.look();
        match (&checked, self.full) {
            (Err(error), false) => warn!(%error, "nothing is stored"),
            (Ok(()), true) => info!("there is space again; the store takes changes"),
            _ => {}
        }
        self.full = checked.is_err();
        checked
    }

    fn look(&mut self) -> Result<()> {
        let folder = self.ballast.parent().unwrap_or(Path::new("/"));
        let free = statvfs(folder).map(|it| it.f_bavail.saturating_mul(it.f_frsize));
        // A disk that does not say how full it is says so when it is written to.
        let Ok(free) = free else { return Ok(()) };
        if free < LEAST_FREE_BYTES {
            return Err(full(folder, free));
        }
        if self.unsupported || self.ballast.exists() {
            return Ok(());
        }
        if free < BALLAST_BYTES + 2 * LEAST_FREE_BYTES {
            return Err(full(folder, free));
        }
        match self.make() {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.unsupported = true;
                drop(fs::remove_file(&self.ballast));
                Ok(())
            }
            Err(_) => {
                drop(fs::remove_file(&self.ballast));
                Err(full(folder, free))
            }
        }
    }

    fn make(&self) -> io::Result<()> {
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).mode(0o600);
        let file = file.open(&self.ballast)?;
        fallocate(&file, FallocateFlags::empty(), 0, BALLAST_BYTES)?;
        file.sync_all()
    }
}

fn full(folder: &Path, free: u64) -> Error {
    let folder = folder.display();
    Error::DiskFull { problem: format!("{} MiB are free at {folder}", free >> 20) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_ballast_is_held_given_up_once_and_made_again_when_there_is_space() {
        let dir = tempfile::tempdir().unwrap();
        let ballast = dir.path().join("store.ballast");
        let mut room = Room::beside(&dir.path().join("store"));
        assert!(!room.give_up(), "there is none yet");
        for _ in 0..2 {
            room.check().unwrap();
            assert_eq!(ballast.metadata().unwrap().len(), BALLAST_BYTES);
        }
        assert!(room.give_up());
        assert!(!ballast.exists());
        assert!(!room.give_up());
        room.check().unwrap();
        assert!(ballast.exists());
    }

    #[test]
    fn how_full_the_disk_is_is_said_with_its_folder() {
        let error = full(Path::new("/data"), 3 << 20);
        assert!(matches!(error, Error::DiskFull { .. }));
        assert!(error.to_string().contains("3 MiB are free at /data"), "{error}");
    }
}
