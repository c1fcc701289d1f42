//! Knows the models and hosts those that are used: each in one or several inference workers,
//! started on demand, kept while they are used, stopped when idle or when their memory is needed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
pub use tandem_models::found::Roots;
use tandem_proto::v1::Model;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::inference_worker::{Performance, Phase, TuningJob, Worker};
use crate::memory_store::MemoryStore;
use crate::resource_monitor::ResourceMonitor;
use crate::{Address, Error, Node, Result};

mod choosing;
mod cooling;
mod describe;
mod distribution;
mod hosted;
mod hosting;
mod identity;
mod import;
mod inspect;
mod leaving;
mod listing;
mod names;
mod pool;
mod pulling;
mod quiet;
mod removal;
mod standing;
mod state;
mod swap;
mod template;
mod tuning;
mod verification;

pub use distribution::{Workshop, make_signing_key};
use hosting::Promise;
pub use identity::Place;
pub use import::Progress as ImportProgress;
use inspect::Inspected;
pub use pulling::PullState;
use pulling::Pulls;
use standing::Standing;
use state::State;
pub use swap::UseProgress;
use swap::{Plan, Step};
pub use tandem_models::pull::Progress as FileProgress;

/// Longest wait for the loader's own work, which is reading a header.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests that may wait for the loader.
const REQUESTS_MAX: usize = 256;
/// How often idle models are looked for.
const TICK: Duration = Duration::from_millis(500);

/// How to start the loader.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// Settings of engines.
    pub engine: tandem_config::Engine,
    /// The engine binary.
    pub binary: PathBuf,
    /// Where models are and how long they are kept.
    pub models: tandem_config::Models,
    /// Where engines save the beginnings of prompts.
    pub prefix_dir: PathBuf,
    /// Memory that stays free.
    pub memory_reserve_bytes: u64,
    /// Remembers which engine settings work.
    pub store: MemoryStore,
    /// Says how much memory is available.
    pub monitor: ResourceMonitor,
    /// Where the loader can be reached.
    pub handle: ModelLoader,
    /// Its place in the tree.
    pub node: Node,
}

/// The loader, as others see it.
#[derive(Debug, Clone)]
pub struct ModelLoader {
    address: Address<Message>,
    /// Workers that are up, for readers who must not wait.
    hosted: Arc<RwLock<Vec<Worker>>>,
    permits: Arc<Semaphore>,
    /// Imports take turns, as each keeps the disk busy.
    imports: Arc<Semaphore>,
    /// Only one model is measured at a time.
    tunings: Arc<Semaphore>,
    /// Only one file is verified at a time, as that keeps the disk busy.
    verifications: Arc<Semaphore>,
    /// Few packages and versions are made and fetched at a time, as each keeps disk and cores busy.
    distributions: Arc<Semaphore>,
    /// Swaps take turns.
    swaps: Arc<Semaphore>,
    pulls: Pulls,
    /// Where other programs keep models.
    roots: Arc<Roots>,
    standing: Arc<Standing>,
    /// How the engines of models have done, by the path of the file.
    performances: Arc<RwLock<HashMap<String, Arc<Performance>>>>,
}

impl ModelLoader {
    /// A loader that is yet to be started.
    #[must_use]
    pub fn new() -> Self {
        Self {
            address: Address::new("the model loader"),
            hosted: Arc::default(),
            permits: Arc::new(Semaphore::new(REQUESTS_MAX)),
            imports: Arc::new(Semaphore::new(1)),
            tunings: Arc::new(Semaphore::new(1)),
            verifications: Arc::new(Semaphore::new(1)),
            distributions: Arc::new(Semaphore::new(distribution::TOGETHER_MAX)),
            swaps: Arc::new(Semaphore::new(1)),
            pulls: Pulls::default(),
            roots: Arc::default(),
            standing: Arc::default(),
            performances: Arc::default(),
        }
    }

    /// The same, with the models that other programs keep in these folders.
    #[must_use]
    pub fn finding(self, roots: Roots) -> Self {
        Self { roots: Arc::new(roots), ..self }
    }

    /// A worker that hosts a model, started if there is none. It may still be loading.
    /// An empty id means the default model.
    pub async fn acquire(&self, id: &str) -> Result<Worker> {
        self.acquire_for(id, "").await
    }

    /// As [`acquire`](Self::acquire), for the next turn of a conversation: where a model has
    /// several engines, preferably the one that served the previous turn.
    pub async fn acquire_for(&self, id: &str, conversation: &str) -> Result<Worker> {
        let (asked, _permit) = (checked(id)?, self.permit()?);
        let (model, swaps, conversation) = (String::new(), 0, conversation.to_owned());
        let acquire = |reply| Message::Acquire(Caller { asked, model, swaps, conversation, reply });
        // The model may have to wait until the one in its place has answered everybody.
        self.address.ask(ASK_TIMEOUT + swap::DRAIN_PATIENCE, acquire).await?
    }

