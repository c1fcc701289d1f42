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
use super::Scheduler;

/// Most guessed tokens in a step, of all sequences together: each takes a row of logits.
pub const GUESSES_MAX: u32 = 16;

/// Rows from which on llama.cpp's CPU kernels round differently: to take part in a step with so
/// many could change an answer, so that guesses never make one of a smaller step. An exact context
/// knows no such difference.
const ROWS_OTHERWISE: usize = 8;

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
        self.lookup.read(tokens, |place, right| trust.learn(place.repeated, right));
        let Some(place) = self.lookup.place() else { return Vec::new() };
        let most = most.min(GUESSES_MAX as usize);
        (place.repeated..).take(most).map(|repeated| self.trust.chance(repeated)).collect()
    }

    /// The next `count` tokens behind those that it was told of last.
    pub fn guess(&self, tokens: &[u32], count: usize) -> Vec<u32> {
        self.lookup.following(tokens).take(count).collect()
    }
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
        let in_order = self.kv.context.in_order();
        let room = self.cache.room_for_guesses();
        let room = room.min(self.kv.context.batch_max() as usize).saturating_sub(total);
        let most = match ROWS_OTHERWISE.checked_sub(generating + 1) {
            Some(alike) if !in_order => room.min(alike),
            _ => room.min(GUESSES_MAX as usize),
        };
        let pace = &self.pace;
        let lengths = match (self.speculation, pace.seconds(generating)) {
            (Speculation::Always, _) => gate::gate(&chances, generating, most, |_| 1.0),
            (_, None) => vec![0; chances.len()],
            (_, Some(seconds)) => gate::gate(&chances, generating, most, |rows| {
                pace.seconds(rows).unwrap_or(seconds).max(f64::MIN_POSITIVE)
            }),
        };
        let guess = |(sequence, length): (&super::Sequence, _)| sequence.guess(length);
        self.running.iter().zip(lengths).map(guess).collect()
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
        assert_eq!(Guesser::default().chances(&tokens, 99).len(), 16);
        assert!(Guesser::default().chances(&tokens, 0).is_empty());
    }
}
