//! The store's care: backups, restoring, compaction, checks and numbers. The work goes in parts, so
//! that turns are stored meanwhile.

use std::path::{Path, PathBuf};

use sled::IVec;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::check::{Checked, Finding};
use super::copying::Page;
use super::database::{Counts, Database};
use super::fresh::Fresh;
use super::replacing::{Replace, Replaced};
use super::thread::{Acknowledge, change, read};
use super::{MemoryStore, Reply, Request as StoreRequest, backup, key};
use crate::{Error, Result};

/// Parts of a backup that wait for who writes them down.
const PARTS_MAX: usize = 4;
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
const FINDINGS_MAX: usize = 1000;

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
    /// Turns that were added since it was opened.
    pub committed: u64,
    /// Flushes to disk since then; each is for all changes that waited.
    pub flushes: u64,
}

impl MemoryStore {
    /// The bytes of a backup, in parts: the store as it is when the last part comes. An error ends
    /// them.
    #[must_use]
    pub fn backup(&self) -> mpsc::Receiver<Result<Vec<u8>>> {
        let (sender, parts) = mpsc::channel(PARTS_MAX);
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.write_backup(&sender).await {
                drop(sender.send(Err(error)).await);
            }
        });
        parts
    }

    async fn write_backup(&self, sender: &mpsc::Sender<Result<Vec<u8>>>) -> Result<()> {
        let mut writer = backup::Writer::default();
        let gone = |_| Error::Cancelled { reason: "nobody reads the backup".to_owned() };
        let copy = self.care(|reply| Request::BeginCopy { reply }).await?;
        let mut after = None;
        loop {
            let page = self.care(|reply| Request::CopyPage { copy, after, reply }).await?;
            sender.send(Ok(writer.records(&page.records))).await.map_err(gone)?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for _ in 0..ROUNDS_MAX {
            let page = self.care(|reply| Request::CopyRest { copy, reply }).await?;
            sender.send(Ok(writer.records(&page.records))).await.map_err(gone)?;
            if page.next.is_none() {
                return sender.send(Ok(writer.end())).await.map_err(gone);
            }
        }
        Err(too_busy())
    }

    /// Takes a backup, which comes in parts, in the place of the store. One with anything in it is
    /// replaced only with `overwrite`, and kept beside the new one.
    ///
    /// Nothing changes unless the whole backup was read and is right.
    pub async fn restore(
        &self,
        mut parts: mpsc::Receiver<Vec<u8>>,
        overwrite: bool,
    ) -> Result<Renewed> {
        let mut fresh = self.care(|reply| Request::BeginFresh { overwrite, reply }).await?;
        let mut reader = backup::Reader::default();
        let read = loop {
            let Some(part) = parts.recv().await else { break reader.finish() };
            match reader.push(&part) {
                Ok(records) => fresh = put(fresh, records).await?,
                Err(damage) => break Err(damage),
            }
        };
        if let Err(damage) = read {
            // Removing what was made of it blocks.
            drop(spawn_blocking(move || drop(fresh)).await);
            return Err(Error::invalid("data", format!("the backup {damage}")));
        }
        let fresh = Box::new(fresh);
        self.replace(|reply| Replace { fresh, copy: None, keep: true, overwrite, reply }).await
    }

    /// Writes the store anew without what was removed, and goes on with that.
    pub async fn compact(&self) -> Result<Renewed> {
        let fresh = self.care(|reply| Request::BeginFresh { overwrite: true, reply });
        let mut fresh = fresh.await?;
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

async fn put(mut fresh: Fresh, records: Vec<super::copying::Record>) -> Result<Fresh> {
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