    /// As [`acquire`](Self::acquire), where an empty id means the default embedding model.
    pub async fn acquire_embedding(&self, id: &str) -> Result<Worker> {
        if !id.is_empty() {
            return self.acquire(id).await;
        }
        let permit = self.permit()?;
        let id = self.address.ask(ASK_TIMEOUT, Message::EmbeddingModel).await??;
        drop(permit);
        self.acquire(&id).await
    }

    /// Turns the folder `source` into a model named `id` in `models_dir`, and describes it. An empty
    /// `id` means the folder's name. How far it is goes to `progress`; when nobody receives that
    /// any more, the import ends and leaves nothing behind.
    pub async fn import(
        &self,
        source: PathBuf,
        id: String,
        models_dir: PathBuf,
        progress: watch::Sender<ImportProgress>,
    ) -> Result<Model> {
        let permit = Arc::clone(&self.imports).try_acquire_owned();
        let permit = permit.map_err(|_| Error::Overloaded {
            what: "another model is being imported".to_owned(),
            retry_after: Duration::from_secs(5),
        })?;
        let import = move || {
            let _permit = permit;
            let mut report = |now| progress.send(now).is_ok();
            import::import(&source, &id, &models_dir, &mut report)
        };
        let imported = tokio::task::spawn_blocking(import).await;
        let problem =
            |error: tokio::task::JoinError| Error::Internal { problem: error.to_string() };
        self.info(&imported.map_err(problem)??).await
    }

    /// All models: those of the catalog, other files in the models directory, those that other
    /// programs keep, and whatever is loaded from elsewhere.
    pub async fn list(&self) -> Result<Vec<Model>> {
        let _permit = self.permit()?;
        self.address.ask(ASK_TIMEOUT, Message::List).await
    }

    /// One model by id or path. An empty id means the default model.
    pub async fn info(&self, id: &str) -> Result<Model> {
        let (id, _permit) = (checked(id)?, self.permit()?);
        self.address.ask(ASK_TIMEOUT, |reply| Message::Info { id, reply }).await?
    }

    /// Name of the model that answers when a caller names none.
    #[must_use]
    pub fn default_model(&self) -> String {
        self.standing.default_model()
    }

    /// Keeps the model of a worker loaded until it is unloaded by name.
    pub fn pin(&self, worker: &Worker) {
        self.standing.pin(Path::new(&worker.facts().path));
    }

    /// Ends all engines of a model. False when it had none.
    pub async fn unload(&self, id: &str) -> Result<bool> {
        let (id, _permit) = (checked(id)?, self.permit()?);
        self.address.ask(ASK_TIMEOUT, |reply| Message::Unload { id, reply }).await?
    }

    /// The workers that are up.
    #[must_use]
    pub fn workers(&self) -> Vec<Worker> {
        self.hosted.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The least busy of the other workers that serve the model of this one.
    pub(crate) fn sibling(&self, worker: &Worker) -> Option<Worker> {
        let is_it = |other: &Worker| {
            other.facts().path == worker.facts().path
                && !other.is(worker)
                && other.watch().borrow().phase == Phase::Ready
        };
        self.workers().into_iter().filter(is_it).min_by_key(Worker::requests)
    }

    /// Where the engines of the model in this file count what they do.
    fn performance(&self, path: &str) -> Arc<Performance> {
        let mut all = self.performances.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(path.to_owned()).or_default())
    }

    fn known_performance(&self, path: &str) -> Option<Arc<Performance>> {
        self.performances.read().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().map_err(|_| Error::Overloaded {
            what: format!("{REQUESTS_MAX} requests wait for the model loader"),
            retry_after: Duration::from_secs(1),
        })
    }

    fn publish_hosted(&self, workers: Vec<Worker>) {
        *self.hosted.write().unwrap_or_else(PoisonError::into_inner) = workers;
    }

    /// The models that are loaded or being loaded, with their engines. Reads what the engines
    /// last said; asks nobody.
    pub async fn loaded(&self) -> Vec<Model> {
        let (workers, standing) = (self.workers(), Arc::clone(&self.standing));
        let described = tokio::task::spawn_blocking(move || {
            let mut models = describe::of_workers(&workers);
            for model in &mut models {
                let file = Path::new(&model.path);
                model.is_default = standing.is_default_file(file);
                model.pinned = standing.is_pinned(file);
            }
            models
        });
        described.await.unwrap_or_default()
    }
}

impl Default for ModelLoader {
    fn default() -> Self {
        Self::new()
    }
}

