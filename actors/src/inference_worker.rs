//! One model's engine process: started, watched, started again when it dies, and everything
//! that is asked of it. Answers outlive engines: what an engine was working on when it died is
//! handed to the next one together with the tokens generated so far.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tandem_models::confidence::Rule;
use tandem_proto::engine::{FRAME_BYTES_MAX, Heartbeat, Hello, Loaded};
use tandem_proto::v1::{ChatMessage, Model, Sampling, SettingsSource};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;

use crate::{
    Address, Error, Node, Result, TrackEvents, TrackRequest, cache::Digest,
    memory_store::MemoryStore, model_loader::ModelLoader, resource_monitor::ResourceMonitor,
};

mod embedding;
mod in_flight;
mod ladder;
mod performance;
mod process;
mod query;
mod recovery;
mod settings;
mod state;
mod trial;
mod tuning;

pub use embedding::Embeddings;
use in_flight::{Entry, Ticket};
pub(crate) use ladder::DWELL;
pub(crate) use performance::{Performance, Tally};
use process::ProcessEvent;
pub use query::Counts;
use query::Query;
use settings::Choice;
use state::State;
pub use trial::TuneProgress;
pub(crate) use trial::{Job as TuningJob, tune};
pub(crate) use tuning::Tuning;

/// Requests and queries that one worker takes on; more are refused.
const REQUESTS_MAX: usize = 256;
/// Events that a request may produce besides one per token.
const EVENTS_BESIDE_TOKENS: usize = 16;
/// Longest wait for an answer about tokens, the load of the model included.
const QUERY_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest encoding of a 32-bit number in a message.
const MAX_VARINT_BYTES: usize = 5;
/// How often the watchdog looks.
const TICK: Duration = Duration::from_millis(250);

/// What a worker hosts and how.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// Catalog id or path, for messages.
    pub model: String,
    /// The GGUF file.
    pub path: PathBuf,
    /// The engine binary.
    pub binary: PathBuf,
    /// Chat template that takes the place of the file's own; empty when there is none.
    pub template: String,
    /// The file of the model that guesses for it.
    pub draft: Option<PathBuf>,
    /// Judges the model's answers.
    pub confidence: Rule,
    /// Settings of the engine.
    pub config: tandem_config::Engine,
    /// Where engines save the beginnings of prompts.
    pub prefix_dir: PathBuf,
    /// Says how much memory the machine has.
    pub monitor: ResourceMonitor,
    /// Remembers which settings work.
    pub store: MemoryStore,
    /// Knows the other workers of the model.
    pub loader: ModelLoader,
    /// Where the worker can be reached.
    pub handle: Worker,
    /// Held by the loader, and by those who are about to ask something.
    pub lease: Weak<()>,
    /// How long the machine must have wanted another context until an engine is started anew for it.
    pub dwell: Duration,
    /// Its place in the tree.
    pub node: Node,
}

/// One worker, as others see it.
#[derive(Debug, Clone)]
pub struct Worker {
    facts: Arc<Model>,
    identity: Digest,
    sampling: Sampling,
    address: Address<Message>,
    permits: Arc<Semaphore>,
    report: Arc<watch::Sender<Report>>,
    performance: Arc<Performance>,
    /// Held by those who are about to ask something; see [`Worker::leased`].
    _lease: Option<Arc<()>>,
}

/// What is to be known about a worker.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What it is doing.
    pub phase: Phase,
    /// The running engine process; 0 when there is none.
    pub pid: u32,
    /// Engines started after the first.
    pub restarts: u32,
    /// The engine's introduction.
    pub hello: Option<Hello>,
    /// Facts about the loaded model.
    pub loaded: Option<Loaded>,
    /// Settings in effect, for a person.
    pub settings: String,
    /// Why they are not the defaults; empty when they are.
    pub settings_reason: String,
    /// Where they come from.
    pub settings_source: SettingsSource,
    /// The engine's last sign of life.
    pub heartbeat: Heartbeat,
}

