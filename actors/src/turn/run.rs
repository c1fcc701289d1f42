//! Running one track for a turn: find the model, build the context, pass the events on.

use std::sync::Arc;
use std::time::Instant;

use ractor::ActorRef;
use tandem_proto::v1::{NoticeKind, Sampling, Track, Turn};

use super::Message;
use super::context::{Dialogue, estimate, prompt_budget};
use crate::inference_worker::{Phase, Worker};
use crate::provider::Provider;
use crate::router::{Job, Services};
use crate::{Error, Prompt, Result, TrackEvent, TrackEvents, TrackRequest, sampling};

/// What is asked, and how.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) turn_id: String,
    pub(super) conversation_id: String,
    pub(super) prompt: String,
    pub(super) system: String,
    /// Id or path of the fast track's model.
    pub(super) model: String,
    /// Name of the slow track's provider; empty for any.
    pub(super) provider: String,
    pub(super) sampling: Sampling,
    pub(super) seed: u64,
    pub(super) deadline: Instant,
}

impl Question {
    pub(super) fn new(turn_id: &str, job: &mut Job, services: &Services) -> Self {
        let request = std::mem::take(&mut job.request);
        let default = |text: String, default: &String| {
            if text.is_empty() { default.clone() } else { text }
        };
        Self {
            turn_id: turn_id.to_owned(),
            conversation_id: request.conversation_id,
            prompt: request.prompt,
            system: request.system.unwrap_or_else(|| services.memory.system_prompt.clone()),
            model: default(request.model, &services.default_model),
            provider: request.provider,
            sampling: request.sampling.unwrap_or_default(),
            seed: job.seed,
            deadline: job.deadline,
        }
    }

    /// Name of the remote model that would answer; empty when none would.
    pub(super) fn provider_model(&self, services: &Services) -> String {
        let provider = self.provider(services);
        provider.map(|provider| provider.model().to_owned()).unwrap_or_default()
    }

    fn provider(&self, services: &Services) -> Result<Provider> {
        let name = Some(self.provider.as_str()).filter(|name| !name.is_empty());
        services.escalator.provider(name)
    }
}

/// Runs a track to its end. Everything that happens is sent to the turn.
pub(super) async fn run(
    track: Track,
    question: Arc<Question>,
    services: Services,
    turn: ActorRef<Message>,
) {
    let started = match track {
        Track::Slow => start_slow(&question, &services, &turn).await,
        Track::Fast | Track::Unspecified => start_fast(&question, &services, &turn).await,
    };
    // A turn that has ended hears nothing more, and this task ends with it.
    let send = |event| turn.cast(Message::Track(track, event)).is_ok();
    let mut events = match started {
        Ok(events) => events,
        Err(error) => {
            send(TrackEvent::Failed(error));
            return;
        }
    };
    while let Some(event) = events.recv().await {
        let last = matches!(event, TrackEvent::Done(_) | TrackEvent::Failed(_));
        if !send(event) || last {
            return;
        }
    }
    let part = if track == Track::Slow { "the provider" } else { "the inference worker" };
    send(TrackEvent::Failed(Error::Restarting { part: part.to_owned() }));
}

async fn start_fast(
    question: &Question,
    services: &Services,
    turn: &ActorRef<Message>,
) -> Result<TrackEvents> {
    let worker = services.loader.acquire(&question.model).await?;
    let _ = turn.cast(Message::FastModel(worker.model().to_owned()));
    if worker.watch().borrow().phase != Phase::Ready {
        let message = format!("model {:?} is being loaded", worker.model());
        let _ = turn.cast(Message::Notice(NoticeKind::Waiting, message));
    }
    let loaded = worker.loaded().await?;
    let context = match loaded.context_trained {
        0 => loaded.context_tokens,
        trained => loaded.context_tokens.min(trained),
    };
    let mut sampling = sampling::complete(
        &question.sampling,
        worker.recommended_sampling(),
        services.max_tokens,
        question.seed,
    );
    let answer = sampling.max_tokens();
    let budget = prompt_budget(context, services.memory.context_tokens, answer);

    let turns = recent_turns(question, services).await?;
    let dialogue = Dialogue { system: &question.system, turns: &turns, prompt: &question.prompt };
    let (prompt, dropped, length) = fit(&dialogue, budget, &worker).await?;
    tell_what_was_dropped(turn, dropped, turns.len(), budget);
    // What remains of the context is all that an answer can have.
    sampling.max_tokens = Some(answer.min(context.saturating_sub(length)).max(1));
    worker.start(TrackRequest {
        turn_id: question.turn_id.clone(),
        prompt,
        sampling,
        deadline: question.deadline,
    })
}

/// The longest end of the dialogue that fits, how many turns were dropped for it, and its
/// exact length in tokens.
async fn fit(
    dialogue: &Dialogue<'_>,
    budget: u32,
    worker: &Worker,
) -> Result<(Prompt, usize, u32)> {
    let lengths = worker.count(dialogue.texts(), Vec::new()).await?.texts;
    let mut dropped = dialogue.turns_to_drop(&lengths, budget);
    loop {
        let messages = dialogue.messages(dropped);
        let length = worker.count(Vec::new(), messages.clone()).await?.messages;
        if length <= budget {
            return Ok((Prompt::Chat(messages), dropped, length));
        }
        // A template that adds more than was allowed for.
        if dropped == dialogue.turns.len() {
            return Err(too_long(length, budget));
        }
        dropped += 1;
    }
}

async fn start_slow(
    question: &Question,
    services: &Services,
    turn: &ActorRef<Message>,
) -> Result<TrackEvents> {
    let provider = question.provider(services)?;
    let mut sampling = question.sampling.clone();
    let answer = sampling.max_tokens.unwrap_or(provider.max_tokens());
    sampling.max_tokens = Some(answer);
    let budget = prompt_budget(provider.context_tokens(), services.memory.context_tokens, answer);

    let turns = recent_turns(question, services).await?;
    let dialogue = Dialogue { system: &question.system, turns: &turns, prompt: &question.prompt };
    let lengths: Vec<u32> = dialogue.texts().iter().map(|text| estimate(text)).collect();
    let dropped = dialogue.turns_to_drop(&lengths, budget);
    let messages = dialogue.messages(dropped);
    let length =
        messages.iter().fold(0_u32, |sum, message| sum.saturating_add(estimate(&message.content)));
    if length > budget {
        return Err(too_long(length, budget));
    }
    tell_what_was_dropped(turn, dropped, turns.len(), budget);
    let request = TrackRequest {
        turn_id: question.turn_id.clone(),
        prompt: Prompt::Chat(messages),
        sampling,
        deadline: question.deadline,
    };
    provider.start(request).await
}

async fn recent_turns(question: &Question, services: &Services) -> Result<Vec<Turn>> {
    if question.conversation_id.is_empty() {
        return Ok(Vec::new());
    }
    let turns_max = services.memory.turns_max as usize;
    services.store.recent_turns(&question.conversation_id, turns_max).await
}

fn tell_what_was_dropped(turn: &ActorRef<Message>, dropped: usize, turns: usize, budget: u32) {
    if dropped > 0 {
        let message = format!(
            "the oldest {dropped} of {turns} turns did not fit in {budget} tokens and were left out"
        );
        let _ = turn.cast(Message::Notice(NoticeKind::ContextDropped, message));
    }
}

fn too_long(length: u32, budget: u32) -> Error {
    let problem = format!(
        "the prompt has {length} tokens and {budget} are allowed (memory.context_tokens and the \
         model's context, less room for an answer)"
    );
    Error::PromptTooLong { problem }
}
