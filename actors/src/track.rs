//! What a turn and a track say to each other, whichever track it is.

use std::time::Instant;

use tandem_proto::v1::{
    Cached, Certainty, ChatMessage, FinishReason, NoticeKind, Sampling, Timings, TokenLogprob,
    ToolCall, Usage,
};
use tokio::sync::mpsc;

use crate::router::Class;
use crate::{Error, Tools};

/// One generation, asked of an inference worker or of a provider.
#[derive(Debug, Clone)]
pub struct TrackRequest {
    /// Correlation id of the turn, for logs.
    pub turn_id: String,
    /// What the model reads.
    pub prompt: Prompt,
    /// How it answers. A worker's request has `seed` and `max_tokens` set.
    pub sampling: Sampling,
    /// What the model may ask to have done. A worker has no use for it.
    pub tools: Tools,
    /// Who waits for the answer: what a worker looks at when not all can go on. A provider has no
    /// use for it.
    pub class: Class,
    /// When the answer is of no use any more.
    pub deadline: Instant,
}

/// What a model reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// Completed as it stands.
    Text(String),
    /// Rendered by the model's chat template.
    Chat(Vec<ChatMessage>),
}

impl Prompt {
    /// Bytes, with what goes around each message.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Chat(messages) => length(messages),
        }
    }
}

/// Bytes of messages, with what goes around each.
pub(crate) fn length(messages: &[ChatMessage]) -> usize {
    messages.iter().map(|message| message.content.len() + 16).sum()
}

/// What a track reports, in this order: `Cached` if the answer was given before; `Delta`, `Resumed`,
/// `Notice` and `ToolCall` any number of times, then either `Done` or `Failed`, then nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum TrackEvent {
    /// The next piece of the answer, whole UTF-8.
    Delta {
        /// May be empty when only log-probabilities are reported.
        text: String,
        /// What the model thinks before its answer; no part of it.
        reasoning: String,
        /// Of the tokens behind both, when asked for.
        logprobs: Vec<TokenLogprob>,
    },
    /// The model wants something done; always whole.
    ToolCall(ToolCall),
    /// The engine died; the answer goes on.
    Resumed {
        /// How it died, for a person.
        reason: String,
    },
    /// The answer is one that was given before. Only a turn says so.
    Cached(Cached),
    /// Something that the caller should know and that is no part of the answer.
    Notice(NoticeKind, String),
    /// The answer is complete.
    Done(Completion),
    /// There is no (more) answer.
    Failed(Error),
}

/// The facts about a complete answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens read and written, as the track counts them.
    pub usage: Usage,
    /// As the track measured them.
    pub timings: Timings,
    /// Mean natural-log probability of the generated tokens, when the track reports it.
    pub mean_logprob: Option<f64>,
    /// How likely the answer is right, 0 to 1; only of the local model.
    pub confidence: Option<f64>,
    /// Below this an answer of the model should be made by the slow track as well; unset when that is
    /// not known of the model.
    pub confidence_floor: Option<f64>,
    /// What `confidence` is made of.
    pub certainty: Option<Certainty>,
    /// The model that answered, when it is not the one that was asked first.
    pub model: Option<String>,
    /// What the answer cost, in millionths of the currency of the price table; unset where no price
    /// is known.
    pub cost_micros: Option<u64>,
}

impl Completion {
    /// An answer that no model made.
    pub(crate) fn whole() -> Self {
        Self {
            finish_reason: FinishReason::Stop,
            usage: Usage::default(),
            timings: Timings::default(),
            mean_logprob: None,
            confidence: None,
            confidence_floor: None,
            certainty: None,
            model: None,
            cost_micros: None,
        }
    }
}

/// The events of one request. Dropping it cancels the request.
pub type TrackEvents = mpsc::Receiver<TrackEvent>;
