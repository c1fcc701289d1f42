//! Running one track for a turn: find the model, build the context, pass the events on.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, MaybeDone, OptionFuture, maybe_done, pending};
use ractor::ActorRef;
use tandem_proto::engine::Loaded;
use tandem_proto::v1::{AskRequest, NoticeKind, Policy, Rung, Sampling, Track};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::Message;
use super::context::{Budget, Memory, Rules, estimate};
use super::documents::{Documents, Quoting};
use super::history::Luggage;
use super::host::host;
use super::machine::Run;
use super::masking::{Unmask, mask};
use super::memories::for_question;
use super::reading::{Context, everything, for_engine, for_provider, gather};
use super::recall::{Hit, Recall};
use super::reply;
use crate::api_escalator::SlowRequest;
use crate::experiments::Feature;
use crate::inference_worker::Counts;
use crate::provider::Provider;
use crate::router::{Class, Plan, Services, lasting_id};
use crate::{Error, Prompt, Result, Tools, TrackEvent, TrackEvents, TrackRequest, sampling};

/// Longest time that reading a conversation ahead may take.
const WARM_TIME_MAX: Duration = Duration::from_mins(2);

/// What is asked, and how.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug)]
pub(crate) struct Question {
    pub(super) turn_id: String,
    pub(super) conversation_id: String,
    pub(super) prompt: String,
    pub(super) luggage: Luggage,
    /// Whether what is remembered of the user is told.
    pub(super) tells_memories: bool,
    /// Of that, what is told; looked for when a track needs it first.
    memories: OnceCell<Vec<Memory>>,
    /// Collections of documents that it is answered from.
    pub(super) collections: Vec<String>,
    /// How passages of them are told.
    pub(super) quoting: Quoting,
    /// What was found in them; looked for when a track needs it first.
    pub(super) documents: OnceCell<Documents>,
    pub(super) system: String,
    /// Id or path of the fast track's model; empty for the default model.
    pub(super) model: String,
    /// Name of the slow track's provider; empty when the plan has none.
    pub(super) provider: String,
    /// The caller named that provider.
    pub(super) provider_named: bool,
    /// Why the plan is as it is, in words.
    reasons: Vec<String>,
    /// Another provider may be asked as well when one is late.
    hedge: bool,
    pub(super) policy: Policy,
    /// Who waits for the answer.
    class: Class,
    /// Name of the program that asks.
    pub(super) client: String,
    /// The answer is to be made anew.
    pub(super) no_cache: bool,
    /// An answer that was a matter of chance may be given again.
    pub(super) cache_sampled: bool,
    /// The slow track may take over within an answer of the fast one.
    pub(super) watched: bool,
    /// How long to wait for the local model to load before the turn hears of it, if it has a choice.
    pub(super) patience: Option<Duration>,
    pub(super) sampling: Sampling,
    pub(super) seed: u64,
    pub(super) deadline: Instant,
}

/// What the router says of a question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) policy: Policy,
    pub(super) class: Class,
    pub(super) seed: u64,
    pub(super) deadline: Instant,
}

impl Question {
    pub(super) fn new(
        turn_id: &str,
        request: AskRequest,
        terms: Terms,
        plan: &Plan,
        services: &Services,
    ) -> Self {
        let Terms { policy, class, seed, deadline } = terms;
        let default = |text: String, default: &String| {
            if text.is_empty() { default.clone() } else { text }
        };
        Self {
            turn_id: turn_id.to_owned(),
            provider_named: !request.provider.is_empty(),
            reasons: plan.reasons.clone(),
            hedge: services
                .settings
                .experiments
                .gets(Feature::Hedge, lasting_id(&request, turn_id)),
            policy,
            class,
            watched: plan.other.is_some() && plan.escalation.handoff.is_some(),
            patience: Some(services.settings.cold_start_patience)
                .filter(|patience| !patience.is_zero() && plan.other == Some(Track::Slow)),
            luggage: Luggage {
                tools: Tools::of(&request),
                images: request.images,
                results: request.tool_results,
            },
            tells_memories: request.memories.unwrap_or(services.settings.memory.tell_facts),
            memories: OnceCell::new(),
            quoting: Quoting {
                templates: Some(Arc::clone(&services.settings.templates)),
                name: default(request.template, &services.settings.knowledge.template),
                language: reply::language(&request.prompt),
            },
            collections: request.collections,
            documents: OnceCell::new(),
            client: request.client,
            no_cache: request.no_cache,
            cache_sampled: request.cache_sampled,
            conversation_id: request.conversation_id,
            prompt: request.prompt,
            system: request
                .system
                .unwrap_or_else(|| services.settings.memory.system_prompt.clone()),
            model: request.model,
            provider: plan.provider.clone().unwrap_or_default(),
            sampling: request.sampling.unwrap_or_default(),
            seed,
            deadline,
        }
    }

