//! The user's documents: who has the collections open, and what may be asked of them.
//!
//! Each collection has a thread of its own ([`shelf`]); the actor only knows which are open. Reading and
//! embedding documents is done by a task per ingestion ([`ingest`]), one at a time. Where a server of
//! Chroma is to search vectors, a task per collection keeps a copy of them there ([`mirror`]).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tandem_config::{Knowledge, KnowledgeBackend};
use tandem_knowledge::EmbeddingSpace;
use tandem_proto::v1::{self, IngestEvent, IngestRequest, Label};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::cache::Caches;
use crate::model_loader::ModelLoader;
use crate::{Address, Error, Node, Result};

mod card;
mod care;
mod chroma;
mod embedder;
mod evaluation;
mod index;
mod ingest;
mod maker;
mod mirror;
mod pool;
mod record;
mod restoring;
mod search;
mod shelf;
mod watch;

pub(crate) use card::check_name;
use card::{Card, Watched, cards};
use care::{bytes, clear, removed};
use chroma::Server;
use embedder::Models;
use maker::Whereabouts;
use mirror::{Copies, Mirror, remains};
use pool::Pool;
pub(crate) use restoring::Restoring;
use shelf::{Ending, Shelf};

/// Most requests that are accepted and not answered.
const REQUESTS_MAX: usize = 256;
/// Longest wait for the actor, which never blocks.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often collections are looked for that nobody uses any more.
const TICK: Duration = Duration::from_mins(1);
/// Longest wait for collections to be closed at the end.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// Most documents of a page, and how many there are when the caller does not say.
const PAGE_SIZE_MAX: u32 = 1000;
const PAGE_SIZE_DEFAULT: u32 = 100;

/// How everyone else reaches the documents. Cheap to clone; outlives the actor's restarts.
///
/// All methods that name a collection fail with [`Error::CollectionNotFound`] when there is none, and
/// with [`Error::Collection`] when its files cannot be used.
#[derive(Debug, Clone)]
pub struct KnowledgeBase {
    address: Address<Message>,
    /// The folder of the collections.
    dir: Arc<Path>,
    /// Where collections lie that a backup had, until they take the place of those.
    restored: Arc<Path>,
    models: Models,
    settings: Arc<Knowledge>,
    /// Where copies of the vectors are searched; nothing when none are.
    copies: Option<Arc<Copies>>,
    permits: Arc<Semaphore>,
    /// Embedding takes all cores, so that two at once only delay each other.
    ingesting: Arc<Semaphore>,
}

impl KnowledgeBase {
    /// Collections in `dir` that nobody has opened yet. Those in `restored`, where a backup is restored to,
    /// take their place when the actor starts.
    #[must_use]
    pub fn new(
        dir: PathBuf,
        restored: PathBuf,
        loader: &ModelLoader,
        caches: &Caches,
        settings: Knowledge,
    ) -> Self {
        Self {
            address: Address::new("the knowledge base"),
            dir: dir.into(),
            restored: restored.into(),
            models: Models {
                loader: loader.clone(),
                caches: caches.clone(),
                whereabouts: Whereabouts::default(),
            },
            copies: (settings.backend == KnowledgeBackend::Chroma)
                .then(|| Arc::new(Copies::new(Server::new(settings.chroma.clone())))),
            settings: Arc::new(settings),
            permits: Arc::new(Semaphore::new(REQUESTS_MAX)),
            ingesting: Arc::new(Semaphore::new(1)),
        }
    }

    /// Reads documents into a collection. Dropping the events stops it; what was told as done is on disk.
    pub fn ingest(&self, request: IngestRequest) -> Result<mpsc::Receiver<Result<IngestEvent>>> {
        check_name(&request.collection)?;
        let permit = self.permit()?;
        Ok(ingest::start(self.clone(), request, permit))
    }

