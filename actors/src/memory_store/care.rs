//! The store's care: copies, restoring, compaction, checks and numbers. The work goes in parts, so
//! that turns are stored meanwhile.

use std::path::{Path, PathBuf};

use sled::IVec;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::check::{Checked, Finding};
use super::copying::{Page, Record};
use super::database::{Counts, Database};
use super::fresh::Fresh;
use super::replacing::{Replace, Replaced};
use super::thread::{Acknowledge, change, read};
use super::{MemoryStore, Reply, Request as StoreRequest, key};
use crate::{Error, Result};

/// How often what changed during a copy is fetched at most, before the last part.
const ROUNDS_MAX: usize = 1000;

/// What a restore or a compaction came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// Records that the new store began with.
    pub records: u64,
    /// Bytes on disk before.
    pub bytes_before: u64,
    /// Bytes on disk after.
    pub bytes_after: u64,
    /// Where the store before is kept; `None` when it was removed.
    pub previous: Option<PathBuf>,
}

/// What a check came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// How many records were read.
    pub records: u64,
    /// What is broken; at most 1000 of it.
    pub findings: Vec<Finding>,
}

/// Most findings that a report has.
pub(crate) const FINDINGS_MAX: usize = 1000;

/// How large the store is, and what it did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Where it lies.
    pub dir: PathBuf,
    /// Bytes of its files.
    pub disk_bytes: u64,
    /// Bytes of keys and values.
    pub logical_bytes: u64,
    /// Of these, bytes of conversations.
    pub conversation_bytes: u64,
    /// Conversations.
    pub conversations: u64,
    /// Turns of all conversations.
    pub turns: u64,
    /// Sums of usage, by day and by conversation.
    pub usage_rows: u64,
    /// What is remembered of the user beyond conversations.
    pub memories: u64,
    /// Turns that were added since it was opened.
    pub committed: u64,
    /// Flushes to disk since then; each is for all changes that waited.
    pub flushes: u64,
}

/// A copy under way.
#[derive(Debug)]
pub(crate) struct StoreCopy {
    store: MemoryStore,
    id: Uuid,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The records behind this one.
    Pages(Option<IVec>),
    /// What changed meanwhile, which was fetched so often.
    Rest(usize),
    Done,
}

impl StoreCopy {
    /// The next records, in the place of those with the same keys that came before; `None` behind the
    /// last. Together they are the store as it is when the last ones come.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Record>>> {
        let copy = self.id;
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Pages(after) => {
                let page =
                    self.store.care(|reply| Request::CopyPage { copy, after, reply }).await?;
                let next = page.next.map(|next| Stage::Pages(Some(next)));
                self.stage = next.unwrap_or(Stage::Rest(0));
                Ok(Some(page.records))
            }
            Stage::Rest(ROUNDS_MAX) => Err(too_busy()),
            Stage::Rest(round) => {
                let page = self.store.care(|reply| Request::CopyRest { copy, reply }).await?;
                if page.next.is_some() {
                    self.stage = Stage::Rest(round + 1);
                }
                Ok(Some(page.records))
            }
            Stage::Done => Ok(None),
        }
    }
}

impl MemoryStore {
    /// Begins to copy the store, which goes on meanwhile.
    pub(crate) async fn copy(&self) -> Result<StoreCopy> {
        let id = self.care(|reply| Request::BeginCopy { reply }).await?;
        Ok(StoreCopy { store: self.clone(), id, stage: Stage::Pages(None) })
    }

    /// Begins a store to take the place of this one. One with anything in it is replaced only with
    /// `overwrite`.
    pub(crate) async fn begin_restore(&self, overwrite: bool) -> Result<Fresh> {
        self.care(|reply| Request::BeginFresh { overwrite, reply }).await
    }

    /// Takes a store that is whole in the place of this one, which is kept beside it. Whether it is done
    /// is decided at one moment, and a crash after that is made good when the store is opened.
    pub(crate) async fn finish_restore(&self, fresh: Fresh, overwrite: bool) -> Result<Renewed> {
        let fresh = Box::new(fresh);
        self.replace(|reply| Replace { fresh, copy: None, keep: true, overwrite, reply }).await
    }

