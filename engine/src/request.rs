//! A request that is ready to run, and why others are not.

use std::time::Instant;

use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::{Finish, Rejected, Rejection, SequenceStep};
use tandem_proto::v1::{FinishReason, Priority, Usage};

use crate::chat::ChatError;
use crate::constraint::{Constraint, ConstraintError, Stuck};
use crate::reasoning::Splitter;
use crate::sampling::{OutOfRange, Settings};
use crate::transcript::Draft;

/// A checked request in tokens.
#[derive(Debug)]
pub struct Request {
    /// The daemon's name for it.
    pub id: u64,
    /// At least one token.
    pub prompt: Vec<u32>,
    /// How many of them other chats with the same system messages begin with as well; 0 for a
    /// prompt that is no chat.
    pub system_tokens: usize,
    /// What an engine that died had generated already.
    pub resume: Vec<u32>,
    /// How to choose tokens; `max_tokens` fits in the context together with the prompt.
    pub settings: Settings,
    /// Parts thought from answer.
    pub splitter: Splitter,
    /// To remember the answer's tokens by, if the prompt came through the chat template.
    pub draft: Option<Draft>,
    /// What the answer must obey.
    pub constraint: Option<Constraint>,
    /// Who waits for the answer.
    pub priority: Priority,
    /// When the request came in.
    pub received: Instant,
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
    /// The constraint on the answer is wrong.
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
    /// No constraint can be followed with this vocabulary.
    #[error(transparent)]
    Stuck(#[from] Stuck),
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
            Self::Invalid(_)
            | Self::Sampling(_)
            | Self::Constraint(_)
            | Self::Chat(ChatError::Role(_)) => Rejection::Invalid,
            Self::TooLong { .. } => Rejection::TooLong,
            Self::Chat(ChatError::Template(_)) => Rejection::Template,
            Self::ModelKind(_) => Rejection::ModelKind,
            Self::Busy => Rejection::Busy,
            Self::Stuck(_) | Self::Failed(_) => Rejection::Failed,
        };
        Message::Rejected(Rejected { id, rejection: rejection.into(), message: self.to_string() })
    }
}

/// The only step of a request that was cancelled before it started.
pub fn cancelled_before_start(id: u64) -> SequenceStep {
    let usage = Some(Usage::default());
    let finish = Finish { reason: FinishReason::Cancelled.into(), usage, ..Finish::default() };
    SequenceStep { id, finish: Some(finish), ..SequenceStep::default() }
}
