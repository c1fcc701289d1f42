//! All that is stored, taken care of as one: the records of the store and the collections of documents.
//! Each has its owner; what is here asks both.

use std::path::PathBuf;

use crate::knowledge_base::KnowledgeBase;
use crate::memory_search::MemorySearch;
use crate::memory_store::{self, FINDINGS_MAX, Finding, MemoryStore};
use crate::{Error, Result};

mod backup;
mod format;
mod restore;

pub(crate) use format::Piece;

/// What to do about a collection that cannot be opened.
const UNUSABLE: &str = "restore a backup with `tandem memory restore`, or delete the collection with \
                        `tandem knowledge delete`";

/// Takes care of what is stored. Cheap to clone; outlives the restarts of those whom it asks.
#[derive(Debug, Clone)]
pub struct Storage {
    store: MemoryStore,
    search: MemorySearch,
    knowledge: KnowledgeBase,
}

/// What a restore came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Records that the new store began with.
    pub records: u64,
    /// Where the store before is kept.
    pub previous: Option<PathBuf>,
    /// Collections that were taken over.
    pub collections: u64,
    /// Where the collections before are kept; `None` when there were none, or they stay.
    pub previous_collections: Option<PathBuf>,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Records that were read.
    pub records: u64,
    /// Collections that were read.
    pub collections: u64,
    /// What is broken; at most 1000 of it.
    pub findings: Vec<Finding>,
}

/// How large everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// The store.
    pub store: memory_store::Stats,
    /// Bytes of the index by which conversations are searched.
    pub index_bytes: u64,
    /// Collections of documents.
    pub collections: u64,
    /// Bytes of their files.
    pub collection_bytes: u64,
}

impl Storage {
    /// The storage that these own.
    #[must_use]
    pub fn new(store: &MemoryStore, search: &MemorySearch, knowledge: &KnowledgeBase) -> Self {
        Self { store: store.clone(), search: search.clone(), knowledge: knowledge.clone() }
    }

    /// Reads everything and says what is broken. With `repair`, mends what can be mended without a loss.
    pub async fn check(&self, repair: bool) -> Result<Checked> {
        let memory_store::CheckReport { records, mut findings } = self.store.check(repair).await?;
        let mut collections = 0;
        for name in self.knowledge.names().await? {
            match self.knowledge.check(&name).await {
                Ok(faults) => findings.extend(faults.into_iter().map(|fault| Finding {
                    what: format!("collection {name}: {}: {}", fault.path.display(), fault.what),
                    advice: fault.advice.into(),
                    repaired: false,
                })),
                Err(error @ Error::Collection { .. }) => findings.push(Finding {
                    what: error.to_string(),
                    advice: UNUSABLE.into(),
                    repaired: false,
                }),
                // It was deleted meanwhile.
                Err(Error::CollectionNotFound { .. }) => continue,
                Err(error) => return Err(error),
            }
            collections += 1;
        }
        findings.truncate(FINDINGS_MAX);
        Ok(Checked { records, collections, findings })
    }

    /// Writes everything anew without what was removed, and makes the search index anew. Returns the bytes
    /// before and after, without that index.
    pub async fn compact(&self) -> Result<(u64, u64)> {
        let store = self.store.compact().await?;
        // It is of the store before; until it is made anew, it has words of what was deleted.
        self.search.refresh().await?;
        let (mut before, mut after) = (store.bytes_before, store.bytes_after);
        for name in self.knowledge.names().await? {
            match self.knowledge.compact(&name).await {
                Ok(compacted) => {
                    before += compacted.0;
                    after += compacted.1;
                }
                Err(Error::CollectionNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((before, after))
    }

    /// Counts everything.
    pub async fn stats(&self) -> Result<Stats> {
        Ok(Stats {
            store: self.store.stats().await?,
            index_bytes: self.search.disk_bytes().await,
            collections: self.knowledge.names().await?.len() as u64,
            collection_bytes: self.knowledge.disk_bytes().await?,
        })
    }
}

#[cfg(test)]
mod tests;
