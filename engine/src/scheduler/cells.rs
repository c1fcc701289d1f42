//! The cells of the KV cache: which sequence holds which, each cell counted once however many
//! sequences share it.

use std::iter::repeat_n;
use std::ops::Range;

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

/// The cells that hold nothing.
#[derive(Debug)]
enum Free {
    /// The numbers of cells are names of our own: llama.cpp places tokens where it likes.
    Anywhere(Vec<usize>),
    /// The numbers are llama.cpp's: the next token lies in cell `top`, behind all others. So each
    /// sequence lies in order. The `holes` before it are of use only when they are moved together.
    Behind { top: usize, holes: usize },
}

/// All cells. llama.cpp takes and frees a cell exactly when this does.
#[derive(Debug)]
pub struct Cells {
    holders: Vec<Holders>,
    free: Free,
    sequences: Vec<Held>,
    /// Cells that at least one running sequence holds.
    running: usize,
}

impl Cells {
    /// All of `cells` are free; sequences `0..sequences` can hold some, each `in_order` of its
    /// tokens if that is wanted.
    pub fn new(cells: u32, sequences: u32, in_order: bool) -> Self {
        let holders: Vec<Holders> = repeat_n(Holders::default(), cells as usize).collect();
        let free = if in_order {
            Free::Behind { top: 0, holes: 0 }
        } else {
            Free::Anywhere((0..holders.len()).rev().collect())
        };
        let sequences = repeat_n(Held::default(), sequences as usize).collect();
        Self { holders, free, sequences, running: 0 }
    }

    /// Cells that nobody holds.
    pub fn free(&self) -> usize {
        match &self.free {
            Free::Anywhere(free) => free.len(),
            Free::Behind { top, holes } => self.holders.len() - top + holes,
        }
    }

    /// Those of them that can be taken without moving others.
    pub fn at_hand(&self) -> usize {
        match &self.free {
            Free::Anywhere(free) => free.len(),
            Free::Behind { top, .. } => self.holders.len() - top,
        }
    }

    /// Whether each sequence lies in order.
    pub fn in_order(&self) -> bool {
        matches!(self.free, Free::Behind { .. })
    }

    /// Cells, free or not.
    pub fn count(&self) -> usize {
        self.holders.len()
    }

