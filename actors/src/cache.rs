//! Keeps on disk, encrypted, what need not be computed or asked again: embeddings and answers.
//!
//! Readers go to the index in memory and to the files by themselves, so that what is not there costs
//! them a look into a table. One thread writes, for the life of the actor. Nobody waits for it, and
//! nothing depends on it: without it, everything is computed anew.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tandem_config::{Memory, Secret};
use tandem_proto::v1::CacheStats;
use tokio::sync::{Semaphore, oneshot};

use crate::{Address, Error, Result};

mod answer;
mod embedding;
mod guard;
mod index;
mod keeper;
mod key;
mod log;
mod near;
mod seal;
mod stock;
mod thread;

pub(crate) use answer::Kept;
pub use embedding::Embedded;
pub(crate) use guard::is_comparable;
use keeper::New;
use near::Vectors;
pub(crate) use seal::{Digest, Fingerprint};
use stock::{Limits, Stock};
use thread::{Job, Work};

/// Most that waits to be written, in KiB. What comes on top is not kept.
const WAITING_KIB_MAX: u32 = 32 << 10;
/// Longest wait for the thread, which may be opening a large cache on a slow disk.
const DEADLINE: Duration = Duration::from_secs(30);

/// One of the caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Vectors of texts.
    Embeddings,
    /// Answers to questions.
    Answers,
}

impl Which {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Embeddings, Self::Answers];

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Embeddings => "embeddings",
            Self::Answers => "answers",
        }
    }
}

/// The caches, as others see them. Cheap to clone; outlives the actor's restarts.
#[derive(Debug, Clone)]
pub struct Caches {
    address: Address<Message>,
    /// Bounds what waits to be written.
    room: Arc<Semaphore>,
    embeddings: Arc<Stock>,
    answers: Arc<Stock>,
    vectors: Arc<Mutex<Vectors>>,
    /// Cosine from which two questions may be the same; `None` compares no questions.
    similarity: Option<f64>,
}

impl Caches {
    /// Caches that nobody has started yet, and that are empty until then.
    #[must_use]
    pub fn new(memory: &Memory) -> Self {
        let (embeddings, answers) = (&memory.embedding_cache, &memory.response_cache);
        let (enabled, ttl, bytes_max) =
            (embeddings.bytes_max > 0, embeddings.ttl, embeddings.bytes_max);
        let embeddings = Limits { enabled, ttl, bytes_max };
        let similarity = answers.similarity.filter(|_| answers.enabled);
        let answers =
            Limits { enabled: answers.enabled, ttl: answers.ttl, bytes_max: answers.bytes_max };
        Self {
            address: Address::new("the caches"),
            room: Arc::new(Semaphore::new(WAITING_KIB_MAX as usize)),
            embeddings: Arc::new(Stock::new(Which::Embeddings.name(), embeddings)),
            answers: Arc::new(Stock::new(Which::Answers.name(), answers)),
            vectors: Arc::default(),
            similarity,
        }
    }

    /// Whether answers are kept.
    pub(crate) fn keeps_answers(&self) -> bool {
        self.answers.is_on()
    }

    /// Whether an answer is also found by a question in other words.
    pub(crate) fn compares_questions(&self) -> bool {
        self.similarity.is_some()
    }

    /// How the caches are, without waiting for what is about to be written.
    #[must_use]
    pub fn status(&self) -> Vec<CacheStats> {
        [&self.embeddings, &self.answers].map(|stock| stock.stats()).into()
    }

    /// How the caches are once all that was handed in by now is written.
    pub async fn stats(&self) -> Result<Vec<CacheStats>> {
        self.ask(Work::Settle).await?;
        Ok(self.status())
    }

    /// Forgets all of one cache, or of both. The bytes that are free again.
    pub async fn clear(&self, which: Option<Which>) -> Result<u64> {
        self.ask(|reply| Work::Clear(which, reply)).await
    }

    /// Hands entries in to be kept. They are not when too much waits already.
    fn keep(&self, which: Which, entries: Vec<(Digest, Vec<u8>)>) {
        let count = entries.len();
        let bytes: usize = entries.iter().map(|(_, plain)| plain.len() + size_of::<New>()).sum();
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).max(1);
        let entries = entries.into_iter().map(|(digest, plain)| New { digest, plain }).collect();
        let handed_in = Arc::clone(&self.room).try_acquire_many_owned(kib).is_ok_and(|permit| {
            self.address.cast(Message((Work::Keep(which, entries), permit))).is_ok()
        });
        if !handed_in {
            self.stock(which).failed(count);
        }
    }

    fn stock(&self, which: Which) -> &Arc<Stock> {
        match which {
            Which::Embeddings => &self.embeddings,
            Which::Answers => &self.answers,
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(RpcReplyPort<T>) -> Work,
    ) -> Result<T> {
        let permit = Arc::clone(&self.room).try_acquire_owned();
        let permit = permit.map_err(|_| Error::Overloaded {
            what: "too much waits to be written to the caches".to_owned(),
            retry_after: Duration::from_secs(1),
        })?;
        self.address.ask(DEADLINE, |reply| Message((work(reply), permit))).await
    }
}

/// Message of the actor: work for its thread. Use [`Caches`].
#[derive(Debug)]
pub(crate) struct Message(Job);

/// How to start the actor.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// Folder of everything that the daemon keeps.
    pub data_dir: PathBuf,
    /// The key that the settings name.
    pub store_key: Option<Secret>,
    /// Where the caches are reached.
    pub handle: Caches,
}

/// The actor behind [`Caches`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct CachesActor;

/// One life's thread. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct State {
    /// `None` once stopped.
    jobs: Option<std::sync::mpsc::Sender<Job>>,
    ended: oneshot::Receiver<()>,
}

impl Actor for CachesActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> std::result::Result<State, ActorProcessingErr> {
        let address = arguments.handle.address.clone();
        let thread::Handle { jobs, ended } = thread::start(arguments)?;
        address.publish(myself);
        Ok(State { jobs: Some(jobs), ended })
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        Message(job): Message,
        state: &mut State,
    ) -> std::result::Result<(), ActorProcessingErr> {
        let gone = state.jobs.as_ref().is_none_or(|jobs| jobs.send(job).is_err());
        if gone { Err("its thread ended".into()) } else { Ok(()) }
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
