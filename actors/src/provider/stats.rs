//! How a provider has done so far.

use std::time::{Duration, Instant};

use tandem_proto::v1::Health;

use crate::Error;

/// Failures in a row after which a provider counts as degraded.
const FAILURES_TOLERATED: u32 = 2;
/// After this long a degraded provider is tried again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Counters since the daemon started.
#[derive(Debug, Default)]
pub(super) struct Stats {
    /// Requests that are being answered.
    pub(super) in_flight: u32,
    /// Requests accepted.
    pub(super) requests: u64,
    /// Requests that ended with an error; cancelled ones do not count.
    pub(super) failures: u64,
    /// The last such error, for a person.
    pub(super) last_error: String,
    failures_in_a_row: u32,
    last_failure: Option<Instant>,
    /// Why the actor stays down, when it does.
    pub(super) down: Option<String>,
}

impl Stats {
    /// A life of the actor began.
    pub(super) fn started(&mut self) {
        self.failures_in_a_row = 0;
        self.down = None;
    }

    /// A request was accepted.
    pub(super) fn began(&mut self) {
        self.in_flight += 1;
        self.requests += 1;
    }

    /// A request is over, whichever way.
    pub(super) fn ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// A request was answered.
    pub(super) fn succeeded(&mut self) {
        self.failures_in_a_row = 0;
    }

    /// A request was not answered. A caller's own deadline says nothing about the provider.
    pub(super) fn failed(&mut self, error: &Error, now: Instant) {
        self.failures += 1;
        self.last_error = error.to_string();
        if !matches!(error, Error::DeadlineExceeded { .. }) {
            self.failures_in_a_row += 1;
            self.last_failure = Some(now);
        }
    }

    /// Whether to send it the next request when there is a choice.
    pub(super) fn is_worth_trying(&self, now: Instant) -> bool {
        let rested = self.last_failure.is_none_or(|failure| now >= failure + PATIENCE);
        self.health() == Health::Serving || (self.health() == Health::Degraded && rested)
    }

    /// Whether the next request is likely to be answered.
    pub(super) fn health(&self) -> Health {
        if self.down.is_some() {
            Health::Down
        } else if self.failures_in_a_row > FAILURES_TOLERATED {
            Health::Degraded
        } else {
            Health::Serving
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Error {
        Error::ProviderFailed { provider: "far".into(), problem: "why".into(), retry_after: None }
    }

    #[test]
    fn the_third_failure_in_a_row_degrades_until_a_success() {
        let mut stats = Stats::default();
        let now = Instant::now();
        for _ in 0..2 {
            stats.failed(&failure(), now);
            assert_eq!(stats.health(), Health::Serving);
        }
        stats.failed(&failure(), now);
        assert_eq!(stats.health(), Health::Degraded);
        stats.succeeded();
        assert_eq!(stats.health(), Health::Serving);
        assert_eq!((stats.failures, stats.last_error.contains("why")), (3, true));
    }

    #[test]
    fn a_degraded_provider_is_tried_again_after_a_while() {
        let mut stats = Stats::default();
        let now = Instant::now();
        for _ in 0..3 {
            stats.failed(&failure(), now);
        }
        assert!(!stats.is_worth_trying(now));
        assert!(stats.is_worth_trying(now + PATIENCE));
        stats.failed(&failure(), now + PATIENCE);
        assert!(!stats.is_worth_trying(now + PATIENCE));
    }

    #[test]
    fn an_impatient_caller_degrades_nothing() {
        let mut stats = Stats::default();
        for _ in 0..10 {
            stats.failed(&Error::DeadlineExceeded { stage: "early".into() }, Instant::now());
        }
        assert_eq!((stats.health(), stats.failures), (Health::Serving, 10));
    }

    #[test]
    fn a_new_life_starts_with_a_clean_record() {
        let mut stats = Stats { down: Some("too many panics".into()), ..Stats::default() };
        assert_eq!(stats.health(), Health::Down);
        stats.started();
        assert_eq!(stats.health(), Health::Serving);
    }
}
