//! Snapshots in memory, under a budget that is kept to the byte.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Snapshot, continues};

/// What a snapshot takes besides tokens and state, rounded up.
const ENTRY_BYTES: usize = 256;

/// Most snapshots, so that looking for one stays short whatever their size.
const ENTRIES_MAX: usize = 1024;

/// The snapshots used last.
#[derive(Debug)]
pub struct Memory {
    budget: usize,
    used: usize,
    /// The one used last is at the back.
    entries: VecDeque<Arc<Snapshot>>,
}

impl Memory {
    /// Holds at most `budget` bytes.
    pub fn new(budget: usize) -> Self {
        Self { budget, used: 0, entries: VecDeque::new() }
    }

    /// Holds at most `budget` bytes from now on, letting go of the snapshots unused for longest.
    pub fn limit(&mut self, budget: usize) {
        self.budget = budget;
        self.make_room(0);
    }

    /// Bytes that a snapshot counts for.
    pub fn cost(tokens: usize, state_bytes: usize) -> usize {
        tokens.saturating_mul(4).saturating_add(state_bytes).saturating_add(ENTRY_BYTES)
    }

    /// Lets go of the snapshots unused for longest until there is room for `cost` bytes more.
    /// Whether there is; if there cannot be, nothing is let go.
    pub fn make_room(&mut self, cost: usize) -> bool {
        if cost > self.budget {
            return false;
        }
        while self.used > self.budget - cost || self.entries.len() >= ENTRIES_MAX {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.used -= cost_of(&oldest);
        }
        true
    }

    /// Adds a snapshot, unless it is too large.
    pub fn insert(&mut self, snapshot: Arc<Snapshot>) {
        let cost = cost_of(&snapshot);
        self.remove(&snapshot.tokens);
        if self.make_room(cost) {
            self.used += cost;
            self.entries.push_back(snapshot);
        }
    }

    /// Length of the longest snapshot behind which `prompt` goes on; 0 when there is none.
    pub fn longest(&self, prompt: &[u32]) -> usize {
        let fitting = self.entries.iter().filter(|entry| continues(prompt, &entry.tokens));
        fitting.map(|entry| entry.tokens.len()).max().unwrap_or(0)
    }

    /// The snapshot of exactly these tokens, which counts as used.
    pub fn get(&mut self, tokens: &[u32]) -> Option<Arc<Snapshot>> {
        let at = self.position(tokens)?;
        let snapshot = self.entries.remove(at)?;
        self.entries.push_back(Arc::clone(&snapshot));
        Some(snapshot)
    }

    /// Lets go of the snapshot of exactly these tokens.
    pub fn remove(&mut self, tokens: &[u32]) {
        if let Some(snapshot) = self.position(tokens).and_then(|at| self.entries.remove(at)) {
            self.used -= cost_of(&snapshot);
        }
    }

    fn position(&self, tokens: &[u32]) -> Option<usize> {
        self.entries.iter().position(|entry| entry.tokens == tokens)
    }
}

fn cost_of(snapshot: &Snapshot) -> usize {
    Memory::cost(snapshot.tokens.capacity(), snapshot.state.capacity())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn snapshot(tokens: &[u32], bytes: usize) -> Arc<Snapshot> {
        Arc::new(Snapshot { tokens: tokens.to_vec(), state: vec![0; bytes] })
    }

    #[test]
    fn the_longest_prefix_that_leaves_a_token_to_compute_is_found() {
        let mut memory = Memory::new(1 << 20);
        for tokens in [&[1][..], &[1, 2], &[1, 2, 3], &[1, 9, 9, 9]] {
            memory.insert(snapshot(tokens, 10));
        }
        assert_eq!(memory.longest(&[1, 2, 3, 4]), 3);
        assert_eq!(memory.longest(&[1, 2, 3]), 2);
        assert_eq!(memory.longest(&[1]), 0);
        assert_eq!(memory.longest(&[2, 1]), 0);
        assert_eq!(memory.longest(&[]), 0);
    }

    #[test]
    fn what_was_used_last_stays_and_reading_consumes_nothing() {
        let cost = Memory::cost(1, 100);
        let mut memory = Memory::new(3 * cost);
        for token in 0..3 {
            memory.insert(snapshot(&[token], 100));
        }
        assert!(memory.get(&[0]).is_some() && memory.get(&[0]).is_some());
        memory.insert(snapshot(&[3], 100));
        let kept = [0, 1, 2, 3].map(|token| memory.longest(&[token, 0]) == 1);
        assert_eq!(kept, [true, false, true, true]);
    }

    #[test]
    fn a_snapshot_beyond_the_whole_budget_drives_nothing_out() {
        let mut memory = Memory::new(Memory::cost(1, 100));
        memory.insert(snapshot(&[1], 100));
        memory.insert(snapshot(&[2], 101));
        assert_eq!((memory.longest(&[1, 0]), memory.longest(&[2, 0])), (1, 0));
    }

    #[test]
    fn a_smaller_budget_holds_at_once_and_a_larger_one_brings_nothing_back() {
        let cost = Memory::cost(1, 100);
        let mut memory = Memory::new(3 * cost);
        for token in 0..3 {
            memory.insert(snapshot(&[token], 100));
        }
        memory.limit(cost);
        let kept = |memory: &Memory| [0, 1, 2].map(|token| memory.longest(&[token, 0]) == 1);
        assert_eq!((kept(&memory), memory.used), ([false, false, true], cost));
        memory.limit(3 * cost);
        assert_eq!(kept(&memory), [false, false, true]);
        memory.insert(snapshot(&[0], 100));
        assert_eq!(kept(&memory), [true, false, true]);
    }

    #[test]
    fn the_same_tokens_are_kept_once() {
        let mut memory = Memory::new(1 << 20);
        for bytes in [1, 2, 3] {
            memory.insert(snapshot(&[1], bytes));
        }
        assert_eq!((memory.entries.len(), memory.used), (1, Memory::cost(1, 3)));
    }

    #[test]
    fn random_operations_never_exceed_the_budget_or_lose_count() {
        let mut memory = Memory::new(10_000);
        let mut random = 1_u32;
        let mut next = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) % below
        };
        let mut held = 0;
        for _ in 0..20_000 {
            let tokens: Vec<u32> = (0..next(20)).map(|_| next(3)).collect();
            match next(4) {
                0 => memory.remove(&tokens),
                1 => drop(memory.get(&tokens)),
                _ => memory.insert(snapshot(&tokens, next(4000) as usize)),
            }
            let cost: usize = memory.entries.iter().map(|entry| cost_of(entry)).sum();
            assert_eq!(memory.used, cost);
            assert!(cost <= 10_000);
            held = held.max(cost);
        }
        assert!(held > 9_000, "the budget is made use of");
    }
}
