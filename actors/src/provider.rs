//! A remote API: the slow track.
//!
//! The actor owns the connections and one task per request. Everybody else holds a [`Provider`].
//! A provider does not retry: who asked decides what to do about a failure.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tandem_config::{Ability, Provider as Settings};
use tandem_proto::v1::ProviderStatus;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tracing::{debug, error, warn};

use crate::{Address, Error, Needs, Node, TrackEvent, TrackEvents, TrackRequest};

mod answer;
mod calls;
mod dialect;
mod exchange;
mod failure;
mod frames;
mod limits;
mod outlet;
mod stats;

use dialect::Dialect;
use exchange::{Ask, Endpoint};
use outlet::Outlet;
use stats::Stats;

/// When to come back to a provider all of whose places are taken.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

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
                stats: Mutex::default(),
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

    /// Starts an answer. Dropping the events cancels it and closes the connection.
    ///
    /// Refused at once with [`Error::Invalid`] when the API cannot do what is asked, with
    /// [`Error::Overloaded`] when `concurrency_max` requests are under way and with
    /// [`Error::Restarting`] while the actor is down, or [`Error::ProviderFailed`] when it stays
    /// down. Any other failure is the last event.
    #[allow(clippy::unused_async, reason = "a track is started alike, whichever it is")]
    pub async fn start(&self, request: TrackRequest) -> Result<TrackEvents, Error> {
        let Shared { name, settings, address, places, .. } = &*self.shared;
        if let Some(why) = &self.stats(|stats| stats.down.clone()) {
            let problem =
                format!("it is given up after too many restarts ({why}); restart tandemd");
            return Err(Error::ProviderFailed {
                provider: name.clone(),
                problem,
                retry_after: None,
            });
        }
        // What this API cannot do, the other track may be able to.
        let refused = |problem: String| Error::ProviderRefused { provider: name.clone(), problem };
        self.can(&Needs::of(&request)).map_err(refused)?;
        let body = Dialect::of(settings).body(settings, &request);
        let body = body.map_err(|error| refused(error.to_string()))?;
        let place = Arc::clone(places).try_acquire_owned().map_err(|_| Error::Overloaded {
            what: format!(
                "{} requests to provider {name:?} are under way (providers.{name}.concurrency_max)",
                settings.concurrency_max
            ),
            retry_after: BUSY_RETRY_AFTER,
        })?;
        let TrackRequest { turn_id, deadline, .. } = request;
        let ask = Ask { turn_id, body, accepted: Instant::now(), deadline };
        let (outlet, events) = Outlet::new();
        address.cast(Message::Answer { ask, outlet, place })?;
        Ok(events)
    }

    /// How it has done so far. Asks neither the actor nor the API.
    #[must_use]
    pub fn status(&self) -> ProviderStatus {
        let Settings { base_url, model, .. } = &self.shared.settings;
        self.stats(|stats| ProviderStatus {
            name: self.shared.name.clone(),
            base_url: base_url.clone(),
            model: model.clone(),
            health: stats.health().into(),
            in_flight: stats.in_flight,
            requests: stats.requests,
            failures: stats.failures,
            last_error: stats.last_error.clone(),
        })
    }

    /// Whether the next request is likely to be answered, or it is time to find out.
    pub(crate) fn is_worth_trying(&self) -> bool {
        self.stats(|stats| stats.is_worth_trying(Instant::now()))
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
        place: OwnedSemaphorePermit,
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
        handle.stats(Stats::started);
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
            Message::Answer { ask, outlet, place } => state.answer(ask, outlet, place),
            #[cfg(test)]
            #[allow(clippy::panic, reason = "tests")]
            Message::Crash => panic!("a test wants it"),
        }
        Ok(())
    }
}

impl State {
    fn answer(&mut self, ask: Ask, outlet: Outlet, place: OwnedSemaphorePermit) {
        // At most `concurrency_max` are not finished, so this keeps the set small.
        while let Some(ended) = self.requests.try_join_next() {
            if let Err(error) = ended {
                error!(provider = self.handle.name(), %error, "a request ended by a defect");
            }
        }
        let in_flight = InFlight::new(self.handle.clone(), self.node.clone(), place);
        self.requests.spawn(serve(Arc::clone(&self.endpoint), ask, outlet, in_flight));
    }
}

/// Sees one request through to its last event.
async fn serve(endpoint: Arc<Endpoint>, ask: Ask, outlet: Outlet, in_flight: InFlight) {
    let turn_id = ask.turn_id.clone();
    let outcome = tokio::select! {
        outcome = endpoint.answer(ask, &outlet) => outcome,
        () = outlet.closed() => return,
    };
    let name = in_flight.provider.name();
    match &outcome {
        Ok(completion) => debug!(provider = name, turn_id, ?completion, "answered"),
        // The API's words may quote the prompt.
        Err(error) => {
            warn!(provider = name, turn_id, "request failed, `tandem status` says why");
            debug!(provider = name, turn_id, %error, "request failed");
        }
    }
    in_flight.judge(outcome.as_ref().err());
    // Who has read the last event finds the place free.
    drop(in_flight);
    outlet.end(outcome.map_or_else(TrackEvent::Failed, TrackEvent::Done));
}

/// A request that is being answered, as the statistics see it.
#[derive(Debug)]
struct InFlight {
    provider: Provider,
    node: Node,
    _place: OwnedSemaphorePermit,
}

impl InFlight {
    fn new(provider: Provider, node: Node, place: OwnedSemaphorePermit) -> Self {
        provider.stats(|stats| {
            stats.began();
            node.set_queue(stats.in_flight as usize);
        });
        Self { provider, node, _place: place }
    }

    /// The request was answered, or ended with an error.
    fn judge(&self, error: Option<&Error>) {
        self.provider.stats(|stats| {
            let before = stats.health();
            match error {
                None => stats.succeeded(),
                Some(error) => stats.failed(error, Instant::now()),
            }
            if stats.health() != before {
                self.node.set_health(stats.health());
            }
        });
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.provider.stats(|stats| {
            stats.ended();
            self.node.set_queue(stats.in_flight as usize);
        });
    }
}