    /// The collections in the order of their names. One that cannot be opened says so in its `problem`.
    pub async fn collections(&self) -> Result<Vec<v1::Collection>> {
        let _permit = self.permit()?;
        let mut collections = Vec::new();
        for (name, card) in self.cards().await? {
            let described = self.describe(&name, card).await;
            collections.push(described.unwrap_or_else(|error| v1::Collection {
                name,
                problem: error.to_string(),
                ..v1::Collection::default()
            }));
        }
        Ok(collections)
    }

    /// One page of documents in the order of their sources, and the token of the next page, empty on the
    /// last one. `page_size` is 0 (meaning 100) to 1000.
    pub async fn documents(
        &self,
        collection: &str,
        page_size: u32,
        page_token: String,
    ) -> Result<(Vec<v1::Document>, String)> {
        let _permit = self.permit()?;
        let size = match page_size {
            0 => PAGE_SIZE_DEFAULT,
            1..=PAGE_SIZE_MAX => page_size,
            _ => {
                let problem = format!("{page_size}; 0 to {PAGE_SIZE_MAX} are allowed");
                return Err(Error::invalid("page_size", problem));
            }
        };
        let (shelf, _) = self.shelf(collection).await?;
        let searcher = shelf.searcher().await?;
        let listed = blocking(move || {
            let after = (!page_token.is_empty()).then_some(page_token.as_str());
            searcher.documents(after, size as usize)
        });
        let documents = listed.await?.map_err(|error| shelf.failed(&error))?;
        let full = documents.len() == size as usize;
        let next = documents.last().filter(|_| full).map(|(last, _)| last.source.clone());
        let documents = documents.into_iter().map(|(document, chunks)| v1::Document {
            source: document.source,
            title: document.title,
            bytes: document.bytes,
            chunks,
            label: label(document.label).into(),
            metadata: document.metadata.into_iter().collect(),
        });
        Ok((documents.collect(), next.unwrap_or_default()))
    }

    /// Removes documents; returns the sources of those that were there.
    pub async fn remove(&self, collection: &str, sources: Vec<String>) -> Result<Vec<String>> {
        let _permit = self.permit()?;
        let (shelf, _) = self.shelf(collection).await?;
        let remove = move |collection: &mut tandem_knowledge::Collection| {
            let mut removed = Vec::new();
            for source in sources {
                if collection.remove(&source)? {
                    removed.push(source);
                }
            }
            collection.commit()?;
            Ok(removed)
        };
        shelf.change(remove).await
    }

    /// Removes a collection and its files, and has its copy elsewhere removed.
    pub async fn delete(&self, collection: &str) -> Result<()> {
        let _permit = self.permit()?;
        self.card(collection).await?;
        // First out of sight, so that a crash leaves no half of it.
        let gone = removed(&self.dir);
        let (from, to) = (self.dir.join(collection), gone.clone());
        let hidden = blocking(move || std::fs::rename(from, to)).await?;
        hidden.map_err(|error| self.failed(collection, &error))?;
        self.ask(|reply| Message::Close { name: collection.to_owned(), reply }).await?;
        let dir = Arc::clone(&self.dir);
        let removed = blocking(move || {
            remains::keep_mark(&gone, &dir);
            std::fs::remove_dir_all(gone)
        });
        let removed = removed.await?;
        if let Some(copies) = &self.copies {
            copies.deleted.notify_one();
        }
        removed.map_err(|error| self.failed(collection, &error))
    }

    async fn describe(&self, name: &str, card: io::Result<Card>) -> Result<v1::Collection> {
        let card = card.map_err(|error| self.failed(name, &error))?;
        let shelf = self.open(name, card.space().cloned()).await?;
        let stats = shelf.with(|collection| collection.stats()).await?;
        Ok(v1::Collection {
            name: name.to_owned(),
            documents: stats.documents,
            chunks: stats.chunks,
            bytes: bytes(&stats),
            dimensions: card.space().map_or(0, dimensions),
            embedding_model: card.space().map(|space| space.model.clone()).unwrap_or_default(),
            label: label(card.label).into(),
            watched: card.watched.iter().map(|it| it.path.display().to_string()).collect(),
            problem: String::new(),
            mirror: shelf.mirror().map(Mirror::describe),
        })
    }

