//! How often a text goes on as it did before, told apart by how much it has repeated already, and
//! by the token behind which it goes on: behind the end of a sentence much can follow.
//!
//! This is learned from every token that could have been guessed, of the prompt too and whether or
//! not it was: answers that never repeat anything cost no step to find that out.

use std::collections::HashMap;

/// Upper ends of the classes of repeated tokens; the last class has none.
const CLASSES: [usize; 6] = [3, 4, 6, 10, 18, 34];

/// What is expected before anything was seen: much only where much was repeated.
const FIRST: [f64; CLASSES.len() + 1] = [0.5, 0.6, 0.7, 0.85, 0.92, 0.97, 0.99];

/// Tokens seen that count as much as what is expected.
const FIRST_WEIGHT: f64 = 2.0;

/// The square of the repeated tokens, divided by this, weighs against what was seen behind the last
/// of them: a text that is quoted word for word goes on whatever else could follow.
const SQUARE_PER_WEIGHT: f64 = 32.0;

/// What remains of earlier tokens with each that is seen: texts change.
const MEMORY: f64 = 0.95;

/// What remains of earlier ones behind the same token.
const MEMORY_BEHIND: f64 = 0.9;

/// What was seen of some kind of guess; older ones count less.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    right: f64,
    all: f64,
}

impl Seen {
    /// One more was right or not; `memory` remains of those before.
    pub fn learn(&mut self, right: bool, memory: f64) {
        self.right = self.right * memory + f64::from(u8::from(right));
        self.all = self.all * memory + 1.0;
    }

    /// Only `memory` remains.
    pub fn fade(&mut self, memory: f64) {
        self.right *= memory;
        self.all *= memory;
    }

    /// The share that was right, where `first` was expected with the weight of so many tokens.
    pub fn share(self, first: f64, weight: f64) -> f64 {
        (weight * first + self.right) / (weight + self.all)
    }
}

/// What was seen of one text.
#[derive(Debug, Default)]
pub struct Trust {
    classes: [Seen; FIRST.len()],
    /// By the last of the repeated tokens.
    behind: HashMap<u32, Seen>,
}

impl Trust {
    /// Behind `repeated` repeated tokens, of which `last` is the last, came the one that came
    /// before, or not.
    pub fn learn(&mut self, repeated: usize, last: u32, right: bool) {
        if let Some(seen) = self.classes.get_mut(class(repeated)) {
            seen.learn(right, MEMORY);
        }
        self.behind.entry(last).or_default().learn(right, MEMORY_BEHIND);
    }

    /// The chance that the token behind `repeated` repeated ones, of which `last` is the last, is
    /// the one that came before.
    pub fn chance(&self, repeated: usize, last: u32) -> f64 {
        let class = class(repeated);
        let seen = self.classes.get(class).copied().unwrap_or_default();
        let any = seen.share(FIRST.get(class).copied().unwrap_or_default(), FIRST_WEIGHT);
        let repeated = f64::from(u32::try_from(repeated).unwrap_or(u32::MAX));
        let weight = (repeated * repeated / SQUARE_PER_WEIGHT).max(1.0);
        self.behind.get(&last).copied().unwrap_or_default().share(any, weight)
    }
}

fn class(repeated: usize) -> usize {
    CLASSES.partition_point(|&end| end < repeated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_first_only_a_long_repetition_is_trusted() {
        let trust = Trust::default();
        let chance = |repeated| trust.chance(repeated, 7);
        assert!(chance(3) < 0.6 && chance(40) > 0.95);
        assert!((3..40).all(|repeated| chance(repeated) < chance(repeated + 1) + 1e-9));
    }

    #[test]
    fn what_was_right_is_trusted_and_what_was_wrong_is_not() {
        let mut trust = Trust::default();
        for token in 0..20 {
            trust.learn(3, token, true);
            trust.learn(30, 100 + token, false);
        }
        assert!(trust.chance(3, 7) > 0.85, "{}", trust.chance(3, 7));
        assert!(trust.chance(30, 107) < 0.25, "{}", trust.chance(30, 107));
        assert!((trust.chance(5, 200) - 0.7).abs() < 1e-9, "nothing was seen of it");
    }

    #[test]
    fn a_token_behind_which_much_can_follow_is_known() {
        let mut trust = Trust::default();
        for round in 0..30 {
            (0..9).for_each(|token| trust.learn(8, token, true));
            trust.learn(8, 9, round % 3 == 0);
        }
        assert!(trust.chance(8, 4) > 0.95, "{}", trust.chance(8, 4));
        assert!(trust.chance(8, 9) < 0.6, "{}", trust.chance(8, 9));
        assert!(trust.chance(40, 9) > 0.85, "{}", trust.chance(40, 9));
    }

    #[test]
    fn a_text_that_changes_is_noticed() {
        let mut trust = Trust::default();
        (0..100).for_each(|_| trust.learn(8, 1, false));
        (0..20).for_each(|_| trust.learn(8, 1, true));
        assert!(trust.chance(8, 1) > 0.75, "{}", trust.chance(8, 1));
    }
}
