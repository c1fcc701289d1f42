//! What is remembered of the user beyond conversations, and how far each conversation was looked
//! through for it. Facts and how far they go are written together: a crash leaves both, or neither, and
//! then the turn is looked at again.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use prost_types::Timestamp;
use tandem_proto::v1::{AddMemoryRequest, EditMemoryRequest, Memory, Turn};
use tracing::warn;
use uuid::Uuid;

use super::changes::Changes;
use super::database::{Database, decode, parse_id, unreadable};
use super::record::micros;
use super::thread::{Acknowledge, change, read};
use super::title::one_line;
use super::{MemoryStore, Message, Reply, Request as StoreRequest, codec, key};
use crate::{Error, Result};

/// Longest memory.
const TEXT_BYTES_MAX: usize = 500;
/// Longest id that is looked at.
const ID_BYTES_MAX: usize = 64;
/// Conversations that are looked through for turns, those that were updated last.
const CONVERSATIONS_MAX: usize = 64;
/// Turns that are handed out at once, and about how many bytes of them.
const TURNS_MAX: u64 = 64;
const TURNS_BYTES_MAX: usize = 1 << 20;
/// How often it is written down, at most, that a memory was told.
const USED_EVERY: Duration = Duration::from_hours(24);

/// Turns of a conversation in which no facts were looked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unheard {
    pub(crate) conversation: String,
    /// With their numbers, from 0, oldest first; at least one. Those that cannot be read are not there.
    pub(crate) turns: Vec<(u64, Turn)>,
}

/// What looking through a conversation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) conversation: String,
    /// The last turn that was looked at, by its number from 0 and its id. Those before it are done.
    pub(crate) number: u64,
    pub(crate) turn_id: String,
    /// What was found in it.
    pub(crate) facts: Vec<String>,
}

impl MemoryStore {
    /// Everything that is remembered: pinned first, then the latest first.
    pub async fn memories(&self) -> Result<Arc<[Memory]>> {
        self.ask(|reply| StoreRequest::Memories(Request::All { reply })).await
    }

    /// Remembers what somebody wrote. When there are `max` memories, the one that was of no use for
    /// longest goes for it. [`Error::Invalid`] when none may go.
    pub async fn add_memory(&self, request: AddMemoryRequest, max: usize) -> Result<Memory> {
        self.ask(|reply| StoreRequest::Memories(Request::Add { request, max, reply })).await
    }

    /// Changes a memory. [`Error::MemoryNotFound`] when there is none with this id.
    pub async fn edit_memory(&self, request: EditMemoryRequest) -> Result<Memory> {
        self.ask(|reply| StoreRequest::Memories(Request::Edit { request, reply })).await
    }

    /// Forgets a memory. [`Error::MemoryNotFound`] when there is none with this id.
    pub async fn forget_memory(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.ask(|reply| StoreRequest::Memories(Request::Forget { id, reply })).await
    }

    /// Turns to look for facts in, of the conversation that was updated last.
    pub(crate) async fn unheard(&self) -> Result<Option<Unheard>> {
        self.ask(|reply| StoreRequest::Memories(Request::Unheard { reply })).await
    }

    /// Keeps facts, and that their turn was looked at. There are at most `max` memories then.
    pub(crate) async fn remember(&self, heard: Heard, max: usize) -> Result<()> {
        self.ask(|reply| StoreRequest::Memories(Request::Remember { heard, max, reply })).await
    }

    /// A model was told these. Nobody waits for it: it is on disk with the next change, and lost when
    /// the store is down or has too much to do.
    pub(crate) fn note_told(&self, ids: Vec<String>) {
        if ids.is_empty() {
            return;
        }
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            let request = StoreRequest::Memories(Request::NoteTold { ids });
            drop(self.address.cast(Message::Serve(request, permit)));
        }
    }
}

/// What can be asked; the methods of [`MemoryStore`] document each.
#[derive(Debug)]
#[allow(private_interfaces, reason = "messages between actors of this crate")]
#[allow(missing_docs, reason = "the methods of MemoryStore document them")]
pub enum Request {
    All { reply: Reply<Arc<[Memory]>> },
    Add { request: AddMemoryRequest, max: usize, reply: Reply<Memory> },
    Edit { request: EditMemoryRequest, reply: Reply<Memory> },
    Forget { id: String, reply: Reply<()> },
    Unheard { reply: Reply<Option<Unheard>> },
    Remember { heard: Heard, max: usize, reply: Reply<()> },
    NoteTold { ids: Vec<String> },
}

