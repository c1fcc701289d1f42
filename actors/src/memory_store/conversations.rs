//! What the store is asked about conversations as wholes, and by the search index.

use tandem_proto::v1::{Conversation, Turn};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::database::Database;
use super::database::transfer::Forgotten;
use super::journal::{Advance, Cursor, Text};
use super::thread::{Acknowledge, change, read};
use super::{MemoryStore, Reply, Request as StoreRequest, exchange};
use crate::{Error, Result};

/// Parts of an export that wait for who reads them, and their bytes.
const PARTS_MAX: usize = 4;
const PART_BYTES_MAX: usize = 1 << 20;

/// About how many bytes of turns are read from the store at once.
const TURNS_BYTES_MAX: usize = 4 << 20;

/// Where the search index begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Origin {
    /// Which store it is.
    pub(crate) identity: String,
    /// The number behind the last change.
    pub(crate) position: u64,
    /// Whether there is room on the disk, or why not.
    pub(crate) room: Result<()>,
}

impl MemoryStore {
    /// Gives a conversation another title, of 1 to 200 bytes.
    pub async fn rename_conversation(&self, id: &str, title: &str) -> Result<Conversation> {
        let (id, title) = (id.to_owned(), title.to_owned());
        self.request(|reply| Request::Rename { id, title, reply }).await
    }

    /// Takes a conversation in with its id and times. One that is there already is refused as
    /// [`crate::Error::Invalid`], or replaced.
    pub async fn import_conversation(
        &self,
        conversation: Conversation,
        turns: Vec<Turn>,
        replace: bool,
    ) -> Result<()> {
        let conversation = Box::new(conversation);
        let import = |reply| Request::Import { conversation, turns, replace, reply };
        self.insist(|reply| StoreRequest::Conversations(import(reply))).await
    }

    /// Turns of a conversation from a number on, from 0, oldest first, of at most `bytes_max` together
    /// unless the first one alone has more, and where to go on.
    pub async fn turns_from(
        &self,
        id: &str,
        number: u64,
        bytes_max: usize,
    ) -> Result<(Vec<Turn>, Option<u64>)> {
        let id = id.to_owned();
        self.request(|reply| Request::TurnsFrom { id, number, bytes_max, reply }).await
    }

    /// Forgets conversations; see [`Database::forget_oldest`].
    pub(crate) async fn forget_oldest(&self, since_micros: u64, bytes: u64) -> Result<Forgotten> {
        self.request(|reply| Request::ForgetOldest { since_micros, bytes, reply }).await
    }

    pub(crate) async fn turns_at(
        &self,
        places: Vec<(Uuid, u64)>,
    ) -> Result<Vec<Option<(Conversation, Turn)>>> {
        self.request(|reply| Request::TurnsAt { places, reply }).await
    }

    pub(crate) async fn origin(&self) -> Result<Origin> {
        self.request(|reply| Request::Origin { reply }).await
    }

    /// What changed from a position on; `None` when that is not known any more.
    pub(crate) async fn advance(&self, position: u64) -> Result<Option<Advance>> {
        self.request(|reply| Request::Advance { position, reply }).await
    }

    /// All that changed before this position is in the index, on disk.
    pub(crate) async fn trim_journal(&self, position: u64) -> Result<()> {
        self.request(|reply| Request::TrimJournal { position, reply }).await
    }

    pub(crate) async fn all_texts(&self, after: Cursor) -> Result<(Vec<Text>, Cursor)> {
        self.request(|reply| Request::AllTexts { after, reply }).await
    }