    /// What is remembered of the user that it is asked with, the most important first.
    pub(super) async fn memories(&self, services: &Services) -> &[Memory] {
        self.memories.get_or_init(|| for_question(self, services)).await
    }

    /// What was found for it in the user's documents.
    pub(super) async fn documents(&self, services: &Services) -> Result<&Documents> {
        self.documents.get_or_try_init(|| Documents::find(self, services)).await
    }

    /// Name of the remote model that would answer; empty when none would.
    pub(super) fn provider_model(&self, services: &Services) -> String {
        let provider = self.provider(services);
        provider.map(|provider| provider.model().to_owned()).unwrap_or_default()
    }

    /// Name of the local model that would answer.
    pub(super) fn fast_model(&self, services: &Services) -> String {
        if self.model.is_empty() { services.loader.default_model() } else { self.model.clone() }
    }

    /// How long the prompt may be. Only a conversation is held to `memory.context_tokens`, and to half
    /// of that while the machine is short.
    fn budget(&self, context: u32, answer: u32, services: &Services) -> Budget {
        let halved = u32::from(services.monitor.is_in_effect(Rung::ShorterContext));
        let memory = services.settings.memory.context_tokens >> halved;
        let limit = (!self.conversation_id.is_empty()).then_some(memory);
        Budget::new(context, limit, answer)
    }

    pub(super) fn provider(&self, services: &Services) -> Result<Provider> {
        services.escalator.provider(Some(&self.provider))
    }
}

/// A track that has begun.
struct Started {
    events: TrackEvents,
    /// Undoes what was done to personal data.
    unmask: Option<Unmask>,
    context: Context,
    /// The lengths of its parts, if nobody has asked for them yet.
    counting: Option<BoxFuture<'static, Result<Counts>>>,
    /// The local model that answers.
    local: Option<String>,
}

/// Runs a track to its end. Everything that happens is sent to the turn.
pub(super) async fn run(
    run: Run,
    question: Arc<Question>,
    services: Services,
    turn: ActorRef<Message>,
) {
    let mut recall = Recall::of(run, &question, &services).await;
    if let Some(recall) = &mut recall
        && let Some(hit) = recall.at_once(&services).await
    {
        return recall.replay(hit, &turn, run);
    }
    let start = async {
        match run.track {
            Track::Slow => start_slow(run, &question, &services, &turn).await,
            _ => start_fast(&question, &services, &turn).await,
        }
    };
    let started = match &mut recall {
        None => start.await,
        Some(recall) => tokio::select! {
            started = start => started,
            hit = recall.later() => return recall.replay(hit, &turn, run),
        },
    };
    // A turn that has ended hears nothing more, and this task ends with it.
    let send = |event| turn.cast(Message::Track(run, event)).is_ok();
    let Started { mut events, mut unmask, mut context, counting, local } = match started {
        Ok(started) => started,
        Err(error) => {
            send(TrackEvent::Failed(error));
            return;
        }
    };
    // An answer is kept for the model that gave it, which may not be the one that was expected.
    if let (Some(local), Some(expected)) = (&local, &recall)
        && *local != expected.model
    {
        recall = None;
    }
    let mut counts = pin!(maybe_done(OptionFuture::from(counting)));
    loop {
        let event = tokio::select! {
            biased;
            event = events.recv() => event,
            hit = found_later(recall.as_mut()) => {
                if let Some(recall) = &recall {
                    recall.replay(hit, &turn, run);
                }
                return;
            }
            () = &mut counts, if !matches!(*counts, MaybeDone::Done(_)) => continue,
        };
        let Some(event) = event else { break };
        if let TrackEvent::Done(completion) = &event {
            // Asked when the answer began, it is there by now.
            counts.as_mut().await;
            let counted = counts.as_mut().take_output().flatten();
            if let Some(Ok(counted)) = &counted {
                context.measure(counted);
            }
            let ledger = context.ledger(completion.usage.prompt_tokens);
            let _ = turn.cast(Message::Context(run, ledger));
        }
        let last = matches!(event, TrackEvent::Done(_) | TrackEvent::Failed(_));
        let readable = match &mut unmask {
            Some(unmask) => unmask.event(event),
            None => vec![event],
        };
        if let Some(recall) = &mut recall {
            for event in &readable {
                recall.hear(event);
            }
        }
        if !readable.into_iter().all(send) || last {
            return;
        }
    }
    let part = if run.track == Track::Slow { "the provider" } else { "the inference worker" };
    send(TrackEvent::Failed(Error::Restarting { part: part.to_owned() }));
}

