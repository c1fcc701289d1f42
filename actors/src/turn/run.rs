//! Running one track for a turn: find the model, build the context, pass the events on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::ActorRef;
use tandem_proto::engine::Loaded;
use tandem_proto::v1::{AskRequest, NoticeKind, Policy, Sampling, Track, Turn};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Message;
use super::context::{Budget, Dialogue, estimate, most_recent};
use super::history::Luggage;
use super::machine::Run;
use super::masking::{Unmask, mask};
use super::recall::Recall;
use crate::api_escalator::SlowRequest;
use crate::experiments::Feature;
use crate::inference_worker::{Counts, Phase, Worker};
use crate::provider::Provider;
use crate::router::{Plan, Services, lasting_id};
use crate::{Error, Prompt, Result, Tools, TrackEvent, TrackEvents, TrackRequest, sampling};

/// What an engine reads at once, with something to spare. No more of a conversation fits into any
/// context.
const CHAT_BYTES_MAX: usize = 480 << 10;

/// Longest time that reading a conversation ahead may take.
const WARM_TIME_MAX: Duration = Duration::from_mins(2);

/// What is asked, and how.
#[derive(Debug)]
pub(crate) struct Question {
    pub(super) turn_id: String,
    pub(super) conversation_id: String,
    pub(super) prompt: String,
    pub(super) luggage: Luggage,
    pub(super) system: String,
    /// Id or path of the fast track's model.
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
    /// Name of the program that asks.
    pub(super) client: String,
    /// The answer is to be made anew.
    pub(super) no_cache: bool,
    /// An answer that was a matter of chance may be given again.
    pub(super) cache_sampled: bool,
    /// The slow track may take over within an answer of the fast one.
    pub(super) watched: bool,
    /// How long to wait for the local model to load before the turn hears of it, if it has a choice.
    patience: Option<Duration>,
    pub(super) sampling: Sampling,
    pub(super) seed: u64,
    pub(super) deadline: Instant,
}

impl Question {
    pub(super) fn new(
        turn_id: &str,
        request: AskRequest,
        seed: u64,
        deadline: Instant,
        plan: &Plan,
        services: &Services,
        policy: Policy,
    ) -> Self {
        let default = |text: String, default: &String| {
            if text.is_empty() { default.clone() } else { text }
        };
        Self {
            turn_id: turn_id.to_owned(),
            provider_named: !request.provider.is_empty(),
            reasons: plan.reasons.clone(),
            hedge: services.experiments.gets(Feature::Hedge, lasting_id(&request, turn_id)),
            policy,
            watched: plan.other.is_some() && plan.escalation.handoff.is_some(),
            patience: Some(services.cold_start_patience)
                .filter(|patience| !patience.is_zero() && plan.other == Some(Track::Slow)),
            luggage: Luggage {
                tools: Tools::of(&request),
                images: request.images,
                results: request.tool_results,
            },
            client: request.client,
            no_cache: request.no_cache,
            cache_sampled: request.cache_sampled,
            conversation_id: request.conversation_id,
            prompt: request.prompt,
            system: request.system.unwrap_or_else(|| services.memory.system_prompt.clone()),
            model: default(request.model, &services.default_model),
            provider: plan.provider.clone().unwrap_or_default(),
            sampling: request.sampling.unwrap_or_default(),
            seed,
            deadline,
        }
    }

    /// Name of the remote model that would answer; empty when none would.
    pub(super) fn provider_model(&self, services: &Services) -> String {
        let provider = self.provider(services);
        provider.map(|provider| provider.model().to_owned()).unwrap_or_default()
    }

    /// How long the prompt may be. Only a conversation is held to `memory.context_tokens`.
    fn budget(&self, context: u32, answer: u32, services: &Services) -> Budget {
        let memory = services.memory.context_tokens;
        let limit = (!self.conversation_id.is_empty()).then_some(memory);
        Budget::new(context, limit, answer)
    }

