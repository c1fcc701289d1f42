//! Copies the store while it changes: page by page in the order of keys, and then what changed
//! meanwhile. The last page is read at one moment together with the end of the copy, so all of it
//! together is the store as it is then.

use std::collections::BTreeSet;
use std::ops::Bound;

use sled::IVec;
use uuid::Uuid;

use super::database::{Database, unreadable};
use super::key;
use crate::{Error, Result};

/// Most bytes of a page, past which no record begins.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// Most keys that change during a copy.
const CHANGED_MAX: usize = 500_000;

/// A key and what became of it: a value, or nothing.
pub(crate) type Record = (IVec, Option<IVec>);

/// A part of the store.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) records: Vec<Record>,
    /// The last key that was read; `None` behind the last part.
    pub(crate) next: Option<IVec>,
}

/// A copy under way.
#[derive(Debug)]
pub(super) struct Copying {
    id: Uuid,
    /// What was written since it began; `None` when that is too much.
    changed: Option<BTreeSet<IVec>>,
}

impl Copying {
    pub(super) fn note<'a>(&mut self, keys: impl Iterator<Item = &'a IVec>) {
        if let Some(changed) = &mut self.changed {
            changed.extend(keys.filter(|key| is_copied(key)).cloned());
        }
        self.changed.take_if(|changed| changed.len() > CHANGED_MAX);
    }
}

/// The journal is about the index of this very store.
fn is_copied(key: &[u8]) -> bool {
    !key.starts_with(key::JOURNAL)
}

impl Database {
    /// Begins a copy, in the place of one that nobody went on with.
    pub(super) fn begin_copy(&mut self) -> Uuid {
        let id = self.new_id();
        self.copying = Some(Copying { id, changed: Some(BTreeSet::new()) });
        id
    }

    /// The records behind `after`, some of them.
    pub(super) fn copy_page(&self, copy: Uuid, after: Option<IVec>) -> Result<Page> {
        self.own(copy)?;
        self.records(after)
    }

    /// The records behind `after`, some of them, as they are now.
    pub(super) fn records(&self, after: Option<IVec>) -> Result<Page> {
        let (mut page, mut bytes) = (Page::default(), 0);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        for entry in self.sled.range::<IVec, _>((from, Bound::Unbounded)) {
            let (key, value) = entry.map_err(unreadable)?;
            bytes += key.len() + value.len();
            page.next = Some(key.clone());
            if is_copied(&key) {
                page.records.push((key, Some(value)));
            }
            if bytes >= PAGE_BYTES_MAX {
                return Ok(page);
            }
        }
        page.next = None;
        Ok(page)
    }

    /// What changed since it was asked last. Without a next page the copy ends with this one.
    pub(super) fn copy_rest(&mut self, copy: Uuid) -> Result<Page> {
        self.own(copy)?;
        let (mut page, mut bytes) = (Page::default(), 0);
        let changed = self.copying.as_mut().and_then(|copying| copying.changed.as_mut());
        let Some(changed) = changed else { return Err(interrupted()) };
        while let Some(key) = changed.pop_first() {
            let value = self.sled.get(&key).map_err(unreadable)?;
            bytes += key.len() + value.as_ref().map_or(0, |value| value.len());
            page.next = Some(key.clone());
            page.records.push((key, value));
            if bytes >= PAGE_BYTES_MAX && !changed.is_empty() {
                return Ok(page);
            }
        }
        page.next = None;
        self.copying = None;
        Ok(page)
    }

    fn own(&self, copy: Uuid) -> Result<()> {
        let own = self.copying.as_ref().is_some_and(|own| own.id == copy && own.changed.is_some());
        if own { Ok(()) } else { Err(interrupted()) }
    }
}

fn interrupted() -> Error {
    Error::Store {
        problem: "another copy began, too much changed during this one, or the store was opened \
                  anew meanwhile; try again"
            .to_owned(),
    }
}
