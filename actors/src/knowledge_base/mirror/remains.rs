//! Copies of collections that were deleted. The mark of each stays, in the folder of all collections,
//! until the copy is gone, too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::super::{blocking, record};
use super::Copies;
use super::copier::RETRY_MAX;
use super::mark::{FILE, Mark};
use crate::{Error, Result};

/// Begins the name of a mark that stays.
const PREFIX: &str = "copy.";

/// Keeps the mark of a collection whose folder is about to be removed.
pub(in super::super) fn keep_mark(folder: &Path, dir: &Path) {
    let keep = || match Mark::read(folder)? {
        Some(mark) => fs::rename(folder.join(FILE), dir.join(format!("{PREFIX}{}", mark.name))),
        None => Ok(()),
    };
    if let Err(error) = keep() {
        warn!(folder = %folder.display(), %error, "a copy in Chroma may stay there");
    }
}

/// Takes along the marks of all copies: those of the collections in `dir` are about to be of no use.
pub(in super::super) fn carry(dir: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            fs::rename(entry.path(), to.join(entry.file_name()))?;
        } else if entry.file_type()?.is_dir() {
            keep_mark(&entry.path(), to);
        }
    }
    Ok(())
}

/// Removes copies whose collections were deleted, until the handle is dropped.
pub(in super::super) fn sweep(copies: Arc<Copies>, dir: Arc<Path>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            match round(&copies, Arc::clone(&dir)).await {
                Ok(()) => copies.deleted.notified().await,
                Err(error) => {
                    warn!(%error, "copies of deleted collections stay in Chroma for now");
                    sleep(RETRY_MAX).await;
                }
            }
        }
    }))
}

async fn round(copies: &Copies, dir: Arc<Path>) -> Result<()> {
    let failed = |error: io::Error| Error::Internal { problem: error.to_string() };
    for (file, mark) in blocking(move || marks(&dir)).await?.map_err(failed)? {
        // What is in another place may be deleted when that is set again.
        if mark.place == copies.server.place() {
            copies.server.remove(&mark.name).await?;
            // A restore may have taken it elsewhere.
            match blocking(move || fs::remove_file(file)).await? {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => (),
            }
        }
    }
    Ok(())
}

fn marks(dir: &Path) -> io::Result<Vec<(PathBuf, Mark)>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut marks = Vec::new();
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        match record::read(&entry.path()) {
            Ok(Some(mark)) => marks.push((entry.path(), mark)),
            Ok(None) => (),
            Err(error) => {
                warn!(mark = %entry.path().display(), %error, "a copy may stay in Chroma");
            }
        }
    }
    Ok(marks)
}
