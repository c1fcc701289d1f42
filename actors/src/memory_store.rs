//! Remembers conversations: the only owner of sled.
//!
//! sled blocks, so one thread owns it for the life of the actor; handlers only pass requests on.
//! A change is answered once it is on disk. When a write fails the actor ends, and its next life
//! reopens the store as it is on disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tandem_proto::v1::{Conversation, Policy, Turn};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use crate::{Address, Error, Node, Result};

pub(crate) mod books;
mod care;
mod changes;
mod check;
mod codec;
pub(crate) mod conversations;
mod copying;
mod database;
pub mod exchange;
mod experiments;
mod fresh;
pub(crate) mod journal;
mod key;
pub(crate) mod memories;
mod migrations;
mod opening;
mod record;
mod replacing;
mod room;
mod summaries;
mod switching;
mod thread;
mod tidying;
mod title;
pub(crate) mod usage;

pub(crate) use care::FINDINGS_MAX;
pub(crate) use care::disk_bytes;
pub use care::{CheckReport, Renewed, Stats};
pub use check::Finding;
pub(crate) use copying::Record;
pub(crate) use fresh::{COLLECTIONS, Fresh};
pub(crate) use opening::unwritable;
pub(crate) use replacing::before_restore;
pub use summaries::{History, Summary};
use thread::Job;

/// Most requests that are accepted and not answered.
const REQUESTS_MAX: usize = 256;
/// Longest wait for an answer; a slow disk needs seconds.
const DEADLINE: Duration = Duration::from_secs(30);

/// How everyone else uses the store. Cheap to clone; outlives the actor's restarts.
///
/// All methods fail with [`Error::Overloaded`] when too many requests wait, with
/// [`Error::Restarting`] between two lives, and with [`Error::Store`] when the disk or a record is
/// damaged.
/// Methods that take an id fail with [`Error::ConversationNotFound`] when there is none.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    address: Address<Message>,
    permits: Arc<Semaphore>,
}

impl MemoryStore {
    /// A store that nobody has started yet.
    #[must_use]
    pub fn new() -> Self {
        Self { address: Address::new("the store"), permits: Arc::new(Semaphore::new(REQUESTS_MAX)) }
    }

    /// Begins a conversation whose turns have `policy` unless they name one. An empty title, at most
    /// 200 bytes, is replaced by the first prompt.
    pub async fn create_conversation(&self, title: &str, policy: Policy) -> Result<Conversation> {
        let title = title.to_owned();
        self.ask(|reply| Request::CreateConversation { title, policy, reply }).await
    }

    /// One page of conversations, last updated first, and the token of the next page, empty on the
    /// last one. `page_size` is 0 (meaning 50) to 1000.
    pub async fn list_conversations(
        &self,
        page_size: u32,
        page_token: &str,
    ) -> Result<(Vec<Conversation>, String)> {
        let page_token = page_token.to_owned();
        self.ask(|reply| Request::ListConversations { page_size, page_token, reply }).await
    }

    /// One conversation, without its turns.
    pub async fn conversation(&self, id: &str) -> Result<Conversation> {
        let id = id.to_owned();
        self.ask(|reply| Request::Conversation { id, reply }).await
    }

    /// All turns of a conversation, oldest first.
    pub async fn turns(&self, id: &str) -> Result<Vec<Turn>> {
        self.recent_turns(id, usize::MAX).await
    }

    /// The latest turns of a conversation, at most `max`, oldest first.
    pub async fn recent_turns(&self, id: &str, max: usize) -> Result<Vec<Turn>> {
        let id = id.to_owned();
        self.ask(|reply| Request::RecentTurns { id, max, reply }).await
    }

    /// Appends a turn of at most 16 MiB. It is on disk when this returns. An empty turn id is
    /// replaced by a new one, an unset time by now. After an error the same turn, with its id, may
    /// be committed again: it is stored once.
    pub async fn commit_turn(&self, conversation_id: &str, turn: Turn) -> Result<Conversation> {
        let (id, turn) = (conversation_id.to_owned(), Box::new(turn));
        self.insist(|reply| Request::CommitTurn { id, turn, reply }).await
    }

    /// Removes a conversation and its turns.
    pub async fn delete_conversation(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.ask(|reply| Request::DeleteConversation { id, reply }).await
    }

    /// What was remembered under `key` about how an engine runs.
    pub async fn engine_choice(&self, key: &str) -> Result<Option<String>> {
        let key = key.to_owned();
        self.ask(|reply| Request::EngineChoice { key, reply }).await
    }

