//! What became of the turns since start.

use std::sync::atomic::{AtomicU64, Ordering};

use tandem_proto::v1::{Track, TurnCounts};

/// Counters that turns raise and status reads.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    started: AtomicU64,
    answered_fast: AtomicU64,
    answered_slow: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    resumed: AtomicU64,
    fell_back: AtomicU64,
    escalated: AtomicU64,
    answered_built_in: AtomicU64,
}

impl Counts {
    pub(crate) fn started(&self) {
        raise(&self.started);
    }

    pub(crate) fn answered(&self, track: Track) {
        raise(match track {
            Track::Slow => &self.answered_slow,
            Track::BuiltIn => &self.answered_built_in,
            Track::Fast | Track::Unspecified => &self.answered_fast,
        });
    }

    pub(crate) fn failed(&self) {
        raise(&self.failed);
    }

    pub(crate) fn cancelled(&self) {
        raise(&self.cancelled);
    }

    pub(crate) fn resumed(&self) {
        raise(&self.resumed);
    }

    pub(crate) fn fell_back(&self) {
        raise(&self.fell_back);
    }

    pub(crate) fn escalated(&self) {
        raise(&self.escalated);
    }

    pub(super) fn snapshot(&self) -> TurnCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TurnCounts {
            started: read(&self.started),
            answered_fast: read(&self.answered_fast),
            answered_slow: read(&self.answered_slow),
            failed: read(&self.failed),
            cancelled: read(&self.cancelled),
            resumed: read(&self.resumed),
            fell_back: read(&self.fell_back),
            escalated: read(&self.escalated),
            answered_built_in: read(&self.answered_built_in),
        }
    }
}

fn raise(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
