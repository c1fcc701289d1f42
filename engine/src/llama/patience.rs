//! How threads wait for each other.

use std::sync::atomic::{AtomicBool, Ordering};

/// What a thread does that has to wait for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Keep the core, to lose no time.
    Spin,
    /// Sleep at once, so that others can have the core.
    Sleep,
}

static SPINNING: AtomicBool = AtomicBool::new(true);

/// Decides how threads wait from now on. Has an effect where the threads are `team`'s.
pub fn set_patience(patience: Patience) {
    SPINNING.store(patience == Patience::Spin, Ordering::Relaxed);
}

/// Whether threads are to spin.
pub(super) fn spinning() -> bool {
    SPINNING.load(Ordering::Relaxed)
}
