//! A sequence guesses its next tokens, and takes those that it would have chosen anyway.

use std::time::Instant;

use tandem_proto::engine::SequenceStep;

use super::{Advance, Failure, Sequence};
use crate::sampler::Sampler;
use crate::scheduler::speculation::Guesser;
use crate::vocabulary::Vocabulary;

impl Sequence {
    /// Lets the sequence guess. With mirostat it does not: there every choice depends on how the
    /// one before surprised.
    pub fn speculate(&mut self) {
        self.guesser = self.mirostat.is_none().then(Guesser::default);
    }

    /// The chance of each next token to be guessed right if those before it are; none unless the
    /// answer goes on behind a `share` of one token, and is not replayed.
    pub fn chances(&mut self, share: usize) -> Vec<f64> {
        let most = self.guesses_max(share);
        let guesser = self.guesser.as_mut().filter(|_| most > 0);
        guesser.map_or_else(Vec::new, |guesser| guesser.chances(&self.tokens, most))
    }

    /// Most tokens that can be guessed behind a `share` of one token; none unless the answer goes
    /// on there.
    pub fn guesses_max(&self, share: usize) -> usize {
        if self.guesser.is_none() || share != 1 || self.decoded + share != self.tokens.len() {
            return 0;
        }
        // Behind the guessed tokens comes one more.
        (self.settings.max_tokens as usize).saturating_sub(self.answer_tokens() + 1)
    }

    /// Guessed tokens that were right so far.
    pub fn guessed_right(&self) -> usize {
        self.guesser.as_ref().map_or(0, |guesser| guesser.accepted)
    }

    /// The `count` tokens that may come next.
    pub fn guess(&self, count: usize) -> Vec<u32> {
        let guesser = self.guesser.as_ref().filter(|_| count > 0);
        guesser.map_or_else(Vec::new, |guesser| guesser.guess(&self.tokens, count))
    }

    /// Advances from the logits behind the last token and, as long as `guess` is right, from those
    /// behind each of its tokens. The model has seen one token less than those, and then sees as
    /// many as were right.
    pub fn verify<'a>(
        &mut self,
        guess: &[u32],
        row: impl Fn(usize) -> &'a [f32],
        sampler: &mut Sampler,
        vocabulary: &impl Vocabulary,
        now: Instant,
    ) -> Result<Option<Advance>, Failure> {
        let mut all: Option<SequenceStep> = None;
        let mut right = 0;
        let ended = loop {
            self.mark_decoded(1);
            let Some((step, ended)) = self.advance(row(right), sampler, vocabulary, now)? else {
                break false;
            };
            let hit = step.tokens.first().is_some_and(|token| guess.get(right) == Some(token));
            match &mut all {
                None => all = Some(step),
                Some(all) => append(all, step),
            }
            right += usize::from(hit);
            if ended || !hit {
                break ended;
            }
        };
        if let Some(guesser) = self.guesser.as_mut() {
            guesser.drafted += guess.len();
            guesser.accepted += right;
        }
        if let Some(finish) = all.as_mut().and_then(|step| step.finish.as_mut()) {
            finish.usage = Some(self.usage());
        }
        Ok(all.map(|step| (step, ended)))
    }
}

/// Adds to a step what the next one said.
fn append(step: &mut SequenceStep, next: SequenceStep) {
    step.text.push_str(&next.text);
    step.reasoning.push_str(&next.reasoning);
    step.tokens.extend(next.tokens);
    step.logprobs.extend(next.logprobs);
    step.logprob_sum += next.logprob_sum;
    step.finish = next.finish;
}
