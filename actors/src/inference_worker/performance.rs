//! How the engines of one model have done since the daemon started.

use std::sync::{PoisonError, RwLock};

use tandem_proto::v1::{AnswerTotals, ModelHealth};

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
    deaths: u64,
    failed: u64,
    /// How the last trial ended.
    passed: Option<bool>,
    /// Whether the file is as it should be, if somebody looked.
    verified: Option<bool>,
}

/// What tells how well a model does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) answers: u64,
    /// Engines that died or were given up.
    pub(crate) deaths: u64,
    /// Answers that ended with an engine.
    pub(crate) failed: u64,
}

impl Tally {
    /// What came after `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            answers: self.answers.saturating_sub(earlier.answers),
            deaths: self.deaths.saturating_sub(earlier.deaths),
            failed: self.failed.saturating_sub(earlier.failed),
        }
    }

    /// 0 to 1, as `ModelHealth.score` in the protocol says.
    #[allow(clippy::cast_precision_loss, reason = "a score")]
    pub(crate) fn health(&self) -> f64 {
        let [answers, deaths, failed] =
            [self.answers, self.deaths, self.failed].map(|count| count as f64);
        let served = (answers + 1.0) / (answers + failed + 1.0);
        let stable = (answers + 4.0) / (answers + 4.0 + 4.0 * deaths);
        served * stable
    }
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

    /// An engine died or was given up, and so many answers ended with it.
    pub(super) fn count_death(&self, failed: usize) {
        self.change(|totals| totals.deaths += 1);
        self.count_failed(failed);
    }

    /// So many more answers ended with an engine whose death was counted.
    pub(super) fn count_failed(&self, failed: usize) {
        self.change(|totals| totals.failed += failed as u64);
    }

    /// The model was tried before it was put in use.
    pub(crate) fn set_trial(&self, passed: bool) {
        self.change(|totals| totals.passed = Some(passed));
    }

    /// The file was compared with what it should be.
    pub(crate) fn set_verified(&self, verified: bool) {
        self.change(|totals| totals.verified = Some(verified));
    }

    pub(crate) fn tally(&self) -> Tally {
        let totals = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Tally { answers: totals.answers, deaths: totals.deaths, failed: totals.failed }
    }

    pub(crate) fn health(&self) -> ModelHealth {
        let tally = self.tally();
        let totals = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (trial_passed, verified) = (totals.passed, totals.verified);
        let trial = if trial_passed == Some(false) { 0.5 } else { 1.0 };
        let file = if verified == Some(false) { 0.0 } else { 1.0 };
        ModelHealth {
            score: tally.health() * trial * file,
            engine_deaths: tally.deaths,
            failed_answers: tally.failed,
            answers: tally.answers,
            trial_passed,
            verified,
        }
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
    fn two_deaths_before_the_first_answer_are_worse_than_one_after_many() {
        let health = |answers, deaths, failed| Tally { answers, deaths, failed }.health();
        assert!((health(0, 0, 0) - 1.0).abs() < 1e-9);
        assert!((health(100, 0, 0) - 1.0).abs() < 1e-9);
        assert!(health(0, 2, 0) < 0.35 && health(0, 1, 0) > 0.35);
        assert!(health(100, 1, 1) > 0.9);
        assert!(health(10, 0, 10) < 0.6);
        let (now, then) = (Tally { answers: 5, deaths: 3, failed: 1 }, Tally::default());
        assert_eq!(now.since(&then), now);
        assert_eq!(then.since(&now), then);
    }

    #[test]
    fn a_trial_that_failed_halves_the_score_and_a_wrong_file_has_none() {
        let performance = Performance::default();
        assert_eq!(performance.health().trial_passed, None);
        performance.set_trial(false);
        assert!((performance.health().score - 0.5).abs() < 1e-9);
        performance.set_trial(true);
        performance.count_death(2);
        let health = performance.health();
        assert_eq!((health.engine_deaths, health.failed_answers), (1, 2));
        performance.count_failed(1);
        let health = performance.health();
        assert_eq!((health.engine_deaths, health.failed_answers), (1, 3), "it died once");
        performance.set_verified(false);
        assert!(performance.health().score.abs() < 1e-9);
    }

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
