//! The care of collections: checks, compaction, copies and how much there is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tandem_knowledge::collection::{CopiedFile, Fault, Stats};

use super::mirror::remains;
use super::{KnowledgeBase, blocking};
use crate::Result;
use crate::memory_store::disk_bytes;

/// What the folder of a collection that was removed is called until its files are.
const REMOVED: &str = "removed.";

/// A folder for what is about to be removed.
pub(super) fn removed(dir: &Path) -> PathBuf {
    dir.join(format!("{REMOVED}{}", uuid::Uuid::now_v7()))
}

impl KnowledgeBase {
    /// Reads everything that is stored; returns what is damaged.
    pub async fn check(&self, collection: &str) -> Result<Vec<Fault>> {
        let _permit = self.permit()?;
        let (shelf, _) = self.shelf(collection).await?;
        shelf.with(|collection| collection.check()).await
    }

    /// Gives back the space of removed documents; returns the bytes before and after.
    pub async fn compact(&self, collection: &str) -> Result<(u64, u64)> {
        let _permit = self.permit()?;
        let (shelf, _) = self.shelf(collection).await?;
        let compact = |collection: &mut tandem_knowledge::Collection| {
            let before = bytes(&collection.stats()?);
            collection.compact()?;
            Ok((before, bytes(&collection.stats()?)))
        };
        shelf.with(compact).await
    }

    /// The names of all collections, usable or not.
    pub(crate) async fn names(&self) -> Result<Vec<String>> {
        Ok(self.cards().await?.into_keys().collect())
    }

    /// The files of a collection as of its last commit. They can be read whatever becomes of it.
    pub(crate) async fn copy(&self, collection: &str) -> Result<Vec<CopiedFile>> {
        let _permit = self.permit()?;
        let (shelf, card) = self.shelf(collection).await?;
        let mut files = shelf.with(|collection| collection.copy()).await?;
        files.push(card.copied().map_err(|error| self.failed(collection, &error))?);
        Ok(files)
    }

    /// Bytes that all collections take up on disk.
    pub(crate) async fn disk_bytes(&self) -> Result<u64> {
        let dir = Arc::clone(&self.dir);
        blocking(move || disk_bytes(&dir)).await
    }
}

pub(super) fn bytes(stats: &Stats) -> u64 {
    stats.words_bytes + stats.vectors_bytes
}

/// Removes what a crash left of removed collections.
pub(super) fn clear(dir: &Path) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries.filter(|it| it.file_name().to_string_lossy().starts_with(REMOVED)) {
        remains::keep_mark(&entry.path(), dir);
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "a removed collection stays");
        }
    }
}