async fn start_fast(
    question: &Question,
    services: &Services,
    turn: &ActorRef<Message>,
) -> Result<Started> {
    services.monitor.let_compute()?;
    let (worker, loaded) = host(question, services, turn).await?;
    let context = context_tokens(&loaded);
    let mut sampling = sampling::complete(
        &question.sampling,
        worker.recommended_sampling(),
        services.settings.max_tokens,
        question.seed,
    );
    if question.watched {
        sampling.logprobs.get_or_insert(0);
    }
    let answer = sampling.max_tokens();
    let budget = question.budget(context, answer, services);

    let rules = Rules::of(&services.settings.memory);
    let material = gather(question, services).await?;
    let room = budget.tokens.min(context.saturating_sub(answer));
    let reading = match everything(material, rules, room) {
        Ok(reading) => reading,
        Err(material) => match for_engine((*material).clone(), rules, budget, &worker).await {
            // Nothing was sent yet. If the question is to blame, it fails the second time, too.
            Err(Error::EngineCrashed { .. }) => for_engine(*material, rules, budget, &worker).await,
            read => read,
        }?,
    };
    if reading.context.is_private() {
        let _ = turn.cast(Message::ReadsPrivate);
    }
    tell(turn, reading.context.notice(budget));
    // What remains of the context is all that an answer can have.
    sampling.max_tokens = Some(answer.min(context.saturating_sub(reading.length)).max(1));
    let counting = reading.counting(&worker);
    let events = worker.start(TrackRequest {
        turn_id: question.turn_id.clone(),
        prompt: Prompt::Chat(reading.messages),
        sampling,
        tools: Tools::default(),
        class: question.class,
        deadline: question.deadline,
    })?;
    let local = Some(worker.model().to_owned());
    Ok(Started { events, unmask: None, context: reading.context, counting, local })
}

/// Lets the local model read a conversation that another one continued, so that it can answer the
/// next question at once.
pub(crate) async fn warm(question: &Question, services: &Services) -> Result<()> {
    let worker = services.loader.acquire_for(&question.model, &question.conversation_id).await?;
    let context = context_tokens(&worker.loaded().await?);
    let mut material = gather(question, services).await?;
    material.prompt.clear();
    let room = question.budget(context, 1, services).tokens;
    let Ok(mut reading) = everything(material, Rules::of(&services.settings.memory), room) else {
        // What the next question leaves out is not known yet.
        return Ok(());
    };
    reading.messages.pop();
    let sampling =
        Sampling { max_tokens: Some(1), seed: Some(question.seed), ..Sampling::default() };
    let mut events = worker.start(TrackRequest {
        turn_id: question.turn_id.clone(),
        prompt: Prompt::Chat(reading.messages),
        sampling,
        tools: Tools::default(),
        class: Class::Background,
        deadline: Instant::now() + WARM_TIME_MAX,
    })?;
    while let Some(event) = events.recv().await {
        if let TrackEvent::Failed(error) = event {
            return Err(error);
        }
    }
    Ok(())
}

