//! How a provider has done so far.

use tandem_proto::v1::Health;

use crate::Error;

/// Failures in a row after which a provider counts as degraded.
const FAILURES_TOLERATED: u32 = 2;

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
    pub(super) fn failed(&mut self, error: &Error) {
        self.failures += 1;
        self.last_error = error.to_string();
        if !matches!(error, Error::DeadlineExceeded { .. }) {
            self.failures_in_a_row += 1;
        }
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
        for _ in 0..2 {
            stats.failed(&failure());
            assert_eq!(stats.health(), Health::Serving);
        }
        stats.failed(&failure());
        assert_eq!(stats.health(), Health::Degraded);
        stats.succeeded();
        assert_eq!(stats.health(), Health::Serving);
        assert_eq!((stats.failures, stats.last_error.contains("why")), (3, true));
    }

    #[test]
    fn an_impatient_caller_degrades_nothing() {
        let mut stats = Stats::default();
        for _ in 0..10 {
            stats.failed(&Error::DeadlineExceeded { stage: "early".into() });
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
