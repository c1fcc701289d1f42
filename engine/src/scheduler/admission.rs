//! Who gets a place, and who gives one up.

use std::time::Instant;

use super::attach::{self, View};
use super::cache::Source;
use super::queue::Waits as _;
use super::urgency::Urgency;
use super::{Scheduler, Sequence};

impl Scheduler {
    /// Gives places to those who wait, in the order of the queue.
    pub(super) fn admit(&mut self, now: Instant) {
        loop {
            if self.running.len() >= self.places || self.next_place(now).is_none() {
                if !self.give_way(now) {
                    return;
                }
                continue;
            }
            self.thaw(now);
            let Some((source, awaited)) = self.next_place(now) else { return };
            let Some(mut sequence) = self.queue.pop(now) else { return };
            let Some((slot, taken)) = self.cache.open(&mut self.kv, source) else {
                // There are as many sequences as places.
                self.queue.put_back(sequence);
                return;
            };
            if sequence.begin(slot, taken, awaited, now) {
                self.announce(&sequence);
            }
            self.running.push(sequence);
        }
    }

    /// What the next request can take over and how much others will have computed for it, if there
    /// are cells for the rest. Alone there always are.
    fn next_place(&self, now: Instant) -> Option<(Option<Source>, usize)> {
        let next = self.queue.front(now)?;
        let others = if self.kv.context.shares() { self.views() } else { Vec::new() };
        let view = next.view();
        let source = self.source(&view, &others);
        let taken = source.map_or(0, |source| source.length);
        let leader = attach::leader(&View { decoded: taken, ..view }, &others);
        let awaited = leader.map_or(0, |leader| leader.until);
        let outstanding: usize = self.running.iter().map(Sequence::outstanding).sum();
        let need = next.goal().saturating_sub(taken.max(awaited));
        let fits = outstanding + need <= self.cache.room_beside(source);
        (fits || self.running.is_empty()).then_some((source, awaited))
    }

    /// The longest beginning of `view` that the cache holds, short of its last token.
    pub(super) fn source(&self, view: &View, others: &[View]) -> Option<Source> {
        let last = view.tokens.len().saturating_sub(1);
        let kept = self.cache.source(view.tokens.get(..last).unwrap_or_default());
        let sources = kept.into_iter().chain(attach::source(view, others));
        sources.max_by_key(|source| source.length)
    }

    pub(super) fn views(&self) -> Vec<View<'_>> {
        self.running.iter().map(Sequence::view).collect()
    }

    /// Takes the place from a request that is less urgent than the next of those who wait, if that
    /// is sure to have a place, whatever it could share, when all such have given way.
    fn give_way(&mut self, now: Instant) -> bool {
        let Some(next) = self.queue.front(now) else { return false };
        let (urgency, goal) = (next.urgency(now), next.goal());
        let others = || self.running.iter().filter(|other| other.urgency(now) >= urgency);
        let held: usize = others().map(|other| other.seen().len() + other.outstanding()).sum();
        let fits = others().next().is_none() || held + goal <= self.kv.context.tokens() as usize;
        match self.least_urgent(now) {
            Some((at, least)) if fits && least < urgency => {
                self.suspend(at);
                true
            }
            _ => false,
        }
    }

    /// Takes the place from the least urgent request, unless it is alone.
    pub(super) fn preempt(&mut self) -> bool {
        match self.least_urgent(Instant::now()) {
            Some((at, _)) if self.running.len() > 1 => {
                self.suspend(at);
                true
            }
            _ => false,
        }
    }

    /// Of those that run, and of several the one that started last.
    fn least_urgent(&self, now: Instant) -> Option<(usize, Urgency)> {
        let urgencies = self.running.iter().map(|sequence| sequence.urgency(now)).enumerate();
        urgencies.rev().min_by_key(|(_, urgency)| *urgency)
    }

    /// Takes the place of this one, which takes over what is left of it in the cache when it has
    /// one again.
    fn suspend(&mut self, at: usize) {
        let mut sequence = self.running.remove(at);
        self.keep(&sequence);
        sequence.suspend();
        self.queue.put_back(sequence);
        self.preemptions += 1;
    }
}
