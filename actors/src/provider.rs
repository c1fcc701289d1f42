//! A remote API: the slow track.
//!
//! The actor owns the connections and one task per request. Everybody else holds a [`Provider`].
//! A provider does not retry: [`crate::api_escalator`] decides what to do about a failure. It only
//! refuses at once while its API is left alone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tandem_config::{Ability, Provider as Settings};
use tandem_proto::v1::ProviderStatus;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{debug, error, warn};

use crate::bookkeeper::Owed;
use crate::{Address, Error, Needs, Node, TrackEvent, TrackEvents, TrackRequest};

mod allowance;
mod answer;
pub(crate) mod breaker;
mod calls;
mod dialect;
mod exchange;
mod failure;
mod frames;
mod in_flight;
mod limits;
pub(crate) mod outlet;
mod record;
mod stats;

use breaker::{Cause, Refusal};
use dialect::Dialect;
use exchange::{Ask, Endpoint};
use in_flight::{Admission, InFlight};
use outlet::Outlet;
use stats::Stats;

/// When to come back to a provider all of whose places are taken.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Least time before a provider that is left alone is worth another look.
const PROBE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// What decides which of several providers is asked first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rank {
    /// Setting `providers.NAME.priority`.
    pub(crate) priority: u32,
    /// Setting `providers.NAME.weight`.
    pub(crate) weight: u32,
    /// How slow, busy and unreliable it has been lately; less is better.
    pub(crate) burden: f64,
}

/// How to ask a provider, whichever life its actor is in.
#[derive(Debug, Clone)]
pub struct Provider {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    settings: Settings,
    address: Address<Message>,
    /// One permit per request under way.
    places: Arc<Semaphore>,
    stats: Mutex<Stats>,
}

