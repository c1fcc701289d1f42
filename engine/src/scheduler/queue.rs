//! Requests that wait for a place, strictly in order: a large one is not starved by small ones
//! behind it.

use std::collections::VecDeque;

/// New requests that wait at most.
pub const WAITING_MAX: usize = 256;

/// The queue.
#[derive(Debug)]
pub struct Queue<R> {
    waiting: VecDeque<R>,
}

impl<R> Queue<R> {
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

    /// Puts a request that had its place back before all others, however many wait.
    pub fn put_back(&mut self, request: R) {
        self.waiting.push_front(request);
    }

    /// Who is next.
    pub fn front(&self) -> Option<&R> {
        self.waiting.front()
    }

    /// Who is next, to be changed.
    pub fn front_mut(&mut self) -> Option<&mut R> {
        self.waiting.front_mut()
    }

    /// Takes who is next.
    pub fn pop(&mut self) -> Option<R> {
        self.waiting.pop_front()
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
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_full_queue_gives_new_requests_back_but_never_those_that_ran() {
        let mut queue = Queue::new();
        for number in 0..WAITING_MAX {
            queue.offer(number).unwrap();
        }
        assert_eq!(queue.offer(999), Err(999));
        queue.put_back(500);
        assert_eq!((queue.len(), queue.front()), (WAITING_MAX + 1, Some(&500)));
        assert_eq!((queue.pop(), queue.pop()), (Some(500), Some(0)));
        assert_eq!(queue.withdraw(|&number| number == 7), Some(7));
        assert_eq!(queue.withdraw(|&number| number == 7), None);
        assert_eq!(queue.offer(999), Ok(()));
    }
}
