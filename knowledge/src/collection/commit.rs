//! What a commit of the index says of the vectors that belong to it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::EmbeddingSpace;
use crate::vectors::Extent;
use crate::{Error, Result};

/// Number of the format of a collection on disk.
const FORMAT: u32 = 1;

/// Written with each commit of the index, in the same file, so that both become true at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Commit {
    pub(super) format: u32,
    /// What the vectors were made with; none when there are only words.
    pub(super) embedding: Option<EmbeddingSpace>,
    /// Which vector files, and how many of their rows count.
    pub(super) generation: u64,
    pub(super) rows: usize,
    /// The number of the next chunk.
    pub(super) next: u64,
}

impl Commit {
    /// That of a collection without documents.
    pub(super) fn first(embedding: Option<EmbeddingSpace>) -> Self {
        Self { format: FORMAT, embedding, generation: 0, rows: 0, next: 1 }
    }

    /// Reads the commit of the index in `directory`; `None` when it has none yet.
    pub(super) fn of(index: &tantivy::Index, directory: &Path) -> Result<Option<Self>> {
        /// What every format has.
        #[derive(Deserialize)]
        struct Any {
            format: u32,
        }
        let metas = index.load_metas().map_err(super::words(directory))?;
        let Some(payload) = metas.payload else { return Ok(None) };
        let found = serde_json::from_str(&payload).map_or(0, |any: Any| any.format);
        let format = || Error::Format { path: directory.into(), found, known: FORMAT };
        if found != FORMAT {
            return Err(format());
        }
        serde_json::from_str(&payload).map(Some).map_err(|_| format())
    }

    pub(super) fn payload(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| super::unwritten(&error))
    }

    pub(super) const fn extent(&self) -> Extent {
        Extent { generation: self.generation, rows: self.rows }
    }
}