/// What a worker is doing.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Phase {
    /// The first engine has not finished loading.
    #[default]
    Starting,
    /// The engine loads: fraction done, and what it does.
    Loading(f32, String),
    /// The engine serves.
    Ready,
    /// The engine died; the next one is on its way.
    Restarting(String),
    /// There will be no engine. The worker has ended.
    Failed(Error),
}

impl Worker {
    /// A worker that is yet to be started, and counts what it does in `performance`.
    pub(crate) fn new(
        facts: Model,
        identity: Digest,
        sampling: Sampling,
        performance: Arc<Performance>,
    ) -> Self {
        Self {
            facts: Arc::new(facts),
            identity,
            sampling,
            address: Address::new("the inference worker"),
            permits: Arc::new(Semaphore::new(REQUESTS_MAX)),
            report: Arc::new(watch::Sender::new(Report::default())),
            performance,
            _lease: None,
        }
    }

    /// The model's id.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.facts.id
    }

    /// What the file and the catalog say about the model.
    #[must_use]
    pub fn facts(&self) -> &Model {
        &self.facts
    }

    /// Tells the model from every other one, as its file was when it was to be loaded.
    pub(crate) fn identity(&self) -> &Digest {
        &self.identity
    }

    /// How the catalog recommends to sample from it.
    #[must_use]
    pub fn recommended_sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// How engines of this model have done.
    pub(crate) fn performance(&self) -> &Performance {
        &self.performance
    }

    /// Whether both are handles of the same worker.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.report, &other.report)
    }

    /// How much is asked of it at the moment.
    #[must_use]
    pub fn requests(&self) -> usize {
        REQUESTS_MAX - self.permits.available_permits()
    }

    /// The worker for someone who has not asked anything yet and still must not lose it.
    pub(crate) fn leased(&self, lease: &Arc<()>) -> Self {
        Self { _lease: Some(Arc::clone(lease)), ..self.clone() }
    }

    /// The worker's state now and whenever it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Report> {
        self.report.subscribe()
    }

    /// Starts a generation, also while the model still loads. Dropping the events cancels it.
    pub fn start(&self, request: TrackRequest) -> Result<TrackEvents> {
        check_length(request.prompt.len())?;
        let tokens = request.sampling.max_tokens.unwrap_or_default() as usize;
        let (events, receiver) = mpsc::channel(tokens + EVENTS_BESIDE_TOKENS);
        let ticket = Ticket { events, _permit: self.permit()? };
        self.address.cast(Message::Generate { request: Box::new(request), ticket })?;
        Ok(receiver)
    }

    /// The tokens of a text.
    pub async fn tokenize(
        &self,
        text: String,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<u32>> {
        check_length(text.len())?;
        self.query(|reply| Query::Tokenize { text, add_special, parse_special, reply }).await
    }

    /// The text of tokens; bytes that are not whole UTF-8 become U+FFFD.
    pub async fn detokenize(&self, tokens: Vec<u32>) -> Result<String> {
        check_length(tokens.len() * MAX_VARINT_BYTES)?;
        self.query(|reply| Query::Detokenize { tokens, reply }).await
    }

    /// Lengths in tokens.
    pub async fn count(&self, texts: Vec<String>, messages: Vec<ChatMessage>) -> Result<Counts> {
        let texts_length: usize = texts.iter().map(String::len).sum();
        check_length(texts_length + crate::track::length(&messages))?;
        self.query(|reply| Query::Count { texts, messages, reply }).await
    }

    /// The embeddings of texts, in their order, however many there are. Takes as long as the caller
    /// has time.
    pub async fn embed(
        &self,
        texts: Vec<String>,
        normalize: bool,
        deadline: Instant,
    ) -> Result<Embeddings> {
        let mut all = Embeddings::default();
        for texts in embedding::split(texts) {
            check_length(texts.iter().map(String::len).sum())?;
            let time = deadline.saturating_duration_since(Instant::now());
            let made = self.query_for(time, |reply| Query::Embed { texts, normalize, reply }).await;
            all.extend(made.map_err(|error| match error {
                Error::Unresponsive { .. } => {
                    Error::DeadlineExceeded { stage: "while the texts were embedded".to_owned() }
                }
                error => error,
            })?);
        }
        Ok(all)
    }

    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(RpcReplyPort<Result<T>>) -> Query,
    ) -> Result<T> {
        self.query_for(QUERY_TIMEOUT, query).await
    }

    async fn query_for<T: Send + 'static>(
        &self,
        time: Duration,
        query: impl FnOnce(RpcReplyPort<Result<T>>) -> Query,
    ) -> Result<T> {
        let permit = self.permit()?;
        let message = |reply| Message::Query { query: query(reply), permit };
        self.address.ask(time, message).await?
    }

    /// Waits until the model is loaded or cannot be.
    pub async fn loaded(&self) -> Result<Loaded> {
        let mut report = self.watch();
        let settled =
            report.wait_for(|report| matches!(report.phase, Phase::Ready | Phase::Failed(_)));
        // The sender lives in `self`.
        let report = settled.await.map_err(|_| Error::ShuttingDown)?.clone();
        match report.phase {
            Phase::Failed(error) => Err(error),
            _ => Ok(report.loaded.unwrap_or_default()),
        }
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().map_err(|_| Error::Overloaded {
            what: format!("{REQUESTS_MAX} requests wait for model {:?}", self.model()),
            retry_after: Duration::from_secs(2),
        })
    }
}

