//! How well an API has done lately: what ranks it among others, and how late is late for it.
//!
//! Pure: time is passed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Weight of the newest request in a mean.
const NEWEST: f64 = 0.2;
/// After so long without news, an API is thought to fail half as often.
const HALF_LIFE: Duration = Duration::from_mins(1);
/// An API that always fails ranks like one that is so many times slower, and once more.
const FAILURE_WEIGHT: f64 = 20.0;
/// First tokens faster than this are all the same to a person.
const FAST: Duration = Duration::from_millis(50);
/// First tokens that are remembered.
const FIRST_TOKENS_MAX: usize = 100;
/// First tokens before anything is said about what is late.
const FIRST_TOKENS_MIN: usize = 20;

/// The latest requests of one API.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Mean share of failures, 0 to 1, as of the moment beside it.
    failing: f64,
    noted: Option<Instant>,
    /// Mean seconds to the first token.
    first_token: Option<f64>,
    /// The latest times to the first token.
    first_tokens: VecDeque<Duration>,
}

impl Record {
    /// It answered, with the first token after this long.
    pub(super) fn answered(&mut self, first_token: Duration, now: Instant) {
        self.note(0.0, now);
        let seconds = first_token.as_secs_f64();
        let mean = self.first_token.unwrap_or(seconds);
        self.first_token = Some(mean + NEWEST * (seconds - mean));
        if self.first_tokens.len() == FIRST_TOKENS_MAX {
            self.first_tokens.pop_front();
        }
        self.first_tokens.push_back(first_token);
    }

    /// It failed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.note(1.0, now);
    }

    /// About how long a request would take to begin, in seconds: less is better. One that is not
    /// known yet is worth trying.
    pub(super) fn burden(&self, in_flight: u32, now: Instant) -> f64 {
        let first_token = self.first_token.unwrap_or_default().max(FAST.as_secs_f64());
        first_token * f64::from(in_flight + 1) * (1.0 + FAILURE_WEIGHT * self.failing(now))
    }

    /// The time within which 95 of 100 first tokens come; `None` while there is too little to go by.
    pub(super) fn first_token_p95(&self) -> Option<Duration> {
        let mut times: Vec<_> = self.first_tokens.iter().copied().collect();
        if times.len() < FIRST_TOKENS_MIN {
            return None;
        }
        times.sort_unstable();
        times.get((times.len() * 95).div_ceil(100) - 1).copied()
    }

    fn note(&mut self, failed: f64, now: Instant) {
        let failing = self.failing(now);
        self.failing = failing + NEWEST * (failed - failing);
        self.noted = Some(now);
    }

    fn failing(&self, now: Instant) -> f64 {
        let quiet = self.noted.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.failing * 0.5_f64.powf(quiet.div_duration_f64(HALF_LIFE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answering(first_token: Duration, now: Instant) -> Record {
        let mut record = Record::default();
        record.answered(first_token, now);
        record
    }

    #[test]
    fn the_slower_the_busier_and_the_less_reliable_the_greater_is_the_burden() {
        let now = Instant::now();
        let fast = answering(Duration::from_millis(200), now);
        let slow = answering(Duration::from_millis(500), now);
        assert!(fast.burden(0, now) < slow.burden(0, now));
        assert!(fast.burden(2, now) > slow.burden(0, now));
        let mut failing = answering(Duration::from_millis(200), now);
        failing.failed(now);
        assert!(failing.burden(0, now) > slow.burden(0, now));
        assert!(Record::default().burden(0, now) < fast.burden(0, now), "worth finding out");
    }

    #[test]
    fn failures_are_forgiven_with_time() {
        let now = Instant::now();
        let mut record = answering(FAST, now);
        let well = record.burden(0, now);
        record.failed(now);
        let later = [0, 1, 10].map(|minutes| record.burden(0, now + minutes * HALF_LIFE) - well);
        assert!((later[0] / later[1] - 2.0).abs() < 1e-9, "{later:?}");
        assert!(later[2] < later[0] / 1000.0, "{later:?}");
    }

    #[test]
    fn what_is_late_is_known_after_twenty_answers_and_follows_the_latest() {
        let now = Instant::now();
        let mut record = Record::default();
        for milliseconds in 1..20 {
            record.answered(Duration::from_millis(milliseconds), now);
            assert_eq!(record.first_token_p95(), None);
        }
        record.answered(Duration::from_millis(20), now);
        assert_eq!(record.first_token_p95(), Some(Duration::from_millis(19)));
        for _ in 0..FIRST_TOKENS_MAX {
            record.answered(Duration::from_secs(1), now);
        }
        assert_eq!(record.first_token_p95(), Some(Duration::from_secs(1)));
    }
}