    /// Remembers how an engine runs. Key and value have at most 2048 bytes each.
    pub async fn remember_engine_choice(&self, key: &str, value: &str) -> Result<()> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.ask(|reply| Request::RememberEngineChoice { key, value, reply }).await
    }

    /// How many requests are accepted and not answered.
    fn accepted(&self) -> usize {
        REQUESTS_MAX - self.permits.available_permits()
    }

    /// Waits for a place: what was answered must not be lost because others ask at the same time.
    async fn insist<T: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<T> {
        let permit = timeout(DEADLINE, Arc::clone(&self.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Error::Unresponsive { part: "the memory store".to_owned() });
        };
        self.address.ask(DEADLINE, |reply| Message::Serve(request(reply), permit)).await?
    }

    async fn ask<T: Send + 'static>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T> {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit = permit.map_err(|_| Error::Overloaded {
            what: format!("{REQUESTS_MAX} requests wait for the store"),
            retry_after: Duration::from_secs(1),
        })?;
        self.address.ask(DEADLINE, |reply| Message::Serve(request(reply), permit)).await?
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

type Reply<T> = RpcReplyPort<Result<T>>;

/// What can be asked of the store; [`MemoryStore`] documents each.
#[derive(Debug)]
#[allow(missing_docs, reason = "the methods of MemoryStore document them")]
pub enum Request {
    CreateConversation {
        title: String,
        policy: Policy,
        reply: Reply<Conversation>,
    },
    ListConversations {
        page_size: u32,
        page_token: String,
        reply: Reply<(Vec<Conversation>, String)>,
    },
    Conversation {
        id: String,
        reply: Reply<Conversation>,
    },
    RecentTurns {
        id: String,
        max: usize,
        reply: Reply<Vec<Turn>>,
    },
    CommitTurn {
        id: String,
        turn: Box<Turn>,
        reply: Reply<Conversation>,
    },
    DeleteConversation {
        id: String,
        reply: Reply<()>,
    },
    EngineChoice {
        key: String,
        reply: Reply<Option<String>>,
    },
    RememberEngineChoice {
        key: String,
        value: String,
        reply: Reply<()>,
    },
    Experiments(experiments::Request),
    Books(books::Request),
    Conversations(conversations::Request),
    Care(care::Request),
    Replace(replacing::Replace),
    Summaries(summaries::Request),
    Memories(memories::Request),
}

/// Messages of the actor. Use [`MemoryStore`].
#[derive(Debug)]
pub enum Message {
    /// Work for the thread; the permit bounds the mailbox.
    Serve(Request, OwnedSemaphorePermit),
    /// Forget what is kept for too long.
    Tidy,
    /// The thread ended, for this reason.
    Ended(String),
}

/// How to start the actor.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// Directory of the store; made when it is not there.
    pub dir: PathBuf,
    /// How long conversations are kept that nobody goes on with; zero is for ever.
    pub retention: Duration,
    /// Most bytes of conversations; 0 is any number.
    pub size_max: u64,
    /// Where the actor will be reached.
    pub handle: MemoryStore,
    /// The actor's place in the tree.
    pub node: Node,
}

/// The actor behind a [`MemoryStore`].
#[derive(Debug, Clone, Copy)]
pub struct MemoryStoreActor;

/// One life's thread. Dropping it ends the thread.
#[derive(Debug)]
pub struct State {
    /// `None` once stopped.
    jobs: Option<SyncSender<Job>>,
    ended: oneshot::Receiver<()>,
    tidying: tidying::Tidying,
}

impl State {
    /// The queue has room for all permits. A job that the thread does not take any more is dropped,
    /// which tells the caller that the store restarts.
    fn pass_on(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            drop(jobs.try_send(job));
        }
    }
}

impl Actor for MemoryStoreActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> std::result::Result<State, ActorProcessingErr> {
        let (address, dir) = (arguments.handle.address.clone(), arguments.dir.clone());
        let tidying = tidying::Tidying::of(&arguments);
        let actor = myself.clone();
        let thread = thread::start(arguments, REQUESTS_MAX, move |why| {
            drop(actor.cast(Message::Ended(why)));
        })?;
        let problem = match thread.opened.await {
            Ok(Ok(())) => {
                address.publish(myself.clone());
                drop(myself.cast(Message::Tidy));
                return Ok(State { jobs: Some(thread.jobs), ended: thread.ended, tidying });
            }
            Ok(Err(problem)) => problem.to_string(),
            Err(_) => "its files are damaged; move the directory aside to begin with an empty one"
                .to_owned(),
        };
        Err(format!("the store {} cannot be opened: {problem}", dir.display()).into())
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> std::result::Result<(), ActorProcessingErr> {
        match message {
            Message::Serve(request, permit) => state.pass_on((request, permit)),
            Message::Tidy => {
                state.tidying.begin();
                drop(myself.send_after(tidying::INTERVAL, || Message::Tidy));
            }
            Message::Ended(why) => return Err(why.into()),
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<Message>,
        state: &mut State,
    ) -> std::result::Result<(), ActorProcessingErr> {
        state.jobs = None;
        // The thread sends nothing; it closes the channel by ending.
        drop((&mut state.ended).await);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
