//! Changes that are made together or not at all.

use std::collections::BTreeMap;

use sled::{Batch, IVec};
use uuid::Uuid;

/// What is to become of keys, a value or nothing, and what the search index is to know of it.
#[derive(Debug, Default)]
pub(super) struct Changes {
    records: BTreeMap<IVec, Option<IVec>>,
    /// Conversations, and the turn that was added, or `None` when any may have changed.
    pub(super) noted: Vec<(Uuid, Option<u64>)>,
}

impl Changes {
    pub(super) fn insert(&mut self, key: impl AsRef<[u8]>, value: impl Into<IVec>) {
        self.records.insert(key.as_ref().into(), Some(value.into()));
    }

    pub(super) fn remove(&mut self, key: impl AsRef<[u8]>) {
        self.records.insert(key.as_ref().into(), None);
    }

    /// A turn was added to a conversation, or, without a sequence, any of its turns may have changed.
    pub(super) fn note(&mut self, conversation: Uuid, sequence: Option<u64>) {
        self.noted.push((conversation, sequence));
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &IVec> {
        self.records.keys()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// As sled takes them.
    pub(super) fn batch(self) -> Batch {
        let mut batch = Batch::default();
        for (key, value) in self.records {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch
    }
}