impl Request {
    pub(super) fn serve(self, database: &mut Database) -> Option<Acknowledge> {
        match self {
            Self::All { reply } => read(reply, || database.memories()),
            Self::Add { request, max, reply } => {
                change(reply, || database.add_memory(&request, max))
            }
            Self::Edit { request, reply } => change(reply, || database.edit_memory(&request)),
            Self::Forget { id, reply } => change(reply, || database.forget_memory(&id)),
            Self::Unheard { reply } => read(reply, || database.unheard()),
            Self::Remember { heard, max, reply } => {
                change(reply, || database.remember(&heard, max))
            }
            Self::NoteTold { ids } => {
                if let Err(error) = database.note_told(&ids) {
                    warn!(%error, "it was not noted that memories were told");
                }
                None
            }
        }
    }
}

impl Database {
    pub(super) fn memories(&self) -> Result<Arc<[Memory]>> {
        if let Some(known) = self.memories.get() {
            return Ok(Arc::clone(known));
        }
        let mut known = Vec::new();
        for entry in self.sled.scan_prefix(key::MEMORIES) {
            let (key, value) = entry.map_err(unreadable)?;
            match codec::decode::<Memory>(&value) {
                Ok(memory) => known.push(memory),
                Err(damage) => warn!(id = ?key::read_memory(&key), %damage, "a memory is damaged"),
            }
        }
        known.sort_by(|a, b| {
            let order = |it: &Memory| (it.pinned, it.updated.as_ref().map(micros));
            order(b).cmp(&order(a)).then_with(|| b.id.cmp(&a.id))
        });
        Ok(Arc::clone(self.memories.get_or_init(|| known.into())))
    }

    pub(super) fn add_memory(&mut self, request: &AddMemoryRequest, max: usize) -> Result<Memory> {
        let text = checked(&request.text)?;
        let known = self.memories()?;
        let (room, gone) = make_room(&known, 1, max);
        if room == 0 {
            let problem = format!(
                "there are {max} already, all pinned or written by hand; forget some with \
                 `tandem memory forget`, or raise memory.facts_max"
            );
            return Err(Error::invalid("text", problem));
        }
        let (id, now) = (self.new_id(), self.now());
        let added = Memory {
            id: id.to_string(),
            text,
            pinned: request.pinned,
            private: request.private,
            by_hand: true,
            created: Some(now),
            updated: Some(now),
            ..Memory::default()
        };
        let mut changes = Changes::default();
        remove(&mut changes, &gone);
        changes.insert(key::memory(id), codec::encode(&added));
        self.apply(changes)?;
        Ok(added)
    }

    pub(super) fn edit_memory(&mut self, request: &EditMemoryRequest) -> Result<Memory> {
        let id = memory_id(&request.id)?;
        let before = self.memory(id)?;
        let text = request.text.as_deref().map(checked).transpose()?;
        let edited = Memory {
            by_hand: before.by_hand || text.is_some(),
            text: text.unwrap_or_else(|| before.text.clone()),
            pinned: request.pinned.unwrap_or(before.pinned),
            private: request.private.unwrap_or(before.private),
            updated: Some(self.now()),
            ..before
        };
        let mut changes = Changes::default();
        changes.insert(key::memory(id), codec::encode(&edited));
        self.apply(changes)?;
        Ok(edited)
    }

    /// Also when its record is damaged.
    pub(super) fn forget_memory(&mut self, id: &str) -> Result<()> {
        let key = key::memory(memory_id(id)?);
        if !self.sled.contains_key(key).map_err(unreadable)? {
            return Err(unknown(id));
        }
        let mut changes = Changes::default();
        changes.remove(key);
        self.apply(changes)
    }

    pub(super) fn unheard(&self) -> Result<Option<Unheard>> {
        let latest = self.sled.scan_prefix(key::UPDATES_FROM).keys().take(CONVERSATIONS_MAX);
        for entry in latest {
            let entry = entry.map_err(unreadable)?;
            let Some((_, id)) = key::read_update(&entry) else { continue };
            let Ok(conversation) = self.read_conversation(id) else { continue };
            let heard = self.heard(id)?;
            let numbers = heard..u64::from(conversation.turns).min(heard.saturating_add(TURNS_MAX));
            let (mut turns, mut bytes) = (Vec::new(), 0);
            for number in numbers {
                let Ok(Some(turn)) = self.turn(id, number) else { continue };
                bytes += turn.prompt.len() + turn.answer.len();
                turns.push((number, turn));
                if bytes > TURNS_BYTES_MAX {
                    break;
                }
            }
            if !turns.is_empty() {
                return Ok(Some(Unheard { conversation: conversation.id, turns }));
            }
        }
        Ok(None)
    }

