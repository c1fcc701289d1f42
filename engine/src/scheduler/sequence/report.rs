//! What the daemon is told of a sequence.

use std::time::{Duration, Instant};

use tandem_proto::engine::{Finish, SequenceStep};
use tandem_proto::v1::{FinishReason, Timings, TokenLogprob, Usage};

use super::Sequence;
use crate::reasoning::Said;
use crate::sampler::Draw;
use crate::vocabulary::Vocabulary;

impl Sequence {
    pub(super) fn step(&self, Said { text, reasoning }: Said) -> SequenceStep {
        SequenceStep { id: self.id, text, reasoning, ..SequenceStep::default() }
    }

    pub(super) fn last_step(
        &mut self,
        said: Said,
        reason: FinishReason,
        now: Instant,
    ) -> SequenceStep {
        if let (Some(draft), Some(answer)) = (self.draft.take(), self.output.verbatim()) {
            draft.keep(answer, &self.tokens);
        }
        let first = self.first_token.unwrap_or(now);
        let decode = now - first;
        // The first token comes out of the prefill.
        let decoded = (self.answer_tokens() - self.resumed).saturating_sub(1);
        #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
        let tokens_per_second = match decode.as_secs_f64() {
            seconds if seconds > 0.0 => decoded as f64 / seconds,
            _ => 0.0,
        };
        let timings = Timings {
            time_to_first_token_us: self.first_token.map_or(0, |at| micros(at - self.received)),
            prefill_us: self.started.map_or(0, |started| micros(first - started)),
            decode_us: micros(decode),
            total_us: micros(now - self.received),
            tokens_per_second,
        };
        let finish = Finish {
            reason: reason.into(),
            usage: Some(self.usage()),
            timings: Some(timings),
            certainty: self.tally.certainty(),
        };
        SequenceStep { finish: Some(finish), ..self.step(said) }
    }

    pub(super) fn usage(&self) -> Usage {
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let guesses = self.guesser.as_ref();
        Usage {
            prompt_tokens: self.prompt_tokens(),
            cached_tokens: number(self.cached),
            completion_tokens: number(self.answer_tokens()),
            drafted_tokens: guesses.map_or(0, |guesses| number(guesses.drafted)),
            accepted_tokens: guesses.map_or(0, |guesses| number(guesses.accepted)),
        }
    }
}

/// The choice and its `alternatives`.
pub(super) fn token_logprob(
    draw: &Draw,
    alternatives: impl Iterator<Item = (u32, f32)>,
    vocabulary: &impl Vocabulary,
) -> TokenLogprob {
    let entry = |token, logprob| {
        let mut bytes = Vec::new();
        vocabulary.append_bytes(token, &mut bytes);
        TokenLogprob { token, bytes, logprob, alternatives: Vec::new() }
    };
    let alternatives = alternatives.map(|(token, logprob)| entry(token, logprob)).collect();
    TokenLogprob { alternatives, ..entry(draw.token, draw.reading.logprob) }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
