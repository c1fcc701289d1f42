//! Whether an API is asked at all. One that fails is left alone for a while; then a single request
//! finds out whether it is back.
//!
//! Pure: time and randomness are passed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::Error;

/// Failures in a row that open the breaker.
const FAILURES_IN_A_ROW: u32 = 5;
/// How far back the share of failures is looked at.
const WINDOW: Duration = Duration::from_secs(30);
/// Requests in the window from which on half of them failing opens the breaker.
const JUDGED_MIN: usize = 10;
/// Requests remembered, however many the window has.
const JUDGED_MAX: usize = 256;
/// The longest pause, in first pauses.
const PAUSES_MAX: u32 = 10;
/// A pause is longer or shorter by up to this part of it, so that daemons do not come back together.
const JITTER: f64 = 0.2;
/// An API that asks for more rest than this is not waited for.
pub(crate) const REST_MAX: Duration = Duration::from_secs(20);

/// What a request says about the API.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// It answered.
    Answered,
    /// It failed, and perhaps said for how long it wants to be left alone.
    Failed(Option<Duration>),
    /// It does not accept the key.
    KeyRefused,
    /// Its quota is used up for so long.
    Exhausted(Duration),
    /// Nothing: the caller went away, or the request itself was at fault.
    Unknown,
}

impl Outcome {
    /// Of a request that ended with `error`.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::ProviderFailed { retry_after, .. } => Self::Failed(*retry_after),
            Error::ProviderTimedOut { .. } => Self::Failed(None),
            Error::ProviderKeyRefused { .. } => Self::KeyRefused,
            Error::ProviderExhausted { retry_after, .. } => Self::Exhausted(*retry_after),
            _ => Self::Unknown,
        }
    }
}

/// Why an API is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// It fails too often.
    Failing,
    /// It does not accept the key.
    KeyRefused,
    /// Its quota is used up, which passes.
    Exhausted,
}

/// An API that is left alone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    /// Why.
    pub(super) cause: Cause,
    /// Why, for a person; ends the sentence "it is left alone: …".
    pub(super) why: String,
    /// When it is asked again.
    pub(super) until: Instant,
    /// One request is finding out whether it is back.
    pub(super) probing: bool,
}

/// Permission for one request. Its outcome goes back with it.
#[derive(Debug)]
#[must_use]
pub(super) struct Pass(u64);

/// The breaker of one API.
#[derive(Debug)]
pub(super) struct Breaker {
    pause: Duration,
    open: Option<Refusal>,
    /// Counts openings and probes: what comes of a request admitted before is not news any more.
    era: u64,
    /// Pauses in a row.
    pauses: u32,
    in_a_row: u32,
    /// When the latest requests ended, and whether they failed.
    recent: VecDeque<(Instant, bool)>,
}

impl Breaker {
    /// A closed one whose first pause is `pause`.
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, open: None, era: 0, pauses: 0, in_a_row: 0, recent: VecDeque::new() }
    }

    /// Why the next request would not be admitted, if so.
    pub(super) fn refusal(&self, now: Instant) -> Option<&Refusal> {
        self.open.as_ref().filter(|open| open.probing || now < open.until)
    }

    /// Why the API is or was left alone, until it has answered again.
    pub(super) fn open(&self) -> Option<&Refusal> {
        self.open.as_ref()
    }

    /// Lets a request through, or says why not. Every pass goes back to [`Breaker::settle`].
    pub(super) fn admit(&mut self, now: Instant) -> Result<Pass, Refusal> {
        if let Some(refusal) = self.refusal(now) {
            return Err(refusal.clone());
        }
        if let Some(open) = &mut self.open {
            open.probing = true;
            self.era += 1;
        }
        Ok(Pass(self.era))
    }

    /// Learns what came of a request. `random` is from 0 up to 1.
    #[allow(clippy::needless_pass_by_value, reason = "a pass is good for one request")]
    pub(super) fn settle(&mut self, pass: Pass, outcome: &Outcome, now: Instant, random: f64) {
        if pass.0 != self.era {
            return;
        }
        let failed = matches!(outcome, Outcome::Failed(_));
        if self.open.is_none() && (failed || *outcome == Outcome::Answered) {
            self.note(now, failed);
        }
        match *outcome {
            Outcome::Answered => {
                self.in_a_row = 0;
                if self.open.take().is_some() {
                    self.pauses = 0;
                    self.recent.clear();
                }
            }
            Outcome::Failed(rest) => {
                self.in_a_row = self.in_a_row.saturating_add(1);
                if let Some(why) = self.verdict(rest) {
                    let pause = self.next_pause(random).max(rest.unwrap_or_default());
                    self.leave_alone(Cause::Failing, why, now, pause);
                }
            }
            Outcome::KeyRefused => {
                let pause = self.next_pause(random);
                self.leave_alone(
                    Cause::KeyRefused,
                    "it does not accept the key".into(),
                    now,
                    pause,
                );
            }
            Outcome::Exhausted(rest) => {
                self.leave_alone(Cause::Exhausted, "its quota is used up".into(), now, rest);
            }
            // The next request finds out.
            Outcome::Unknown => {
                if let Some(open) = &mut self.open {
                    open.probing = false;
                }
            }
        }
    }

    fn note(&mut self, now: Instant, failed: bool) {
        let old = |at: &Instant| now.saturating_duration_since(*at) > WINDOW;
        while self.recent.front().is_some_and(|(at, _)| old(at)) || self.recent.len() == JUDGED_MAX
        {
            self.recent.pop_front();
        }
        self.recent.push_back((now, failed));
    }

    /// Why the API is to be left alone after a failure, if so.
    fn verdict(&self, rest: Option<Duration>) -> Option<String> {
        if let Some(rest) = rest.filter(|&rest| rest > REST_MAX) {
            return Some(format!("it asked for {} s of rest", rest.as_secs()));
        }
        if self.open.is_some() {
            return Some(format!("{} failures in a row", self.in_a_row));
        }
        let judged = self.recent.len();
        let failed = self.recent.iter().filter(|(_, failed)| *failed).count();
        if self.in_a_row >= FAILURES_IN_A_ROW {
            Some(format!("{} failures in a row", self.in_a_row))
        } else if judged >= JUDGED_MIN && failed * 2 >= judged {
            Some(format!("{failed} of {judged} requests failed within {} s", WINDOW.as_secs()))
        } else {
            None
        }
    }

    /// Twice as long each time.
    fn next_pause(&mut self, random: f64) -> Duration {
        let factor = 1_u32.checked_shl(self.pauses).unwrap_or(PAUSES_MAX).min(PAUSES_MAX);
        self.pauses = self.pauses.saturating_add(1);
        (self.pause * factor).mul_f64(1.0 + JITTER * (2.0 * random - 1.0))
    }

    fn leave_alone(&mut self, cause: Cause, why: String, now: Instant, pause: Duration) {
        self.era += 1;
        self.recent.clear();
        self.open = Some(Refusal { cause, why, until: now + pause, probing: false });
    }
}

#[cfg(test)]
mod tests;
