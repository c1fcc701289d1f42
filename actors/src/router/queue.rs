//! Turns that wait for a slot: higher priority first, then first come, first served; those
//! whose deadline passes while they wait are given back.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Instant;

use tandem_proto::v1::Priority;

/// Waiting jobs and running ones by number.
#[derive(Debug)]
pub(super) struct Queue<J> {
    running: u32,
    running_max: u32,
    arrivals: u64,
    waiting: BTreeMap<(Reverse<u8>, u64), Waiting<J>>,
}

#[derive(Debug)]
struct Waiting<J> {
    job: J,
    deadline: Instant,
}

impl<J> Queue<J> {
    pub(super) fn new(running_max: u32) -> Self {
        Self { running: 0, running_max, arrivals: 0, waiting: BTreeMap::new() }
    }

    pub(super) fn push(&mut self, job: J, priority: Priority, deadline: Instant) {
        let rank = match priority {
            Priority::Low => 0,
            Priority::Unspecified | Priority::Normal => 1,
            Priority::High => 2,
        };
        self.arrivals += 1;
        self.waiting.insert((Reverse(rank), self.arrivals), Waiting { job, deadline });
    }

    /// The next job, if there is a slot for it, which it then holds.
    pub(super) fn pop(&mut self) -> Option<J> {
        if self.running >= self.running_max {
            return None;
        }
        let (_, waiting) = self.waiting.pop_first()?;
        self.running += 1;
        Some(waiting.job)
    }

    /// A job that was popped is over.
    pub(super) fn release(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Removes the jobs whose deadline has passed, and those that nobody waits for any more.
    pub(super) fn expire(&mut self, now: Instant, abandoned: impl Fn(&J) -> bool) -> Vec<J> {
        self.waiting
            .extract_if(.., |_, waiting| waiting.deadline <= now || abandoned(&waiting.job))
            .map(|(_, w)| w.job)
            .collect()
    }

    /// Removes everything that waits.
    pub(super) fn clear(&mut self) -> Vec<J> {
        std::mem::take(&mut self.waiting).into_values().map(|waiting| waiting.job).collect()
    }

    pub(super) fn running(&self) -> u32 {
        self.running
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn higher_priority_goes_first_and_equals_in_order_of_arrival() {
        let mut queue = Queue::new(10);
        let later = Instant::now() + Duration::from_secs(60);
        queue.push("low", Priority::Low, later);
        queue.push("first", Priority::Unspecified, later);
        queue.push("second", Priority::Normal, later);
        queue.push("high", Priority::High, later);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["high", "first", "second", "low"]);
    }

    #[test]
    fn no_more_run_than_there_are_slots() {
        let mut queue = Queue::new(2);
        let later = Instant::now() + Duration::from_secs(60);
        for job in 0..3 {
            queue.push(job, Priority::Normal, later);
        }
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(0), Some(1), None));
        queue.release();
        assert_eq!(queue.pop(), Some(2));
        assert_eq!((queue.running(), queue.waiting()), (2, 0));
    }

    #[test]
    fn what_nobody_waits_for_is_given_back() {
        let mut queue = Queue::new(0);
        let later = Instant::now() + Duration::from_secs(60);
        queue.push("gone", Priority::Normal, later);
        queue.push("here", Priority::Normal, later);
        assert_eq!(queue.expire(Instant::now(), |job| *job == "gone"), ["gone"]);
        assert_eq!(queue.waiting(), 1);
    }

    #[test]
    fn what_waits_past_its_deadline_is_given_back() {
        let mut queue = Queue::new(0);
        let now = Instant::now();
        queue.push("late", Priority::High, now);
        queue.push("early", Priority::Low, now + Duration::from_secs(1));
        assert_eq!(queue.expire(now, |_| false), ["late"]);
        assert_eq!(queue.waiting(), 1);
        assert_eq!(queue.clear(), ["early"]);
    }
}
