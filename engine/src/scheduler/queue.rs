//! Requests that wait for a place: the most urgent first, and among those strictly in order, so that a
//! large one is not starved by small ones behind it.

use std::collections::VecDeque;
use std::time::Instant;

use super::urgency::Urgency;

/// New requests that wait at most.
pub const WAITING_MAX: usize = 256;

/// What waits.
pub trait Waits {
    /// How urgent it is by now.
    fn urgency(&self, now: Instant) -> Urgency;
}

/// The queue.
#[derive(Debug)]
pub struct Queue<R> {
    /// In the order in which they came, and before them those that had their places already.
    waiting: VecDeque<R>,
}

impl<R: Waits> Queue<R> {
    /// Nobody waits.
    pub fn new() -> Self {
        Self { waiting: VecDeque::new() }
    }

    /// Adds a request; gives it back if too many wait.
    pub fn offer(&mut self, request: R) -> Result<(), R> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(request);
        }
        self.waiting.push_back(request);
        Ok(())
    }

    /// Puts a request that had its place back before all others that are as urgent, however many
    /// wait.
    pub fn put_back(&mut self, request: R) {
        self.waiting.push_front(request);
    }

    /// Who is next.
    pub fn front(&self, now: Instant) -> Option<&R> {
        self.waiting.get(self.next(now)?)
    }

    /// Who is next, to be changed.
    pub fn front_mut(&mut self, now: Instant) -> Option<&mut R> {
        let next = self.next(now)?;
        self.waiting.get_mut(next)
    }

    /// Takes who is next.
    pub fn pop(&mut self, now: Instant) -> Option<R> {
        let next = self.next(now)?;
        self.waiting.remove(next)
    }

    /// Takes the first request that `matches` out of the queue.
    pub fn withdraw(&mut self, matches: impl Fn(&R) -> bool) -> Option<R> {
        let at = self.waiting.iter().position(matches)?;
        self.waiting.remove(at)
    }

    /// Requests that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn next(&self, now: Instant) -> Option<usize> {
        // `max_by_key` gives the last of equals, and the first is wanted.
        let backwards = self.waiting.iter().enumerate().rev();
        backwards.max_by_key(|(_, waits)| waits.urgency(now)).map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::scheduler::urgency::Urgency::{Background, Batch, Interactive};

    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Job(Urgency, usize);

    impl Waits for Job {
        fn urgency(&self, _: Instant) -> Urgency {
            self.0
        }
    }

    #[test]
    fn a_full_queue_gives_new_requests_back_but_never_those_that_ran() {
        let mut queue = Queue::new();
        let (now, job) = (Instant::now(), |number| Job(Batch, number));
        for number in 0..WAITING_MAX {
            queue.offer(job(number)).unwrap();
        }
        assert_eq!(queue.offer(job(999)), Err(job(999)));
        queue.put_back(job(500));
        assert_eq!((queue.len(), queue.front(now)), (WAITING_MAX + 1, Some(&job(500))));
        assert_eq!((queue.pop(now), queue.pop(now)), (Some(job(500)), Some(job(0))));
        assert_eq!(queue.withdraw(|job| job.1 == 7), Some(job(7)));
        assert_eq!(queue.withdraw(|job| job.1 == 7), None);
        assert_eq!(queue.offer(job(999)), Ok(()));
    }

    #[test]
    fn the_most_urgent_goes_first_and_of_those_who_had_a_place_before() {
        let mut queue = Queue::new();
        let now = Instant::now();
        for job in [Job(Background, 1), Job(Batch, 2), Job(Interactive, 3), Job(Batch, 4)] {
            queue.offer(job).unwrap();
        }
        queue.put_back(Job(Background, 5));
        queue.put_back(Job(Batch, 6));
        let order = std::iter::from_fn(|| queue.pop(now));
        assert_eq!(order.map(|job| job.1).collect::<Vec<_>>(), [3, 6, 2, 4, 5, 1]);
    }
}
