//! How fast bytes may come, over all pulls together.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A limit on bytes a second. Whoever takes bytes waits until they are paid for.
#[derive(Debug)]
pub struct Pace {
    limit: Option<NonZeroU64>,
    /// When all bytes that were taken so far are paid for.
    paid_at: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most `limit` bytes a second; without one, as fast as they come.
    #[must_use]
    pub fn new(limit: Option<NonZeroU64>) -> Self {
        Self { limit, paid_at: Mutex::default() }
    }

    /// Waits until these bytes are paid for.
    pub(crate) async fn take(&self, bytes: u64) {
        let pause = self.reserve(bytes, Instant::now());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }

    fn reserve(&self, bytes: u64, now: Instant) -> Duration {
        let Some(limit) = self.limit else { return Duration::ZERO };
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(limit.get());
        let price = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody took while nobody came is not saved up.
        let begin = paid_at.map_or(now, |then| then.max(now));
        let end = begin.checked_add(price).unwrap_or(begin);
        *paid_at = Some(end);
        end.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_takers_share_the_limit_and_idle_time_is_not_saved_up() {
        let pace = Pace::new(NonZeroU64::new(1000));
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        assert_eq!(pace.reserve(500, now), second / 2);
        assert_eq!(pace.reserve(500, now), second);
        assert_eq!(pace.reserve(100, now + 2 * second), second / 10);
        assert_eq!(pace.reserve(0, now + 2 * second), second / 10);
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        assert_eq!(Pace::new(None).reserve(u64::MAX, Instant::now()), Duration::ZERO);
    }

    #[test]
    fn absurd_numbers_do_not_overflow() {
        let pace = Pace::new(NonZeroU64::new(1));
        let now = Instant::now();
        for _ in 0..3 {
            pace.reserve(u64::MAX, now);
        }
    }
}
