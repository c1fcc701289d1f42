//! Giving back what removed documents have left behind.

use tantivy::index::{SegmentId, SegmentMeta};
use tantivy::indexer::{LogMergePolicy, MergePolicy as _};

use super::commit::Commit;
use super::{Collection, words};
use crate::Result;

/// Share of deleted texts in a segment of the index from which on it is written anew.
const DELETED_MOST: f32 = 0.3;

impl Collection {
    /// Writes anew what deleted documents have left behind: texts, words and vectors are gone from disk
    /// when this returns. What was not committed is committed first.
    pub fn compact(&mut self) -> Result<()> {
        self.commit()?;
        let done = self.rewrite();
        self.or_undo(done)
    }

    /// Merges segments of the index when there are many alike. This is done here and not by the index,
    /// which would do it at a time of its own and keep a thread for it.
    pub(super) fn tidy(&mut self) -> Result<()> {
        let mut policy = LogMergePolicy::default();
        policy.set_del_docs_ratio_before_merge(DELETED_MOST);
        let segments = self.index.searchable_segment_metas().map_err(words(&self.directory))?;
        for candidate in policy.compute_merge_candidates(&segments) {
            self.merge(&candidate.0)?;
        }
        Ok(())
    }

    fn merge(&mut self, segments: &[SegmentId]) -> Result<()> {
        self.writer.merge(segments).wait().map_err(words(&self.directory))?;
        self.publish()
    }

    fn rewrite(&mut self) -> Result<()> {
        let segments = self.index.searchable_segment_metas().map_err(words(&self.directory))?;
        if segments.len() > 1 || segments.iter().any(SegmentMeta::has_deletes) {
            self.merge(&segments.iter().map(SegmentMeta::id).collect::<Vec<_>>())?;
        }
        let snapshot = self.snapshot();
        if let Some(vectors) = &self.vectors
            && snapshot.alive.count() < vectors.rows()
        {
            let generation = self.committed.generation + 1;
            let rewritten = vectors.rewrite(generation, &snapshot.alive)?;
            let commit = Commit { generation, rows: rewritten.rows(), ..self.committed.clone() };
            let before = self.vectors.replace(rewritten);
            let done = self.write(commit);
            if done.is_err() {
                self.vectors = before;
            }
            done?;
            if let Some(vectors) = &self.vectors {
                vectors.remove_others(generation)?;
            }
        }
        self.writer.garbage_collect_files().wait().map_err(words(&self.directory))?;
        Ok(())
    }
}
