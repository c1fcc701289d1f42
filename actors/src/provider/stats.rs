//! How a provider has done so far, and what follows for the next request.

use std::time::{Duration, Instant};

use tandem_proto::v1::{Breaker as BreakerState, Health};

use super::allowance::Allowance;
use super::breaker::{Breaker, Cause, Outcome, Pass};
use super::record::Record;
use crate::{Completion, Error};

/// Since the daemon started.
#[derive(Debug)]
pub(super) struct Stats {
    /// Requests that are being answered.
    pub(super) in_flight: u32,
    /// Requests accepted.
    pub(super) requests: u64,
    /// Requests that ended with an error; cancelled ones do not count.
    pub(super) failures: u64,
    /// Requests made because an earlier one to this provider failed.
    pub(super) retries: u64,
    /// Requests made because another provider was late.
    pub(super) hedges: u64,
    /// The last error, for a person.
    pub(super) last_error: String,
    /// Why the actor stays down, when it does.
    pub(super) down: Option<String>,
    pub(super) breaker: Breaker,
    pub(super) allowance: Allowance,
    pub(super) record: Record,
}

impl Stats {
    /// Of a provider that is left alone for `pause` when it fails.
    pub(super) fn new(pause: Duration) -> Self {
        Self {
            in_flight: 0,
            requests: 0,
            failures: 0,
            retries: 0,
            hedges: 0,
            last_error: String::new(),
            down: None,
            breaker: Breaker::new(pause),
            allowance: Allowance::default(),
            record: Record::default(),
        }
    }

    /// A request was accepted.
    pub(super) fn began(&mut self) {
        self.in_flight += 1;
        self.requests += 1;
        self.allowance.earn();
    }

    /// A request is over, whichever way.
    pub(super) fn ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// A request was answered.
    pub(super) fn answered(&mut self, pass: Pass, completion: &Completion, now: Instant) {
        let first_token = Duration::from_micros(completion.timings.time_to_first_token_us);
        self.record.answered(first_token, now);
        self.breaker.settle(pass, &Outcome::Answered, now, super::random());
    }

    /// A request was not answered.
    pub(super) fn failed(&mut self, pass: Pass, error: &Error, now: Instant) {
        self.failures += 1;
        self.last_error = error.to_string();
        let outcome = Outcome::of(error);
        if outcome != Outcome::Unknown {
            self.record.failed(now);
        }
        self.breaker.settle(pass, &outcome, now, super::random());
    }

    /// Whether the next request is likely to be answered.
    pub(super) fn health(&self) -> Health {
        if self.down.is_some() {
            Health::Down
        } else if self.breaker.open().is_some() {
            Health::Degraded
        } else {
            Health::Serving
        }
    }

    /// Whether the API is asked at all.
    pub(super) fn breaker_state(&self, now: Instant) -> BreakerState {
        match self.breaker.open() {
            None => BreakerState::Closed,
            Some(open) if open.probing || now >= open.until => BreakerState::HalfOpen,
            Some(open) => match open.cause {
                Cause::Failing => BreakerState::Open,
                Cause::KeyRefused => BreakerState::KeyRefused,
                Cause::Exhausted => BreakerState::Exhausted,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn stats() -> Stats {
        Stats::new(Duration::from_secs(30))
    }

    fn fail(stats: &mut Stats, error: &Error, times: usize) {
        for _ in 0..times {
            let now = Instant::now();
            let pass = stats.breaker.admit(now).unwrap();
            stats.failed(pass, error, now);
        }
    }

    #[test]
    fn a_provider_that_is_left_alone_is_degraded() {
        let mut stats = stats();
        let failure = Error::ProviderFailed {
            provider: "far".into(),
            problem: "why".into(),
            retry_after: None,
        };
        fail(&mut stats, &failure, 4);
        assert_eq!(stats.health(), Health::Serving);
        fail(&mut stats, &failure, 1);
        assert_eq!(stats.health(), Health::Degraded);
        assert_eq!(stats.breaker_state(Instant::now()), BreakerState::Open);
        assert_eq!((stats.failures, stats.last_error.contains("why")), (5, true));
        stats.down = Some("too many panics".into());
        assert_eq!(stats.health(), Health::Down);
    }

    #[test]
    fn an_impatient_caller_and_a_wrong_request_say_nothing_about_the_provider() {
        for error in [
            Error::DeadlineExceeded { stage: "early".into() },
            Error::ProviderRefused { provider: "far".into(), problem: "what?".into() },
        ] {
            let mut stats = stats();
            fail(&mut stats, &error, 10);
            assert_eq!((stats.health(), stats.failures), (Health::Serving, 10));
        }
    }
}
