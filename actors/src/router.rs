//! Admits questions, decides which track answers each, and runs their turns.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prost::Message as _;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tandem_knowledge::template::DEFAULT_LANGUAGE;
use tandem_proto::v1::{AskEvent, AskRequest, Policy, Priority, TurnCounts};
use tokio::sync::{Notify, mpsc, watch};

use crate::api_escalator::ApiEscalator;
use crate::bookkeeper::Bookkeeper;
use crate::cache::Caches;
use crate::experiments::{Assignment, Overrides, Recent};
use crate::knowledge_base::{KnowledgeBase, check_name};
use crate::memory_store::MemoryStore;
use crate::model_loader::ModelLoader;
use crate::provider::Provider;
use crate::resource_monitor::ResourceMonitor;
use crate::settings::Settings;
use crate::turn::{Overdue, Question};
use crate::{Address, Error, Node, Result, image, sampling, tools};

mod admission;
mod class;
mod counts;
mod estimate;
mod idle;
pub(crate) mod pacing;
mod places;
mod plan;
mod policy;
mod queue;
mod state;
mod told;

pub use class::Class;
pub(crate) use counts::Counts;
use estimate::Estimate;
pub use places::Place;
use places::Places;
#[cfg(test)]
pub(crate) use plan::Escalation;
pub(crate) use plan::{HandOff, Plan};
use state::State;
pub(crate) use told::Told;

/// Answers that the tracks of a turn begin: that of each, and once more when one fails.
const RUNS_MAX: usize = 3;
/// Events of a turn besides one per token: routing, notices, ends.
const EVENTS_BESIDE_TOKENS: usize = 64;
/// Longest name of a model or provider.
const NAME_BYTES_MAX: usize = 4096;
/// Longest name of a client.
pub const CLIENT_BYTES_MAX: usize = 64;
/// Most collections of documents that a question is answered from.
const COLLECTIONS_MAX: usize = 8;
/// Name of a client that nobody named.
const NAMELESS: &str = "unnamed";
/// How often waiting questions are checked for their deadlines.
const TICK: Duration = Duration::from_millis(100);

/// What a turn works with.
#[derive(Debug, Clone)]
pub struct Services {
    /// Conversations.
    pub store: MemoryStore,
    /// The fast track.
    pub loader: ModelLoader,
    /// The slow track.
    pub escalator: ApiEscalator,
    /// What it costs.
    pub books: Bookkeeper,
    /// What need not be asked again.
    pub caches: Caches,
    /// The machine.
    pub monitor: ResourceMonitor,
    /// What was answered of late.
    pub recent: Recent,
    /// The user's documents.
    pub knowledge: KnowledgeBase,
    /// What the user set.
    pub settings: Arc<Settings>,
}

/// How to start the router.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// What turns work with from now on.
    pub services: watch::Receiver<Services>,
    /// Where the router can be reached.
    pub handle: Router,
    /// Its place in the tree.
    pub node: Node,
}

/// The events of one turn. It ends after `Done` or an error. Dropping it cancels the turn.
pub type Answer = mpsc::Receiver<Result<AskEvent>>;

/// The router, as others see it.
#[derive(Debug, Clone)]
pub struct Router {
    address: Address<Message>,
    config: tandem_config::Router,
    prompt_bytes_max: usize,
    /// One per question that runs or waits.
    places: Places,
    /// How long it takes until one is free.
    estimate: Arc<Mutex<Estimate>>,
    draining: Arc<AtomicBool>,
    counts: Arc<Counts>,
    /// Told when work is admitted, for whoever uses the time in between.
    demand: Arc<Notify>,
}

/// A question that was admitted.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) turn_id: String,
    pub(crate) request: AskRequest,
    /// The variants of experiments that the turn is part of, and what they change beside the request.
    pub(crate) assignment: Assignment,
    /// The settings that it is answered by.
    pub(crate) settings: Arc<Settings>,
    /// The policy in effect.
    pub(crate) policy: Policy,
    /// Seed when the caller gave none.
    pub(crate) seed: u64,
    pub(crate) accepted: Instant,
    pub(crate) deadline: Instant,
    pub(crate) events: mpsc::Sender<Result<AskEvent>>,
    /// A place kept for the last event, which is never lost.
    pub(crate) end: mpsc::OwnedPermit<Result<AskEvent>>,
    /// Its place among the admitted ones.
    pub(crate) place: Place,
    /// What its caller knows of the wait.
    pub(crate) told: Told,
}

