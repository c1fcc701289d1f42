//! Finished sequences that stay in the KV cache, for requests that begin as they did.

/// A sequence in the cache that nobody extends.
#[derive(Debug)]
struct Prefix {
    sequence: u32,
    tokens: Vec<u32>,
    /// When it was last of use, in uses of any.
    used: u64,
    /// Whether it was offered to be copied. What is cut off later is in that copy.
    copied: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Prefixes {
    entries: Vec<Prefix>,
    uses: u64,
}

impl Prefixes {
    /// Keeps `sequence`, which holds `tokens`. The sequences that this makes superfluous, because
    /// others begin with all of their tokens; `sequence` itself can be the one.
    pub fn insert(&mut self, sequence: u32, tokens: &[u32]) -> Vec<u32> {
        self.uses += 1;
        let used = self.uses;
        if let Some(longer) = self.entries.iter_mut().find(|e| e.tokens.starts_with(tokens)) {
            longer.used = used;
            return vec![sequence];
        }
        let shorter = self.entries.extract_if(.., |entry| tokens.starts_with(&entry.tokens));
        let superfluous = shorter.map(|entry| entry.sequence).collect();
        self.entries.push(Prefix { sequence, tokens: tokens.to_vec(), used, copied: false });
        superfluous
    }

    /// The sequence that has most tokens in common with the beginning of `tokens`, and how many.
    pub fn best(&self, tokens: &[u32]) -> Option<(u32, usize)> {
        let common = self.entries.iter().map(|e| (e.sequence, common(&e.tokens, tokens)));
        common.max_by_key(|&(_, length)| length).filter(|&(_, length)| length > 0)
    }

    /// A sequence was of use.
    pub fn touch(&mut self, sequence: u32) {
        self.uses += 1;
        if let Some(entry) = self.entries.iter_mut().find(|e| e.sequence == sequence) {
            entry.used = self.uses;
        }
    }

    /// The sequence that was of no use for longest. `copy` is called with its tokens when this is
    /// the first time that it has to give way.
    pub fn least_recent(&mut self, copy: impl FnOnce(u32, &[u32])) -> Option<u32> {
        let entry = self.entries.iter_mut().min_by_key(|entry| entry.used)?;
        if !std::mem::replace(&mut entry.copied, true) {
            copy(entry.sequence, &entry.tokens);
        }
        Some(entry.sequence)
    }

    /// A sequence holds only its first `length` tokens any more; with none it is forgotten.
    pub fn shorten(&mut self, sequence: u32, length: usize) {
        if length == 0 {
            self.entries.retain(|entry| entry.sequence != sequence);
        } else if let Some(entry) = self.entries.iter_mut().find(|e| e.sequence == sequence) {
            entry.tokens.truncate(length);
        }
    }

    /// How many are kept.
    pub fn count(&self) -> usize {
        self.entries.len()
    }
}

/// How many tokens two sequences have in common from the first on.
pub fn common(a: &[u32], b: &[u32]) -> usize {
    // Whole blocks are compared as memory.
    const BLOCK: usize = 64;
    let blocks = a.chunks_exact(BLOCK).zip(b.chunks_exact(BLOCK));
    let start = blocks.take_while(|(a, b)| a == b).count() * BLOCK;
    let rest = a.iter().zip(b).skip(start);
    start + rest.take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_beginning_is_found_wherever_it_ends() {
        let a: Vec<u32> = (0..300).collect();
        for end in [0, 1, 63, 64, 65, 128, 200, 299] {
            let mut b = a.clone();
            b[end] = 999;
            assert_eq!(common(&a, &b), end);
            assert_eq!(common(&a, &a[..end]), end);
        }
        assert_eq!(common(&a, &a), 300);
    }

    #[test]
    fn the_longest_common_beginning_wins() {
        let mut prefixes = Prefixes::default();
        assert!(prefixes.insert(3, &[1, 2, 3]).is_empty());
        assert!(prefixes.insert(4, &[1, 2, 4, 5]).is_empty());
        assert_eq!(prefixes.best(&[1, 2, 4, 6]), Some((4, 3)));
        assert_eq!(prefixes.best(&[1, 2, 3, 4]), Some((3, 3)));
        assert_eq!(prefixes.best(&[9]), None);
    }

    #[test]
    fn a_sequence_that_another_begins_with_is_superfluous() {
        let mut prefixes = Prefixes::default();
        prefixes.insert(0, &[1, 2]);
        assert_eq!(prefixes.insert(1, &[1, 2, 3]), [0]);
        assert_eq!(prefixes.insert(2, &[1, 2, 3]), [2]);
        assert_eq!(prefixes.insert(2, &[1]), [2]);
        assert_eq!(prefixes.count(), 1);
    }

    #[test]
    fn what_was_of_no_use_for_longest_goes_first() {
        let mut prefixes = Prefixes::default();
        for sequence in 0..3 {
            prefixes.insert(sequence, &[sequence]);
        }
        prefixes.touch(0);
        assert_eq!(prefixes.least_recent(|_, _| ()), Some(1));
        prefixes.shorten(1, 0);
        assert_eq!(prefixes.least_recent(|_, _| ()), Some(2));
    }

    #[test]
    fn a_prefix_is_copied_whole_and_once_however_often_it_is_cut() {
        let mut prefixes = Prefixes::default();
        prefixes.insert(7, &[1, 2, 3, 4]);
        let mut copies = Vec::new();
        for length in [3, 2, 1, 0] {
            prefixes.least_recent(|sequence, tokens| copies.push((sequence, tokens.to_vec())));
            prefixes.shorten(7, length);
        }
        assert_eq!(copies, [(7, vec![1, 2, 3, 4])]);
    }
}