/// Tokens that a model can see at once.
pub(super) fn context_tokens(loaded: &Loaded) -> u32 {
    match loaded.context_trained {
        0 => loaded.context_tokens,
        trained => loaded.context_tokens.min(trained),
    }
}

async fn start_slow(
    run: Run,
    question: &Question,
    services: &Services,
    turn: &ActorRef<Message>,
) -> Result<Started> {
    // The plan sees to that; here it is certain.
    if matches!(question.policy, Policy::Private | Policy::Fast) {
        let problem = "a question that stays on this machine was about to leave it".to_owned();
        return Err(Error::Internal { problem });
    }
    let provider = question.provider(services)?;
    let mut sampling = question.sampling.clone();
    let answer = sampling.max_tokens.unwrap_or(provider.max_tokens());
    sampling.max_tokens = Some(answer);
    let budget = question.budget(provider.context_tokens(), answer, services);

    if question.documents(services).await?.stay_here() {
        let collections = question.collections.join(", ");
        return Err(Error::DocumentsStayHere { collections });
    }
    let luggage = &question.luggage;
    let material = gather(question, services).await?;
    let rules = Rules::of(&services.settings.memory);
    let reading = for_provider(material, rules, budget, luggage).await?;
    let withheld = reading.context.turns_withheld();
    let withheld = (withheld > 0).then(|| format!("{withheld} private turns stay on this machine"));
    tell(turn, withheld);
    tell(turn, reading.context.notice(budget));
    let (redaction, how) = (services.settings.redaction.clone(), services.settings.redact);
    // A long conversation takes some milliseconds.
    let (messages, tools) = (reading.messages, luggage.tools.clone());
    let masked = spawn_blocking(move || mask(&redaction, how, messages, sampling, tools)).await;
    let masked = masked.map_err(|error| Error::Internal { problem: error.to_string() })??;
    let mut redactions = BTreeMap::new();
    let unmask = masked.undo.map(|(found, unmask)| {
        redactions = found.by_key();
        let message = format!("{found} masked before anything leaves this machine");
        let _ = turn.cast(Message::Notice(NoticeKind::Redacted, message));
        unmask
    });
    // What is sent can be longer than what was asked: placeholders, and what is said of them.
    let texts = masked.messages.iter().map(|message| &message.content);
    let texts = texts.chain([&masked.sampling.json_schema]);
    let prompt_tokens = texts.fold(0_u32, |sum, text| sum.saturating_add(estimate(text)));
    let request = TrackRequest {
        turn_id: question.turn_id.clone(),
        prompt: Prompt::Chat(masked.messages),
        sampling: masked.sampling,
        tools: masked.tools,
        class: question.class,
        deadline: question.deadline,
    };
    let slow = SlowRequest {
        request,
        conversation_id: question.conversation_id.clone(),
        provider: question.provider.clone(),
        named: question.provider_named,
        hedge: question.hedge,
        prompt_tokens: prompt_tokens.saturating_add(luggage.tokens()).max(reading.length),
        reason: reason(question, run.cause),
        policy: question.policy.as_str_name().trim_start_matches("POLICY_").to_lowercase(),
        redactions,
    };
    let events = services.escalator.start(slow).await?;
    Ok(Started { events, unmask, context: reading.context, counting: None, local: None })
}

/// The answer to a question that means the same, if it is found before the track says anything.
async fn found_later(recall: Option<&mut Recall>) -> Hit {
    match recall {
        Some(recall) if !recall.has_heard() => recall.later().await,
        _ => pending().await,
    }
}

/// Why the question leaves the machine: what made this run necessary, else what the router said.
fn reason(question: &Question, cause: &str) -> String {
    if cause.is_empty() { question.reasons.join("; ") } else { cause.to_owned() }
}

/// Something of the conversation is not read as it was.
fn tell(turn: &ActorRef<Message>, notice: Option<String>) {
    if let Some(message) = notice {
        let _ = turn.cast(Message::Notice(NoticeKind::ContextDropped, message));
    }
}