    /// A collection that exists, and what is known of it.
    async fn shelf(&self, name: &str) -> Result<(Shelf, Card)> {
        let card = self.card(name).await?;
        Ok((self.open(name, card.space().cloned()).await?, card))
    }

    async fn open(&self, name: &str, space: Option<EmbeddingSpace>) -> Result<Shelf> {
        let (name, dir) = (name.to_owned(), self.dir.join(name));
        self.ask(|reply| Message::Open { name, dir, space, reply }).await?
    }

    async fn card(&self, name: &str) -> Result<Card> {
        self.find_card(name)
            .await?
            .ok_or_else(|| Error::CollectionNotFound { name: name.to_owned() })
    }

    async fn find_card(&self, name: &str) -> Result<Option<Card>> {
        check_name(name)?;
        let dir = self.dir.join(name);
        let card = blocking(move || Card::read(&dir)).await?;
        card.map_err(|error| self.failed(name, &error))
    }

    async fn write_card(&self, name: &str, card: &Card) -> Result<()> {
        let (dir, new) = (self.dir.join(name), card.clone());
        let written = blocking(move || new.write(&dir)).await?;
        written.map_err(|error| self.failed(name, &error))
    }

    /// The cards of all collections, by name.
    async fn cards(&self) -> Result<BTreeMap<String, io::Result<Card>>> {
        let dir = Arc::clone(&self.dir);
        let cards = blocking(move || cards(&dir)).await?;
        cards.map_err(|error| self.failed("", &error))
    }

    fn failed(&self, name: &str, error: &io::Error) -> Error {
        let problem =
            format!("{}: {error}; check disk space and permissions", self.dir.join(name).display());
        Error::Collection { name: name.to_owned(), problem }
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().map_err(|_| Error::Overloaded {
            what: "the knowledge base has all the requests that it takes, or is restored"
                .to_owned(),
            retry_after: Duration::from_secs(1),
        })
    }

    async fn ask<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<T>) -> Message,
    ) -> Result<T> {
        self.address.ask(DEADLINE, message).await
    }
}

fn dimensions(space: &EmbeddingSpace) -> u32 {
    u32::try_from(space.dimensions).unwrap_or(u32::MAX)
}

fn label(label: tandem_knowledge::Label) -> Label {
    match label {
        tandem_knowledge::Label::LocalOnly => Label::LocalOnly,
        tandem_knowledge::Label::MayLeave => Label::MayLeave,
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.map_err(|error| Error::Internal { problem: error.to_string() })
}

/// Messages of the actor. Use [`KnowledgeBase`].
#[derive(Debug)]
pub enum Message {
    /// The collection in this folder, open or about to be.
    #[allow(private_interfaces, reason = "only this module makes and reads it")]
    Open {
        /// Its name.
        name: String,
        /// Where its files are.
        dir: PathBuf,
        /// What makes its embeddings.
        space: Option<EmbeddingSpace>,
        /// Who asks.
        reply: RpcReplyPort<Result<Shelf>>,
    },
    /// Whoever wants it after that opens it anew.
    Close {
        /// Its name.
        name: String,
        /// Who asks.
        reply: RpcReplyPort<()>,
    },
    /// Whoever wants one after that opens it anew. Nothing is watched from now on.
    #[allow(private_interfaces, reason = "only this module makes and reads it")]
    CloseAll {
        /// Who asks; hears when each is closed.
        reply: RpcReplyPort<Vec<Ending>>,
    },
    /// Time to look for collections that nobody uses.
    Tick,
    /// Collections may be used again after a [`Message::CloseAll`].
    #[allow(private_interfaces, reason = "only this module makes and reads it")]
    GoOn {
        /// Of all that there are, by name.
        cards: BTreeMap<String, io::Result<Card>>,
    },
    /// What is to be watched for a collection from now on.
    #[allow(private_interfaces, reason = "only this module makes and reads it")]
    Watch {
        /// Its name.
        name: String,
        /// All of it.
        watched: Vec<Watched>,
    },
}

/// How to start the actor.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// Where the actor will be reached.
    pub handle: KnowledgeBase,
    /// The actor's place in the tree.
    pub node: Node,
}