    /// Conversations with these ids as lines of JSON, in parts; without ids all, latest update first.
    /// An error ends them.
    #[must_use]
    pub fn export(&self, ids: Vec<String>) -> mpsc::Receiver<Result<Vec<u8>>> {
        let (sender, parts) = mpsc::channel(PARTS_MAX);
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.write_lines(ids, &sender).await {
                drop(sender.send(Err(error)).await);
            }
        });
        parts
    }

    async fn write_lines(
        &self,
        ids: Vec<String>,
        sender: &mpsc::Sender<Result<Vec<u8>>>,
    ) -> Result<()> {
        if !ids.is_empty() {
            for id in &ids {
                self.write_conversation(id, sender).await?;
            }
            return Ok(());
        }
        let mut page_token = String::new();
        loop {
            let (page, next) = self.list_conversations(0, &page_token).await?;
            for conversation in page {
                match self.write_conversation(&conversation.id, sender).await {
                    // Deleted since it was listed.
                    Err(Error::ConversationNotFound { .. }) => {}
                    written => written?,
                }
            }
            if next.is_empty() {
                return Ok(());
            }
            page_token = next;
        }
    }

    async fn write_conversation(
        &self,
        id: &str,
        sender: &mpsc::Sender<Result<Vec<u8>>>,
    ) -> Result<()> {
        let gone = |_| Error::Cancelled { reason: "nobody reads the export".to_owned() };
        let mut lines = exchange::conversation_line(self.conversation(id).await?);
        let mut next = Some(0);
        while let Some(number) = next {
            let (turns, more) = self.turns_from(id, number, TURNS_BYTES_MAX).await?;
            for turn in turns {
                lines.extend(exchange::turn_line(turn));
                if lines.len() >= PART_BYTES_MAX {
                    for part in lines.chunks(PART_BYTES_MAX) {
                        sender.send(Ok(part.to_vec())).await.map_err(gone)?;
                    }
                    lines.clear();
                }
            }
            next = more;
        }
        if !lines.is_empty() {
            sender.send(Ok(lines)).await.map_err(gone)?;
        }
        Ok(())
    }

    async fn request<T: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<T> {
        self.ask(|reply| StoreRequest::Conversations(request(reply))).await
    }
}

/// What can be asked; the methods of [`MemoryStore`] document each.
#[derive(Debug)]
#[allow(private_interfaces, reason = "messages between actors of this crate")]
#[allow(missing_docs, reason = "the methods of MemoryStore document them")]
pub enum Request {
    Rename { id: String, title: String, reply: Reply<Conversation> },
    Import { conversation: Box<Conversation>, turns: Vec<Turn>, replace: bool, reply: Reply<()> },
    TurnsFrom { id: String, number: u64, bytes_max: usize, reply: Reply<(Vec<Turn>, Option<u64>)> },
    TurnsAt { places: Vec<(Uuid, u64)>, reply: Reply<Vec<Option<(Conversation, Turn)>>> },
    ForgetOldest { since_micros: u64, bytes: u64, reply: Reply<Forgotten> },
    Origin { reply: Reply<Origin> },
    Advance { position: u64, reply: Reply<Option<Advance>> },
    TrimJournal { position: u64, reply: Reply<()> },
    AllTexts { after: Cursor, reply: Reply<(Vec<Text>, Cursor)> },
}

impl Request {
    pub(super) fn serve(self, database: &mut Database) -> Option<Acknowledge> {
        match self {
            Self::Rename { id, title, reply } => change(reply, || database.rename(&id, &title)),
            Self::Import { conversation, turns, replace, reply } => {
                change(reply, || database.import(&conversation, &turns, replace))
            }
            Self::TurnsFrom { id, number, bytes_max, reply } => {
                read(reply, || database.turns_from(&id, number, bytes_max))
            }
            Self::TurnsAt { places, reply } => read(reply, || Ok(database.turns_at(&places))),
            Self::ForgetOldest { since_micros, bytes, reply } => {
                change(reply, || database.forget_oldest(since_micros, bytes))
            }
            Self::Origin { reply } => read(reply, || database.origin()),
            Self::Advance { position, reply } => read(reply, || database.advance(position)),
            Self::TrimJournal { position, reply } => {
                change(reply, || database.trim_journal(position))
            }
            Self::AllTexts { after, reply } => read(reply, || database.all_texts(after)),
        }
    }
}
