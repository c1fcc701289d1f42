//! What changed, in order, for the search index to follow.
//!
//! An entry is written with the change that it is about. Entries that the index has are removed, but
//! for the last, which keeps the count. Very many entries mean that nobody follows: the oldest go, and
//! whoever misses them begins anew.

use std::ops::Range;

use uuid::Uuid;

use super::changes::Changes;
use super::database::{Database, decode, unreadable};
use super::{codec, key};
use crate::Result;

/// Most entries that are kept.
const ENTRIES_MAX: u64 = 100_000;
/// Most entries that are read at once, and most bytes of text with them.
const PAGE_ENTRIES_MAX: usize = 512;
const PAGE_BYTES_MAX: usize = 4 << 20;

/// What changed.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Entry {
    #[prost(bytes = "vec", tag = "1")]
    conversation: Vec<u8>,
    /// The turn that was added; unset when any turn may have changed.
    #[prost(uint64, optional, tag = "2")]
    sequence: Option<u64>,
}

/// Words of one turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) conversation: Uuid,
    pub(crate) sequence: u64,
    /// When it was asked, in microseconds since 1970.
    pub(crate) micros: u64,
    pub(crate) prompt: String,
    pub(crate) answer: String,
}

/// What became of the words in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Forget all turns of this conversation.
    Forget(Uuid),
    /// A turn is there, perhaps again.
    Add(Text),
}

/// How whoever follows gets on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advance {
    /// In order.
    pub(crate) steps: Vec<Step>,
    /// Where to go on, once these were made.
    pub(crate) position: u64,
    /// There is nothing more now.
    pub(crate) done: bool,
}

/// Where in the store the turns of a rebuilt index are read on.
pub(crate) type Cursor = Option<(Uuid, u64)>;

impl Database {
    /// Which entries there are.
    pub(super) fn read_journal(&self) -> Result<Range<u64>> {
        let mut keys = self.sled.scan_prefix(key::JOURNAL).keys();
        let number = |found: Option<sled::Result<sled::IVec>>| -> Result<Option<u64>> {
            Ok(found.transpose().map_err(unreadable)?.and_then(|key| key::read_journal(&key)))
        };
        Ok(match number(keys.next())? {
            Some(first) => first..number(keys.next_back())?.unwrap_or(first) + 1,
            None => 1..1,
        })
    }

    /// Writes down what was noted with the changes.
    pub(super) fn write_journal(&mut self, changes: &mut Changes) {
        for (conversation, sequence) in std::mem::take(&mut changes.noted) {
            let entry = Entry { conversation: conversation.as_bytes().to_vec(), sequence };
            changes.insert(key::journal(self.journal.end), codec::encode(&entry));
            self.journal.end += 1;
            if self.journal.end - self.journal.start > ENTRIES_MAX {
                changes.remove(key::journal(self.journal.start));
                self.journal.start += 1;
            }
        }
    }

    /// The number behind the last entry.
    pub(super) fn position(&self) -> u64 {
        self.journal.end
    }

    /// What changed from `position` on; `None` when that is not known any more.
    pub(super) fn advance(&mut self, position: u64) -> Result<Option<Advance>> {
        if !(self.journal.start..=self.journal.end).contains(&position) {
            return Ok(None);
        }
        let mut advance = Advance { steps: Vec::new(), position, done: false };
        let mut bytes = 0;
        while advance.position < self.journal.end
            && advance.steps.len() < PAGE_ENTRIES_MAX
            && bytes < PAGE_BYTES_MAX
        {
            let value = self.sled.get(key::journal(advance.position)).map_err(unreadable)?;
            let Some(value) = value else { return Ok(None) };
            let Entry { conversation, sequence } = decode("a change", &value)?;
            let Ok(id) = Uuid::from_slice(&conversation) else { return Ok(None) };
            if sequence.is_none() {
                advance.steps.push(Step::Forget(id));
            }
            // A turn that is gone by now, or cannot be read, has no words.
            for text in self.texts(id, sequence) {
                bytes += text.prompt.len() + text.answer.len();
                advance.steps.push(Step::Add(text));
            }
            advance.position += 1;
        }
        advance.done = advance.position == self.journal.end;
        Ok(Some(advance))
    }