/// Refuses what would not fit into a frame with everything around it.
fn check_length(bytes: usize) -> Result<()> {
    const BYTES_MAX: usize = FRAME_BYTES_MAX / 2;
    if bytes <= BYTES_MAX {
        return Ok(());
    }
    let problem = format!("has {bytes} bytes in all; at most {BYTES_MAX} reach a model");
    Err(Error::invalid("prompt", problem))
}

/// Messages of the worker.
#[derive(Debug)]
pub(crate) enum Message {
    Generate {
        request: Box<TrackRequest>,
        ticket: Ticket,
    },
    /// The engine of another worker died under this request.
    TakeOver(Box<Entry>),
    Query {
        query: Query,
        permit: OwnedSemaphorePermit,
    },
    /// Nobody waits for the request any more, or not for longer.
    Abandoned {
        id: u64,
        error: Error,
    },
    /// The pause before the next engine is over.
    StartEngine,
    /// From the engine process of the numbered life.
    Process {
        life: u32,
        event: ProcessEvent,
    },
    /// What is remembered about this model, build and CPU.
    Remembered {
        life: u32,
        key: String,
        choice: Option<Choice>,
        tuning: Option<Tuning>,
    },
    /// Time for the watchdog to look.
    Tick,
}

/// The actor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InferenceWorker;

impl Actor for InferenceWorker {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        arguments.handle.address.publish(myself.clone());
        myself.cast(Message::StartEngine)?;
        myself.cast(Message::Tick)?;
        Ok(State::new(arguments))
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Generate { request, ticket } => state.generate(&myself, *request, ticket),
            Message::TakeOver(entry) => state.take_on(&myself, *entry),
            Message::Query { query, permit } => state.query(query, permit),
            Message::Abandoned { id, error } => state.abandon(id, error),
            Message::StartEngine => state.start_engine(&myself),
            Message::Process { life, event } if life == state.life() => match event {
                ProcessEvent::Frame(frame, _permit) => state.on_frame(&myself, frame),
                ProcessEvent::Exited(exit) => state.on_exit(&myself, &exit),
            },
            Message::Remembered { life, key, choice, tuning } if life == state.life() => {
                state.on_remembered(key, choice, tuning);
            }
            Message::Process { .. } | Message::Remembered { .. } => (),
            Message::Tick => {
                state.watch_for_hangs();
                state.drop_unwanted_queries();
                state.follow_the_ladder(&myself);
                drop(myself.send_after(TICK, || Message::Tick));
            }
        }
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

#[cfg(test)]
mod tests;
