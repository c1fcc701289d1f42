//! Whether a model fits in memory, and which idle engines would have to go.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::hosted::Hosted;
use super::state::State;
use super::swap::Plan;

/// An engine that is used by nobody at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Idle {
    pub(super) number: u64,
    pub(super) bytes: u64,
}

/// Whether there is room.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It fits.
    Enough,
    /// It fits once these are gone.
    AfterUnloading(Vec<u64>),
    /// It does not fit.
    TooLittle,
}

/// Looks for `needed` bytes, given what is `available` and the idle engines, least recently
/// used first. No more are given up than necessary.
pub(super) fn find_room(needed: u64, available: u64, idle: &[Idle]) -> Room {
    let mut free = available;
    let mut unload = Vec::new();
    let mut candidates = idle.iter();
    while free < needed {
        let Some(next) = candidates.next() else { return Room::TooLittle };
        free = free.saturating_add(next.bytes);
        unload.push(next.number);
    }
    if unload.is_empty() { Room::Enough } else { Room::AfterUnloading(unload) }
}

/// Memory that an engine which serves nobody will take, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Promise {
    total: Arc<AtomicU64>,
    bytes: u64,
}

impl Promise {
    /// Adds `bytes` to the `total` of all that is promised.
    pub(super) fn new(total: &Arc<AtomicU64>, bytes: u64) -> Self {
        total.fetch_add(bytes, Ordering::Relaxed);
        Self { total: Arc::clone(total), bytes }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl State {
    /// Memory that another model may take.
    pub(super) fn available_bytes(&self) -> u64 {
        let loading = self.hosted.iter().filter(|hosted| hosted.is_loading());
        let loading: u64 = loading.map(|hosted| hosted.worker.facts().memory_estimate_bytes).sum();
        let promised = loading.saturating_add(self.promised.load(Ordering::Relaxed));
        let available = self.arguments.monitor.current().memory_available_bytes;
        available.saturating_sub(self.arguments.memory_reserve_bytes).saturating_sub(promised)
    }

    /// Whether the engine makes room for the model in `new`, which is about to take its place.
    pub(super) fn makes_room_for_swap(&self, number: u64, new: &Path) -> bool {
        let Some((old, planned)) = self.swap.as_ref().and_then(Plan::files) else { return false };
        let is_old = |hosted: &Hosted| hosted.number == number && hosted.path() == old;
        planned == new && self.hosted.iter().any(is_old)
    }

    /// Engines that could be given up, least recently used first.
    pub(super) fn idle(&self) -> Vec<Idle> {
        let may_go = |hosted: &&Hosted| {
            hosted.is_idle() && !hosted.is_loading() && !self.standing().is_pinned(hosted.path())
        };
        let mut idle: Vec<_> = self.hosted.iter().filter(may_go).collect();
        idle.sort_by_key(|hosted| hosted.last_used);
        let describe = |hosted: &Hosted| Idle {
            number: hosted.number,
            bytes: hosted.worker.facts().memory_estimate_bytes,
        };
        idle.into_iter().map(describe).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: u64 = 1;
    const NEW: u64 = 2;

    fn idle() -> Vec<Idle> {
        [(OLD, 10), (NEW, 30)].map(|(number, bytes)| Idle { number, bytes }).to_vec()
    }

    #[test]
    fn what_fits_displaces_nobody() {
        assert_eq!(find_room(5, 5, &idle()), Room::Enough);
    }

    #[test]
    fn the_least_recently_used_go_first_and_only_as_many_as_needed() {
        assert_eq!(find_room(15, 5, &idle()), Room::AfterUnloading(vec![OLD]));
        assert_eq!(find_room(16, 5, &idle()), Room::AfterUnloading(vec![OLD, NEW]));
    }

    #[test]
    fn a_promise_counts_until_it_is_dropped() {
        let total = Arc::default();
        let (one, two) = (Promise::new(&total, 10), Promise::new(&total, 5));
        assert_eq!(total.load(Ordering::Relaxed), 15);
        drop(one);
        assert_eq!(total.load(Ordering::Relaxed), 5);
        drop(two);
        assert_eq!(total.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn nobody_is_displaced_in_vain() {
        assert_eq!(find_room(46, 5, &idle()), Room::TooLittle);
    }
}
