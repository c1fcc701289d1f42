//! Conversations, turns and remembered settings in sled. Everything here blocks.
//!
//! Each change is one sled batch, so a crash leaves all of it or nothing. A change is on disk
//! once [`Database::sync`] has returned.

use std::cell::OnceCell;
use std::fs::File;
use std::ops::{Bound, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;
use prost_types::Timestamp;
use sled::{Db, IVec};
use tandem_proto::v1::{Conversation, Memory, Policy, Turn};
use tracing::warn;
use uuid::Uuid;

use super::changes::Changes;
use super::copying::Copying;
use super::opening::{self, Opened};
use super::record::{
    TITLE_BYTES_MAX, check_title, check_turn, insert_conversation, insert_turn, timestamp,
    update_key,
};
use super::title::one_line;
use super::{codec, key, migrations, switching};
use crate::{Error, Result};

pub(super) mod transfer;
mod verdicts;

/// Longest title that is made from a first prompt.
const TITLE_FROM_PROMPT_BYTES_MAX: usize = 80;
/// Longest conversation id that is looked at.
const ID_BYTES_MAX: usize = 64;
/// Longest key and longest value of a remembered engine choice.
const CHOICE_BYTES_MAX: usize = 2048;
const PAGE_SIZE_DEFAULT: u32 = 50;
const PAGE_SIZE_MAX: u32 = 1000;

/// Where new ids and the time come from.
pub(super) trait Source: Send {
    fn now(&mut self) -> SystemTime;
    fn id(&mut self) -> Uuid;
}

/// The system's clock, and ids that sort by it.
#[derive(Debug)]
pub(super) struct SystemSource;

impl Source for SystemSource {
    fn now(&mut self) -> SystemTime {
        SystemTime::now()
    }

    fn id(&mut self) -> Uuid {
        Uuid::now_v7()
    }
}

/// How many entries a page has; 0 means `default`.
fn check_page_size(page_size: u32, default: u32) -> Result<u32> {
    match page_size {
        0 => Ok(default),
        1..=PAGE_SIZE_MAX => Ok(page_size),
        _ => {
            let problem = format!("{page_size}; 0 to {PAGE_SIZE_MAX} are allowed");
            Err(Error::invalid("page_size", problem))
        }
    }
}

pub(super) struct Database {
    // Dropped in this order: our lock must outlive sled.
    pub(super) sled: Db,
    /// Another descriptor of sled's log, whose own `flush` leaves data in the disk's cache.
    log: File,
    source: Box<dyn Source>,
    failure: Option<Error>,
    /// Which entries the journal has.
    pub(super) journal: Range<u64>,
    /// Who copies the store while it changes.
    pub(super) copying: Option<Copying>,
    /// Whether changes are taken, or why not.
    pub(super) room: Result<()>,
    /// All of them, since they were read and until one changes.
    pub(super) memories: OnceCell<Arc<[Memory]>>,
    counts: Counts,
    dir: PathBuf,
    _lock: File,
}

/// What the database did since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Turns that were added.
    pub(crate) turns: u64,
    /// Times that changes were made to last.
    pub(crate) syncs: u64,
}

impl Database {
    /// Opens or creates the store in `dir`, for this process alone.
    pub(super) fn open(dir: &Path, source: Box<dyn Source>) -> Opened<Self> {
        let (sled, lock) = opening::open(dir)?;
        let log = File::open(dir.join("db"))?;
        let mut database = Self {
            sled,
            log,
            source,
            failure: None,
            journal: 1..1,
            copying: None,
            room: Ok(()),
            memories: OnceCell::new(),
            counts: Counts::default(),
            dir: dir.to_owned(),
            _lock: lock,
        };
        migrations::bring_up_to_date(&mut database)?;
        database.journal = database.read_journal()?;
        database.sync()?;
        switching::clean_up(dir)?;
        // The names of the files are on disk once the directory is.
        File::open(dir)?.sync_all()?;
        Ok(database)
    }