    /// Words of the turns behind the cursor, some of them, and where to go on. No cursor when these
    /// were the last.
    pub(super) fn all_texts(&self, after: Cursor) -> Result<(Vec<Text>, Cursor)> {
        let mut after = after.map(|(id, sequence)| key::piece(id, sequence, u16::MAX).to_vec());
        let (mut texts, mut bytes) = (Vec::new(), 0);
        loop {
            let from = after.take().unwrap_or_else(|| key::TURNS.to_vec());
            let next = self.sled.range((
                std::ops::Bound::Excluded(from),
                std::ops::Bound::Excluded(key::TURNS_TO.to_vec()),
            ));
            let next = next.keys().next().transpose().map_err(unreadable)?;
            let Some((id, sequence)) = next.and_then(|key| key::read_turn(&key)) else {
                return Ok((texts, None));
            };
            if let Ok(Some(turn)) = self.turn(id, sequence) {
                bytes += turn.prompt.len() + turn.answer.len();
                texts.push(text_of(id, sequence, turn));
            }
            if bytes >= PAGE_BYTES_MAX || texts.len() >= PAGE_ENTRIES_MAX {
                return Ok((texts, Some((id, sequence))));
            }
            after = Some(key::piece(id, sequence, u16::MAX).to_vec());
        }
    }

    /// Forgets entries before `position`, which whoever follows has made last.
    pub(super) fn trim_journal(&mut self, position: u64) -> Result<()> {
        let end = position.min(self.journal.end.saturating_sub(1));
        if end <= self.journal.start {
            return Ok(());
        }
        let mut changes = Changes::default();
        for number in self.journal.start..end {
            changes.remove(key::journal(number));
        }
        self.journal.start = end;
        self.apply(changes)
    }

    fn texts(&self, id: Uuid, sequence: Option<u64>) -> Vec<Text> {
        let sequences = match sequence {
            Some(sequence) => vec![sequence],
            None => self.sequences(id),
        };
        let turn = |sequence| Some((sequence, self.turn(id, sequence).ok()??));
        let turns = sequences.into_iter().filter_map(turn);
        turns.map(|(sequence, turn)| text_of(id, sequence, turn)).collect()
    }
}

fn text_of(conversation: Uuid, sequence: u64, turn: tandem_proto::v1::Turn) -> Text {
    let micros = turn.created.map_or(0, |time| super::record::micros(&time));
    Text { conversation, sequence, micros, prompt: turn.prompt, answer: turn.answer }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tandem_proto::v1::{Policy, Turn};

    use super::super::database::SystemSource;
    use super::*;

    fn turn(prompt: &str) -> Turn {
        Turn { prompt: prompt.to_owned(), ..Turn::default() }
    }

    fn words(steps: &[Step]) -> Vec<&str> {
        let words = steps.iter().map(|step| match step {
            Step::Forget(_) => "(forget)",
            Step::Add(text) => text.prompt.as_str(),
        });
        words.collect()
    }

    #[test]
    fn who_follows_sees_every_change_once_and_a_store_that_is_opened_again_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = Database::open(dir.path(), Box::new(SystemSource)).ok().unwrap();
        let id = database.create_conversation("", Policy::Auto).unwrap().id;
        let begin = database.position();
        database.commit_turn(&id, turn("one")).unwrap();
        database.commit_turn(&id, turn("two")).unwrap();
        let advance = database.advance(begin).unwrap().unwrap();
        assert_eq!((words(&advance.steps), advance.done), (vec!["one", "two"], true));
        database.trim_journal(advance.position).unwrap();
        database.sync().unwrap();
        drop(database);

        let mut database = super::super::thread::open_patiently(dir.path(), || false).ok().unwrap();
        assert_eq!(database.position(), advance.position);
        assert_eq!(database.advance(advance.position).unwrap().unwrap().steps, []);
        let other = database.create_conversation("", Policy::Auto).unwrap().id;
        database.commit_turn(&other, turn("three")).unwrap();
        database.delete_conversation(&id).unwrap();
        let advance = database.advance(advance.position).unwrap().unwrap();
        assert_eq!(words(&advance.steps), ["three", "(forget)"]);
        assert_eq!(database.advance(begin).unwrap(), None, "it was forgotten");
        assert_eq!(database.advance(1000).unwrap(), None, "it never was");
    }

    #[test]
    fn all_texts_come_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = Database::open(dir.path(), Box::new(SystemSource)).ok().unwrap();
        let mut expected = Vec::new();
        for conversation in 0..3 {
            let id = database.create_conversation("", Policy::Auto).unwrap().id;
            for number in 0..3 {
                let prompt = format!("{conversation}{number}").repeat(400_000);
                database.commit_turn(&id, turn(&prompt)).unwrap();
                expected.push(prompt);
            }
        }
        let (mut read, mut parts, mut after) = (Vec::new(), 0, None);
        loop {
            let (texts, next) = database.all_texts(after).unwrap();
            read.extend(texts.into_iter().map(|text| text.prompt));
            parts += 1;
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert!(parts > 1);
        assert_eq!(read, expected);
    }
}
