//! Keeps the last tokens of an answer back until it is clear whether the model is sure of them.

use std::collections::VecDeque;

use tandem_proto::v1::Delta;

use crate::router::HandOff;

/// The end of an answer, not shown yet.
#[derive(Debug)]
pub(super) struct HoldBack {
    rule: HandOff,
    /// The caller wants to see log-probabilities.
    logprobs: bool,
    held: VecDeque<Held>,
    /// Log-probabilities of the last tokens, as many as the rule looks at.
    window: VecDeque<f64>,
    /// The model was not sure once: nothing is shown any more.
    closed: bool,
}

#[derive(Debug)]
struct Held {
    delta: Delta,
    tokens: usize,
}

/// What is to be done about the answer so far.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// These can be shown.
    Show(Vec<Delta>),
    /// Nothing new can be shown yet.
    Keep,
    /// The model is not sure of this many tokens that were held back.
    Unsure(usize),
}

impl HoldBack {
    pub(super) fn new(rule: HandOff, logprobs: bool) -> Self {
        Self { rule, logprobs, held: VecDeque::new(), window: VecDeque::new(), closed: false }
    }

    /// Takes the next piece.
    pub(super) fn push(&mut self, mut delta: Delta) -> Verdict {
        let tokens = delta.logprobs.len();
        for token in &delta.logprobs {
            self.window.push_back(token.logprob.into());
        }
        while self.window.len() > self.rule.tokens {
            self.window.pop_front();
        }
        if !self.logprobs {
            delta.logprobs.clear();
        }
        self.held.push_back(Held { delta, tokens });
        if self.closed {
            return Verdict::Keep;
        }
        if self.window.len() == self.rule.tokens && self.is_unsure() {
            return self.close();
        }
        let mut left: usize = self.held.iter().map(|held| held.tokens).sum();
        let mut shown = Vec::new();
        while let Some(first) = self.held.front()
            && left - first.tokens >= self.rule.tokens
        {
            left -= first.tokens;
            shown.extend(self.held.pop_front().map(|held| held.delta));
        }
        if shown.is_empty() { Verdict::Keep } else { Verdict::Show(shown) }
    }

    /// The answer is complete; what is left of it is judged as it is.
    pub(super) fn finish(&mut self) -> Verdict {
        if self.closed {
            Verdict::Keep
        } else if self.is_unsure() {
            self.close()
        } else {
            Verdict::Show(self.held.drain(..).map(|held| held.delta).collect())
        }
    }

    /// All that is held back, whatever it is worth.
    pub(super) fn release(self) -> Vec<Delta> {
        self.held.into_iter().map(|held| held.delta).collect()
    }

    #[allow(clippy::cast_precision_loss, reason = "a window has at most some hundred tokens")]
    fn is_unsure(&self) -> bool {
        let mean = self.window.iter().sum::<f64>() / self.window.len() as f64;
        mean < self.rule.logprob
    }

    fn close(&mut self) -> Verdict {
        self.closed = true;
        Verdict::Unsure(self.window.len())
    }
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::{TokenLogprob, Track};

    use super::*;

    fn delta(text: &str, logprob: f32) -> Delta {
        let token = TokenLogprob { logprob, ..TokenLogprob::default() };
        Delta {
            track: Track::Fast.into(),
            text: text.into(),
            logprobs: vec![token],
            ..Delta::default()
        }
    }

    fn hold_back(tokens: usize) -> HoldBack {
        HoldBack::new(HandOff { tokens, logprob: -1.0 }, false)
    }

    fn shown(verdict: Verdict) -> String {
        let Verdict::Show(deltas) = verdict else { return String::new() };
        deltas.into_iter().map(|delta| delta.text).collect()
    }

    #[test]
    fn a_sure_answer_is_shown_a_few_tokens_late_and_whole() {
        let mut held = hold_back(2);
        let text: Vec<_> = ["a", "b", "c", "d"].map(|it| shown(held.push(delta(it, -0.1)))).into();
        assert_eq!(text, ["", "", "a", "b"]);
        assert_eq!(shown(held.finish()), "cd");
    }

    #[test]
    fn no_token_of_a_weak_span_is_shown_wherever_it_lies() {
        for depth in 1..6 {
            for weak in 0..12 {
                let mut held = hold_back(depth);
                let mut text = String::new();
                let mut unsure = false;
                for place in 0..24 {
                    // As long as the window, so that the mean falls below the line within it.
                    let is_weak = (weak..weak + depth).contains(&place);
                    let piece = if is_weak { "x" } else { "o" };
                    match held.push(delta(piece, if is_weak { -9.0 } else { 0.0 })) {
                        Verdict::Unsure(_) => unsure = true,
                        verdict => text += &shown(verdict),
                    }
                }
                assert!(unsure, "depth {depth}, weak from {weak}");
                assert!(!text.contains('x'), "depth {depth}, weak from {weak}: {text}");
            }
        }
    }

    #[test]
    fn an_answer_shorter_than_the_window_is_judged_at_its_end() {
        let mut held = hold_back(8);
        assert_eq!(held.push(delta("x", -5.0)), Verdict::Keep);
        assert_eq!(held.finish(), Verdict::Unsure(1));
        assert_eq!(held.release().len(), 1);
    }

    #[test]
    fn an_answer_without_tokens_is_not_judged() {
        assert_eq!(hold_back(4).finish(), Verdict::Show(Vec::new()));
    }

    #[test]
    fn log_probabilities_are_shown_only_to_those_who_asked() {
        for wanted in [false, true] {
            let mut held = HoldBack::new(HandOff { tokens: 1, logprob: -1.0 }, wanted);
            held.push(delta("a", 0.0));
            let Verdict::Show(deltas) = held.push(delta("b", 0.0)) else { unreachable!() };
            assert_eq!(deltas[0].logprobs.len(), usize::from(wanted));
        }
    }
}