impl Provider {
    pub(crate) fn new(name: &str, settings: &Settings) -> Self {
        let places = usize::try_from(settings.concurrency_max).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            shared: Arc::new(Shared {
                name: name.to_owned(),
                settings: settings.clone(),
                address: Address::new("the provider"),
                places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
                stats: Mutex::new(Stats::new(settings.breaker_pause)),
            }),
        }
    }

    /// Name in the configuration.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The model's name at the API.
    pub fn model(&self) -> &str {
        &self.shared.settings.model
    }

    /// Context of the remote model in tokens.
    pub fn context_tokens(&self) -> u32 {
        self.shared.settings.context_tokens
    }

    /// Longest answer in tokens; a request for more gets this much.
    pub fn max_tokens(&self) -> u32 {
        self.shared.settings.max_tokens
    }

    /// Whether the remote model can do what is needed; else why not, and how to change that.
    pub fn can(&self, needs: &Needs) -> Result<(), String> {
        let Shared { name, settings, .. } = &*self.shared;
        let missing = |ability| !settings.has(ability);
        let lacking = Needs {
            vision: needs.vision && missing(Ability::Vision),
            tools: needs.tools && missing(Ability::Tools),
            json: needs.json && missing(Ability::Json),
        };
        if lacking == Needs::default() {
            return Ok(());
        }
        let model = &settings.model;
        Err(format!(
            "its model {model:?} cannot {lacking}; if it can, add that to providers.{name}.abilities"
        ))
    }

    /// Host and port that requests go to.
    pub(crate) fn host(&self) -> String {
        let url = reqwest::Url::parse(&self.shared.settings.base_url).ok();
        let place = url
            .and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
        place.unwrap_or_else(|| self.shared.settings.base_url.clone())
    }

    /// Puts a request in the words of the API and takes a place for it. Nothing is sent yet.
    ///
    /// Refused with [`Error::ProviderRefused`] when the API cannot do what is asked, with
    /// [`Error::Overloaded`] when `concurrency_max` requests are under way, and as
    /// [`Provider::available`] says.
    pub(crate) fn prepare(&self, request: &TrackRequest) -> Result<Prepared, Error> {
        let Shared { name, settings, places, .. } = &*self.shared;
        self.available()?;
        // What this API cannot do, the other track may be able to.
        let refused = |problem: String| Error::ProviderRefused { provider: name.clone(), problem };
        self.can(&Needs::of(request)).map_err(refused)?;
        let body = Dialect::of(settings).body(settings, request);
        let body = body.map_err(|error| refused(error.to_string()))?;
        let place = Arc::clone(places).try_acquire_owned().map_err(|_| Error::Overloaded {
            what: format!(
                "{} requests to provider {name:?} are under way (providers.{name}.concurrency_max)",
                settings.concurrency_max
            ),
            retry_after: BUSY_RETRY_AFTER,
        })?;
        let pass = self.stats(|stats| stats.breaker.admit(Instant::now()));
        let pass = pass.map_err(|refusal| self.left_alone(&refusal))?;
        Ok(Prepared { body, admission: Admission::new(self.clone(), pass, place) })
    }

    /// Sends what was prepared. Dropping the events cancels it and closes the connection. `owed` is
    /// set for as long as the API may charge for it.
    ///
    /// Fails with [`Error::Restarting`] while the actor is down. Any other failure is the last event.
    pub(crate) fn send(
        &self,
        Prepared { body, admission }: Prepared,
        request: &TrackRequest,
        owed: Owed,
    ) -> Result<TrackEvents, Error> {
        let (turn_id, deadline) = (request.turn_id.clone(), request.deadline);
        let ask = Ask { turn_id, body, accepted: Instant::now(), deadline, owed };
        let (outlet, events) = Outlet::new();
        self.shared.address.cast(Message::Answer { ask, outlet, admission })?;
        Ok(events)
    }

    /// Prepares and sends at once, with nobody who pays for it. Fails as these do.
    #[allow(clippy::unused_async, reason = "a track is started alike, whichever it is")]
    pub async fn start(&self, request: TrackRequest) -> Result<TrackEvents, Error> {
        self.send(self.prepare(&request)?, &request, Owed::default())
    }

    /// Why it would refuse the next request, whatever that is: with [`Error::ProviderFailed`] while
    /// its API is left alone or when its actor stays down, with [`Error::ProviderKeyRefused`] or
    /// [`Error::ProviderExhausted`] when that is why.
    pub fn available(&self) -> Result<(), Error> {
        let now = Instant::now();
        let (down, refusal) =
            self.stats(|stats| (stats.down.clone(), stats.breaker.refusal(now).cloned()));
        if let Some(why) = down {
            let problem =
                format!("it is given up after too many restarts ({why}); restart tandemd");
            let provider = self.shared.name.clone();
            return Err(Error::ProviderFailed { provider, problem, retry_after: None });
        }
        refusal.map_or(Ok(()), |refusal| Err(self.left_alone(&refusal)))
    }

    fn left_alone(&self, refusal: &Refusal) -> Error {
        let provider = self.shared.name.clone();
        let rest = refusal.until.saturating_duration_since(Instant::now()).max(PROBE_RETRY_AFTER);
        let why = &refusal.why;
        let problem = if refusal.probing {
            format!("it is left alone ({why}) until a request that is under way is answered")
        } else {
            format!("it is left alone for {} s ({why})", rest.as_secs())
        };
        match refusal.cause {
            Cause::Failing => Error::ProviderFailed { provider, problem, retry_after: Some(rest) },
            Cause::KeyRefused => Error::ProviderKeyRefused { provider, problem },
            Cause::Exhausted => {
                let problem = "it said so before".to_owned();
                Error::ProviderExhausted { provider, problem, retry_after: rest }
            }
        }
    }

    /// How it has done so far. Asks neither the actor nor the API.
    #[must_use]
    pub fn status(&self) -> ProviderStatus {
        let Settings { base_url, model, .. } = &self.shared.settings;
        let now = Instant::now();
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.stats(|stats| ProviderStatus {
            name: self.shared.name.clone(),
            base_url: base_url.clone(),
            model: model.clone(),
            health: stats.health().into(),
            in_flight: stats.in_flight,
            requests: stats.requests,
            failures: stats.failures,
            last_error: stats.last_error.clone(),
            breaker: stats.breaker_state(now).into(),
            breaker_reason: stats.breaker.open().map(|open| open.why.clone()).unwrap_or_default(),
            asked_again_in_ms: stats
                .breaker
                .refusal(now)
                .filter(|refusal| !refusal.probing)
                .map(|refusal| milliseconds(refusal.until.saturating_duration_since(now))),
            retries: stats.retries,
            hedges: stats.hedges,
            first_token_p95_ms: stats.record.first_token_p95().map(milliseconds),
        })
    }

    /// Its place among others; see [`tandem_config::Choice`].
    pub(crate) fn rank(&self) -> Rank {
        let Settings { priority, weight, .. } = self.shared.settings;
        let now = Instant::now();
        let burden = self.stats(|stats| stats.record.burden(stats.in_flight, now));
        Rank { priority, weight, burden }
    }

    /// Whether it may be asked once more after it failed. Counts as if that were done.
    pub(crate) fn may_retry(&self) -> bool {
        let may = self.may_be_asked_more();
        self.stats(|stats| stats.retries += u64::from(may));
        may
    }

    /// Whether it may be asked because another provider is late. Counts as if that were done.
    pub(crate) fn may_hedge(&self) -> bool {
        let may = self.may_be_asked_more();
        self.stats(|stats| stats.hedges += u64::from(may));
        may
    }

    fn may_be_asked_more(&self) -> bool {
        self.available().is_ok() && self.stats(|stats| stats.allowance.spend(Instant::now()))
    }

    /// The time within which 95 of 100 of its first tokens come, once that is known.
    pub(crate) fn first_token_p95(&self) -> Option<Duration> {
        self.stats(|stats| stats.record.first_token_p95())
    }

    /// Refuses all requests from now on: nobody starts the actor again.
    pub(crate) fn give_up(&self, why: &str) {
        self.stats(|stats| stats.down = Some(why.to_owned()));
    }

    #[cfg(test)]
    pub(crate) fn crash(&self) {
        drop(self.shared.address.cast(Message::Crash));
    }

    fn stats<T>(&self, read: impl FnOnce(&mut Stats) -> T) -> T {
        read(&mut self.shared.stats.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A request that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    body: Vec<u8>,
    admission: Admission,
}

impl Prepared {
    /// The exact bytes that will be posted.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }
}

/// The actor behind a [`Provider`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProviderActor;

/// How to start a [`ProviderActor`].
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    /// What others reach it by.
    pub(crate) handle: Provider,
    /// Its place in the tree.
    pub(crate) node: Node,
}