    /// Changes nothing when the conversation has become another one meanwhile.
    pub(super) fn remember(&mut self, heard: &Heard, max: usize) -> Result<()> {
        let id = parse_id(&heard.conversation)?;
        self.read_conversation(id)?;
        let turn = self.turn(id, heard.number)?;
        let Some(turn) = turn.filter(|turn| turn.id == heard.turn_id) else { return Ok(()) };
        let said = turn.created.unwrap_or_else(|| self.now());
        let known = self.memories()?;
        let (room, gone) = make_room(&known, heard.facts.len(), max);
        let mut changes = Changes::default();
        remove(&mut changes, &gone);
        for fact in heard.facts.iter().take(room) {
            let id = self.new_id();
            let memory = Memory {
                id: id.to_string(),
                text: one_line(fact, TEXT_BYTES_MAX),
                private: turn.private,
                conversation_id: heard.conversation.clone(),
                turn_id: turn.id.clone(),
                created: Some(said),
                updated: Some(said),
                ..Memory::default()
            };
            changes.insert(key::memory(id), codec::encode(&memory));
        }
        changes.insert(key::heard(id), codec::encode(&(heard.number + 1)));
        self.apply(changes)
    }

    pub(super) fn note_told(&mut self, ids: &[String]) -> Result<()> {
        let now = self.now();
        let due = |memory: &&Memory| {
            let used = memory.used.as_ref().map_or(0, micros);
            let since = Duration::from_micros(micros(&now).saturating_sub(used));
            ids.contains(&memory.id) && since >= USED_EVERY
        };
        let mut changes = Changes::default();
        for memory in self.memories()?.iter().filter(due) {
            let used = Memory { used: Some(now), ..memory.clone() };
            changes.insert(key::memory(memory_id(&memory.id)?), codec::encode(&used));
        }
        self.apply(changes)
    }

    /// What was found in a conversation goes with it, but for what somebody cared for: that only
    /// forgets where it was found.
    pub(super) fn detach_memories(&self, conversation: Uuid, changes: &mut Changes) -> Result<()> {
        let conversation = conversation.to_string();
        let all = self.memories()?;
        for memory in all.iter().filter(|memory| memory.conversation_id == conversation) {
            let key = key::memory(memory_id(&memory.id)?);
            if is_kept(memory) {
                changes.insert(key, codec::encode(&without_origin(memory.clone())));
            } else {
                changes.remove(key);
            }
        }
        Ok(())
    }

    fn memory(&self, id: Uuid) -> Result<Memory> {
        let value = self.sled.get(key::memory(id)).map_err(unreadable)?;
        let value = value.ok_or_else(|| unknown(&id.to_string()))?;
        decode(&format!("memory {id}"), &value)
    }

    /// How many turns of a conversation were looked at.
    fn heard(&self, conversation: Uuid) -> Result<u64> {
        let value = self.sled.get(key::heard(conversation)).map_err(unreadable)?;
        // A record that is damaged costs that the turns are looked at again.
        Ok(value.and_then(|value| codec::decode(&value).ok()).unwrap_or(0))
    }
}

/// The memory as one that was found nowhere.
pub(super) fn without_origin(memory: Memory) -> Memory {
    Memory { conversation_id: String::new(), turn_id: String::new(), ..memory }
}

/// Somebody wrote it, or wants it kept.
fn is_kept(memory: &Memory) -> bool {
    memory.pinned || memory.by_hand
}

/// How many of `more` memories find a place beside `known` when there may be `max`, and which go for
/// them: what nobody asked to keep, and was found and told longest ago.
fn make_room(known: &[Memory], more: usize, max: usize) -> (usize, Vec<&Memory>) {
    let kept = known.iter().filter(|memory| is_kept(memory)).count();
    let room = more.min(max.saturating_sub(kept));
    let mut others: Vec<_> = known.iter().filter(|memory| !is_kept(memory)).collect();
    let time = |time: &Option<Timestamp>| time.as_ref().map_or(0, micros);
    others.sort_by_key(|it| (Reverse(time(&it.used).max(time(&it.updated))), Reverse(&it.id)));
    let stay = max.saturating_sub(kept + room).min(others.len());
    (room, others.split_off(stay))
}

fn remove(changes: &mut Changes, gone: &[&Memory]) {
    for id in gone.iter().filter_map(|memory| memory_id(&memory.id).ok()) {
        changes.remove(key::memory(id));
    }
}

fn checked(text: &str) -> Result<String> {
    if text.len() > TEXT_BYTES_MAX {
        let problem = format!("has {} bytes; at most {TEXT_BYTES_MAX} are allowed", text.len());
        return Err(Error::invalid("text", problem));
    }
    let text = one_line(text, TEXT_BYTES_MAX);
    if text.is_empty() {
        return Err(Error::invalid("text", "is empty; write what is to be remembered"));
    }
    Ok(text)
}

fn memory_id(id: &str) -> Result<Uuid> {
    let parsed = (id.len() <= ID_BYTES_MAX).then(|| Uuid::try_parse(id).ok()).flatten();
    parsed.ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Error {
    Error::MemoryNotFound { id: one_line(id, ID_BYTES_MAX) }
}

#[cfg(test)]
mod tests;
