//! The KV cache as the scheduler sees it: sequences that run, prefixes that are kept for later
//! requests, and the cells of both. Nothing is copied when sequences share a beginning; only
//! llama.cpp's notes on who sees a cell change.

use std::collections::BTreeSet;
use std::ops::Range;

use super::cells::Cells;
use super::prefixes::Prefixes;

/// Least cells that a cut of a kept prefix frees: each cut makes llama.cpp look at all cells.
const CUT_MIN: usize = 32;

/// The part of all cells that should be free when cells are moved together, which takes longer
/// than a step: kept prefixes are given up for that.
const FREE_WHEN_MOVED: usize = 8;

/// What the cache needs llama.cpp for.
pub trait Memory {
    /// Shows tokens `start..length` of `from` to `to`, which holds those before. Whether `from`
    /// has all that tokens behind them need; if not, nothing is changed.
    fn share(&mut self, from: u32, to: u32, start: usize, length: usize) -> bool;

    /// Removes all but the first `length` tokens of `sequence`.
    fn truncate(&mut self, sequence: u32, length: usize);

    /// Keeps the cells of these tokens of `sequence` from being used again until all are moved
    /// together. Asked for only where cells lie in order.
    fn fill(&mut self, sequence: u32, tokens: Range<usize>);

    /// Moves all cells together in their order, the filled ones left out. `unshared` are the tokens
    /// that only one sequence sees. Whether it did; if not, nothing is changed.
    fn close_holes(&mut self, unshared: &[(u32, Range<usize>)]) -> bool;

    /// A kept prefix, which holds `tokens`, is about to lose some or all of them. Asked once for
    /// each.
    fn give_way(&mut self, sequence: u32, tokens: &[u32]);
}

/// The first `length` tokens of `sequence`, to be taken over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Source {
    /// Runs, or is kept.
    pub sequence: u32,
    /// At least 1.
    pub length: usize,
}

/// What is in the KV cache.
#[derive(Debug)]
pub struct Cache {
    cells: Cells,
    /// Sequences that hold nothing.
    idle: BTreeSet<u32>,
    prefixes: Prefixes,
    /// Whether the model allows that sequences share tokens.
    shares: bool,
}

impl Cache {
    /// An empty cache, in which each sequence lies `in_order` of its tokens if that is wanted.
    pub fn new(cells: u32, sequences: u32, shares: bool, in_order: bool) -> Self {
        Self {
            cells: Cells::new(cells, sequences, in_order),
            idle: (0..sequences).collect(),
            prefixes: Prefixes::default(),
            shares,
        }
    }

    /// Cells that hold nothing.
    pub fn cells_free(&self) -> usize {
        self.cells.free()
    }

    /// Cells that only kept prefixes hold.
    pub fn cells_retained(&self) -> usize {
        self.cells.retained()
    }

    /// Prefixes that are kept.
    pub fn prefixes(&self) -> usize {
        self.prefixes.count()
    }

    /// The kept prefix that has most in common with the beginning of `tokens`.
    pub fn source(&self, tokens: &[u32]) -> Option<Source> {
        let (sequence, length) = self.prefixes.best(tokens)?;
        Some(Source { sequence, length })
    }

    /// Cells that a sequence can have beside those of `source` if all prefixes are given up that
    /// are kept.
    pub fn room_beside(&self, source: Option<Source>) -> usize {
        let taken = source.map_or(0, |from| self.cells.retained_in(from.sequence, from.length));
        self.cells.free() + self.cells.retained() - taken
    }

    /// Starts a sequence with the tokens of `source`; the sequence, and how many tokens it got.
    /// `None` when all sequences run.
    pub fn open(
        &mut self,
        memory: &mut impl Memory,
        source: Option<Source>,
    ) -> Option<(u32, usize)> {
        if let Some(source) = source {
            self.prefixes.touch(source.sequence);
        }
        let sequence = self.spare(memory)?;
        self.idle.remove(&sequence);
        self.cells.set_running(sequence, true);
        let taken = source.is_some_and(|source| self.take(memory, source, sequence));
        Some((sequence, source.filter(|_| taken).map_or(0, |source| source.length)))
    }

    /// Lets `to`, which runs, take over the tokens of `source`, whose first ones it may have
    /// already. Whether it has them now.
    pub fn take(&mut self, memory: &mut impl Memory, source: Source, to: u32) -> bool {
        let Source { sequence: from, length } = source;
        let start = self.cells.length(to);
        let taken = self.shares
            && self.cells.length(from) >= length
            && self.cells.can_share(from, to)
            && memory.share(from, to, start, length);
        if taken {
            self.cells.share(from, to, length);
        }
        taken
    }