    /// What a write failed of. After that sled takes no more writes; open the store again.
    pub(super) fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    /// Where it lies.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn new_id(&mut self) -> Uuid {
        self.source.id()
    }

    /// Closes it and gives back where ids and the time come from.
    pub(super) fn close(self) -> Box<dyn Source> {
        self.source
    }

    pub(super) fn create_conversation(
        &mut self,
        title: &str,
        policy: Policy,
    ) -> Result<Conversation> {
        check_title(title)?;
        let (id, now) = (self.source.id(), self.now());
        let conversation = Conversation {
            id: id.to_string(),
            title: one_line(title, TITLE_BYTES_MAX),
            created: Some(now),
            updated: Some(now),
            turns: 0,
            policy: policy.into(),
        };
        let mut batch = Changes::default();
        insert_conversation(&mut batch, id, &conversation);
        self.apply(batch)?;
        Ok(conversation)
    }

    /// One page, latest update first, and the token of the next page.
    pub(super) fn list_conversations(
        &self,
        page_size: u32,
        page_token: &str,
    ) -> Result<(Vec<Conversation>, String)> {
        let page_size = check_page_size(page_size, PAGE_SIZE_DEFAULT)?;
        let from = match page_token {
            "" => Bound::Included(key::UPDATES_FROM.to_vec()),
            token => Bound::Excluded(read_page_token(token)?.to_vec()),
        };
        let mut entries = self.sled.range((from, Bound::Excluded(key::UPDATES_TO.to_vec()))).keys();
        let mut page = Vec::new();
        let mut last = String::new();
        while let Some(entry) = entries.next().transpose().map_err(unreadable)? {
            let Some((micros, id)) = key::read_update(&entry) else { continue };
            if page.len() == page_size as usize {
                return Ok((page, last));
            }
            last = page_token_of(micros, id);
            page.push(self.read_conversation(id).unwrap_or_else(|error| {
                warn!(%id, %error, "a conversation cannot be read");
                // It stays in the list, so that it can be deleted.
                Conversation {
                    id: id.to_string(),
                    title: "(damaged)".to_owned(),
                    updated: Some(timestamp(micros)),
                    ..Conversation::default()
                }
            }));
        }
        Ok((page, String::new()))
    }

    pub(super) fn conversation(&self, id: &str) -> Result<Conversation> {
        self.read_conversation(parse_id(id)?)
    }

    /// The latest `max` turns, oldest first.
    pub(super) fn recent_turns(&self, id: &str, max: usize) -> Result<Vec<Turn>> {
        let id = parse_id(id)?;
        self.read_conversation(id)?;
        self.latest_turns(id, max, usize::MAX)
    }

    /// Appends a turn. Committing the latest turn again, which a caller does who did not hear of
    /// the success, changes nothing.
    pub(super) fn commit_turn(&mut self, id: &str, mut turn: Turn) -> Result<Conversation> {
        let id = parse_id(id)?;
        let before = self.read_conversation(id)?;
        let now = self.now();
        if turn.id.is_empty() {
            turn.id = self.source.id().to_string();
        } else if self
            .latest_turns(id, 1, usize::MAX)
            .is_ok_and(|t| t.iter().any(|t| t.id == turn.id))
        {
            return Ok(before);
        }
        turn.created.get_or_insert(now);
        check_turn(&turn)?;

        let mut after = before.clone();
        if after.title.is_empty() {
            after.title = one_line(&turn.prompt, TITLE_FROM_PROMPT_BYTES_MAX);
        }
        after.updated = Some(now);
        after.turns = after.turns.saturating_add(1);

        let sequence = self.next_sequence(id)?;
        let mut batch = Changes::default();
        insert_turn(&mut batch, id, sequence, &turn);
        batch.remove(update_key(id, &before));
        insert_conversation(&mut batch, id, &after);
        batch.note(id, Some(sequence));
        self.apply(batch)?;
        self.counts.turns += 1;
        Ok(after)
    }

    /// Removes a conversation and all of its turns, also when its record is damaged.
    pub(super) fn delete_conversation(&mut self, id: &str) -> Result<()> {
        let id = parse_id(id)?;
        if let Err(error @ Error::ConversationNotFound { .. }) = self.read_conversation(id) {
            return Err(error);
        }
        let mut changes = self.removal(id)?;
        changes.note(id, None);
        self.apply(changes)
    }

    pub(super) fn engine_choice(&self, name: &str) -> Result<Option<String>> {
        let value = self.sled.get(key::engine_choice(name)).map_err(unreadable)?;
        value.map(|value| decode(&format!("engine choice {name:?}"), &value)).transpose()
    }

    pub(super) fn remember_engine_choice(&mut self, name: &str, value: &str) -> Result<()> {
        if name.len() > CHOICE_BYTES_MAX || value.len() > CHOICE_BYTES_MAX {
            let problem = format!("longer than {CHOICE_BYTES_MAX} bytes");
            return Err(Error::invalid("engine choice", problem));
        }
        let mut batch = Changes::default();
        batch.insert(key::engine_choice(name), codec::encode(&value.to_owned()));
        self.apply(batch)
    }

    /// Makes every change so far survive a power cut.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.counts.syncs += 1;
        let outcome = self.sled.flush().map_err(unwritable);
        let outcome = outcome.and_then(|_| self.log.sync_data().map_err(opening::unwritable));
        self.note_failure(outcome)
    }

    /// Makes changes, all or none. While the disk is full, [`Error::DiskFull`] and nothing.
    pub(super) fn apply(&mut self, mut changes: Changes) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.room.clone()?;
        self.write_journal(&mut changes);
        if changes.keys().any(|key| key.starts_with(key::MEMORIES)) {
            self.memories.take();
        }
        if let Some(copying) = &mut self.copying {
            copying.note(changes.keys());
        }
        let outcome = self.sled.apply_batch(changes.batch()).map_err(unwritable);
        self.note_failure(outcome)
    }

    fn note_failure(&mut self, outcome: Result<()>) -> Result<()> {
        outcome.inspect_err(|problem| self.failure = Some(problem.clone()))
    }

    pub(super) fn now(&mut self) -> Timestamp {
        let since = self.source.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn read_conversation(&self, id: Uuid) -> Result<Conversation> {
        let value = self.sled.get(key::conversation(id)).map_err(unreadable)?;
        let value = value.ok_or_else(|| Error::ConversationNotFound { id: id.to_string() })?;
        decode(&format!("conversation {id}"), &value)
    }

    /// At most `max` turns, in at most `bytes_max` of values, oldest first.
    pub(super) fn latest_turns(&self, id: Uuid, max: usize, bytes_max: usize) -> Result<Vec<Turn>> {
        let mut left = bytes_max;
        let mut turns = Vec::new();
        let mut pieces: Vec<IVec> = Vec::new();
        let mut entries = self.sled.scan_prefix(key::turns(id));
        while turns.len() < max
            && let Some(entry) = entries.next_back()
        {
            let (key, value) = entry.map_err(unreadable)?;
            let Some((sequence, piece)) = key::read_piece(&key) else { continue };
            let Some(rest) = left.checked_sub(value.len()) else { break };
            left = rest;
            pieces.push(value);
            if piece == 0 {
                let value = pieces.drain(..).rev().fold(Vec::new(), |mut value, piece| {
                    value.extend_from_slice(&piece);
                    value
                });
                turns.push(decode(&format!("turn {sequence} of conversation {id}"), &value)?);
            }
        }
        turns.reverse();
        Ok(turns)
    }

    /// One turn; `None` when it is not there.
    pub(super) fn turn(&self, id: Uuid, sequence: u64) -> Result<Option<Turn>> {
        let mut bytes = Vec::new();
        for entry in self.sled.scan_prefix(key::turn(id, sequence)) {
            bytes.extend_from_slice(&entry.map_err(unreadable)?.1);
        }
        let what = || format!("turn {sequence} of conversation {id}");
        (!bytes.is_empty()).then(|| decode(&what(), &bytes)).transpose()
    }

    /// The numbers of a conversation's turns, in order.
    pub(super) fn sequences(&self, id: Uuid) -> Vec<u64> {
        let keys = self.sled.scan_prefix(key::turns(id)).keys().filter_map(sled::Result::ok);
        let mut sequences: Vec<_> = keys.filter_map(|key| Some(key::read_piece(&key)?.0)).collect();
        sequences.dedup();
        sequences
    }

    fn next_sequence(&self, id: Uuid) -> Result<u64> {
        let last = self.sled.scan_prefix(key::turns(id)).keys().next_back();
        let last = last.transpose().map_err(unreadable)?;
        Ok(last.and_then(|key| key::read_piece(&key)).map_or(0, |(sequence, _)| sequence + 1))
    }
}

