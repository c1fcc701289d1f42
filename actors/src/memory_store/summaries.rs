//! What the store keeps of a conversation for those who go on with it: its turns and their summary.

use tandem_proto::v1::Turn;

use super::changes::Changes;
use super::database::{Database, decode, parse_id, unreadable};
use super::thread::{Acknowledge, change, read};
use super::{MemoryStore, Reply, Request as StoreRequest, codec, key};
use crate::Result;

/// Longest summary that is kept; the rest is cut off. With everything around it, it fits into one value.
const TEXT_BYTES_MAX: usize = 3 << 10;

/// What was said in the beginning of a conversation, in short.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Summary {
    /// In a few sentences.
    #[prost(string, tag = "1")]
    pub text: String,
    /// The last turn that it covers, by its place in the conversation, from 1.
    #[prost(uint64, tag = "2")]
    pub covers: u64,
    /// It covers a private turn, and so is private itself.
    #[prost(bool, tag = "3")]
    pub private: bool,
}

/// The end of a conversation, and what is known of the rest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// How many turns there are before `turns`.
    pub unread: u64,
    /// Oldest first.
    pub turns: Vec<Turn>,
    /// Of the conversation's beginning.
    pub summary: Option<Summary>,
}

impl MemoryStore {
    /// The latest turns of a conversation, at most `turns_max` and `bytes_max`, and its summary.
    pub async fn history(&self, id: &str, turns_max: usize, bytes_max: usize) -> Result<History> {
        let id = id.to_owned();
        self.ask(|reply| {
            StoreRequest::Summaries(Request::History { id, turns_max, bytes_max, reply })
        })
        .await
    }

    /// The summary of a conversation, if it has one.
    pub async fn summary(&self, id: &str) -> Result<Option<Summary>> {
        let id = id.to_owned();
        self.ask(|reply| StoreRequest::Summaries(Request::Summary { id, reply })).await
    }

    /// Keeps a summary in the place of the one before. It is on disk when this returns.
    pub async fn remember_summary(&self, id: &str, summary: Summary) -> Result<()> {
        let id = id.to_owned();
        self.ask(|reply| StoreRequest::Summaries(Request::Remember { id, summary, reply })).await
    }
}

/// What can be asked; [`MemoryStore`] documents each.
#[derive(Debug)]
#[allow(missing_docs, reason = "the methods of MemoryStore document them")]
pub enum Request {
    History { id: String, turns_max: usize, bytes_max: usize, reply: Reply<History> },
    Summary { id: String, reply: Reply<Option<Summary>> },
    Remember { id: String, summary: Summary, reply: Reply<()> },
}

impl Request {
    pub(super) fn serve(self, database: &mut Database) -> Option<Acknowledge> {
        match self {
            Self::History { id, turns_max, bytes_max, reply } => {
                read(reply, || database.history(&id, turns_max, bytes_max))
            }
            Self::Summary { id, reply } => read(reply, || database.summary(&id)),
            Self::Remember { id, summary, reply } => {
                change(reply, || database.remember_summary(&id, summary))
            }
        }
    }
}

impl Database {
    pub(super) fn history(&self, id: &str, turns_max: usize, bytes_max: usize) -> Result<History> {
        let conversation = self.conversation(id)?;
        let turns = self.latest_turns(parse_id(id)?, turns_max, bytes_max)?;
        let unread = u64::from(conversation.turns).saturating_sub(turns.len() as u64);
        Ok(History { unread, turns, summary: self.summary(id)? })
    }

    pub(super) fn summary(&self, id: &str) -> Result<Option<Summary>> {
        let id = parse_id(id)?;
        let value = self.sled.get(key::summary(id)).map_err(unreadable)?;
        value.map(|value| decode(&format!("summary of conversation {id}"), &value)).transpose()
    }

    /// A conversation that was deleted meanwhile stays so.
    pub(super) fn remember_summary(&mut self, id: &str, mut summary: Summary) -> Result<()> {
        self.conversation(id)?;
        let end = summary.text.floor_char_boundary(TEXT_BYTES_MAX);
        summary.text.truncate(end);
        let mut changes = Changes::default();
        changes.insert(key::summary(parse_id(id)?), codec::encode(&summary));
        self.apply(changes)
    }
}
