//! Who may start: a bounded queue, and the sequences and KV cells that are free.
//!
//! A request reserves the cells that it can ever need before it starts, so that the cache never
//! runs out in the middle of an answer.

use std::collections::{BTreeSet, VecDeque};

/// Requests that wait at most.
pub const WAITING_MAX: usize = 256;

/// What a request holds while it runs. Given back with [`Admission::release`].
#[derive(Debug, PartialEq)]
pub struct Place {
    /// The sequence in the KV cache.
    pub sequence: u32,
    /// Reserved cells.
    pub cells: u32,
}

/// The queue, and what is free.
#[derive(Debug)]
pub struct Admission<R> {
    waiting: VecDeque<(u32, R)>,
    free: BTreeSet<u32>,
    cells_free: u32,
}

impl<R> Admission<R> {
    /// All of `sequences` and `cells` are free.
    pub fn new(sequences: u32, cells: u32) -> Self {
        Self { waiting: VecDeque::new(), free: (0..sequences).collect(), cells_free: cells }
    }

    /// Queues a request that needs `cells`; gives it back if too many wait.
    pub fn offer(&mut self, cells: u32, request: R) -> Result<(), R> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(request);
        }
        self.waiting.push_back((cells, request));
        Ok(())
    }

    /// The next request that can start. Strictly in order: a large request is not starved by
    /// small ones behind it.
    pub fn admit(&mut self) -> Option<(Place, R)> {
        let cells = self.waiting.front()?.0;
        if cells > self.cells_free {
            return None;
        }
        // The lowest, as attention is cheaper over compact sequences.
        let sequence = self.free.pop_first()?;
        let (_, request) = self.waiting.pop_front()?;
        self.cells_free -= cells;
        Some((Place { sequence, cells }, request))
    }

    /// Takes back what an ended request held.
    pub fn release(&mut self, place: &Place) {
        self.free.insert(place.sequence);
        self.cells_free += place.cells;
    }

    /// Takes the first waiting request that `matches` out of the queue.
    pub fn withdraw(&mut self, matches: impl Fn(&R) -> bool) -> Option<R> {
        let at = self.waiting.iter().position(|(_, request)| matches(request))?;
        self.waiting.remove(at).map(|(_, request)| request)
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Cells that nobody has reserved.
    pub fn cells_free(&self) -> u32 {
        self.cells_free
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn requests_start_in_order_when_sequence_and_cells_are_free() {
        let mut admission = Admission::new(2, 100);
        for (cells, name) in [(60, "a"), (50, "b"), (10, "c")] {
            admission.offer(cells, name).unwrap();
        }
        let (first, name) = admission.admit().unwrap();
        assert_eq!((&first, name), (&Place { sequence: 0, cells: 60 }, "a"));
        assert_eq!(admission.admit(), None, "b does not fit, and c does not overtake it");
        admission.release(&first);
        assert_eq!(admission.admit().unwrap().1, "b");
        assert_eq!(admission.admit().unwrap().1, "c");
        assert_eq!(admission.cells_free(), 40);
    }

    #[test]
    fn no_more_requests_start_than_there_are_sequences() {
        let mut admission = Admission::new(1, 100);
        admission.offer(1, "a").unwrap();
        admission.offer(1, "b").unwrap();
        assert!(admission.admit().is_some());
        assert_eq!(admission.admit(), None);
    }

    #[test]
    fn a_full_queue_gives_requests_back() {
        let mut admission = Admission::new(1, 100);
        for number in 0..WAITING_MAX {
            admission.offer(1, number).unwrap();
        }
        assert_eq!(admission.offer(1, 999), Err(999));
        assert_eq!(admission.withdraw(|&number| number == 7), Some(7));
        assert_eq!(admission.withdraw(|&number| number == 7), None);
        assert_eq!(admission.offer(1, 999), Ok(()));
    }

    #[test]
    fn everything_is_free_again_in_the_end() {
        let mut admission = Admission::new(3, 50);
        let mut running: Vec<Place> = Vec::new();
        for number in 0..1000_u32 {
            let _ = admission.offer(number * 7 % 51, number);
            if number % 3 == 0 && !running.is_empty() {
                let ended = running.swap_remove(number as usize % running.len());
                admission.release(&ended);
            }
            while let Some((place, _)) = admission.admit() {
                assert!(running.iter().all(|other| other.sequence != place.sequence));
                running.push(place);
            }
            let held: u32 = running.iter().map(|place| place.cells).sum();
            assert_eq!(held + admission.cells_free(), 50);
        }
        for place in &running {
            admission.release(place);
        }
        while let Some((place, _)) = admission.admit() {
            admission.release(&place);
        }
        assert_eq!((admission.cells_free(), admission.waiting()), (50, 0));
    }
}
