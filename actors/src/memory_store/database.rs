//! Conversations, turns and remembered settings in sled. Everything here blocks.
//!
//! Each change is one sled batch, so a crash leaves all of it or nothing. A change is on disk
//! once [`Database::sync`] has returned.

use std::fs::File;
use std::ops::Bound;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;
use prost_types::Timestamp;
use sled::{Batch, Db, IVec};
use tandem_proto::v1::{Conversation, Policy, Turn};
use tracing::warn;
use uuid::Uuid;

use super::opening::{self, Opened, Problem};
use super::title::one_line;
use super::{codec, key};
use crate::{Error, Result};

mod verdicts;

/// Longest title that a caller may give.
const TITLE_BYTES_MAX: usize = 200;
/// Longest title that is made from a first prompt.
const TITLE_FROM_PROMPT_BYTES_MAX: usize = 80;
/// Longest conversation id that is looked at.
const ID_BYTES_MAX: usize = 64;
/// Longest turn, all fields together.
const TURN_BYTES_MAX: usize = 16 << 20;
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
    failure: Option<String>,
    _lock: File,
}

impl Database {
    /// Opens or creates the store in `dir`, for this process alone.
    pub(super) fn open(dir: &Path, source: Box<dyn Source>) -> Opened<Self> {
        let (sled, lock) = opening::open(dir)?;
        let log = File::open(dir.join("db"))?;
        let mut database = Self { sled, log, source, failure: None, _lock: lock };
        opening::check_schema(&database.sled)?;
        database.sync().map_err(|error| Problem::Failed(error.to_string()))?;
        // The names of the files are on disk once the directory is.
        File::open(dir)?.sync_all()?;
        Ok(database)
    }

    /// What a write failed of. After that sled takes no more writes; open the store again.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    pub(super) fn create_conversation(
        &mut self,
        title: &str,
        policy: Policy,
    ) -> Result<Conversation> {
        if title.len() > TITLE_BYTES_MAX {
            let problem = format!("{} bytes; at most {TITLE_BYTES_MAX} are allowed", title.len());
            return Err(Error::invalid("title", problem));
        }
        let (id, now) = (self.source.id(), self.now());
        let conversation = Conversation {
            id: id.to_string(),
            title: one_line(title, TITLE_BYTES_MAX),
            created: Some(now),
            updated: Some(now),
            turns: 0,
            policy: policy.into(),
        };
        let mut batch = Batch::default();
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
        let bytes = turn.encoded_len();
        if bytes > TURN_BYTES_MAX {
            let problem = format!("prompt and answer have {bytes} bytes; at most {TURN_BYTES_MAX}");
            return Err(Error::invalid("turn", problem));
        }

        let mut after = before.clone();
        if after.title.is_empty() {
            after.title = one_line(&turn.prompt, TITLE_FROM_PROMPT_BYTES_MAX);
        }
        after.updated = Some(now);
        after.turns = after.turns.saturating_add(1);

        let sequence = self.next_sequence(id)?;
        let mut batch = Batch::default();
        for (piece, value) in (0..).zip(codec::encode(&turn).chunks(key::PIECE_BYTES)) {
            batch.insert(&key::piece(id, sequence, piece), value);
        }
        batch.remove(&update_key(id, &before));
        insert_conversation(&mut batch, id, &after);
        self.apply(batch)?;
        Ok(after)
    }

    /// Removes a conversation and all of its turns, also when its record is damaged.
    pub(super) fn delete_conversation(&mut self, id: &str) -> Result<()> {
        let id = parse_id(id)?;
        let mut batch = Batch::default();
        match self.read_conversation(id) {
            Ok(conversation) => batch.remove(&update_key(id, &conversation)),
            Err(error @ Error::ConversationNotFound { .. }) => return Err(error),
            Err(_) => {
                for entry in self.sled.scan_prefix(key::UPDATES_FROM).keys() {
                    let entry = entry.map_err(unreadable)?;
                    if key::read_update(&entry).is_some_and(|(_, of)| of == id) {
                        batch.remove(entry);
                    }
                }
            }
        }
        for piece in self.sled.scan_prefix(key::turns(id)).keys() {
            batch.remove(piece.map_err(unreadable)?);
        }
        for usage in self.sled.scan_prefix(key::usage_of(id)).keys() {
            batch.remove(usage.map_err(unreadable)?);
        }
        batch.remove(&key::conversation(id));
        batch.remove(&key::summary(id));
        self.apply(batch)
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
        let mut batch = Batch::default();
        batch.insert(key::engine_choice(name), codec::encode(&value.to_owned()));
        self.apply(batch)
    }

    /// Makes every change so far survive a power cut.
    pub(super) fn sync(&mut self) -> Result<()> {
        let outcome = self.sled.flush().map_err(|error| error.to_string());
        let outcome = outcome.and_then(|_| self.log.sync_data().map_err(|error| error.to_string()));
        self.note_failure(outcome)
    }

    pub(super) fn apply(&mut self, batch: Batch) -> Result<()> {
        let outcome = self.sled.apply_batch(batch).map_err(|error| error.to_string());
        self.note_failure(outcome)
    }

    fn note_failure(&mut self, outcome: std::result::Result<(), String>) -> Result<()> {
        outcome.map_err(|problem| {
            self.failure = Some(problem.clone());
            Error::Store { problem }
        })
    }

    fn now(&mut self) -> Timestamp {
        let since = self.source.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    fn read_conversation(&self, id: Uuid) -> Result<Conversation> {
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

    fn next_sequence(&self, id: Uuid) -> Result<u64> {
        let last = self.sled.scan_prefix(key::turns(id)).keys().next_back();
        let last = last.transpose().map_err(unreadable)?;
        Ok(last.and_then(|key| key::read_piece(&key)).map_or(0, |(sequence, _)| sequence + 1))
    }
}

fn insert_conversation(batch: &mut Batch, id: Uuid, conversation: &Conversation) {
    batch.insert(&key::conversation(id), codec::encode(conversation));
    batch.insert(&update_key(id, conversation), &[]);
}

fn update_key(id: Uuid, conversation: &Conversation) -> [u8; 25] {
    let updated = conversation.updated.unwrap_or_default();
    let (seconds, nanos) = (u64::try_from(updated.seconds), u64::try_from(updated.nanos));
    let micros = seconds.unwrap_or(0).saturating_mul(1_000_000);
    key::update(micros.saturating_add(nanos.unwrap_or(0) / 1000), id)
}

fn timestamp(micros: u64) -> Timestamp {
    let nanos = i32::try_from(micros % 1_000_000 * 1000).unwrap_or(0);
    Timestamp { seconds: i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX), nanos }
}

pub(super) fn decode<M: Message + Default>(what: &str, value: &[u8]) -> Result<M> {
    codec::decode(value)
        .map_err(|damage| Error::Store { problem: format!("the record of {what} {damage}") })
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn unreadable(error: sled::Error) -> Error {
    Error::Store { problem: format!("reading failed: {error}") }
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
