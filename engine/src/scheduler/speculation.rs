//! Speculation: an answer often repeats its prompt or itself, so what it says next is guessed from
//! what followed there, and the model checks several guessed tokens in one step. Where nothing is
//! repeated, a smaller model may guess.
//!
//! Each token is chosen from the model's logits as it would be without a guess, with the same
//! draw, and a guess is only good for having had these logits already. So answers do not depend on
//! guesses, whatever the settings.

mod drafter;
mod gate;
mod lookup;
mod record;
mod trust;

use tandem_proto::engine::Speculation;

use self::drafter::{DRAFT_MAX, Want};
use self::lookup::Lookup;
use self::trust::Trust;
use super::{Scheduler, Sequence, pace};
use crate::alike::ROWS_MAX;
use crate::llama::DecodeError;

pub use self::drafter::Drafter;

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

/// Guesses for each sequence in a step.
#[derive(Debug)]
pub struct Guesses {
    /// Of each in the order in which they run.
    pub tokens: Vec<Vec<u32>>,
    /// Whether the draft model made them.
    pub drafted: bool,
}

impl Scheduler {
    /// Guessed tokens for each sequence beside its share of a step in which `generating` sequences
    /// go on. They take no place from a running sequence. Where nothing is repeated, the draft
    /// model guesses.
    pub(super) fn guess(
        &mut self,
        shares: &[usize],
        generating: usize,
    ) -> Result<Guesses, DecodeError> {
        let total: usize = shares.iter().sum();
        let none = || Guesses { tokens: vec![Vec::new(); shares.len()], drafted: false };
        // A step that reads a prompt computes rather than waits for memory: more rows would only
        // make it longer. One that others sit out is to be short.
        let is_alone = total == generating && !shares.contains(&0);
        if self.speculation == Speculation::Unspecified || !is_alone {
            return Ok(none());
        }
        let looked_up = self.look_up(shares, generating);
        if looked_up.iter().any(|guess| !guess.is_empty()) {
            return Ok(Guesses { tokens: looked_up, drafted: false });
        }
        let tokens = self.draft(shares, generating)?;
        Ok(tokens.map_or_else(none, |tokens| Guesses { tokens, drafted: true }))
    }

    /// Guesses from what the answers repeat.
    fn look_up(&mut self, shares: &[usize], generating: usize) -> Vec<Vec<u32>> {
        if self.speculation == Speculation::Draft {
            return Vec::new();
        }
        let sequences = self.running.iter_mut().zip(shares);
        let chances: Vec<_> = sequences.map(|(sequence, &share)| sequence.chances(share)).collect();
        let seconds = |rows| self.seconds(generating, rows);
        let lengths = gate::gate(&chances, generating, self.guesses_max(generating), seconds);
        let guess = |(sequence, length): (&Sequence, _)| sequence.guess(length);
        self.running.iter().zip(lengths).map(guess).collect()
    }

    /// Guesses of the draft model, if there is one and they are worth its time too.
    fn draft(
        &mut self,
        shares: &[usize],
        generating: usize,
    ) -> Result<Option<Vec<Vec<u32>>>, DecodeError> {
        let Some(drafter) = &self.drafter else { return Ok(None) };
        let sequences = || self.running.iter().zip(shares);
        let rooms = sequences().map(|(sequence, &share)| sequence.guesses_max(share));
        let chances: Vec<_> =
            rooms.map(|room| vec![drafter.record.chance(); room.min(DRAFT_MAX)]).collect();
        let able = chances.iter().filter(|chances| !chances.is_empty()).count();
        let unread =
            sequences().map(|(it, _)| drafter.unread(it.id(), it.view().tokens.len())).sum();
        let seconds = |rows: usize| {
            let drafting = match self.speculation {
                Speculation::Auto => drafter.seconds(able, rows - generating, unread),
                _ => 0.0,
            };
            let drafting = if rows == generating { 0.0 } else { drafting };
            self.seconds(generating, rows) + drafting
        };
        let lengths = gate::gate(&chances, generating, self.guesses_max(generating), seconds);
        let wants = self.running.iter().zip(&lengths).map(|(sequence, &count)| Want {
            id: sequence.id(),
            tokens: sequence.view().tokens,
            count,
        });
        let wants: Vec<_> = wants.collect();
        let Some(drafter) = &mut self.drafter else { return Ok(None) };
        if wants.iter().all(|want| want.count == 0) {
            drafter.record.forget();
            return Ok(None);
        }
        drafter.draft(&wants).map(Some)
    }

    /// What a step with `rows` rows takes in which `generating` sequences go on. Endless where that
    /// is not known, or the others would wait long for what one of them may gain.
    fn seconds(&self, generating: usize, rows: usize) -> f64 {
        if self.speculation != Speculation::Auto {
            return nearly_free(rows);
        }
        let (alone, seconds) = (self.pace.seconds(generating), self.pace.seconds(rows));
        let (Some(alone), Some(seconds)) = (alone, seconds) else { return f64::INFINITY };
        let longest = pace::STEP_TARGET.as_secs_f64().max(2.0 * alone);
        let waits = generating > 1 && rows > generating && seconds > longest;
        if waits { f64::INFINITY } else { seconds.max(f64::MIN_POSITIVE) }
    }

    /// Frees what the draft model holds of answers that do not run.
    pub(super) fn free_drafts(&mut self) {
        if let Some(drafter) = &mut self.drafter {
            drafter.keep_only(|id| self.running.iter().any(|sequence| sequence.id() == id));
        }
    }

    /// Most guesses in a step in which `generating` sequences go on: with them it computes each row
    /// as it would without, unless it has too many without them, or no number of rows is alike.
    fn guesses_max(&self, generating: usize) -> usize {
        let (context, most) = (&self.kv.context, ROWS_MAX as usize);
        let alike = if self.rows_alike > 1 { self.rows_alike } else { most };
        let unchanged = alike.checked_sub(generating).or_else(|| most.checked_sub(generating));
        let limits = [
            self.cache.room_for_guesses(),
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
