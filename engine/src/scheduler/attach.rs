//! Requests that begin alike and run together: what one has computed the others take over, and
//! what one is about to compute the others wait for.
//!
//! Nothing is remembered from step to step, so that it does not matter who ends or is cancelled:
//! the next one leads.

use super::cache::Source;
use super::prefixes::common;

/// Least tokens that are waited for. Fewer are computed sooner than waited for.
const WAIT_MIN: usize = 32;

/// What counts of a sequence.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// In the KV cache.
    pub sequence: u32,
    /// Prompt and answer.
    pub tokens: &'a [u32],
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens in the KV cache.
    pub decoded: usize,
}

impl View<'_> {
    /// Tokens that can be taken from others: the last one's logits are needed.
    fn takes_at_most(&self) -> usize {
        self.tokens.len().saturating_sub(1)
    }
}

/// A sequence that is ordered before another, and the tokens that it will have computed for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leader {
    /// Its index.
    pub at: usize,
    /// Tokens from the first on.
    pub until: usize,
}

/// What `view` can take over from `others` beyond what it has.
pub fn source(view: &View<'_>, others: &[View<'_>]) -> Option<Source> {
    if view.decoded >= view.takes_at_most() {
        return None;
    }
    let sources = others.iter().map(|other| {
        let length = other.decoded.min(view.takes_at_most());
        // Only if it could be better is it worth comparing.
        let length = if length > view.decoded { length } else { 0 };
        let (ours, theirs) = (view.tokens.get(..length), other.tokens.get(..length));
        let length = common(ours.unwrap_or_default(), theirs.unwrap_or_default());
        Source { sequence: other.sequence, length }
    });
    sources.filter(|source| source.length > view.decoded).max_by_key(|source| source.length)
}

/// The one of `earlier` that is reading the longest part of a prompt that `view` has too.
pub fn leader(view: &View<'_>, earlier: &[View<'_>]) -> Option<Leader> {
    let leaders = earlier.iter().enumerate().map(|(at, other)| {
        let until = other.prompt.min(view.takes_at_most());
        let done = other.decoded.max(view.decoded);
        let until = if done + WAIT_MIN <= until { until } else { 0 };
        let (ours, theirs) = (view.tokens.get(..until), other.tokens.get(..until));
        let until = common(ours.unwrap_or_default(), theirs.unwrap_or_default());
        (Leader { at, until }, done)
    });
    leaders
        .filter(|(leader, done)| done + WAIT_MIN <= leader.until)
        .map(|(leader, _)| leader)
        .max_by_key(|leader| leader.until)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prompts of 100 common tokens and 20 of their own.
    fn tokens(own: u32) -> Vec<u32> {
        (0..100).chain(std::iter::repeat_n(1000 + own, 20)).collect()
    }

    fn view(sequence: u32, tokens: &[u32], decoded: usize) -> View<'_> {
        View { sequence, tokens, prompt: tokens.len(), decoded }
    }

    #[test]
    fn what_another_has_computed_is_taken_over() {
        let (a, b) = (tokens(1), tokens(2));
        let others = [view(7, &a, 60)];
        assert_eq!(source(&view(8, &b, 0), &others), Some(Source { sequence: 7, length: 60 }));
        assert_eq!(source(&view(8, &b, 60), &others), None);
        let others = [view(7, &a, 120)];
        assert_eq!(source(&view(8, &b, 60), &others), Some(Source { sequence: 7, length: 100 }));
    }

    #[test]
    fn the_last_token_is_always_computed() {
        let a = tokens(1);
        let others = [view(7, &a, 120)];
        assert_eq!(source(&view(8, &a, 0), &others), Some(Source { sequence: 7, length: 119 }));
    }

    #[test]
    fn who_reads_the_common_part_is_waited_for() {
        let (a, b) = (tokens(1), tokens(2));
        let leads = |decoded| leader(&view(8, &b, decoded), &[view(7, &a, decoded)]);
        assert_eq!(leads(0), Some(Leader { at: 0, until: 100 }));
        assert_eq!(leads(68), Some(Leader { at: 0, until: 100 }));
        assert_eq!(leads(69), None, "31 tokens are not worth it");
        assert_eq!(
            leader(&view(8, &b, 0), &[view(7, &a, 100)]),
            None,
            "nothing is left to wait for"
        );
    }

    #[test]
    fn an_answer_is_not_waited_for() {
        let a = tokens(1);
        let generating = View { prompt: 10, ..view(7, &a, 10) };
        assert_eq!(leader(&view(8, &a, 0), &[generating]), None);
    }
}
