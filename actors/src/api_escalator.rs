//! Owner of the slow track: one provider actor per configured API, each kept alive.
//!
//! A question for the track goes through [`ApiEscalator::start`], whichever provider answers it. The
//! actor owns one task per question, which asks the providers in `order` and follows its `course`.

use std::collections::BTreeMap;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tandem_config::{Choice, HedgeAfter, Provider as Settings};
use tandem_proto::v1::ProviderStatus;
use tokio::task::JoinSet;
use tracing::error;

use crate::bookkeeper::Bookkeeper;
use crate::provider::outlet::Outlet;
use crate::provider::{self, Provider, ProviderActor};
use crate::supervisor::ledger::Intensity;
use crate::supervisor::{ChildSpec, Children, Verdict};
use crate::{Address, Error, Needs, Node, TrackEvents, TrackRequest};

mod attempt;
mod course;
mod order;
mod pursuit;
mod retry;

use pursuit::Pursuit;

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
    /// Another provider may be asked as well when the first token is late.
    pub hedge: bool,
    /// About how many tokens the prompt has.
    pub prompt_tokens: u32,
    /// Why the question leaves the machine, in words, none of which are the question's own.
    pub reason: String,
    /// The policy under which it may: `auto`, `slow` ….
    pub policy: String,
    /// How many pieces of personal data were masked in it, by kind.
    pub redactions: BTreeMap<String, u32>,
}

impl SlowRequest {
    /// Whether prompt and answer have room in a provider's context.
    fn fits(&self, provider: &Provider) -> bool {
        let answer =
            self.request.sampling.max_tokens.unwrap_or(u32::MAX).min(provider.max_tokens());
        self.prompt_tokens.saturating_add(answer) <= provider.context_tokens()
    }
}

/// Finds providers, whether their actors are up or not.
#[derive(Debug, Clone)]
pub struct ApiEscalator {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: Address<Message>,
    providers: BTreeMap<String, Provider>,
    books: Bookkeeper,
    choice: Choice,
    hedge_after: Option<HedgeAfter>,
}

impl ApiEscalator {
    /// The providers of a configuration, chosen as `router` says, and who keeps account of them.
    /// Nothing is started yet.
    #[must_use]
    pub fn new(
        router: &tandem_config::Router,
        settings: &BTreeMap<String, Settings>,
        books: &Bookkeeper,
    ) -> Self {
        let provider =
            |(name, settings): (&String, _)| (name.clone(), Provider::new(name, settings));
        Self {
            shared: Arc::new(Shared {
                address: Address::new("the slow track"),
                providers: settings.iter().map(provider).collect(),
                books: books.clone(),
                choice: router.providers,
                hedge_after: router.hedge_after,
            }),
        }
    }