/// The actor behind a [`KnowledgeBase`].
#[derive(Debug, Clone, Copy)]
pub struct KnowledgeBaseActor;

/// The collections that are open.
#[derive(Debug)]
pub struct State {
    handle: KnowledgeBase,
    pool: Pool,
    watches: watch::Watches,
    /// Removes the copies of collections that were deleted.
    _sweeper: Option<AbortOnDropHandle<()>>,
}

impl State {
    /// Opens what is to be copied: what changed while the server or this daemon was away is copied now.
    fn copy_all(&mut self, cards: &BTreeMap<String, io::Result<Card>>) {
        if self.handle.copies.is_none() {
            return;
        }
        for (name, card) in cards {
            // One that cannot be read or opened says so when it is used.
            let Ok(card) = card else { continue };
            if let Some(space) = card.space() {
                let dir = self.handle.dir.join(name);
                let _ = self.pool.get(name, dir, Some(space.clone()), Instant::now());
            }
        }
    }

    fn watch_all(&mut self, watched: BTreeMap<String, Vec<Watched>>) {
        for (name, watched) in watched {
            self.watches.set(&self.handle, &name, watched);
        }
    }
}

impl Actor for KnowledgeBaseActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        Arguments { handle, node: _ }: Arguments,
    ) -> std::result::Result<State, ActorProcessingErr> {
        let (dir, restored) = (Arc::clone(&handle.dir), Arc::clone(&handle.restored));
        let cards = spawn_blocking(move || {
            if let Err(error) = restoring::adopt(&dir, &restored) {
                tracing::error!(%error, from = %restored.display(), "restored collections stay where they are");
            }
            clear(&dir);
            cards(&dir)
        });
        let cards = cards.await??;
        let sweeper = handle.copies.clone();
        let mut state = State {
            _sweeper: sweeper.map(|copies| remains::sweep(copies, Arc::clone(&handle.dir))),
            pool: Pool::new(handle.copies.clone()),
            watches: watch::Watches::default(),
            handle,
        };
        state.handle.address.publish(myself.clone());
        state.copy_all(&cards);
        state.watch_all(restoring::watched(cards));
        drop(myself.send_after(TICK, || Message::Tick));
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> std::result::Result<(), ActorProcessingErr> {
        match message {
            Message::Open { name, dir, space, reply } => {
                drop(reply.send(state.pool.get(&name, dir, space, Instant::now())));
            }
            Message::Close { name, reply } => {
                state.pool.close(&name);
                state.watches.forget(&name);
                drop(reply.send(()));
            }
            Message::CloseAll { reply } => {
                state.watches = watch::Watches::default();
                drop(reply.send(state.pool.close_all()));
            }
            Message::Tick => {
                state.pool.close_idle(Instant::now());
                drop(myself.send_after(TICK, || Message::Tick));
            }
            Message::GoOn { cards } => {
                state.copy_all(&cards);
                state.watch_all(restoring::watched(cards));
            }
            Message::Watch { name, watched } => state.watches.set(&state.handle, &name, watched),
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<Message>,
        state: &mut State,
    ) -> std::result::Result<(), ActorProcessingErr> {
        state.watches = watch::Watches::default();
        let closed = pool::closed(state.pool.close_all());
        // What is committed is on disk, whoever does not let go.
        drop(timeout(STOP_PATIENCE, closed).await);
        Ok(())
    }
}
