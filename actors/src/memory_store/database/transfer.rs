//! Conversations as wholes: renamed, taken in, read in parts and forgotten.

use std::ops::Bound;

use sled::IVec;
use tandem_proto::v1::{Conversation, Turn};
use uuid::Uuid;

use super::super::codec;
use super::super::record::{
    TITLE_BYTES_MAX, check_title, check_turn, insert_conversation, insert_turn, update_key,
};
use super::{Changes, Database, key, one_line, parse_id, unreadable};
use crate::{Error, Result};

/// Most conversations that are forgotten at once.
const FORGOTTEN_MAX: usize = 50;

/// Conversations that went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Forgotten {
    pub(crate) conversations: u64,
    /// Of their records.
    pub(crate) bytes: u64,
    /// There may be more to forget.
    pub(crate) more: bool,
}

impl Database {
    pub(in crate::memory_store) fn rename(
        &mut self,
        id: &str,
        title: &str,
    ) -> Result<Conversation> {
        check_title(title)?;
        let title = one_line(title, TITLE_BYTES_MAX);
        if title.is_empty() {
            return Err(Error::invalid("title", "is empty; give the conversation a name"));
        }
        let id = parse_id(id)?;
        let renamed = Conversation { title, ..self.read_conversation(id)? };
        let mut changes = Changes::default();
        insert_conversation(&mut changes, id, &renamed);
        self.apply(changes)?;
        Ok(renamed)
    }

    /// Takes a conversation in with its id and times. One that is there already is refused, or
    /// replaced.
    pub(in crate::memory_store) fn import(
        &mut self,
        conversation: &Conversation,
        turns: &[Turn],
        replace: bool,
    ) -> Result<()> {
        let given = Uuid::try_parse(&conversation.id).ok().filter(|id| !id.is_nil());
        let id = given.ok_or_else(|| Error::invalid("id", "is not the id of a conversation"))?;
        check_title(&conversation.title)?;
        turns.iter().try_for_each(check_turn)?;
        let is_here = self.sled.contains_key(key::conversation(id)).map_err(unreadable)?;
        if is_here && !replace {
            let problem = format!("conversation {id} is here already; replace it, or leave it out");
            return Err(Error::invalid("id", problem));
        }
        let mut changes = if is_here { self.removal(id)? } else { Changes::default() };
        let imported = Conversation {
            id: id.to_string(),
            turns: u32::try_from(turns.len()).unwrap_or(u32::MAX),
            ..conversation.clone()
        };
        for (sequence, turn) in (0..).zip(turns) {
            insert_turn(&mut changes, id, sequence, turn);
        }
        insert_conversation(&mut changes, id, &imported);
        // What a file says was said is not remembered as what the user says.
        changes.insert(key::heard(id), codec::encode(&(turns.len() as u64)));
        changes.note(id, None);
        self.apply(changes)
    }

    /// Turns from `sequence` on, oldest first, of at most `bytes_max` together unless the first one
    /// alone has more, and where to go on.
    pub(in crate::memory_store) fn turns_from(
        &self,
        id: &str,
        sequence: u64,
        bytes_max: usize,
    ) -> Result<(Vec<Turn>, Option<u64>)> {
        let id = parse_id(id)?;
        self.read_conversation(id)?;
        let (mut turns, mut bytes) = (Vec::new(), 0);
        for sequence in self.sequences(id).into_iter().filter(|it| *it >= sequence) {
            let Some(turn) = self.turn(id, sequence)? else { continue };
            bytes += turn.prompt.len() + turn.answer.len();
            if bytes > bytes_max && !turns.is_empty() {
                return Ok((turns, Some(sequence)));
            }
            turns.push(turn);
        }
        Ok((turns, None))
    }

    /// Some turns with their conversations, as far as they are there.
    pub(in crate::memory_store) fn turns_at(
        &self,
        places: &[(Uuid, u64)],
    ) -> Vec<Option<(Conversation, Turn)>> {
        let at = |&(id, sequence): &(Uuid, u64)| {
            let conversation = self.read_conversation(id).ok()?;
            Some((conversation, self.turn(id, sequence).ok()??))
        };
        places.iter().map(at).collect()
    }

    /// Forgets the conversations that were not updated since, and the oldest of the others until so
    /// many bytes went; some of them.
    pub(in crate::memory_store) fn forget_oldest(
        &mut self,
        since_micros: u64,
        bytes: u64,
    ) -> Result<Forgotten> {
        let mut forgotten = Forgotten::default();
        while forgotten.conversations < FORGOTTEN_MAX as u64 {
            let range = (
                Bound::Included(IVec::from(key::UPDATES_FROM)),
                Bound::Excluded(IVec::from(key::UPDATES_TO)),
            );
            let oldest = self.sled.range::<IVec, _>(range).keys().next_back();
            let Some(oldest) = oldest.transpose().map_err(unreadable)? else {
                return Ok(forgotten);
            };
            let Some((micros, id)) = key::read_update(&oldest) else { return Ok(forgotten) };
            if micros >= since_micros && forgotten.bytes >= bytes {
                return Ok(forgotten);
            }
            forgotten.conversations += 1;
            forgotten.bytes += self.bytes_of(id)?;
            let mut changes = self.removal(id)?;
            // Also when it leads nowhere.
            changes.remove(oldest);
            changes.note(id, None);
            self.apply(changes)?;
        }
        Ok(Forgotten { more: true, ..forgotten })
    }

    /// What removes a conversation and all that is its own, also when its record is damaged.
    pub(super) fn removal(&self, id: Uuid) -> Result<Changes> {
        let mut changes = Changes::default();
        if let Ok(conversation) = self.read_conversation(id) {
            changes.remove(update_key(id, &conversation));
        } else {
            for entry in self.sled.scan_prefix(key::UPDATES_FROM).keys() {
                let entry = entry.map_err(unreadable)?;
                if key::read_update(&entry).is_some_and(|(_, of)| of == id) {
                    changes.remove(entry);
                }
            }
        }
        for record in self.records_of(id) {
            changes.remove(record.map_err(unreadable)?.0);
        }
        self.detach_memories(id, &mut changes)?;
        changes.remove(key::conversation(id));
        Ok(changes)
    }

    fn bytes_of(&self, id: Uuid) -> Result<u64> {
        self.records_of(id).try_fold(0, |sum, record| {
            let (key, value) = record.map_err(unreadable)?;
            Ok(sum + (key.len() + value.len()) as u64)
        })
    }

    /// Turns, summary and usage of a conversation, and how far it was looked through.
    fn records_of(&self, id: Uuid) -> impl Iterator<Item = sled::Result<(IVec, IVec)>> {
        let prefixes = [key::turns(id), key::summary(id), key::usage_of(id), key::heard(id)];
        prefixes.into_iter().flat_map(|prefix| self.sled.scan_prefix(prefix))
    }
}