    /// The provider of this name; without a name the one that would be asked first now for a question
    /// with these needs, and that is out of service, or cannot do that, only if all are.
    ///
    /// [`Error::ProviderNotConfigured`] when there is none.
    pub fn provider_for(&self, name: Option<&str>, needs: &Needs) -> Result<Provider, Error> {
        let found = if let Some(name) = name {
            self.shared.providers.get(name).cloned()
        } else {
            let in_order = self.in_order();
            let able = |provider: &&Provider| provider.can(needs).is_ok();
            let up = |provider: &&Provider| provider.available().is_ok();
            let best = in_order.iter().filter(able).find(up);
            best.or(in_order.iter().find(able)).or(in_order.first()).cloned()
        };
        found.ok_or_else(|| {
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

    /// The provider of this name, or any without one; see [`Self::provider_for`].
    pub fn provider(&self, name: Option<&str>) -> Result<Provider, Error> {
        self.provider_for(name, &Needs::default())
    }

    /// Why the local model cannot answer a question with these needs, and who can.
    pub(crate) fn not_local(&self, needs: Needs) -> Error {
        let able = self.providers().filter(|provider| provider.can(&needs).is_ok());
        let able: Vec<_> = able.map(|provider| format!("{:?}", provider.name())).collect();
        let advice = match able.as_slice() {
            [] => "configure a provider whose providers.NAME.abilities has that, and ask with the \
                   policy slow or auto"
                .to_owned(),
            able => format!("ask with the policy slow or auto: {} can", able.join(", ")),
        };
        let needs = Needs { json: false, ..needs };
        Error::NotSupported { problem: format!("the local model cannot {needs}"), advice }
    }

    /// The providers that would be asked now, first to be asked first: all that are in service, or
    /// only the one that was named.
    ///
    /// When there is none, why: what [`Provider::available`] says of the only one, or an
    /// [`Error::ProviderFailed`] with what it says of each. [`Error::ProviderNotConfigured`] when
    /// there is none of this name, or none at all.
    pub fn candidates(&self, named: Option<&str>) -> Result<Vec<Provider>, Error> {
        if named.is_some() || self.shared.providers.is_empty() {
            let provider = self.provider(named)?;
            return provider.available().map(|()| vec![provider]);
        }
        let mut refusals = Vec::new();
        let mut in_order = self.in_order();
        in_order.retain(|provider| match provider.available() {
            Ok(()) => true,
            Err(refusal) => {
                refusals.push((provider.name().to_owned(), refusal));
                false
            }
        });
        if in_order.is_empty() { Err(none_of(refusals)) } else { Ok(in_order) }
    }

    /// Starts an answer by the provider that `request` begins with or, unless that was named, by
    /// the first other one that can give it. Dropping the events cancels it.
    ///
    /// Fails at once as [`ApiEscalator::candidates`] does, with [`Error::PromptTooLong`] when no
    /// provider in service reads that much, and with [`Error::Restarting`] while the actor is down.
    #[allow(clippy::unused_async, reason = "a track is started alike, whichever it is")]
    pub async fn start(&self, request: SlowRequest) -> Result<TrackEvents, Error> {
        let mut candidates =
            self.candidates(Some(request.provider.as_str()).filter(|_| request.named))?;
        let needs = Needs::of(&request.request);
        // The router sees to it that one can; if it is the only one, it says why it cannot.
        if candidates.iter().any(|provider| provider.can(&needs).is_ok()) {
            candidates.retain(|provider| provider.can(&needs).is_ok());
        }
        candidates.retain(|provider| request.fits(provider));
        if candidates.is_empty() {
            let problem = format!(
                "about {} tokens are more than any provider in service reads",
                request.prompt_tokens
            );
            return Err(Error::PromptTooLong { problem });
        }
        // Stable: the others stay in their order.
        candidates.sort_by_key(|provider| provider.name() != request.provider);
        let (outlet, events) = Outlet::new();
        let hedge_after = self.shared.hedge_after.filter(|_| request.hedge);
        let books = self.shared.books.clone();
        let pursuit = Pursuit { slow: Arc::new(request), candidates, books, hedge_after };
        self.shared.address.cast(Message::Pursue(pursuit, outlet))?;
        Ok(events)
    }

    /// All providers as they would be asked, able or not.
    fn in_order(&self) -> Vec<Provider> {
        let providers: Vec<_> = self.providers().collect();
        let ranks: Vec<_> = providers.iter().map(|provider| provider.rank()).collect();
        let order = order::order(self.shared.choice, &ranks, provider::random);
        order.into_iter().filter_map(|position| providers.get(position).copied().cloned()).collect()
    }

    /// All providers, by name.
    pub fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.shared.providers.values()
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

/// Messages of an [`ApiEscalatorActor`], which only it and its handle send.
#[derive(Debug)]
pub enum Message {
    /// Sees a question through to its last event.
    Pursue(Pursuit, Outlet),
    /// The pause before a provider's restart is over.
    Restart(String),
}

/// One life of the actor. Dropping it ends the questions under way.
#[derive(Debug)]
pub struct State {
    handle: ApiEscalator,
    children: Children,
    pursuits: JoinSet<()>,
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
        let children = Children::new(node.clone(), Intensity::default());
        let mut state = State { children, handle, pursuits: JoinSet::new() };
        for provider in state.handle.clone().providers() {
            let name = format!("{CHILD_PREFIX}{}", provider.name());
            let arguments =
                provider::Arguments { handle: provider.clone(), node: node.child(&name) };
            let spec = ChildSpec::new(name, ProviderActor, arguments);
            let verdict = state.children.start(spec, myself.get_cell()).await;
            state.carry_out(&myself, verdict);
        }
        state.handle.shared.address.publish(myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Pursue(pursuit, outlet) => state.pursue(pursuit, outlet),
            Message::Restart(name) => {
                let verdict = state.children.restart(&name, myself.get_cell()).await;
                state.carry_out(&myself, verdict);
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
    fn pursue(&mut self, pursuit: Pursuit, outlet: Outlet) {
        // There are no more than turns, so this keeps the set small.
        while let Some(ended) = self.pursuits.try_join_next() {
            if let Err(error) = ended {
                error!(%error, "a question to the slow track ended by a defect");
            }
        }
        self.pursuits.spawn(pursuit.run(outlet));
    }

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

/// The error when no provider is in service: what each says.
fn none_of(mut refusals: Vec<(String, Error)>) -> Error {
    if refusals.len() == 1 {
        return refusals.remove(0).1;
    }
    let retry_after = refusals.iter().filter_map(|(_, refusal)| refusal.retry_after()).min();
    let (names, problems): (Vec<_>, Vec<_>) =
        refusals.into_iter().map(|(name, refusal)| (name, refusal.to_string())).unzip();
    Error::ProviderFailed { provider: names.join(", "), problem: problems.join("; "), retry_after }
}

#[cfg(test)]
mod tests;
