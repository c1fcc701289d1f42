//! Opens sled's directory for this process alone, past what crashes leave behind.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use sled::Db;
use tracing::warn;

use super::migrations::SCHEMA_VERSION;
use super::switching;
use crate::Error;

/// Small, since a page is read from the kernel's cache anyway.
const CACHE_BYTES: u64 = 8 << 20;
/// How often sled frees space; it does so nowhere else than in this timer. Commits do not wait
/// for it.
const GARBAGE_COLLECTION_MS: u64 = 10_000;

/// What opening comes to.
pub(super) type Opened<T> = Result<T, Problem>;

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("another process has it open; stop that one or choose another TANDEM_HOME")]
    Locked,
    #[error(
        "it was written by a later tandem (layout {found}, this one knows up to {SCHEMA_VERSION}); \
         update tandem"
    )]
    Newer { found: u32 },
    #[error("{0}; check disk space and permissions")]
    Io(#[from] io::Error),
    #[error("{0}; move the directory aside to begin with an empty store")]
    Failed(String),
    #[error("{0}")]
    Store(#[from] Error),
}

impl Problem {
    /// Whether there may be enough space another time.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Io(error) => is_full(error),
            Self::Store(error) => matches!(error, Error::DiskFull { .. }),
            _ => false,
        }
    }
}

impl From<sled::Error> for Problem {
    fn from(error: sled::Error) -> Self {
        match error {
            // A previous life's threads hold sled's own lock a moment longer than ours.
            sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => {
                Self::Locked
            }
            sled::Error::Io(error) => Self::Io(error),
            error => Self::Failed(error.to_string()),
        }
    }
}

/// The database and the lock that must be held as long as it is open.
pub(super) fn open(dir: &Path) -> Opened<(Db, File)> {
    switching::finish(dir)?;
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let lock = File::options().create(true).truncate(false).write(true).open(dir.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Problem::Locked),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    // A crash while a snapshot was written leaves a file that sled stumbles over for ever.
    for leftover in snapshots(dir)?.iter().filter(|name| name.ends_with(".generating")) {
        fs::remove_file(dir.join(leftover))?;
    }
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(CACHE_BYTES)
        .mode(sled::Mode::LowSpace)
        .flush_every_ms(Some(GARBAGE_COLLECTION_MS));
    let sled = match config.open() {
        // Snapshots only make opening faster: everything is in the log.
        Err(error @ sled::Error::Corruption { .. }) => {
            warn!(%error, "the store does not open; trying without its snapshots");
            for snapshot in snapshots(dir)? {
                fs::rename(dir.join(&snapshot), dir.join(format!("unreadable.{snapshot}")))?;
            }
            config.open()?
        }
        opened => opened?,
    };
    Ok((sled, lock))
}

/// Names of sled's snapshots, finished or not.
fn snapshots(dir: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().into_string()));
    let names: Vec<_> = names.collect::<io::Result<_>>()?;
    Ok(names.into_iter().flatten().filter(|name| name.starts_with("snap.")).collect())
}

/// The error of a write that failed.
#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn unwritable(error: io::Error) -> Error {
    let problem = error.to_string();
    if is_full(&error) { Error::DiskFull { problem } } else { Error::Store { problem } }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