    pub(super) fn provider(&self, services: &Services) -> Result<Provider> {
        services.escalator.provider(Some(&self.provider))
    }
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
            _ => start_fast(&question, &services, &turn).await.map(|events| (events, None)),
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
    let (mut events, mut unmask) = match started {
        Ok(events) => events,
        Err(error) => {
            send(TrackEvent::Failed(error));
            return;
        }
    };
    loop {
        let event = match &mut recall {
            Some(recall) if !recall.has_heard() => tokio::select! {
                event = events.recv() => event,
                hit = recall.later() => return recall.replay(hit, &turn, run),
            },
            _ => events.recv().await,
        };
        let Some(event) = event else { break };
        let last = matches!(event, TrackEvent::Done(_) | TrackEvent::Failed(_));
        let readable = match &mut unmask {
            Some(unmask) => unmask.event(event),
            None => vec![event],
        };
        if let Some(recall) = &mut recall {
            readable.iter().for_each(|event| recall.hear(event));
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
) -> Result<TrackEvents> {
    let (model, conversation) = (&question.model, &question.conversation_id);
    let worker = services.loader.acquire_for(model, conversation).await?;
    if worker.facts().embedding_dimensions > 0 {
        let problem = format!("model {:?} makes embeddings and generates no text", worker.model());
        return Err(Error::ModelUnsuitable { problem });
    }
    let _ = turn.cast(Message::FastModel(worker.model().to_owned()));
    if worker.watch().borrow().phase != Phase::Ready {
        let message = format!("model {:?} is being loaded", worker.model());
        let _ = turn.cast(Message::Notice(NoticeKind::Waiting, message));
        if let Some(patience) = question.patience
            && timeout(patience, worker.loaded()).await.is_err()
        {
            let _ = turn.cast(Message::Cold);
        }
    }
    let context = context_tokens(&worker.loaded().await?);
    let mut sampling = sampling::complete(
        &question.sampling,
        worker.recommended_sampling(),
        services.max_tokens,
        question.seed,
    );
    if question.watched {
        sampling.logprobs.get_or_insert(0);
    }
    let answer = sampling.max_tokens();
    let budget = question.budget(context, answer, services);

    let (turns, cut) = recent_turns(question, services).await?;
    let dialogue = Dialogue { system: &question.system, turns: &turns, prompt: &question.prompt };
    let most = dialogue.tokens_max();
    let (prompt, dropped, length) = if most <= budget.tokens.min(context.saturating_sub(answer)) {
        // The first token need not wait for a count.
        (Prompt::Chat(dialogue.messages(0)), 0, most)
    } else {
        match fit(&dialogue, budget, &worker).await {
            // Nothing was sent yet. If the question is to blame, it fails the second time, too.
            Err(Error::EngineCrashed { .. }) => fit(&dialogue, budget, &worker).await,
            fitted => fitted,
        }?
    };
    if turns.iter().skip(dropped).any(|turn| turn.private) {
        let _ = turn.cast(Message::ReadsPrivate);
    }
    tell_what_was_dropped(turn, cut + dropped, cut + turns.len(), budget.tokens);
    // What remains of the context is all that an answer can have.
    sampling.max_tokens = Some(answer.min(context.saturating_sub(length)).max(1));
    worker.start(TrackRequest {
        turn_id: question.turn_id.clone(),
        prompt,
        sampling,
        tools: Tools::default(),
        deadline: question.deadline,
    })
}

/// Lets the local model read a conversation that another one continued, so that it can answer the
/// next question at once.
pub(crate) async fn warm(question: &Question, services: &Services) -> Result<()> {
    let worker = services.loader.acquire_for(&question.model, &question.conversation_id).await?;
    let context = context_tokens(&worker.loaded().await?);
    let (turns, _) = recent_turns(question, services).await?;
    let dialogue = Dialogue { system: &question.system, turns: &turns, prompt: "" };
    if dialogue.tokens_max() > question.budget(context, 1, services).tokens {
        // What the next question leaves out is not known yet.
        return Ok(());
    }
    let mut messages = dialogue.messages(0);
    messages.pop();
    let sampling =
        Sampling { max_tokens: Some(1), seed: Some(question.seed), ..Sampling::default() };
    let mut events = worker.start(TrackRequest {
        turn_id: question.turn_id.clone(),
        prompt: Prompt::Chat(messages),
        sampling,
        tools: Tools::default(),
        deadline: Instant::now() + WARM_TIME_MAX,
    })?;
    while let Some(event) = events.recv().await {
        if let TrackEvent::Failed(error) = event {
            return Err(error);
        }
    }
    Ok(())
}

fn context_tokens(loaded: &Loaded) -> u32 {
    match loaded.context_trained {
        0 => loaded.context_tokens,
        trained => loaded.context_tokens.min(trained),
    }
}

/// The longest end of the dialogue that fits, how many turns were dropped for it, and its
/// exact length in tokens.
async fn fit(
    dialogue: &Dialogue<'_>,
    budget: Budget,
    worker: &Worker,
) -> Result<(Prompt, usize, u32)> {
    // The parts are only of interest when they do not fit as a whole and some can go.
    let parts = if dialogue.turns.is_empty() { Vec::new() } else { dialogue.texts() };
    let mut messages = dialogue.messages(0);
    let Counts { texts: lengths, messages: mut length } =
        worker.count(parts, messages.clone()).await?;
    let mut dropped = 0;
    while length > budget.tokens {
        if dropped == dialogue.turns.len() {
            return Err(budget.too_long(length));
        }
        // One more each time, as a template may add more than was allowed for.
        dropped = dialogue.turns_to_drop(&lengths, budget.tokens).max(dropped + 1);
        messages = dialogue.messages(dropped);
        length = worker.count(Vec::new(), messages.clone()).await?.messages;
    }
    Ok((Prompt::Chat(messages), dropped, length))
}

async fn start_slow(
    run: Run,
    question: &Question,
    services: &Services,
    turn: &ActorRef<Message>,
) -> Result<(TrackEvents, Option<Unmask>)> {
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

    let luggage = &question.luggage;
    let (mut turns, cut) = recent_turns(question, services).await?;
    luggage.check(&turns)?;
    let all = turns.len();
    turns.retain(|turn| !turn.private);
    if turns.len() < all {
        let message = format!("{} private turns stay on this machine", all - turns.len());
        let _ = turn.cast(Message::Notice(NoticeKind::ContextDropped, message));
    }
    let dialogue = Dialogue { system: &question.system, turns: &turns, prompt: &question.prompt };
    let lengths: Vec<u32> = dialogue.texts().iter().map(|text| estimate(text)).collect();
    let room = budget.tokens.saturating_sub(luggage.tokens());
    let dropped = dialogue.turns_to_drop(&lengths, room);
    let (system, turns_and_prompt) =
        lengths.split_at(usize::from(!question.system.is_empty()).min(lengths.len()));
    let read = system
        .iter()
        .chain(turns_and_prompt.iter().skip(2 * dropped))
        .fold(luggage.tokens(), |sum, length| sum.saturating_add(*length));
    // Results are of no use without the calls.
    let lost_calls = !luggage.results.is_empty() && dropped == turns.len();
    if lost_calls {
        let problem = "the calls whose results these are do not fit beside them".to_owned();
        return Err(Error::PromptTooLong { problem });
    }
    if read > budget.tokens {
        return Err(budget.too_long(read));
    }
    let messages = luggage.messages(&dialogue, dropped);
    tell_what_was_dropped(turn, cut + dropped, cut + turns.len(), budget.tokens);
    let (redaction, how) = (services.redaction.clone(), services.redact);
    // A long conversation takes some milliseconds.
    let tools = luggage.tools.clone();
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
        deadline: question.deadline,
    };
    let slow = SlowRequest {
        request,
        conversation_id: question.conversation_id.clone(),
        provider: question.provider.clone(),
        named: question.provider_named,
        hedge: question.hedge,
        prompt_tokens: prompt_tokens.saturating_add(luggage.tokens()).max(read),
        reason: reason(question, run.cause),
        policy: question.policy.as_str_name().trim_start_matches("POLICY_").to_lowercase(),
        redactions,
    };
    Ok((services.escalator.start(slow).await?, unmask))
}

/// Why the question leaves the machine: what made this run necessary, else what the router said.
fn reason(question: &Question, cause: &str) -> String {
    if cause.is_empty() { question.reasons.join("; ") } else { cause.to_owned() }
}

/// The end of the conversation, and how many turns before it are too much to look at.
pub(super) async fn recent_turns(
    question: &Question,
    services: &Services,
) -> Result<(Vec<Turn>, usize)> {
    if question.conversation_id.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let turns_max = services.memory.turns_max as usize;
    let mut turns = services.store.recent_turns(&question.conversation_id, turns_max).await?;
    // What tandem said in place of a model is no part of the conversation.
    turns.retain(|turn| turn.track() != Track::BuiltIn);
    let all = turns.len();
    let said = question.prompt.len() + question.system.len();
    let turns = most_recent(turns, CHAT_BYTES_MAX.saturating_sub(said));
    let cut = all - turns.len();
    Ok((turns, cut))
}

fn tell_what_was_dropped(turn: &ActorRef<Message>, dropped: usize, turns: usize, budget: u32) {
    if dropped > 0 {
        let message = format!(
            "the oldest {dropped} of {turns} turns did not fit in {budget} tokens and were left out"
        );
        let _ = turn.cast(Message::Notice(NoticeKind::ContextDropped, message));
    }
}