/// Messages of a [`ProviderActor`], which only [`Provider`] sends.
#[derive(Debug)]
pub(crate) enum Message {
    /// Answers a request.
    Answer {
        /// What to post, and until when.
        ask: Ask,
        /// Where the answer goes.
        outlet: Outlet,
        /// Held until the request is over.
        admission: Admission,
    },
    /// Ends this life as a defect would.
    #[cfg(test)]
    Crash,
}

/// One life of the actor. Dropping it ends its requests.
#[derive(Debug)]
pub(crate) struct State {
    handle: Provider,
    node: Node,
    endpoint: Arc<Endpoint>,
    requests: JoinSet<()>,
}

impl Actor for ProviderActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        Arguments { handle, node }: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let Shared { name, settings, address, .. } = &*handle.shared;
        let endpoint = Arc::new(Endpoint::new(name.clone(), settings.clone()));
        handle.stats(|stats| stats.down = None);
        address.publish(myself);
        Ok(State { handle, node, endpoint, requests: JoinSet::new() })
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Answer { ask, outlet, admission } => state.answer(ask, outlet, admission),
            #[cfg(test)]
            #[allow(clippy::panic, reason = "tests")]
            Message::Crash => panic!("a test wants it"),
        }
        Ok(())
    }
}

impl State {
    fn answer(&mut self, ask: Ask, outlet: Outlet, admission: Admission) {
        // At most `concurrency_max` are not finished, so this keeps the set small.
        while let Some(ended) = self.requests.try_join_next() {
            if let Err(error) = ended {
                error!(provider = self.handle.name(), %error, "a request ended by a defect");
            }
        }
        let in_flight = InFlight::new(self.node.clone(), admission);
        self.requests.spawn(serve(Arc::clone(&self.endpoint), ask, outlet, in_flight));
    }
}

/// Sees one request through to its last event.
async fn serve(endpoint: Arc<Endpoint>, ask: Ask, outlet: Outlet, mut in_flight: InFlight) {
    let turn_id = ask.turn_id.clone();
    let outcome = tokio::select! {
        biased;
        () = outlet.closed() => return,
        outcome = endpoint.answer(ask, &outlet) => outcome,
    };
    let name = in_flight.provider().name();
    match &outcome {
        Ok(completion) => debug!(provider = name, turn_id, ?completion, "answered"),
        // The API's words may quote the prompt.
        Err(error) => {
            warn!(provider = name, turn_id, "request failed, `tandem status` says why");
            debug!(provider = name, turn_id, %error, "request failed");
        }
    }
    in_flight.judge(&outcome);
    // Who has read the last event finds the place free.
    drop(in_flight);
    outlet.end(outcome.map_or_else(TrackEvent::Failed, TrackEvent::Done));
}

/// A number from 0 up to 1.
pub(crate) fn random() -> f64 {
    let [a, b, c, d, ..] = uuid::Uuid::new_v4().into_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
}
