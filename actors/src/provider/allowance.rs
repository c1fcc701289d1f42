//! How many requests more than its callers make an API may get: retries and hedges must not turn
//! a failure into a flood.
//!
//! Pure: time is passed in.

use std::time::Instant;

/// What each request adds: one more request for ten.
const PER_REQUEST: f64 = 0.1;
/// What each second adds.
const PER_SECOND: f64 = 1.0;
/// The most that is saved up, and what there is at first.
const MAX: f64 = 10.0;

/// What is left for one API.
#[derive(Debug)]
pub(super) struct Allowance {
    left: f64,
    at: Option<Instant>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: MAX, at: None }
    }
}

impl Allowance {
    /// A request was made.
    pub(super) fn earn(&mut self) {
        self.left = (self.left + PER_REQUEST).min(MAX);
    }

    /// Takes one more request out of what is left. False when there is none.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        let since = self.at.replace(now).map_or(0.0, |at| (now - at).as_secs_f64());
        self.left = (self.left + since * PER_SECOND).min(MAX);
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spent(allowance: &mut Allowance, now: Instant) -> usize {
        (0..1000).take_while(|_| allowance.spend(now)).count()
    }

    #[test]
    fn one_in_ten_requests_may_be_made_again() {
        let (mut allowance, now) = (Allowance::default(), Instant::now());
        assert_eq!(spent(&mut allowance, now), 10);
        for _ in 0..75 {
            allowance.earn();
        }
        assert_eq!(spent(&mut allowance, now), 7);
    }

    #[test]
    fn one_a_second_always_may_and_no_more_than_ten_are_saved_up() {
        let (mut allowance, mut now) = (Allowance::default(), Instant::now());
        assert_eq!(spent(&mut allowance, now), 10);
        for seconds in [1, 3, 10, 3600] {
            now += Duration::from_secs(seconds);
            assert_eq!(spent(&mut allowance, now) as u64, seconds.min(10));
        }
    }
}
