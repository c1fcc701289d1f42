//! How long a question will wait, judged by how long turns took lately.

use std::time::Duration;

/// The share of the latest turn in the average.
const WEIGHT: f64 = 0.2;
/// When to try again while nothing is known.
const UNKNOWN: Duration = Duration::from_secs(2);
/// Less is no help to anybody, and later things will be different.
const RETRY_AFTER: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(60)];

/// How long turns hold their slots: a moving average.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Estimate(Option<Duration>);

impl Estimate {
    /// A turn has held a slot for so long.
    pub(super) fn saw(&mut self, turn: Duration) {
        self.0 =
            Some(self.0.map_or(turn, |mean| mean.mul_f64(1.0 - WEIGHT) + turn.mul_f64(WEIGHT)));
    }

    /// The time until the question at this place of the queue, from 1, gets one of `slots`. `None`
    /// before the first turn has ended.
    pub(super) fn wait(self, position: u32, slots: u32) -> Option<Duration> {
        Some(self.0? * position / slots.max(1))
    }

    /// When one who found no place may try again: half of those that wait will then have begun.
    pub(super) fn retry_after(self, waiting: u32, slots: u32) -> Duration {
        let [least, most] = RETRY_AFTER;
        self.wait(waiting / 2 + 1, slots).unwrap_or(UNKNOWN).clamp(least, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(turns: &[u64]) -> Estimate {
        let mut estimate = Estimate::default();
        for seconds in turns {
            estimate.saw(Duration::from_secs(*seconds));
        }
        estimate
    }

    #[test]
    fn nothing_is_promised_before_a_turn_has_ended() {
        assert_eq!(after(&[]).wait(1, 1), None);
        assert_eq!(after(&[]).retry_after(10, 1), UNKNOWN);
    }

    #[test]
    fn the_wait_grows_with_the_place_and_shrinks_with_the_slots() {
        let wait = |position, slots| after(&[8]).wait(position, slots).map(|wait| wait.as_secs());
        assert_eq!((wait(1, 1), wait(3, 1), wait(4, 8)), (Some(8), Some(24), Some(4)));
    }

    #[test]
    fn the_latest_turns_count_most() {
        let slow_then_fast = after(&[100, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10]);
        let fast_then_slow = after(&[10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 100]);
        assert!(slow_then_fast.wait(1, 1) < Some(Duration::from_secs(20)));
        assert!(fast_then_slow.wait(1, 1) > Some(Duration::from_secs(20)));
    }

    #[test]
    fn a_refusal_never_says_at_once_and_never_says_tomorrow() {
        assert_eq!(after(&[0]).retry_after(0, 8), RETRY_AFTER[0]);
        assert_eq!(after(&[3600]).retry_after(64, 1), RETRY_AFTER[1]);
        assert_eq!(after(&[4]).retry_after(6, 2), Duration::from_secs(8));
    }
}
