//! How long an API may take, and for what.

use std::time::{Duration, Instant};

use tandem_config::Provider as Settings;

use super::failure::Blame;
use crate::Error;

/// A moment that must not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    /// The moment.
    pub(super) at: Instant,
    kind: Kind,
    allowed: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Deadline,
    Total,
    FirstToken,
    Idle,
}

impl Limit {
    /// What it means that the moment has passed.
    pub(super) fn passed(&self, blame: &Blame<'_>) -> Error {
        let (name, allowed) = (blame.provider, self.allowed);
        match self.kind {
            Kind::Deadline => {
                Error::DeadlineExceeded { stage: format!("while provider {name:?} answered") }
            }
            Kind::Total => blame.late(format!(
                "no complete answer within {allowed:?}; \
                 raise providers.{name}.total_timeout or lower max_tokens"
            )),
            Kind::FirstToken => blame.late(format!(
                "no first token within {allowed:?}; raise providers.{name}.first_token_timeout"
            )),
            Kind::Idle => blame.late(format!(
                "silent for {allowed:?} in the middle of the answer; \
                 raise providers.{name}.idle_timeout"
            )),
        }
    }
}

/// The limits of one request.
#[derive(Debug)]
pub(super) struct Limits {
    deadline: Limit,
    total: Limit,
    silence: Limit,
    idle: Duration,
}

impl Limits {
    /// Of a request accepted at `accepted` whose caller waits until `deadline`.
    pub(super) fn new(settings: &Settings, accepted: Instant, deadline: Instant) -> Self {
        let limit = |kind, allowed| Limit {
            at: accepted.checked_add(allowed).unwrap_or(deadline),
            kind,
            allowed,
        };
        Self {
            deadline: Limit {
                at: deadline,
                kind: Kind::Deadline,
                allowed: deadline.saturating_duration_since(accepted),
            },
            total: limit(Kind::Total, settings.total_timeout),
            silence: limit(Kind::FirstToken, settings.first_token_timeout),
            idle: settings.idle_timeout,
        }
    }

    /// The API sent an event, with the first `token` or not.
    pub(super) fn heard(&mut self, token: bool, now: Instant) {
        if token || self.silence.kind == Kind::Idle {
            let at = now.checked_add(self.idle).unwrap_or(self.deadline.at);
            self.silence = Limit { at, kind: Kind::Idle, allowed: self.idle };
        }
    }

    /// The first limit that passes while we wait for the API.
    pub(super) fn next(&self) -> Limit {
        let earlier = |a: Limit, b: Limit| if b.at < a.at { b } else { a };
        earlier(earlier(self.deadline, self.total), self.silence)
    }

    /// The only limit while the API waits for our caller.
    pub(super) fn deadline(&self) -> Limit {
        self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const BLAME: Blame<'static> = Blame { provider: "far", secret: None, key: None };

    fn limits(start: Instant, deadline: Duration) -> Limits {
        let settings = Settings {
            first_token_timeout: 10 * SECOND,
            idle_timeout: 5 * SECOND,
            total_timeout: 60 * SECOND,
            ..Settings::new("http://host/v1", "remote")
        };
        Limits::new(&settings, start, start + deadline)
    }

    #[test]
    fn each_limit_is_the_next_one_at_its_time() {
        let start = Instant::now();
        let mut limits = limits(start, 300 * SECOND);
        assert_eq!((limits.next().kind, limits.next().at), (Kind::FirstToken, start + 10 * SECOND));
        limits.heard(false, start + SECOND);
        assert_eq!(limits.next().kind, Kind::FirstToken, "a chunk with a role is no token");
        limits.heard(true, start + 2 * SECOND);
        assert_eq!((limits.next().kind, limits.next().at), (Kind::Idle, start + 7 * SECOND));
        limits.heard(false, start + 58 * SECOND);
        assert_eq!((limits.next().kind, limits.next().at), (Kind::Total, start + 60 * SECOND));
    }

    #[test]
    fn the_callers_deadline_wins_over_every_timeout() {
        let start = Instant::now();
        let error = limits(start, SECOND).next().passed(&BLAME);
        let stage = "while provider \"far\" answered".to_owned();
        assert_eq!(error, Error::DeadlineExceeded { stage });
    }

    #[test]
    fn a_timeout_names_the_key_that_changes_it() {
        let start = Instant::now();
        let mut limits = limits(start, 300 * SECOND);
        let problem = |limits: &Limits| limits.next().passed(&BLAME).to_string();
        assert!(problem(&limits).contains("within 10s; raise providers.far.first_token_timeout"));
        limits.heard(true, start);
        assert!(problem(&limits).contains("for 5s in the middle"));
        assert!(problem(&limits).contains("raise providers.far.idle_timeout"));
        limits.heard(true, start + 59 * SECOND);
        assert!(problem(&limits).contains("within 60s; raise providers.far.total_timeout"));
    }

    #[test]
    fn a_timeout_beyond_the_clock_is_no_limit() {
        let start = Instant::now();
        let settings = Settings {
            first_token_timeout: Duration::MAX,
            idle_timeout: Duration::MAX,
            total_timeout: Duration::MAX,
            ..Settings::new("http://host/v1", "remote")
        };
        let mut limits = Limits::new(&settings, start, start + SECOND);
        limits.heard(true, start);
        assert_eq!(limits.next().kind, Kind::Deadline);
    }
}
