//! What a model reads with a question: system prompt, memories, a summary of old turns, recent
//! turns, passages of documents, older turns that matter, the question.
//!
//! What stays the same from turn to turn comes first, and what is found for this question alone
//! right before it, so that the engine has to compute no more than the end anew.

use crate::Error;

mod account;
mod choice;
mod material;
mod relevance;
mod sizes;
mod window;

pub(super) use account::Account;
pub(super) use choice::{Choice, Rules, choose};
pub(super) use material::{Dialogue, Material, Numbered, tokens_max};
pub use material::{Memory, Passage};
pub(super) use relevance::{scores, words};
pub(super) use sizes::{Sizes, in_reach, texts};

/// Tokens that a chat template puts around one message, at most, in common templates.
pub(super) const TEMPLATE_TOKENS: u32 = 16;
/// Tokens that a chat template says by itself, such as a system prompt of its makers, with room to
/// spare.
const PREAMBLE_TOKENS: u32 = 1024;

/// How many tokens a prompt may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) tokens: u32,
    /// What it comes from, for a person who wants more.
    limit: &'static str,
}

impl Budget {
    /// So many that an answer of `answer` tokens fits behind the prompt into the model's
    /// `context`, of which no more than a quarter is kept free for that, and no more than `memory`.
    pub(super) fn new(context: u32, memory: Option<u32>, answer: u32) -> Self {
        let tokens = context.saturating_sub(answer.min(context / 4));
        match memory {
            Some(memory) if memory < tokens => {
                Self { tokens: memory, limit: "memory.context_tokens" }
            }
            _ => Self { tokens, limit: "the model's context, less room for the answer" },
        }
    }

    /// The error for a prompt of `length` tokens.
    pub(super) fn too_long(self, length: u32) -> Error {
        let Self { tokens, limit } = self;
        let problem = format!("the prompt has {length} tokens and {limit} allows {tokens}");
        Error::PromptTooLong { problem }
    }
}

/// A length in tokens that real tokenizers stay below for ordinary text in any language,
/// for models whose tokenizer is not at hand.
pub(super) fn estimate(text: &str) -> u32 {
    u32::try_from(text.len().div_ceil(2)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_always_finds_room_behind_the_prompt() {
        assert_eq!(Budget::new(8192, Some(4096), 1024).tokens, 4096);
        assert_eq!(Budget::new(8192, None, 1024).tokens, 8192 - 1024);
        assert_eq!(Budget::new(2048, Some(4096), 1024).tokens, 2048 - 512);
        assert_eq!(Budget::new(2048, Some(4096), 100).tokens, 1948);
    }

    #[test]
    fn a_prompt_that_is_too_long_is_told_which_limit_to_raise() {
        let memory = Budget::new(8192, Some(4096), 1024).too_long(5000).to_string();
        assert!(memory.contains("memory.context_tokens allows 4096"), "{memory}");
        let model = Budget::new(2048, Some(4096), 1024).too_long(5000).to_string();
        assert!(model.contains("the model's context"), "{model}");
    }
}
