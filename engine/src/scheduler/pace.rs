//! What steps cost on this machine just now, and how much of a prompt may go into one.

mod rows;

use std::time::Duration;

use self::rows::Rows;

/// Longest step while answers are being generated: at ten words a second a reader sees text
/// flow, and llama.cpp computes few rows together less well.
pub const STEP_TARGET: Duration = Duration::from_millis(100);

/// Least prompt tokens in a step, however slow the model: prompts must get on.
const PREFILL_MIN: usize = 16;

/// Prompt tokens beside generated ones before anything was measured.
const PREFILL_UNKNOWN: usize = 64;

/// Weight of a new measurement: the load of a machine changes within seconds.
const WEIGHT: f64 = 0.25;

/// Running estimates.
#[derive(Debug, Default)]
pub struct Pace {
    /// Seconds of a step that only generates, one token each.
    decode: Option<f64>,
    /// Of steps that only generate, by their rows.
    rows: Rows,
    /// Seconds that each token of a prompt adds.
    token: Option<f64>,
}

impl Pace {
    /// A step with one token of each of `generating` sequences, `guessed` tokens behind those and
    /// `prefill` tokens of prompts took `time`.
    pub fn record(&mut self, generating: usize, guessed: usize, prefill: usize, time: Duration) {
        let seconds = time.as_secs_f64();
        if prefill == 0 {
            self.rows.record(generating + guessed, seconds, self.token.unwrap_or(0.0));
            if guessed == 0 {
                update(&mut self.decode, seconds);
            }
            return;
        }
        let decode = if generating == 0 { 0.0 } else { self.decode.unwrap_or(0.0) };
        // Fewer tell more about the step than about tokens.
        if prefill >= PREFILL_MIN {
            #[allow(clippy::cast_precision_loss, reason = "a batch has far fewer than 2^53")]
            update(&mut self.token, (seconds - decode).max(0.0) / prefill as f64);
        }
    }

    /// Seconds of a step that only generates, with so many rows; `None` before there was any.
    pub fn seconds(&self, rows: usize) -> Option<f64> {
        self.rows.seconds(rows, self.token.unwrap_or(0.0))
    }

    /// Seconds that each token of a prompt takes; `None` before one was read.
    pub fn prompt_token(&self) -> Option<f64> {
        self.token
    }

    /// Prompt tokens that may go into a step beside generated ones.
    pub fn beside(&self) -> usize {
        let Some(token) = self.token else { return PREFILL_UNKNOWN };
        let left = STEP_TARGET.as_secs_f64() - self.decode.unwrap_or(0.0);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast to an integer saturates, and nothing is below 0"
        )]
        let tokens = (left.max(0.0) / token.max(1e-9)) as usize;
        tokens.max(PREFILL_MIN)
    }
}

fn update(estimate: &mut Option<f64>, measured: f64) {
    *estimate = Some(estimate.map_or(measured, |old| old + WEIGHT * (measured - old)));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_step_with_a_part_of_a_prompt_takes_the_target_time() {
        let mut pace = Pace::default();
        assert_eq!(pace.beside(), PREFILL_UNKNOWN);
        pace.record(0, 0, 500, millis(500));
        assert!((99..=101).contains(&pace.beside()), "{}", pace.beside());
        pace.record(3, 0, 0, millis(40));
        assert!((59..=61).contains(&pace.beside()), "{}", pace.beside());
        pace.record(3, 0, 60, millis(100));
        assert!((59..=61).contains(&pace.beside()), "{}", pace.beside());
    }

    #[test]
    fn guessed_tokens_are_paid_for_by_the_row() {
        let mut pace = Pace::default();
        assert_eq!(pace.seconds(1), None);
        pace.record(0, 0, 500, millis(500));
        pace.record(1, 0, 0, millis(10));
        let eight = pace.seconds(8).unwrap();
        assert!((0.016..0.018).contains(&eight), "as prompts cost: {eight}");
        (0..20).for_each(|_| pace.record(1, 7, 0, millis(60)));
        assert!(pace.seconds(8).unwrap() > 0.05);
        assert!((85..=91).contains(&pace.beside()), "a guess is no prompt: {}", pace.beside());
    }

    #[test]
    fn prompts_get_on_however_slow_the_model_is() {
        let mut pace = Pace::default();
        pace.record(2, 0, 0, millis(3000));
        pace.record(0, 0, 500, millis(60_000));
        assert_eq!(pace.beside(), PREFILL_MIN);
    }

    #[test]
    fn the_estimate_follows_the_load() {
        let mut pace = Pace::default();
        pace.record(0, 0, 100, millis(100));
        for _ in 0..20 {
            pace.record(0, 0, 100, millis(400));
        }
        assert!((24..=27).contains(&pace.beside()), "{}", pace.beside());
    }

    #[test]
    fn a_measurement_that_makes_no_sense_does_no_harm() {
        let mut pace = Pace::default();
        pace.record(1, 0, 0, millis(90));
        pace.record(1, 0, 32, millis(20));
        assert!(pace.beside() >= PREFILL_MIN);
    }
}
