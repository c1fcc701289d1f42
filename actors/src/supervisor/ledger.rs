//! When to start something again that ended, and when to give it up.

use std::collections::VecDeque;
use std::time::Duration;

/// How many failures are borne, and how fast restarts follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Intensity {
    /// More unproductive lives than this within `window` and the thing is given up.
    pub restarts_max: u32,
    /// Length of the sliding window.
    pub window: Duration,
    /// Pause before the second restart in a row; the first follows at once, later ones double it.
    pub pause_first: Duration,
    /// Longest pause.
    pub pause_max: Duration,
}

impl Default for Intensity {
    fn default() -> Self {
        Self {
            restarts_max: 5,
            window: Duration::from_secs(60),
            pause_first: Duration::from_millis(100),
            pause_max: Duration::from_secs(10),
        }
    }
}

/// What follows the end of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Start again after this pause.
    RestartAfter(Duration),
    /// It failed too often.
    GiveUp,
}

/// The exits of one actor or process. Time is passed in, as a duration since any fixed moment.
#[derive(Debug)]
pub struct Ledger {
    intensity: Intensity,
    /// When unproductive lives within the window ended, oldest first.
    failures: VecDeque<Duration>,
    /// Unproductive lives since the last productive one.
    in_a_row: u32,
}

impl Ledger {
    /// A ledger without entries.
    #[must_use]
    pub fn new(intensity: Intensity) -> Self {
        Self { intensity, failures: VecDeque::new(), in_a_row: 0 }
    }

    /// Enters an exit. A life was `productive` when it did some of the work it is there for:
    /// such an end is bad luck and not a loop, and is forgiven.
    pub fn ended(&mut self, productive: bool, now: Duration) -> Decision {
        if productive {
            self.in_a_row = 0;
            self.failures.clear();
            return Decision::RestartAfter(Duration::ZERO);
        }
        let oldest = now.saturating_sub(self.intensity.window);
        while self.failures.front().is_some_and(|&failure| failure < oldest) {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        if self.failures.len() > self.intensity.restarts_max as usize {
            return Decision::GiveUp;
        }
        let pause = match self.in_a_row {
            0 => Duration::ZERO,
            n => self.intensity.pause_first.saturating_mul(1 << (n - 1).min(20)),
        };
        self.in_a_row += 1;
        Decision::RestartAfter(pause.min(self.intensity.pause_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ledger() -> Ledger {
        Ledger::new(Intensity {
            restarts_max: 3,
            window: 60 * SECOND,
            pause_first: SECOND,
            pause_max: 3 * SECOND,
        })
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_then_it_is_given_up() {
        let mut ledger = ledger();
        assert_eq!(ledger.ended(false, SECOND), Decision::RestartAfter(Duration::ZERO));
        assert_eq!(ledger.ended(false, SECOND), Decision::RestartAfter(SECOND));
        assert_eq!(ledger.ended(false, SECOND), Decision::RestartAfter(2 * SECOND));
        assert_eq!(ledger.ended(false, SECOND), Decision::GiveUp);
    }

    #[test]
    fn failures_older_than_the_window_do_not_count() {
        let mut ledger = ledger();
        for minute in 0..100 {
            let now = SECOND * 60 * minute * 2;
            assert_ne!(ledger.ended(false, now), Decision::GiveUp, "minute {minute}");
        }
        assert_eq!(
            ledger.ended(false, SECOND * 60 * 200),
            Decision::RestartAfter(3 * SECOND),
            "the pause stays at its longest while no life is productive"
        );
    }

    #[test]
    fn a_productive_life_is_forgiven_every_time() {
        let mut ledger = ledger();
        for second in 0..1000 {
            assert_eq!(ledger.ended(true, SECOND * second), Decision::RestartAfter(Duration::ZERO));
        }
    }
}