impl Router {
    /// A router that is yet to be started. Prompts are at most `prompt_bytes_max` long.
    #[must_use]
    pub fn new(config: tandem_config::Router, prompt_bytes_max: usize) -> Self {
        Self {
            address: Address::new("the router"),
            places: Places::new(config.running_max, config.waiting_max),
            config,
            prompt_bytes_max,
            estimate: Arc::default(),
            draining: Arc::default(),
            counts: Arc::default(),
            demand: Arc::default(),
        }
    }

    /// Admits a question. It is answered within `time` or `router.deadline`, whichever is less.
    /// `caller` asks it, if the request names no client.
    pub async fn ask(
        &self,
        mut request: AskRequest,
        caller: &str,
        time: Option<Duration>,
        services: &Services,
    ) -> Result<Answer> {
        self.check(&request)?;
        let client = [&request.client, caller].into_iter().find(|name| !name.is_empty());
        let (client, bytes) = (client.unwrap_or(NAMELESS), request.encoded_len());
        let mut place = self.admit(request.priority().into(), client, bytes)?;
        place.waits();
        if !request.template.is_empty() {
            let known =
                services.settings.templates.render(&request.template, DEFAULT_LANGUAGE, &[]);
            known.map_err(|error| Error::invalid("template", error.to_string()))?;
        }
        let conversation = match request.conversation_id.as_str() {
            "" => None,
            id => Some(services.store.conversation(id).await?),
        };
        let conversation = conversation.map_or(Policy::Unspecified, |it| it.policy());
        let turn_id = uuid::Uuid::now_v7().to_string();
        let assignment =
            services.settings.experiments.assign(lasting_id(&request, &turn_id), &request);
        let varied = assignment.overrides.policy;
        let policy = policy::settle(&request, conversation, varied, &services.settings.router)?;
        apply(&assignment.overrides, &mut request);
        if !request.provider.is_empty() {
            services.escalator.provider(Some(&request.provider))?;
        }
        let accepted = Instant::now();
        let longest = services.settings.router.deadline;
        let deadline = accepted + time.map_or(longest, |time| time.min(longest));
        let longest = request.sampling.as_ref().and_then(|sampling| sampling.max_tokens);
        let tokens = longest.unwrap_or_else(|| services.longest_default_answer()) as usize;
        let (events, answer) = mpsc::channel(RUNS_MAX * tokens + EVENTS_BESIDE_TOKENS);
        let end = events
            .clone()
            .try_reserve_owned()
            .map_err(|_| Error::Internal { problem: "a new channel has no room".to_owned() })?;
        let seed = sampling::random_seed();
        let job = Job {
            turn_id,
            request,
            assignment,
            settings: Arc::clone(&services.settings),
            policy,
            seed,
            accepted,
            deadline,
            events,
            end,
            place,
            told: Told::default(),
        };
        self.address.cast(Message::Submit(Box::new(job)))?;
        Ok(answer)
    }

