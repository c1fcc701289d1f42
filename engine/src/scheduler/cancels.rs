//! Cancellations that a step does not wait out.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the reader tells the step that is being computed. The scheduler takes cancellations
/// between steps; this is how it learns that it should not wait for the end of one.
#[derive(Debug, Default)]
pub struct Cancels {
    state: Mutex<State>,
    /// Whether to abort the step; read from within it, where nothing may block.
    abort: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Cancelled, and not yet taken up by the scheduler.
    cancelled: HashSet<u64>,
    /// The requests in the step whose prompts are read.
    reading: Vec<u64>,
    /// All requests in the step.
    all: Vec<u64>,
}

impl State {
    /// A prompt that nobody wants makes a step long; one token more of an answer does not, and
    /// the other answers in the step are wanted.
    fn is_wasted(&self) -> bool {
        let cancelled = |id: &u64| self.cancelled.contains(id);
        self.reading.iter().any(cancelled)
            || (!self.all.is_empty() && self.all.iter().all(cancelled))
    }
}

impl Cancels {
    /// A cancellation of `id` is about to be sent to the scheduler.
    pub fn announce(&self, id: u64) {
        let mut state = self.state();
        state.cancelled.insert(id);
        self.abort.store(state.is_wasted(), Ordering::Release);
    }

    /// The scheduler has taken up a cancellation.
    pub fn taken(&self, id: u64) {
        self.state().cancelled.remove(&id);
    }

    /// A step with these requests is about to begin. Whether it is worth it.
    pub fn begin(&self, reading: Vec<u64>, all: Vec<u64>) -> bool {
        let mut state = self.state();
        (state.reading, state.all) = (reading, all);
        let wasted = state.is_wasted();
        self.abort.store(wasted, Ordering::Release);
        !wasted
    }

    /// Whether to abort the step.
    pub fn abort(&self) -> bool {
        self.abort.load(Ordering::Acquire)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_aborted_for_a_prompt_that_nobody_wants() {
        let cancels = Cancels::default();
        assert!(cancels.begin(vec![1, 2], vec![1, 2, 3]));
        cancels.announce(3);
        assert!(!cancels.abort(), "an answer in the step is only a token");
        cancels.announce(2);
        assert!(cancels.abort());
        cancels.taken(2);
        assert!(cancels.begin(vec![1], vec![1, 3]));
        assert!(!cancels.abort());
    }

    #[test]
    fn a_step_is_aborted_when_nobody_wants_anything_in_it() {
        let cancels = Cancels::default();
        assert!(cancels.begin(vec![], vec![1, 2]));
        cancels.announce(1);
        assert!(!cancels.abort());
        cancels.announce(2);
        assert!(cancels.abort());
    }

    #[test]
    fn a_step_for_nobody_does_not_begin() {
        let cancels = Cancels::default();
        cancels.announce(1);
        assert!(!cancels.begin(vec![1], vec![1]));
        cancels.taken(1);
        assert!(cancels.begin(vec![1], vec![1]));
    }
}
