//! When to ask a source again that failed. Pure: randomness is passed in.

use std::time::Duration;

/// Longest pause that a source may ask for.
const ASKED_MAX: Duration = Duration::from_secs(120);

/// How patient a pull is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Failures in a row, without any progress between them, after which a source is given up.
    pub failures_max: u32,
    /// Longest pause after the first failure; it doubles with each one.
    pub pause_first: Duration,
    /// Longest pause after any.
    pub pause_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            failures_max: 8,
            pause_first: Duration::from_millis(500),
            pause_max: Duration::from_secs(30),
        }
    }
}

impl Retry {
    /// How long to wait after so many failures in a row, when the source asked for `asked`. `None`
    /// when it is not worth it. `random` is from 0 up to 1.
    pub(super) fn pause(
        &self,
        failures: u32,
        asked: Option<Duration>,
        random: f64,
    ) -> Option<Duration> {
        let asked = asked.unwrap_or_default();
        if failures >= self.failures_max || asked > ASKED_MAX {
            return None;
        }
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = self.pause_first.saturating_mul(doubled).min(self.pause_max);
        // At least half of it, so that a source has time to recover.
        Some(asked.saturating_add(longest.mul_f64(0.5 + random / 2.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const RETRY: Retry =
        Retry { failures_max: 40, pause_first: SECOND, pause_max: Duration::from_secs(30) };

    #[test]
    fn pauses_double_up_to_a_limit() {
        let pauses = [1, 2, 3, 6, 39].map(|failures| RETRY.pause(failures, None, 1.0));
        assert_eq!(pauses, [1, 2, 4, 30, 30].map(|seconds| Some(seconds * SECOND)));
        assert_eq!(RETRY.pause(1, None, 0.0), Some(SECOND / 2));
    }

    #[test]
    fn a_source_is_given_up_in_the_end_or_when_it_wants_too_long_a_rest() {
        assert_eq!(RETRY.pause(40, None, 0.5), None);
        assert_eq!(RETRY.pause(1, Some(ASKED_MAX + SECOND), 0.5), None);
        assert_eq!(RETRY.pause(1, Some(10 * SECOND), 1.0), Some(11 * SECOND));
    }
}
