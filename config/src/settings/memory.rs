//! What a model is told beside the question, and what is kept for that.

use std::time::Duration;

use super::{EmbeddingCache, ResponseCache};

/// What a model is told of the conversation so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// Tokens of the context built for a question in a conversation, at most. A model with a smaller
    /// context gets less; a question outside of conversations is held to the model's context only.
    pub context_tokens: u32,
    /// First message of every context.
    pub system_prompt: String,
    /// Most recent turns that are told as they were.
    pub turns_max: u32,
    /// What is told of a conversation that does not fit.
    pub context_strategy: ContextStrategy,
    /// Percent of the context that passages of documents and recalled turns may take when not
    /// everything fits.
    pub retrieval_percent: u32,
    /// The same for the summary.
    pub summary_percent: u32,
    /// How long a conversation is kept that nobody goes on with; zero is for ever.
    pub retention: Duration,
    /// Bytes of stored conversations, past which the oldest are deleted; 0 is any number.
    pub size_max: u64,
    /// Whether facts about the user are found in conversations, by the local model when nobody asks
    /// anything.
    pub facts: bool,
    /// Most facts that are remembered, those that were added by hand included.
    pub facts_max: u32,
    /// Whether models are told what is remembered, when the request does not say.
    pub tell_facts: bool,
    /// Embeddings that need not be computed again.
    pub embedding_cache: EmbeddingCache,
    /// Answers that need not be given again.
    pub response_cache: ResponseCache,
}

/// What is told, beside the most recent turns, of a conversation that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextStrategy {
    /// Nothing.
    Recent,
    /// A summary, made by the local model when nobody asks anything.
    Summary,
    /// The older turns that have to do with the question.
    Retrieval,
    /// Both.
    Mixed,
}

impl ContextStrategy {
    /// Whether there is a summary.
    #[must_use]
    pub fn summarises(self) -> bool {
        matches!(self, Self::Summary | Self::Mixed)
    }

    /// Whether older turns are looked through.
    #[must_use]
    pub fn recalls(self) -> bool {
        matches!(self, Self::Retrieval | Self::Mixed)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            context_tokens: 4096,
            system_prompt: "You are a helpful assistant.".into(),
            turns_max: 64,
            context_strategy: ContextStrategy::Mixed,
            retrieval_percent: 40,
            summary_percent: 15,
            retention: Duration::ZERO,
            size_max: 0,
            facts: true,
            facts_max: 1000,
            tell_facts: true,
            embedding_cache: EmbeddingCache::default(),
            response_cache: ResponseCache::default(),
        }
    }
}