    /// Writes the store anew without what was removed, and goes on with that.
    pub async fn compact(&self) -> Result<Renewed> {
        let mut fresh = self.begin_restore(true).await?;
        let copy = self.care(|reply| Request::BeginCopy { reply }).await?;
        let mut after = None;
        loop {
            let page = self.care(|reply| Request::CopyPage { copy, after, reply }).await?;
            fresh = put(fresh, page.records).await?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let fresh = Box::new(fresh);
        let copy = Some(copy);
        self.replace(|reply| Replace { fresh, copy, keep: false, overwrite: true, reply }).await
    }

    /// Reads everything and says what is broken. With `repair`, mends what can be mended without a
    /// loss.
    pub async fn check(&self, repair: bool) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        let mut after = None;
        loop {
            let checked = self.care(|reply| Request::Check { after, repair, reply }).await?;
            report.records += checked.records;
            report.findings.extend(checked.findings);
            report.findings.truncate(FINDINGS_MAX);
            after = checked.next;
            if after.is_none() {
                return Ok(report);
            }
        }
    }

    /// Counts everything.
    pub async fn stats(&self) -> Result<Stats> {
        let (dir, counts) = self.care(|reply| Request::Counts { reply }).await?;
        let mut stats =
            Stats { committed: counts.turns, flushes: counts.syncs, dir, ..Stats::default() };
        let mut after: Option<IVec> = None;
        let mut turn = None;
        loop {
            let page = self.care(|reply| Request::Records { after, reply }).await?;
            for (key, value) in &page.records {
                let bytes = (key.len() + value.as_ref().map_or(0, |value| value.len())) as u64;
                stats.logical_bytes += bytes;
                let mut of_a_conversation = true;
                match key.first() {
                    Some(b'c') => stats.conversations += 1,
                    Some(b't') => {
                        let this = key::read_turn(key);
                        stats.turns += u64::from(turn != this);
                        turn = this;
                    }
                    Some(b'v') => stats.usage_rows += 1,
                    Some(b'd') => {
                        stats.usage_rows += 1;
                        of_a_conversation = false;
                    }
                    Some(b'k') => {
                        stats.memories += 1;
                        of_a_conversation = false;
                    }
                    _ => of_a_conversation = false,
                }
                if of_a_conversation {
                    stats.conversation_bytes += bytes;
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let dir = stats.dir.clone();
        stats.disk_bytes = spawn_blocking(move || disk_bytes(&dir)).await.unwrap_or(0);
        Ok(stats)
    }

    async fn care<T: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<T> {
        self.insist(|reply| StoreRequest::Care(request(reply))).await
    }

    async fn replace(&self, request: impl FnOnce(Reply<Replaced>) -> Replace) -> Result<Renewed> {
        let Replaced { renewed } =
            self.insist(|reply| StoreRequest::Replace(request(reply))).await?;
        Ok(renewed)
    }
}

async fn put(mut fresh: Fresh, records: Vec<Record>) -> Result<Fresh> {
    let put = spawn_blocking(move || fresh.put(records).map(|()| fresh));
    put.await.map_err(|error| Error::Internal { problem: error.to_string() })?
}

pub(super) fn too_busy() -> Error {
    Error::Store {
        problem: "too much changes meanwhile; try again when less is written".to_owned(),
    }
}

/// Bytes that the files of a directory take up.
pub(crate) fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;

    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let bytes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    bytes.sum()
}

/// What can be asked; the methods of [`MemoryStore`] document each.
#[derive(Debug)]
#[allow(private_interfaces, reason = "messages between actors of this crate")]
#[allow(missing_docs, reason = "the methods of MemoryStore document them")]
pub enum Request {
    BeginCopy { reply: Reply<Uuid> },
    CopyPage { copy: Uuid, after: Option<IVec>, reply: Reply<Page> },
    CopyRest { copy: Uuid, reply: Reply<Page> },
    Records { after: Option<IVec>, reply: Reply<Page> },
    BeginFresh { overwrite: bool, reply: Reply<Fresh> },
    Check { after: Option<IVec>, repair: bool, reply: Reply<Checked> },
    Counts { reply: Reply<(PathBuf, Counts)> },
}

impl Request {
    pub(super) fn serve(self, database: &mut Database) -> Option<Acknowledge> {
        match self {
            Self::BeginCopy { reply } => read(reply, || Ok(database.begin_copy())),
            Self::CopyPage { copy, after, reply } => {
                read(reply, || database.copy_page(copy, after))
            }
            Self::CopyRest { copy, reply } => read(reply, || database.copy_rest(copy)),
            Self::Records { after, reply } => read(reply, || database.records(after)),
            Self::BeginFresh { overwrite, reply } => read(reply, || {
                database.room.clone()?;
                database.check_overwriting(overwrite)?;
                Fresh::begin(database.dir())
            }),
            Self::Check { after, repair: true, reply } => {
                change(reply, || database.check(after, true))
            }
            Self::Check { after, repair: false, reply } => {
                read(reply, || database.check(after, false))
            }
            Self::Counts { reply } => {
                read(reply, || Ok((database.dir().to_owned(), database.counts())))
            }
        }
    }
}
