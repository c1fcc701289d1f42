//! The cells of the KV cache: which sequence holds which, each cell counted once however many
//! sequences share it.

use std::iter::repeat_n;

/// Who holds a cell.
#[derive(Debug, Clone, Copy, Default)]
struct Holders {
    all: u32,
    running: u32,
}

/// The cells that a sequence holds, in the order of its tokens.
#[derive(Debug, Clone, Default)]
struct Held {
    cells: Vec<usize>,
    running: bool,
}

/// All cells. The numbers of cells are names of our own: llama.cpp places tokens where it likes,
/// but takes and frees a cell exactly when this does.
#[derive(Debug)]
pub struct Cells {
    holders: Vec<Holders>,
    free: Vec<usize>,
    sequences: Vec<Held>,
    /// Cells that at least one running sequence holds.
    running: usize,
}

impl Cells {
    /// All of `cells` are free; sequences `0..sequences` can hold some.
    pub fn new(cells: u32, sequences: u32) -> Self {
        let holders: Vec<Holders> = repeat_n(Holders::default(), cells as usize).collect();
        let free = (0..holders.len()).rev().collect();
        let sequences = repeat_n(Held::default(), sequences as usize).collect();
        Self { holders, free, sequences, running: 0 }
    }

    /// Cells that nobody holds.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Cells that only sequences hold which do not run.
    pub fn retained(&self) -> usize {
        self.holders.len() - self.free.len() - self.running
    }

    /// Of the first `length` cells of `sequence`, those that no running sequence holds.
    pub fn retained_in(&self, sequence: u32, length: usize) -> usize {
        let cells = self.held(sequence).iter().take(length);
        cells.filter(|&&cell| self.holders.get(cell).is_some_and(|by| by.running == 0)).count()
    }

    /// Cells of `sequence`.
    pub fn length(&self, sequence: u32) -> usize {
        self.held(sequence).len()
    }

    /// The length to which `sequence` must be cut to free `count` cells; 0 if it has fewer of its
    /// own.
    pub fn length_that_frees(&self, sequence: u32, count: usize) -> usize {
        let cells = self.held(sequence);
        let own = |cell: &usize| self.holders.get(*cell).is_some_and(|by| by.all == 1);
        let mut ends = (0..cells.len()).rev().filter(|&at| cells.get(at).is_some_and(own));
        ends.nth(count.saturating_sub(1)).unwrap_or(0)
    }

    /// Says whether `sequence` runs.
    pub fn set_running(&mut self, sequence: u32, running: bool) {
        let Some(held) = self.sequences.get_mut(sequence as usize) else { return };
        if std::mem::replace(&mut held.running, running) == running {
            return;
        }
        for &cell in &held.cells {
            let Some(by) = self.holders.get_mut(cell) else { continue };
            if running {
                self.running += usize::from(by.running == 0);
                by.running += 1;
            } else {
                by.running -= 1;
                self.running -= usize::from(by.running == 0);
            }
        }
    }

    /// Gives `sequence` `count` free cells. Whether there were as many; if not, none are given.
    pub fn extend(&mut self, sequence: u32, count: usize) -> bool {
        let Some(rest) = self.free.len().checked_sub(count) else { return false };
        for cell in self.free.split_off(rest) {
            self.hold(sequence, cell);
        }
        true
    }

    /// Lets `to` hold the first `length` cells of `from`, of which it may hold the first already.
    pub fn share(&mut self, from: u32, to: u32, length: usize) {
        let start = self.length(to);
        let end = length.min(self.length(from));
        let cells = self.held(from).get(start..end).unwrap_or_default().to_vec();
        for cell in cells {
            self.hold(to, cell);
        }
    }

    /// Takes all but the first `length` cells from `sequence`.
    pub fn truncate(&mut self, sequence: u32, length: usize) {
        let Some(held) = self.sequences.get_mut(sequence as usize) else { return };
        let dropped = held.cells.split_off(length.min(held.cells.len()));
        for cell in dropped {
            let Some(by) = self.holders.get_mut(cell) else { continue };
            by.all -= 1;
            if held.running {
                by.running -= 1;
                self.running -= usize::from(by.running == 0);
            }
            if by.all == 0 {
                self.free.push(cell);
            }
        }
    }

    fn hold(&mut self, sequence: u32, cell: usize) {
        let held = self.sequences.get_mut(sequence as usize);
        let (Some(held), Some(by)) = (held, self.holders.get_mut(cell)) else { return };
        held.cells.push(cell);
        by.all += 1;
        if held.running {
            self.running += usize::from(by.running == 0);
            by.running += 1;
        }
    }

    fn held(&self, sequence: u32) -> &[usize] {
        self.sequences.get(sequence as usize).map_or(&[], |held| &held.cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_cell_counts_once_and_is_free_when_its_last_holder_is_gone() {
        let mut cells = Cells::new(10, 3);
        assert!(cells.extend(0, 6));
        cells.share(0, 1, 4);
        assert!(cells.extend(1, 2));
        assert_eq!((cells.free(), cells.length(1)), (2, 6));
        cells.truncate(0, 0);
        assert_eq!(cells.free(), 4, "four are still held by the other");
        cells.truncate(1, 3);
        assert_eq!(cells.free(), 7);
        assert!(!cells.extend(2, 8));
        assert_eq!((cells.free(), cells.length(2)), (7, 0));
    }

    #[test]
    fn retained_cells_are_those_that_nothing_running_holds() {
        let mut cells = Cells::new(10, 2);
        assert!(cells.extend(0, 6));
        assert_eq!((cells.retained(), cells.retained_in(0, 4)), (6, 4));
        cells.set_running(1, true);
        cells.share(0, 1, 2);
        assert_eq!((cells.retained(), cells.retained_in(0, 4)), (4, 2));
        cells.set_running(1, false);
        assert_eq!(cells.retained(), 6);
    }

    #[test]
    fn only_cells_of_its_own_are_freed_by_cutting_a_sequence() {
        let mut cells = Cells::new(10, 2);
        assert!(cells.extend(0, 6));
        cells.share(0, 1, 4);
        assert_eq!(cells.length_that_frees(0, 1), 5);
        assert_eq!(cells.length_that_frees(0, 2), 4);
        assert_eq!(cells.length_that_frees(0, 3), 0, "it has no third");
        assert_eq!(cells.length_that_frees(1, 1), 0);
    }
}
