//! Speculation: an answer often repeats its prompt or itself, so what it says next is guessed from
//! what followed there, and the model checks several guessed tokens in one step.
//!
//! Each token is chosen from the model's logits as it would be without a guess, with the same
//! draw, and a guess is only good for having had these logits already. So answers do not depend on
//! guesses, whatever the settings.

mod gate;
mod lookup;
mod trust;

use tandem_proto::engine::Speculation;

use self::lookup::Lookup;
use self::trust::Trust;
use super::{Scheduler, pace};
use crate::alike::ROWS_MAX;

/// Most tokens that are guessed for a sequence in a step.
const GUESSES_MAX: usize = ROWS_MAX as usize - 1;

/// Guesses how one answer goes on.
#[derive(Debug, Default)]
pub struct Guesser {
    lookup: Lookup,
    trust: Trust,
    /// Tokens that were guessed and checked.
    pub drafted: usize,
    /// Those of them that were right.
    pub accepted: usize,
}

impl Guesser {
    /// The chance of each of the next `most` tokens to be guessed right behind `tokens`, if those
    /// before it are; none when there is nothing to guess from.
    pub fn chances(&mut self, tokens: &[u32], most: usize) -> Vec<f64> {
        let trust = &mut self.trust;
        self.lookup.read(tokens, |place, right| {
            let last = place.at.checked_sub(1).and_then(|at| tokens.get(at));
            trust.learn(place.repeated, last.copied().unwrap_or_default(), right);
        });
        let Some(place) = self.lookup.place() else { return Vec::new() };
        let lasts = tokens.last().copied().into_iter().chain(self.lookup.following(tokens));
        let guesses = (place.repeated..).zip(lasts).take(most.min(GUESSES_MAX));
        guesses.map(|(repeated, last)| self.trust.chance(repeated, last)).collect()
    }

    /// The next `count` tokens behind those that it was told of last.
    pub fn guess(&self, tokens: &[u32], count: usize) -> Vec<u32> {
        self.lookup.following(tokens).take(count).collect()
    }
}

/// What a step takes with so many rows where all that is likely is to be guessed.
fn nearly_free(rows: usize) -> f64 {
    1.0 + 0.03 * f64::from(u16::try_from(rows).unwrap_or(u16::MAX))
}

impl Scheduler {
    /// Guessed tokens for each sequence beside its share of a step in which `generating` sequences
    /// go on. They take no place from a running sequence.
    pub(super) fn guess(&mut self, shares: &[usize], generating: usize) -> Vec<Vec<u32>> {
        let total: usize = shares.iter().sum();
        // A step that reads a prompt computes rather than waits for memory: more rows would only
        // make it longer.
        if self.speculation == Speculation::Unspecified || total > generating {
            return vec![Vec::new(); shares.len()];
        }
        let sequences = self.running.iter_mut().zip(shares);
        let chances: Vec<_> = sequences.map(|(sequence, &share)| sequence.chances(share)).collect();
        let most = self.guesses_max(generating);
        let pace = &self.pace;
        let lengths = match (self.speculation, pace.seconds(generating)) {
            (Speculation::Always, _) => gate::gate(&chances, generating, most, nearly_free),
            (_, None) => vec![0; chances.len()],
            (_, Some(seconds)) => {
                let longest = pace::STEP_TARGET.as_secs_f64().max(2.0 * seconds);
                gate::gate(&chances, generating, most, |rows| {
                    let seconds = pace.seconds(rows).unwrap_or(seconds);
                    // The others are not to wait long for what one of them may gain.
                    let waits = generating > 1 && seconds > longest;
                    if waits { f64::INFINITY } else { seconds.max(f64::MIN_POSITIVE) }
                })
            }
        };
        let guess = |(sequence, length): (&super::Sequence, _)| sequence.guess(length);
        self.running.iter().zip(lengths).map(guess).collect()
    }

    /// Most guesses in a step in which `generating` sequences go on: with them it computes each row
    /// as it would without, unless it has too many without them, or no number of rows is alike.
    fn guesses_max(&self, generating: usize) -> usize {
        let (context, most) = (&self.kv.context, ROWS_MAX as usize);
        let alike = if self.rows_alike > 1 { self.rows_alike } else { most };
        let unchanged = alike.checked_sub(generating).or_else(|| most.checked_sub(generating));
        let limits = [
            self.cache.room_beside(None),
            context.batch_max() as usize,
            context.rows_max() as usize,
        ];
        let room = limits.into_iter().fold(usize::MAX, usize::min).saturating_sub(generating);
        unchanged.unwrap_or(GUESSES_MAX).min(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_quotes_its_prompt_is_guessed_with_growing_confidence() {
        let quoted: Vec<u32> = (100..160).collect();
        let mut tokens = [&quoted[..], &[7, 8]].concat();
        let mut guesser = Guesser::default();
        assert!(guesser.chances(&tokens, 16).is_empty());
        let mut last = 0.0;
        for (said, &token) in quoted.iter().enumerate().take(40) {
            tokens.push(token);
            let chances = guesser.chances(&tokens, 16);
            if said < 2 {
                assert!(chances.is_empty(), "{said} tokens are too few");
                continue;
            }
            let all: f64 = chances.iter().product();
            if said == 2 {
                assert!(all < 0.1, "{all} from three tokens");
            }
            last = all;
            assert_eq!(guesser.guess(&tokens, 4), quoted[said + 1..said + 5]);
        }
        assert!(last > 0.6, "{last}");
    }

    #[test]
    fn no_more_is_guessed_than_the_answer_may_have() {
        let tokens = [1, 2, 3, 4, 1, 2, 3];
        assert_eq!(Guesser::default().chances(&tokens, 2).len(), 2);
        assert_eq!(Guesser::default().chances(&tokens, 99).len(), GUESSES_MAX);
        assert!(Guesser::default().chances(&tokens, 0).is_empty());
    }
}
