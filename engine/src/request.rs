//! A request that is ready to run, and why others are not.

use std::time::Instant;

use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::{Finish, Rejected, Rejection, SequenceStep};
use tandem_proto::v1::{FinishReason, Usage};

use crate::chat::ChatError;
use crate::sampling::{OutOfRange, Settings};

/// A checked request in tokens.
#[derive(Debug)]
pub struct Request {
    /// The daemon's name for it.
    pub id: u64,
    /// At least one token.
    pub prompt: Vec<u32>,
    /// What an engine that died had generated already.
    pub resume: Vec<u32>,
    /// How to choose tokens; `max_tokens` fits in the context together with the prompt.
    pub settings: Settings,
    /// When the request came in.
    pub received: Instant,
}

impl Request {
    /// KV cells that the request can need.
    pub fn cells(&self) -> u32 {
        u32::try_from(self.prompt.len())
            .unwrap_or(u32::MAX)
            .saturating_add(self.settings.max_tokens)
    }
}

/// Why a request is not served.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request is wrong.
    #[error("{0}")]
    Invalid(String),
    /// A sampling setting is wrong.
    #[error(transparent)]
    Sampling(#[from] OutOfRange),
    /// The prompt leaves no room for an answer.
    #[error(
        "the prompt has {prompt} tokens and the context {context}; shorten the prompt or load the \
         model with a larger context"
    )]
    TooLong {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens that one sequence can have.
        context: u32,
    },
    /// The messages cannot be rendered.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// The model is of another kind.
    #[error("{0}")]
    ModelKind(&'static str),
    /// Too much waits already.
    #[error("too many requests wait for this model; try again later")]
    Busy,
    /// The model failed.
    #[error("{0}")]
    Failed(String),
}

impl Refusal {
    /// The frame that says so.
    pub fn into_message(self, id: u64) -> Message {
        let rejection = match &self {
            Self::Invalid(_) | Self::Sampling(_) | Self::Chat(ChatError::Role(_)) => {
                Rejection::Invalid
            }
            Self::TooLong { .. } => Rejection::TooLong,
            Self::Chat(ChatError::Template(_)) => Rejection::Template,
            Self::ModelKind(_) => Rejection::ModelKind,
            Self::Busy => Rejection::Busy,
            Self::Failed(_) => Rejection::Failed,
        };
        Message::Rejected(Rejected { id, rejection: rejection.into(), message: self.to_string() })
    }
}

/// The only step of a request that was cancelled before it started.
pub fn cancelled_before_start(id: u64) -> SequenceStep {
    let usage = Some(Usage::default());
    let finish = Finish { reason: FinishReason::Cancelled.into(), usage, timings: None };
    SequenceStep { id, finish: Some(finish), ..SequenceStep::default() }
}