    /// Gives up kept prefixes until `count` cells are free, and moves others if need be so that
    /// these can be used. Whether they can.
    pub fn make_room(&mut self, memory: &mut impl Memory, count: usize) -> bool {
        if !self.free_up(memory, count) {
            return false;
        }
        if self.cells.at_hand() >= count {
            return true;
        }
        self.free_up(memory, self.cells.count() / FREE_WHEN_MOVED);
        let moved = memory.close_holes(&self.cells.unshared());
        if moved {
            self.cells.close_holes();
        }
        moved
    }

    /// Cells that guesses may take: kept prefixes are given up for them, but nothing is moved.
    pub fn room_for_guesses(&self) -> usize {
        if self.cells.in_order() { self.cells.at_hand() } else { self.room_beside(None) }
    }

    fn free_up(&mut self, memory: &mut impl Memory, count: usize) -> bool {
        while let Some(missing) = count.checked_sub(self.cells.free()).filter(|&n| n > 0) {
            let Some(sequence) = self.least_recent(memory) else { return false };
            let length = self.cells.length_that_frees(sequence, missing.max(CUT_MIN));
            self.cut(memory, sequence, length);
        }
        true
    }

    /// Gives up a whole kept prefix. Whether there was one.
    pub fn give_one_up(&mut self, memory: &mut impl Memory) -> bool {
        let sequence = self.least_recent(memory);
        sequence.map(|sequence| self.cut(memory, sequence, 0)).is_some()
    }

    /// Makes a kept prefix of `tokens`, which `fill` puts into a sequence. Whether it did.
    pub fn adopt<M: Memory>(
        &mut self,
        memory: &mut M,
        tokens: &[u32],
        fill: impl FnOnce(&mut M, u32) -> bool,
    ) -> bool {
        if !self.shares || !self.make_room(memory, tokens.len()) {
            return false;
        }
        let Some((sequence, _)) = self.open(memory, None) else { return false };
        if fill(memory, sequence) && self.cells.extend(sequence, tokens.len()) {
            self.close(memory, sequence, tokens);
            return true;
        }
        self.discard(memory, sequence);
        false
    }

    /// Runs `work` on a sequence that holds the first `length` tokens of another. `None` when
    /// there is no sequence to spare or the tokens cannot be shared.
    pub fn with_copy<M: Memory, R>(
        &mut self,
        memory: &mut M,
        sequence: u32,
        length: usize,
        work: impl FnOnce(&mut M, u32) -> R,
    ) -> Option<R> {
        let copy = self.spare(memory)?;
        if !self.shares || !memory.share(sequence, copy, 0, length) {
            return None;
        }
        let result = work(memory, copy);
        memory.truncate(copy, 0);
        Some(result)
    }

    /// A sequence that holds nothing, if need be one whose prefix is given up for it.
    fn spare(&mut self, memory: &mut impl Memory) -> Option<u32> {
        if self.idle.is_empty() {
            self.give_one_up(memory);
        }
        // The lowest, so that the numbers in use stay compact.
        self.idle.first().copied()
    }

    /// The kept prefix that gives way next.
    fn least_recent(&mut self, memory: &mut impl Memory) -> Option<u32> {
        self.prefixes.least_recent(|sequence, tokens| memory.give_way(sequence, tokens))
    }

    /// `count` tokens of `sequence` were decoded. Whether there was room, which
    /// [`Self::make_room`] sees to.
    pub fn extend(&mut self, sequence: u32, count: usize) -> bool {
        self.cells.extend(sequence, count)
    }

    /// Takes back all but the first `length` tokens of a running sequence.
    pub fn rewind(&mut self, memory: &mut impl Memory, sequence: u32, length: usize) {
        if self.cells.length(sequence) > length {
            self.release(memory, sequence, length);
        }
    }

    /// Ends a running sequence, which holds `tokens`, and keeps it as long as there is room.
    pub fn close(&mut self, memory: &mut impl Memory, sequence: u32, tokens: &[u32]) {
        if !self.shares || tokens.is_empty() {
            self.discard(memory, sequence);
            return;
        }
        self.cells.set_running(sequence, false);
        for superfluous in self.prefixes.insert(sequence, tokens) {
            self.discard(memory, superfluous);
        }
    }

    /// Ends a running sequence and keeps nothing of it.
    pub fn discard(&mut self, memory: &mut impl Memory, sequence: u32) {
        self.cells.set_running(sequence, false);
        self.cut(memory, sequence, 0);
    }

    /// The way out of the cache for tokens that may be of use to others.
    fn cut(&mut self, memory: &mut impl Memory, sequence: u32, length: usize) {
        self.release(memory, sequence, length);
        self.prefixes.shorten(sequence, length);
        if length == 0 {
            self.idle.insert(sequence);
        }
    }

    fn release(&mut self, memory: &mut impl Memory, sequence: u32, length: usize) {
        let holes = self.cells.truncate(sequence, length);
        if !holes.is_empty() {
            memory.fill(sequence, holes);
        }
        memory.truncate(sequence, length);
    }
}

#[cfg(test)]
mod tests;
