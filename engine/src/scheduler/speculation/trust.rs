//! How often an answer goes on as it did before, told apart by how much it has repeated already.
//!
//! This is learned from every token that could have been guessed, whether or not it was: answers
//! that never repeat anything cost no step to find that out.

/// Upper ends of the classes of repeated tokens; the last class has none.
const CLASSES: [usize; 5] = [3, 4, 6, 10, 18];

/// What is expected before anything was seen: much only where much was repeated.
const FIRST: [f64; CLASSES.len() + 1] = [0.4, 0.5, 0.6, 0.75, 0.85, 0.95];

/// Tokens seen that count as much as what is expected.
const FIRST_WEIGHT: f64 = 2.0;

/// What remains of earlier tokens with each that is seen: texts change.
const MEMORY: f64 = 0.9;

/// What was seen of one class; older tokens count less.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    right: f64,
    all: f64,
}

/// What was seen of one answer.
#[derive(Debug, Default)]
pub struct Trust([Seen; FIRST.len()]);

impl Trust {
    /// Behind `repeated` repeated tokens came the one that came before, or not.
    pub fn learn(&mut self, repeated: usize, right: bool) {
        if let Some(seen) = self.0.get_mut(class(repeated)) {
            seen.right = seen.right * MEMORY + f64::from(u8::from(right));
            seen.all = seen.all * MEMORY + 1.0;
        }
    }

    /// The chance that the token behind `repeated` repeated ones is the one that came before.
    pub fn chance(&self, repeated: usize) -> f64 {
        let class = class(repeated);
        let seen = self.0.get(class).copied().unwrap_or_default();
        let first = FIRST.get(class).copied().unwrap_or_default();
        (FIRST_WEIGHT * first + seen.right) / (FIRST_WEIGHT + seen.all)
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
        assert!(trust.chance(3) < 0.5 && trust.chance(40) > 0.9);
        assert!((3..40).all(|repeated| trust.chance(repeated) <= trust.chance(repeated + 1)));
    }

    #[test]
    fn what_was_right_is_trusted_and_what_was_wrong_is_not() {
        let mut trust = Trust::default();
        for _ in 0..20 {
            trust.learn(3, true);
            trust.learn(30, false);
        }
        assert!(trust.chance(3) > 0.85, "{}", trust.chance(3));
        assert!(trust.chance(30) < 0.25, "{}", trust.chance(30));
        assert!((trust.chance(5) - 0.6).abs() < 1e-9, "nothing was seen of it");
    }

    #[test]
    fn a_text_that_changes_is_noticed() {
        let mut trust = Trust::default();
        (0..100).for_each(|_| trust.learn(8, false));
        (0..20).for_each(|_| trust.learn(8, true));
        assert!(trust.chance(8) > 0.75, "{}", trust.chance(8));
    }
}
