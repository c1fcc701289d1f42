//! Turns that wait for a slot. The more urgent go first, and among equals the clients take turns. Those
//! whose deadline passes while they wait are given back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::class::Class;

mod lane;
#[cfg(test)]
mod tests;

use lane::Lane;

/// How long background work waits before it counts as that of a program.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waiting jobs, and running ones by number.
#[derive(Debug)]
pub(super) struct Queue<J> {
    slots: u32,
    /// By class.
    running: [u32; 3],
    /// By class.
    lanes: [Lane<Waiting<J>>; 3],
}

#[derive(Debug)]
struct Waiting<J> {
    job: J,
    since: Instant,
    deadline: Instant,
}

impl<J> Queue<J> {
    pub(super) fn new(slots: u32) -> Self {
        Self { slots, running: [0; 3], lanes: Default::default() }
    }

    /// Adds a job that waits since `now`.
    pub(super) fn push(
        &mut self,
        job: J,
        class: Class,
        client: &Arc<str>,
        now: Instant,
        deadline: Instant,
    ) {
        self.lane(class).push(client, Waiting { job, since: now, deadline });
    }

    /// The next job, if there is a slot for it, which it then holds, and as what it does.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(J, Class)> {
        self.promote(now);
        let may_go =
            |class: &Class| !self.lanes[*class as usize].is_empty() && self.may_run(*class);
        let class = Class::ALL.into_iter().find(may_go)?;
        let waiting = self.lane(class).pop()?;
        self.running[class as usize] += 1;
        Some((waiting.job, class))
    }

    /// A job that was popped as one of this class is over.
    pub(super) fn release(&mut self, class: Class) {
        let running = &mut self.running[class as usize];
        *running = running.saturating_sub(1);
    }

    /// Removes the jobs whose deadline has passed, and those that nobody waits for any more.
    pub(super) fn expire(&mut self, now: Instant, abandoned: impl Fn(&J) -> bool) -> Vec<J> {
        self.take(|waiting| waiting.deadline <= now || abandoned(&waiting.job))
    }

    /// Removes everything that waits.
    pub(super) fn clear(&mut self) -> Vec<J> {
        self.take(|_| true)
    }

    /// Shows `each` the jobs in the order in which they would be started if no other came, with their
    /// place in it, from 1, and since when they wait.
    pub(super) fn each_in_turn(&mut self, mut each: impl FnMut(u32, Class, Instant, &mut J)) {
        let mut position = 0;
        for (class, lane) in Class::ALL.into_iter().zip(&mut self.lanes) {
            lane.each_in_turn(|Waiting { job, since, .. }| {
                position += 1;
                each(position, class, *since, job);
            });
        }
    }

    pub(super) fn running(&self) -> u32 {
        self.running.iter().sum()
    }

    pub(super) fn waiting(&self) -> usize {
        self.lanes.iter().map(Lane::len).sum()
    }

    /// Background work that has waited for long counts as that of a program from now on.
    fn promote(&mut self, now: Instant) {
        let old = |waiting: &Waiting<J>| now.saturating_duration_since(waiting.since) >= PATIENCE;
        for (client, waiting) in self.lane(Class::Background).take(old) {
            self.lane(Class::Batch).push(&client, waiting);
        }
    }

    /// Whether one more of this class leaves room enough for all that are more urgent.
    fn may_run(&self, class: Class) -> bool {
        let held = |by: Class| -> u32 { self.running.iter().skip(by as usize).sum() };
        let mut bounds = Class::ALL.into_iter().filter(|bound| *bound <= class);
        bounds.all(|bound| held(bound) < bound.slots(self.slots))
    }

    fn lane(&mut self, class: Class) -> &mut Lane<Waiting<J>> {
        &mut self.lanes[class as usize]
    }

    fn take(&mut self, meant: impl Fn(&Waiting<J>) -> bool) -> Vec<J> {
        let taken = self.lanes.iter_mut().flat_map(|lane| lane.take(&meant));
        taken.map(|(_, waiting)| waiting.job).collect()
    }
}