    /// Cells that only sequences hold which do not run.
    pub fn retained(&self) -> usize {
        self.holders.len() - self.free() - self.running
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

    /// Gives `sequence` `count` of the cells at hand. Whether there were as many; if not, none are
    /// given.
    pub fn extend(&mut self, sequence: u32, count: usize) -> bool {
        let Some(rest) = self.at_hand().checked_sub(count) else { return false };
        let taken = match &mut self.free {
            Free::Anywhere(free) => free.split_off(rest),
            Free::Behind { top, .. } => {
                let first = *top;
                *top += count;
                (first..*top).collect()
            }
        };
        for cell in taken {
            self.hold(sequence, cell);
        }
        true
    }

    /// Whether `to` can share what `from` holds behind its own. In order, it can only if it holds
    /// nothing but the first cells of `from`: others may lie behind those that it would get.
    pub fn can_share(&self, from: u32, to: u32) -> bool {
        let held = self.held(to);
        let alike = || self.held(from).get(held.len() - 1) == held.last();
        !self.in_order() || held.is_empty() || alike()
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

    /// Takes all but the first `length` cells from `sequence`. Of which of its tokens the cells
    /// become holes.
    pub fn truncate(&mut self, sequence: u32, length: usize) -> Range<usize> {
        let Some(held) = self.sequences.get_mut(sequence as usize) else { return 0..0 };
        let end = held.cells.len();
        let mut freed = Vec::new();
        for cell in held.cells.split_off(length.min(end)) {
            let Some(by) = self.holders.get_mut(cell) else { continue };
            by.all -= 1;
            if held.running {
                by.running -= 1;
                self.running -= usize::from(by.running == 0);
            }
            if by.all == 0 {
                freed.push(cell);
            }
        }
        match &mut self.free {
            Free::Anywhere(free) => {
                free.extend(freed);
                0..0
            }
            Free::Behind { top, holes } => {
                // Only first tokens are shared, so that these are the sequence's last.
                let start = end - freed.len();
                while freed.pop_if(|cell| *cell + 1 == *top).is_some() {
                    *top -= 1;
                }
                *holes += freed.len();
                start..start + freed.len()
            }
        }
    }

    /// The sequences that have tokens of their own, and which.
    pub fn unshared(&self) -> Vec<(u32, Range<usize>)> {
        let own = |cell: &usize| self.holders.get(*cell).is_some_and(|by| by.all == 1);
        let tokens = (0..).zip(&self.sequences).filter_map(|(sequence, held)| {
            let start = held.cells.iter().position(own)?;
            Some((sequence, start..held.cells.len()))
        });
        tokens.collect()
    }

    /// Cells were moved together in their order, so that there are no holes any more.
    pub fn close_holes(&mut self) {
        let Free::Behind { top, holes } = &mut self.free else { return };
        let mut taken = 0;
        let mut places = Vec::with_capacity(self.holders.len());
        for by in &self.holders {
            places.push(taken);
            taken += usize::from(by.all > 0);
        }
        let count = self.holders.len();
        self.holders.retain(|by| by.all > 0);
        self.holders.resize(count, Holders::default());
        for cell in self.sequences.iter_mut().flat_map(|held| &mut held.cells) {
            *cell = places.get(*cell).copied().unwrap_or(*cell);
        }
        (*top, *holes) = (taken, 0);
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
        let mut cells = Cells::new(10, 3, false);
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
        let mut cells = Cells::new(10, 2, false);
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
        let mut cells = Cells::new(10, 2, false);
        assert!(cells.extend(0, 6));
        cells.share(0, 1, 4);
        assert_eq!(cells.length_that_frees(0, 1), 5);
        assert_eq!(cells.length_that_frees(0, 2), 4);
        assert_eq!(cells.length_that_frees(0, 3), 0, "it has no third");
        assert_eq!(cells.length_that_frees(1, 1), 0);
    }

    #[test]
    fn in_order_each_sequence_gets_cells_behind_those_that_it_has() {
        let mut cells = Cells::new(10, 3, true);
        assert!(cells.extend(0, 4) && cells.extend(1, 2));
        assert_eq!(cells.truncate(0, 1), 1..4);
        assert_eq!((cells.free(), cells.at_hand()), (7, 4), "three are holes");
        assert!(cells.extend(0, 2));
        assert_eq!(cells.held(0), [0, 6, 7]);
        assert!(!cells.extend(1, 3));
        cells.close_holes();
        assert_eq!((cells.held(0), cells.held(1)), (&[0, 3, 4][..], &[1, 2][..]));
        assert_eq!((cells.free(), cells.at_hand()), (5, 5));
        assert!(cells.extend(1, 5));
        assert_eq!(cells.held(1), [1, 2, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn the_last_cells_of_all_leave_no_holes() {
        let mut cells = Cells::new(10, 2, true);
        assert!(cells.extend(0, 3) && cells.extend(1, 3) && cells.extend(0, 2));
        assert_eq!(cells.truncate(0, 2), 2..3, "two of three were the last");
        assert_eq!((cells.free(), cells.at_hand()), (5, 4));
        assert_eq!(cells.truncate(1, 0), 0..0);
        assert_eq!((cells.free(), cells.at_hand()), (8, 7));
    }

    #[test]
    fn in_order_only_the_beginning_of_another_is_shared() {
        let mut cells = Cells::new(20, 3, true);
        assert!(cells.extend(0, 8) && cells.extend(1, 2));
        assert!(!cells.can_share(0, 1), "its two lie behind those that it would get");
        assert!(cells.can_share(0, 2));
        cells.share(0, 2, 3);
        assert!(cells.can_share(0, 2));
        cells.share(0, 2, 5);
        assert_eq!(cells.unshared(), [(0, 5..8), (1, 0..2)]);
        assert_eq!(cells.truncate(0, 2), 5..8, "the others are still held");
    }
}
