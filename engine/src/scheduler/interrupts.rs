//! What a step that is being computed is not to be waited out for.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::urgency::Urgency;

/// What the reader and the text thread tell the step that is being computed. The scheduler takes
/// commands between steps; this is how it learns that it should not wait for the end of one.
#[derive(Debug, Default)]
pub struct Interrupts {
    state: Mutex<State>,
    /// Whether to abort the step; read from within it, where nothing may block.
    abort: AtomicBool,
}

/// What a step is made for.
#[derive(Debug, Default)]
pub struct Members {
    /// The requests whose prompts are read.
    pub reading: Vec<u64>,
    /// All requests.
    pub all: Vec<u64>,
    /// A step for requests that are as urgent is waited for.
    pub urgency: Option<Urgency>,
}

#[derive(Debug, Default)]
struct State {
    /// Cancelled, and not yet taken up by the scheduler.
    cancelled: HashSet<u64>,
    /// On their way to the scheduler.
    coming: HashMap<u64, Urgency>,
    step: Members,
}

impl State {
    /// A prompt that nobody wants makes a step long; one token more of an answer does not, and
    /// the other answers in the step are wanted.
    fn is_wasted(&self) -> bool {
        let cancelled = |id: &u64| self.cancelled.contains(id);
        let Members { reading, all, .. } = &self.step;
        reading.iter().any(cancelled) || (!all.is_empty() && all.iter().all(cancelled))
    }

    /// Somebody would wait for a step of which all is less urgent.
    fn is_in_the_way(&self) -> bool {
        let urgency = self.coming.values().max();
        !self.step.all.is_empty() && urgency > self.step.urgency.as_ref()
    }

    fn is_to_end(&self) -> bool {
        self.is_wasted() || self.is_in_the_way()
    }
}

impl Interrupts {
    /// A cancellation of `id` is about to be sent to the scheduler.
    pub fn cancels(&self, id: u64) {
        self.change(|state| {
            state.cancelled.insert(id);
        });
    }

    /// The scheduler has taken up a cancellation.
    pub fn cancel_taken(&self, id: u64) {
        self.state().cancelled.remove(&id);
    }

    /// A request is about to be sent to the scheduler.
    pub fn comes(&self, id: u64, urgency: Urgency) {
        self.change(|state| {
            state.coming.insert(id, urgency);
        });
    }

    /// The scheduler has taken up a request.
    pub fn has_come(&self, id: u64) {
        self.state().coming.remove(&id);
    }

    /// A step is about to begin. Whether it is to.
    pub fn begin(&self, step: Members) -> bool {
        !self.change(|state| state.step = step)
    }

    /// The step is over.
    pub fn end(&self) {
        self.change(|state| state.step = Members::default());
    }

    /// Whether to abort the step.
    pub fn abort(&self) -> bool {
        self.abort.load(Ordering::Acquire)
    }

    /// Whether the step is to be aborted now.
    fn change(&self, change: impl FnOnce(&mut State)) -> bool {
        let mut state = self.state();
        change(&mut state);
        let abort = state.is_to_end();
        self.abort.store(abort, Ordering::Release);
        abort
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(reading: &[u64], all: &[u64]) -> Members {
        let urgency = Some(Urgency::Batch);
        Members { reading: reading.to_vec(), all: all.to_vec(), urgency }
    }

    #[test]
    fn a_step_is_aborted_for_a_prompt_that_nobody_wants() {
        let interrupts = Interrupts::default();
        assert!(interrupts.begin(step(&[1, 2], &[1, 2, 3])));
        interrupts.cancels(3);
        assert!(!interrupts.abort(), "an answer in the step is only a token");
        interrupts.cancels(2);
        assert!(interrupts.abort());
        interrupts.cancel_taken(2);
        assert!(interrupts.begin(step(&[1], &[1, 3])));
        assert!(!interrupts.abort());
    }

    #[test]
    fn a_step_is_aborted_when_nobody_wants_anything_in_it() {
        let interrupts = Interrupts::default();
        assert!(interrupts.begin(step(&[], &[1, 2])));
        interrupts.cancels(1);
        assert!(!interrupts.abort());
        interrupts.cancels(2);
        assert!(interrupts.abort());
    }

    #[test]
    fn a_step_for_nobody_does_not_begin() {
        let interrupts = Interrupts::default();
        interrupts.cancels(1);
        assert!(!interrupts.begin(step(&[1], &[1])));
        interrupts.cancel_taken(1);
        assert!(interrupts.begin(step(&[1], &[1])));
    }

    #[test]
    fn a_step_is_not_waited_for_by_what_is_more_urgent_than_all_of_it() {
        let interrupts = Interrupts::default();
        assert!(interrupts.begin(step(&[1], &[1, 2])));
        interrupts.comes(3, Urgency::Batch);
        assert!(!interrupts.abort());
        interrupts.comes(4, Urgency::Interactive);
        assert!(interrupts.abort());
        assert!(!interrupts.begin(step(&[1], &[1])), "it would come behind that");
        interrupts.has_come(4);
        assert!(interrupts.begin(step(&[], &[1, 2])));
        assert!(!interrupts.abort());
        interrupts.end();
        interrupts.comes(5, Urgency::Interactive);
        assert!(!interrupts.abort(), "there is none");
    }
}