    /// Runs `work` if there is nothing else to do, and only until there is. `None` when it was not
    /// run to its end.
    async fn in_idle_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut demanded = pin!(self.demand.notified());
        // Whoever is admitted from now on is noticed.
        demanded.as_mut().enable();
        if !self.is_idle() {
            return None;
        }
        tokio::select! {
            biased;
            () = demanded => None,
            done = work => Some(done),
        }
    }

    /// Nothing is admitted, and the daemon is not about to end.
    fn is_idle(&self) -> bool {
        self.places.are_free() && !self.draining.load(Ordering::SeqCst)
    }

    /// Turns since start.
    #[must_use]
    pub fn counts(&self) -> TurnCounts {
        self.counts.snapshot()
    }

    /// Refuses new questions from now on.
    pub fn refuse_new(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Refuses new work, and waits until what was admitted is done. Questions that are not
    /// answered after `timeout` end with [`Error::ShuttingDown`].
    pub async fn drain(&self, timeout: Duration) {
        self.refuse_new();
        if tokio::time::timeout(timeout, self.places.all_free()).await.is_err() {
            tracing::warn!(?timeout, "questions are not answered in time, ending them");
            let _ = self.address.ask(Duration::from_secs(2), Message::EndAll).await;
        }
    }

    fn check(&self, request: &AskRequest) -> Result<()> {
        check_length("prompt", request.prompt.len(), self.prompt_bytes_max)?;
        if request.prompt.trim().is_empty() && request.tool_results.is_empty() {
            return Err(Error::invalid("prompt", "is empty; write a question"));
        }
        check_length("system", request.system().len(), self.prompt_bytes_max)?;
        for (field, name, bytes_max) in [
            ("model", &request.model, NAME_BYTES_MAX),
            ("provider", &request.provider, NAME_BYTES_MAX),
            ("client", &request.client, CLIENT_BYTES_MAX),
        ] {
            if name.len() > bytes_max {
                let problem = format!("is {} bytes long; at most {bytes_max}", name.len());
                return Err(Error::invalid(field, problem));
            }
        }
        if request.collections.len() > COLLECTIONS_MAX {
            let problem = format!("are {}; at most {COLLECTIONS_MAX}", request.collections.len());
            return Err(Error::invalid("collections", problem));
        }
        request.collections.iter().try_for_each(|name| check_name(name))?;
        // A policy that is not known here may be stricter than any that is.
        if Policy::try_from(request.policy).is_err() {
            let problem = format!("{} is not known to this daemon", request.policy);
            return Err(Error::invalid("policy", problem));
        }
        if Priority::try_from(request.priority).is_err() {
            let problem = format!("{} is not known to this daemon", request.priority);
            return Err(Error::invalid("priority", problem));
        }
        image::validate(&request.images)?;
        tools::validate(request, self.prompt_bytes_max)?;
        request.sampling.as_ref().map_or(Ok(()), sampling::validate)
    }
}

impl Services {
    fn longest_default_answer(&self) -> u32 {
        let longest = self.escalator.providers().map(Provider::max_tokens).max();
        longest.unwrap_or_default().max(self.settings.max_tokens)
    }
}

/// What a question is part of for longest: its conversation, else itself.
pub(crate) fn lasting_id<'a>(request: &'a AskRequest, turn_id: &'a str) -> &'a str {
    if request.conversation_id.is_empty() { turn_id } else { &request.conversation_id }
}

/// Puts into the request what a variant changes and the request did not say.
fn apply(overrides: &Overrides, request: &mut AskRequest) {
    if let Some(model) = &overrides.model {
        request.model.clone_from(model);
    }
    if let Some(system) = &overrides.system_prompt {
        request.system = Some(system.clone());
    }
    if let Some(temperature) = overrides.temperature {
        #[allow(clippy::cast_possible_truncation, reason = "at most 5")]
        let temperature = temperature as f32;
        request.sampling.get_or_insert_default().temperature = Some(temperature);
    }
}

/// Refuses what is longer than `bytes_max`. `field` names it in the error.
pub fn check_length(field: &str, bytes: usize, bytes_max: usize) -> Result<()> {
    if bytes <= bytes_max {
        return Ok(());
    }
    let problem =
        format!("is {bytes} bytes long; at most {bytes_max} are allowed (daemon.prompt_bytes_max)");
    Err(Error::invalid(field, problem))
}

/// Messages of the router.
#[derive(Debug)]
pub(crate) enum Message {
    Submit(Box<Job>),
    /// Has the local model read the conversation of a question that it did not answer.
    Warm(Arc<Question>),
    /// Has the local model sum up turns, when nobody asks anything.
    Summarise(Overdue),
    /// Ends all turns; replies when they are told.
    EndAll(ractor::RpcReplyPort<()>),
    /// Time to look for passed deadlines.
    Tick,
}

/// The actor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RouterActor;

impl Actor for RouterActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        arguments.handle.address.publish(myself.clone());
        drop(myself.send_after(TICK, || Message::Tick));
        Ok(State::new(arguments))
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Submit(job) => state.submit(job),
            Message::Warm(question) => state.warm(question),
            Message::Summarise(overdue) => state.idle.add(overdue),
            Message::EndAll(reply) => {
                state.end_all();
                let _ = reply.send(());
            }
            Message::Tick => {
                state.expire();
                state.tell_waiting(Instant::now());
                state.use_idle_time();
                drop(myself.send_after(TICK, || Message::Tick));
            }
        }
        state.run_next(&myself).await;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.on_turn(&event);
        state.run_next(&myself).await;
        Ok(())
    }
}
