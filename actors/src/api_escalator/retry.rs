//! When to ask the same provider again that failed. Pure: time and randomness are passed in.

use std::time::Duration;

use crate::Error;
use crate::provider::breaker::REST_MAX;

/// Requests to one provider for one question.
const ATTEMPTS_MAX: u32 = 3;
/// Longest pause after the first failure; it doubles with each one.
const PAUSE_FIRST_MAX: Duration = Duration::from_millis(500);
/// Longest pause after any.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// How long to wait before asking again after `attempts` requests, the last of which ended with
/// `error`. `None` when it is better to ask somebody else, as the pause would be too long, or is
/// longer than `left`. `random` is from 0 up to 1.
pub(super) fn pause(error: &Error, attempts: u32, left: Duration, random: f64) -> Option<Duration> {
    let Error::ProviderFailed { retry_after, .. } = error else { return None };
    if attempts >= ATTEMPTS_MAX {
        return None;
    }
    let rest = retry_after.unwrap_or_default();
    // Anywhere below the limit, so that those who failed together do not come back together.
    let longest = PAUSE_FIRST_MAX.saturating_mul(1 << (attempts - 1)).min(PAUSE_MAX);
    let pause = rest.saturating_add(longest.mul_f64(random));
    (rest <= REST_MAX && pause < left).then_some(pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn failed(retry_after: Option<Duration>) -> Error {
        Error::ProviderFailed { provider: "a".into(), problem: "why".into(), retry_after }
    }

    #[test]
    fn the_pause_is_anywhere_below_a_limit_that_doubles() {
        let pause = |attempts, random| pause(&failed(None), attempts, MINUTE, random);
        assert_eq!(pause(1, 0.0), Some(Duration::ZERO));
        assert_eq!(pause(1, 0.5), Some(Duration::from_millis(250)));
        assert_eq!(pause(2, 0.5), Some(Duration::from_millis(500)));
        assert_eq!(pause(3, 0.5), None, "three attempts are all");
    }

    #[test]
    fn an_api_that_says_when_to_come_back_is_not_asked_earlier_nor_waited_for_too_long() {
        let pause = |rest, left| pause(&failed(Some(rest)), 1, left, 0.5);
        let jitter = Duration::from_millis(250);
        assert_eq!(pause(REST_MAX, MINUTE), Some(REST_MAX + jitter));
        assert_eq!(pause(REST_MAX + Duration::from_millis(1), MINUTE), None);
        assert_eq!(pause(REST_MAX, REST_MAX + jitter), None, "the caller is gone by then");
    }

    #[test]
    fn what_will_not_pass_or_took_its_time_is_not_tried_again() {
        let (provider, problem) = (|| "a".to_owned(), || "why".to_owned());
        for error in [
            Error::ProviderRefused { provider: provider(), problem: problem() },
            Error::ProviderKeyRefused { provider: provider(), problem: problem() },
            Error::ProviderTimedOut { provider: provider(), problem: problem() },
            Error::ProviderExhausted {
                provider: provider(),
                problem: problem(),
                retry_after: Duration::from_secs(1),
            },
        ] {
            assert_eq!(pause(&error, 1, MINUTE, 0.5), None);
        }
    }
}
