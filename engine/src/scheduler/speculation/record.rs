//! How often the draft model is right, in all answers.

use super::trust::Seen;

/// The share of guesses that is expected to be right before any was checked: a draft model is
/// tried before it is doubted.
const FIRST: f64 = 0.95;

/// Guesses that count as much as that.
const FIRST_WEIGHT: f64 = 8.0;

/// What remains of earlier guesses with each that is checked.
const MEMORY: f64 = 0.98;

/// What remains of them with each step without a guess: some day another try is worth it.
const MEMORY_UNUSED: f64 = 0.995;

/// What became of guesses.
#[derive(Debug, Default)]
pub struct Record(Seen);

impl Record {
    /// The chance that a guess is right if those before it are.
    pub fn chance(&self) -> f64 {
        self.0.share(FIRST, FIRST_WEIGHT)
    }

    /// Of `count` guesses for an answer the first `right` were right.
    pub fn learn(&mut self, count: usize, right: usize) {
        (0..right).for_each(|_| self.0.learn(true, MEMORY));
        if right < count {
            self.0.learn(false, MEMORY);
        }
    }

    /// Nothing was guessed in a step.
    pub fn forget(&mut self) {
        self.0.fade(MEMORY_UNUSED);
    }
}

#[cfg(test)]
mod tests {
    use super::super::gate::gate;
    use super::*;

    /// Milliseconds of a step with as many rows, which become cheaper together, and of the draft
    /// model's runs for them.
    fn milliseconds(rows: usize, run: f64) -> f64 {
        let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        6.5 + 3.5 * count(rows - 1) + run * count(rows - 1)
    }

    /// Steps of 1000 in which a draft model guesses that is always right, or always wrong.
    fn tries(right: bool, run: f64) -> usize {
        let mut record = Record::default();
        let mut tries = 0;
        for _ in 0..1000 {
            let chances = [vec![record.chance(); 16]];
            let lengths = gate(&chances, 1, 16, |rows| milliseconds(rows, run));
            match lengths.first() {
                Some(&count) if count > 0 => {
                    tries += 1;
                    record.learn(count, if right { count } else { 0 });
                }
                _ => record.forget(),
            }
        }
        tries
    }

    #[test]
    fn a_draft_model_that_is_right_and_quick_guesses_always() {
        assert_eq!(tries(true, 0.5), 1000);
    }

    #[test]
    fn one_that_is_always_wrong_is_tried_again_but_seldom() {
        let tries = tries(false, 0.5);
        assert!((2..30).contains(&tries), "{tries}");
    }

    #[test]
    fn one_that_is_right_and_slow_never_guesses() {
        assert_eq!(tries(true, 6.5), 0);
    }
}
