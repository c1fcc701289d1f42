//! Which part of a conversation the model reads: the most recent exchanges that fit.

use tandem_proto::v1::{ChatMessage, Role, Turn};

use super::history::{answered, asked};
use crate::Error;

/// Tokens that a chat template puts around one message, at most, in common templates.
const TEMPLATE_TOKENS: u32 = 16;
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

/// The end of a conversation that has at most `bytes_max` bytes.
pub(super) fn most_recent(mut turns: Vec<Turn>, bytes_max: usize) -> Vec<Turn> {
    let mut bytes = 0;
    let kept = turns.iter().rev().take_while(|turn| {
        bytes += asked(turn).len() + answered(turn).len();
        bytes <= bytes_max
    });
    let kept = kept.count();
    turns.drain(..turns.len() - kept);
    turns
}

/// A conversation about to go on.
#[derive(Debug)]
pub(super) struct Dialogue<'a> {
    pub(super) system: &'a str,
    /// Oldest first.
    pub(super) turns: &'a [Turn],
    pub(super) prompt: &'a str,
}

impl Dialogue<'_> {
    /// Everything that is said, in the order of [`Self::messages`] with nothing dropped.
    pub(super) fn texts(&self) -> Vec<String> {
        self.messages(0).into_iter().map(|message| message.content).collect()
    }

    /// The messages without the `dropped` oldest turns.
    pub(super) fn messages(&self, dropped: usize) -> Vec<ChatMessage> {
        let message = |role: Role, content: &str| ChatMessage {
            role: role.into(),
            content: content.to_owned(),
            ..ChatMessage::default()
        };
        let mut messages = Vec::new();
        if !self.system.is_empty() {
            messages.push(message(Role::System, self.system));
        }
        for turn in self.turns.iter().skip(dropped) {
            messages.push(message(Role::User, &asked(turn)));
            messages.push(message(Role::Assistant, &answered(turn)));
        }
        messages.push(message(Role::User, self.prompt));
        messages
    }

    /// A length in tokens that the dialogue stays below, whatever the tokenizer: no token has less
    /// than a byte.
    pub(super) fn tokens_max(&self) -> u32 {
        let messages = self.messages(0);
        let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
        let template = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        let template = template.saturating_mul(TEMPLATE_TOKENS).saturating_add(PREAMBLE_TOKENS);
        u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(template)
    }

    /// How many of the oldest turns must go for the rest to fit in `budget`, judging by the
    /// lengths of [`Self::texts`]. All of them, when even that does not suffice.
    pub(super) fn turns_to_drop(&self, lengths: &[u32], budget: u32) -> usize {
        let with_template = |length: &u32| u64::from(length.saturating_add(TEMPLATE_TOKENS));
        let mut total: u64 = lengths.iter().map(with_template).sum();
        let first = usize::from(!self.system.is_empty());
        let turns = lengths[first.min(lengths.len())..].chunks_exact(2);
        let mut dropped = 0;
        for turn in turns.take(self.turns.len()) {
            if total <= u64::from(budget) {
                break;
            }
            total -= turn.iter().map(with_template).sum::<u64>();
            dropped += 1;
        }
        dropped
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

    fn turns(count: usize) -> Vec<Turn> {
        let turn = |n| Turn {
            prompt: format!("question {n}"),
            answer: format!("answer {n}"),
            ..Turn::default()
        };
        (0..count).map(turn).collect()
    }

    #[test]
    fn the_second_turn_reads_the_first() {
        let turns = [Turn {
            prompt: "My name is Ada.".to_owned(),
            answer: "Hello, Ada.".to_owned(),
            ..Turn::default()
        }];
        let dialogue = Dialogue { system: "Be brief.", turns: &turns, prompt: "What is my name?" };
        let messages = dialogue.messages(0);
        let said: Vec<_> = messages.iter().map(|m| (m.role(), m.content.as_str())).collect();
        assert_eq!(
            said,
            [
                (Role::System, "Be brief."),
                (Role::User, "My name is Ada."),
                (Role::Assistant, "Hello, Ada."),
                (Role::User, "What is my name?"),
            ]
        );
    }

    #[test]
    fn a_dialogue_has_no_more_tokens_than_bytes_and_what_the_template_adds() {
        let turns = turns(1);
        let dialogue = Dialogue { system: "s", turns: &turns, prompt: "\u{1f980}" };
        let said = "s".len() + "question 0".len() + "answer 0".len() + "\u{1f980}".len();
        let template = PREAMBLE_TOKENS + 4 * TEMPLATE_TOKENS;
        assert_eq!(dialogue.tokens_max() as usize, said + template as usize);
    }

    #[test]
    fn the_oldest_turns_go_first_and_only_as_many_as_needed() {
        let turns = turns(5);
        let dialogue = Dialogue { system: "s", turns: &turns, prompt: "p" };
        let lengths = vec![84; dialogue.texts().len()];
        // 12 messages of 84 + 16 tokens each.
        assert_eq!(dialogue.turns_to_drop(&lengths, 1200), 0);
        assert_eq!(dialogue.turns_to_drop(&lengths, 1199), 1);
        assert_eq!(dialogue.turns_to_drop(&lengths, 600), 3);
        assert_eq!(dialogue.turns_to_drop(&lengths, 10), 5);
        assert_eq!(dialogue.messages(5).len(), 2);
    }

    #[test]
    fn what_is_kept_never_exceeds_the_budget_when_dropping_can_help() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..2000 {
            let turns = turns(usize::try_from(random(12)).unwrap_or_default());
            let system = if random(2) == 0 { "" } else { "s" };
            let dialogue = Dialogue { system, turns: &turns, prompt: "p" };
            let draw = |_| u32::try_from(random(300)).unwrap_or_default();
            let lengths: Vec<u32> = (0..dialogue.texts().len()).map(draw).collect();
            let budget = 400;
            let dropped = dialogue.turns_to_drop(&lengths, budget);
            let first = usize::from(!system.is_empty());
            let kept: u32 = lengths[..first]
                .iter()
                .chain(&lengths[first + 2 * dropped..])
                .map(|length| length + TEMPLATE_TOKENS)
                .sum();
            assert!(kept <= budget || dropped == turns.len());
        }
    }

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

    #[test]
    fn the_end_of_a_long_conversation_is_kept() {
        let turns = turns(10);
        let bytes = turns[8..].iter().map(|turn| turn.prompt.len() + turn.answer.len()).sum();
        let kept = most_recent(turns.clone(), bytes);
        assert_eq!(kept, turns[8..]);
        assert_eq!(most_recent(turns.clone(), usize::MAX), turns);
        assert!(most_recent(turns, 0).is_empty());
    }
}
