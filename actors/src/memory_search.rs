//! Finds turns by their words. The index is made from the store and holds no text that is not there:
//! it follows the store's journal, and is made anew when it is absent, damaged, of another version or
//! of another store.
//!
//! Opening, reading and writing it blocks, so a thread owns it. Results are read from the store, so
//! what was deleted there is found no more, whatever the index still has.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use prost_types::Timestamp;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tandem_proto::v1::Conversation;
use tokio::sync::oneshot;

use crate::memory_store::MemoryStore;
use crate::memory_store::disk_bytes;
use crate::{Address, Error, Node, Result};

mod index;
mod thread;

/// Longest wait for an answer; a new index of a large store needs it.
const DEADLINE: Duration = Duration::from_mins(2);
/// Most searches that wait.
const WAITING_MAX: usize = 64;
/// Results when none are asked for, and at most.
const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;
/// Longest query.
const QUERY_BYTES_MAX: usize = 1000;

/// A turn that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its conversation.
    pub conversation: Conversation,
    /// The turn's id.
    pub turn_id: String,
    /// When it was asked.
    pub created: Option<Timestamp>,
    /// A part of prompt or answer with words that were looked for.
    pub snippet: String,
    /// Where in the snippet they are: from the first byte to the one behind the last.
    pub marked: Vec<(u32, u32)>,
    /// How well it fits, by BM25.
    pub score: f32,
}

/// How everyone else searches. Cheap to clone; outlives the actor's restarts.
#[derive(Debug, Clone)]
pub struct MemorySearch {
    address: Address<Message>,
    dir: Arc<Path>,
}

impl MemorySearch {
    /// A search with its index in `dir`, which nobody has started yet.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { address: Address::new("the search"), dir: dir.into() }
    }

    /// The turns that have all words of a query of 1 to 1000 bytes, best first and of equals the latest
    /// first. `"Two words"` in quotes are looked for side by side, `OR` finds either, `-word` none
    /// with it. `limit` is 0 (meaning 20) to 100.
    pub async fn find(&self, query: &str, limit: u32) -> Result<Vec<Found>> {
        let limit = match limit {
            0 => LIMIT_DEFAULT,
            1..=LIMIT_MAX => limit,
            _ => {
                let problem = format!("{limit}; 0 to {LIMIT_MAX} are allowed");
                return Err(Error::invalid("limit", problem));
            }
        };
        if query.trim().is_empty() || query.len() > QUERY_BYTES_MAX {
            let problem = format!("has {} bytes; 1 to {QUERY_BYTES_MAX} are allowed", query.len());
            return Err(Error::invalid("query", problem));
        }
        let query = query.to_owned();
        self.address.ask(DEADLINE, |reply| Message::Do(Job::Find { query, limit, reply })).await?
    }

    /// Brings the index up to date.
    pub async fn refresh(&self) -> Result<()> {
        self.address.ask(DEADLINE, |reply| Message::Do(Job::Refresh { reply })).await?
    }

    /// Bytes of its files.
    pub async fn disk_bytes(&self) -> u64 {
        let dir = Arc::clone(&self.dir);
        tokio::task::spawn_blocking(move || disk_bytes(&dir)).await.unwrap_or(0)
    }
}

/// What the thread is given to do.
#[derive(Debug)]
enum Job {
    Find { query: String, limit: u32, reply: RpcReplyPort<Result<Vec<Found>>> },
    Refresh { reply: RpcReplyPort<Result<()>> },
}

impl Job {
    fn refuse(self, error: Error) {
        match self {
            Self::Find { reply, .. } => drop(reply.send(Err(error))),
            Self::Refresh { reply } => drop(reply.send(Err(error))),
        }
    }
}

/// Messages of the actor. Use [`MemorySearch`].
#[derive(Debug)]
#[allow(private_interfaces, reason = "the actor's own messages")]
pub enum Message {
    /// Work for the thread.
    Do(Job),
    /// The thread ended, for this reason.
    Ended(String),
}

/// How to start the actor.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// What is searched.
    pub store: MemoryStore,
    /// Where the actor will be reached.
    pub handle: MemorySearch,
    /// The actor's place in the tree.
    pub node: Node,
}

/// The actor behind a [`MemorySearch`].
#[derive(Debug, Clone, Copy)]
pub struct MemorySearchActor;

/// One life's thread. Dropping it ends the thread.
#[derive(Debug)]
pub struct State {
    /// `None` once stopped.
    jobs: Option<SyncSender<Job>>,
    ended: oneshot::Receiver<()>,
}

impl Actor for MemorySearchActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        Arguments { store, handle, node }: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let actor = myself.clone();
        let thread = thread::start(store, &handle.dir, node, move |why| {
            drop(actor.cast(Message::Ended(why)));
        })?;
        handle.address.publish(myself);
        Ok(State { jobs: Some(thread.jobs), ended: thread.ended })
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Do(job) => {
                let Some(jobs) = &state.jobs else { return Ok(()) };
                if let Err(refused) = jobs.try_send(job) {
                    let (std::sync::mpsc::TrySendError::Full(job)
                    | std::sync::mpsc::TrySendError::Disconnected(job)) = refused;
                    let what = format!("{WAITING_MAX} searches wait");
                    let retry_after = Duration::from_secs(1);
                    job.refuse(Error::Overloaded { what, retry_after });
                }
                Ok(())
            }
            Message::Ended(why) => Err(why.into()),
        }
    }

    async fn post_stop(
        &self,
        _: ActorRef<Message>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.jobs = None;
        // The thread sends nothing; it closes the channel by ending.
        drop((&mut state.ended).await);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