pub(super) fn decode<M: Message + Default>(what: &str, value: &[u8]) -> Result<M> {
    codec::decode(value)
        .map_err(|damage| Error::Store { problem: format!("the record of {what} {damage}") })
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn unreadable(error: sled::Error) -> Error {
    Error::Store { problem: format!("reading failed: {error}") }
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unwritable(error: sled::Error) -> Error {
    match error {
        sled::Error::Io(error) => opening::unwritable(error),
        error => Error::Store { problem: error.to_string() },
    }
}

pub(super) fn parse_id(id: &str) -> Result<Uuid> {
    let parsed = (id.len() <= ID_BYTES_MAX).then(|| Uuid::try_parse(id).ok()).flatten();
    parsed.ok_or_else(|| Error::ConversationNotFound { id: one_line(id, ID_BYTES_MAX) })
}

fn page_token_of(micros: u64, id: Uuid) -> String {
    format!("{micros:016x}{}", id.simple())
}

fn read_page_token(token: &str) -> Result<[u8; 25]> {
    let parse = || {
        let (micros, id) = token.split_at_checked(16)?;
        let micros = u64::from_str_radix(micros, 16).ok()?;
        Some(key::update(micros, Uuid::try_parse(id).ok()?))
    };
    let problem = "is not a token that a page came with; leave it empty for the first page";
    parse().ok_or_else(|| Error::invalid("page_token", problem))
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod tests;
