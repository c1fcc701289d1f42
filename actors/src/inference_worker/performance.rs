//! How the engines of one model have done since the daemon started.

use std::sync::{PoisonError, RwLock};

use tandem_proto::v1::AnswerTotals;

use super::tuning::Tuning;
use crate::Completion;

/// Shared by the engines of a model, and kept when they end.
#[derive(Debug, Default)]
pub(crate) struct Performance(RwLock<Totals>);

#[derive(Debug, Default)]
struct Totals {
    answers: u64,
    prompt_tokens: u64,
    cached_tokens: u64,
    completion_tokens: u64,
    prefill_us: u64,
    decode_us: u64,
    tuning: Option<Tuning>,
}

impl Performance {
    pub(super) fn count(&self, completion: &Completion) {
        let (usage, timings) = (&completion.usage, &completion.timings);
        self.change(|totals| {
            totals.answers += 1;
            totals.prompt_tokens += u64::from(usage.prompt_tokens);
            totals.cached_tokens += u64::from(usage.cached_tokens);
            totals.completion_tokens += u64::from(usage.completion_tokens);
            totals.prefill_us += timings.prefill_us;
            totals.decode_us += timings.decode_us;
        });
    }

    pub(crate) fn set_tuning(&self, tuning: Tuning) {
        self.change(|totals| totals.tuning = Some(tuning));
    }

    pub(crate) fn tuning(&self) -> Option<Tuning> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).tuning.clone()
    }

    pub(crate) fn answers(&self) -> AnswerTotals {
        let totals = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let computed = totals.prompt_tokens.saturating_sub(totals.cached_tokens);
        AnswerTotals {
            answers: totals.answers,
            prompt_tokens: totals.prompt_tokens,
            cached_tokens: totals.cached_tokens,
            completion_tokens: totals.completion_tokens,
            prefill_tokens_per_second: per_second(computed, totals.prefill_us),
            decode_tokens_per_second: per_second(totals.completion_tokens, totals.decode_us),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

#[allow(clippy::cast_precision_loss, reason = "an average")]
fn per_second(tokens: u64, microseconds: u64) -> f64 {
    if microseconds == 0 { 0.0 } else { tokens as f64 / (microseconds as f64 / 1e6) }
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::{FinishReason, Timings, Usage};

    use super::*;

    #[test]
    fn averages_are_over_all_answers_and_what_was_cached_took_no_time() {
        let performance = Performance::default();
        assert_eq!(performance.answers(), AnswerTotals::default());
        for (prompt_tokens, cached_tokens) in [(100, 0), (150, 100)] {
            performance.count(&Completion {
                finish_reason: FinishReason::Stop,
                usage: Usage {
                    prompt_tokens,
                    cached_tokens,
                    completion_tokens: 10,
                    ..Usage::default()
                },
                timings: Timings { prefill_us: 500_000, decode_us: 200_000, ..Timings::default() },
                mean_logprob: None,
                confidence: None,
                confidence_floor: None,
                certainty: None,
                model: None,
                cost_micros: None,
            });
        }
        let answers = performance.answers();
        assert_eq!((answers.answers, answers.prompt_tokens, answers.cached_tokens), (2, 250, 100));
        assert!((answers.prefill_tokens_per_second - 150.0).abs() < 1e-9, "{answers:?}");
        assert!((answers.decode_tokens_per_second - 50.0).abs() < 1e-9, "{answers:?}");
    }
}