/// Ids and paths are short; anything else is a mistake or an attack.
fn checked(id: &str) -> Result<String> {
    const BYTES_MAX: usize = 4096;
    if id.len() > BYTES_MAX || id.contains('\0') {
        return Err(Error::invalid(
            "model",
            format!("is {} bytes long; an id or a path of at most {BYTES_MAX} bytes", id.len()),
        ));
    }
    Ok(id.to_owned())
}

/// Someone who wants a worker.
#[derive(Debug)]
pub(crate) struct Caller {
    /// As the caller said it; empty for the default model.
    asked: String,
    /// What the loader makes of that, and the number of swaps by then.
    model: String,
    swaps: u64,
    /// Empty outside of conversations.
    conversation: String,
    reply: RpcReplyPort<Result<Worker>>,
}

/// Messages of the loader.
#[derive(Debug)]
pub(crate) enum Message {
    Acquire(Caller),
    List(RpcReplyPort<Vec<Model>>),
    Locate {
        id: String,
        embeds: bool,
        reply: RpcReplyPort<Result<Place>>,
    },
    EmbeddingModel(RpcReplyPort<Result<String>>),
    Tunable {
        id: String,
        reply: RpcReplyPort<Result<(TuningJob, Promise)>>,
    },
    /// Measuring without being asked has come to an end.
    IdleTuningEnded {
        path: PathBuf,
        outcome: Result<()>,
    },
    Info {
        id: String,
        reply: RpcReplyPort<Result<Model>>,
    },
    Unload {
        id: String,
        reply: RpcReplyPort<Result<bool>>,
    },
    /// The file of a model that is to be unloaded was found.
    UnloadFile {
        path: PathBuf,
        reply: RpcReplyPort<Result<bool>>,
    },
    /// A file that is to be hosted was looked at.
    Inspected {
        inspected: Box<Result<Inspected>>,
        caller: Caller,
    },
    /// Who can answer in place of the default model; see [`choosing`].
    StandIns {
        want: choosing::Want,
        reply: RpcReplyPort<Vec<String>>,
    },
    /// What there is to choose from.
    Candidates(RpcReplyPort<choosing::Choice>),
    PlanSwap {
        step: Step,
        reply: RpcReplyPort<Result<Plan>>,
    },
    BeginSwap(Box<Plan>),
    /// The swap that began is written down.
    Flip(RpcReplyPort<()>),
    /// Nobody waits for the swap that began.
    EndSwap,
    /// The memory of workers that ended was measured anew.
    Settled,
    /// The pause before a worker is started again is over.
    Restart(String),
    /// Time to look for idle models.
    Tick,
}

/// The actor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModelLoaderActor;

impl Actor for ModelLoaderActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        // Workers of an earlier life went with it.
        arguments.node.remove_children();
        arguments.handle.publish_hosted(Vec::new());
        arguments.handle.address.publish(myself.clone());
        drop(myself.send_after(TICK, || Message::Tick));
        let mut state = State::new(arguments);
        state.read_choices().await;
        state.clear_leftovers();
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Acquire(caller) | Message::Inspected { caller, .. }
                if caller.reply.is_closed() => {}
            Message::Acquire(caller) => state.acquire(&myself, caller).await,
            Message::Inspected { inspected, caller } => {
                state.host(&myself, *inspected, caller).await;
            }
            Message::List(reply) => state.list(reply),
            Message::Locate { id, embeds, reply } => state.locate(id, embeds, reply),
            Message::EmbeddingModel(reply) => state.embedding_model(reply),
            Message::Tunable { id, reply } => state.tunable(&id, reply),
            Message::IdleTuningEnded { path, outcome } => state.idleness.ended(path, &outcome),
            Message::Info { id, reply } => state.info(&id, reply),
            Message::Unload { id, reply } => state.unload(&myself, &id, reply),
            Message::UnloadFile { path, reply } => state.unload_file(&myself, path, reply),
            Message::StandIns { want, reply } => state.stand_ins(want, reply),
            Message::Candidates(reply) => state.candidates(reply),
            Message::PlanSwap { step, reply } => state.plan_swap(step, reply),
            Message::BeginSwap(plan) => state.begin_swap(*plan),
            Message::Flip(reply) => state.flip(&myself, reply),
            Message::EndSwap => state.end_swap(&myself),
            Message::Settled => state.settle(&myself),
            Message::Restart(name) => state.restart(&myself, &name).await,
            Message::Tick => {
                state.stop_idle(&myself);
                state.tune_when_idle(&myself);
                state.watch_over();
                drop(myself.send_after(TICK, || Message::Tick));
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.on_child(&myself, event);
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<Message>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.stop().await;
        Ok(())
    }
}
