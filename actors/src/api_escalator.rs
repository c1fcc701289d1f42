//! Owner of the slow track: one provider actor per configured API, each kept alive.
//!
//! A question for the track goes through [`ApiEscalator::start`], whichever provider answers it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tandem_config::Provider as Settings;
use tandem_proto::v1::ProviderStatus;

use crate::provider::{self, Provider, ProviderActor};
use crate::supervisor::ledger::Intensity;
use crate::supervisor::{ChildSpec, Children, Verdict};
use crate::{Error, Node, TrackEvents, TrackRequest};

mod attempt;

/// What a provider's name in the tree begins with.
const CHILD_PREFIX: &str = "provider ";

/// A question for the slow track.
#[derive(Debug, Clone)]
pub struct SlowRequest {
    /// What is asked, and until when.
    pub request: TrackRequest,
    /// Conversation of the turn; empty for a turn of its own.
    pub conversation_id: String,
    /// The provider to begin with.
    pub provider: String,
    /// The caller named that provider: no other one may answer.
    pub named: bool,
    /// About how many tokens the prompt has.
    pub prompt_tokens: u32,
    /// Why the question leaves the machine, in words.
    pub reason: String,
}

/// Finds providers, whether their actors are up or not.
#[derive(Debug, Clone)]
pub struct ApiEscalator {
    providers: Arc<BTreeMap<String, Provider>>,
}

impl ApiEscalator {
    /// The providers of a configuration. Nothing is started yet.
    #[must_use]
    pub fn new(settings: &BTreeMap<String, Settings>) -> Self {
        let provider =
            |(name, settings): (&String, _)| (name.clone(), Provider::new(name, settings));
        Self { providers: Arc::new(settings.iter().map(provider).collect()) }
    }

    /// The provider of this name; without a name the first healthy one, else the first.
    ///
    /// [`Error::ProviderNotConfigured`] when there is none.
    pub fn provider(&self, name: Option<&str>) -> Result<Provider, Error> {
        let found = match name {
            Some(name) => self.providers.get(name),
            None => {
                self.providers().find(|it| it.is_worth_trying()).or_else(|| self.providers().next())
            }
        };
        found.cloned().ok_or_else(|| {
            let known: Vec<_> = self.providers().map(Provider::name).collect();
            let problem = match (name, known.is_empty()) {
                (_, true) => "no provider is configured".to_owned(),
                (name, false) => format!(
                    "no provider {:?} is configured; known: {}",
                    name.unwrap_or_default(),
                    known.join(", ")
                ),
            };
            Error::ProviderNotConfigured { problem }
        })
    }

    /// Starts an answer. Dropping the events cancels it.
    ///
    /// Fails as [`Provider::start`] does, or with [`Error::ProviderNotConfigured`].
    pub async fn start(&self, request: SlowRequest) -> Result<TrackEvents, Error> {
        let provider = self.provider(Some(&request.provider))?;
        attempt::attempt(&provider, &request).await
    }

    /// All providers, by name.
    pub fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.providers.values()
    }

    /// How each provider has done so far, by name.
    #[must_use]
    pub fn status(&self) -> Vec<ProviderStatus> {
        self.providers().map(Provider::status).collect()
    }
}

/// The actor behind an [`ApiEscalator`].
#[derive(Debug, Clone, Copy)]
pub struct ApiEscalatorActor;

/// How to start an [`ApiEscalatorActor`].
#[derive(Debug, Clone)]
pub struct Arguments {
    /// What others reach the providers by.
    pub handle: ApiEscalator,
    /// Its place in the tree.
    pub node: Node,
}

/// Messages of an [`ApiEscalatorActor`], which only it sends to itself.
#[derive(Debug)]
pub enum Message {
    /// The pause before a provider's restart is over.
    Restart(String),
}

/// One life of the actor.
#[derive(Debug)]
pub struct State {
    handle: ApiEscalator,
    children: Children,
}

impl Actor for ApiEscalatorActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        Arguments { handle, node }: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let mut state =
            State { children: Children::new(node.clone(), Intensity::default()), handle };
        for provider in state.handle.clone().providers() {
            let name = format!("{CHILD_PREFIX}{}", provider.name());
            let arguments =
                provider::Arguments { handle: provider.clone(), node: node.child(&name) };
            let spec = ChildSpec::new(name, ProviderActor, arguments);
            let verdict = state.children.start(spec, myself.get_cell()).await;
            state.carry_out(&myself, verdict);
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        Message::Restart(name): Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let verdict = state.children.restart(&name, myself.get_cell()).await;
        state.carry_out(&myself, verdict);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let verdict = state.children.on_event(&event);
        state.carry_out(&myself, verdict);
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<Message>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.children.stop_all().await;
        Ok(())
    }
}

impl State {
    /// A provider that is given up stays down alone: the others still answer.
    fn carry_out(&self, myself: &ActorRef<Message>, verdict: Verdict) {
        match verdict {
            Verdict::Nothing | Verdict::Ended { .. } => {}
            Verdict::RestartAfter { name, pause } => {
                drop(myself.send_after(pause, move || Message::Restart(name)));
            }
            Verdict::GivenUp { name, why } => {
                let provider = name.strip_prefix(CHILD_PREFIX).unwrap_or(&name);
                if let Ok(provider) = self.handle.provider(Some(provider)) {
                    provider.give_up(&why);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
