//! How sure the model was of an answer: what the probabilities of its tokens add up to.

use tandem_proto::v1::Certainty;

/// Which part of the tokens is less sure than [`Certainty::logprob_low`].
const LOW: f64 = 0.1;

/// How sure the model was of one token, before any setting took effect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// The token's natural-log probability.
    pub logprob: f32,
    /// Of the distribution from which it was chosen, in nats.
    pub entropy: f32,
    /// What the likeliest token is likelier than the next one; 0 to 1.
    pub margin: f32,
}

/// The readings of an answer's tokens, added up.
#[derive(Debug, Default)]
pub struct Tally {
    /// One a token, since quantiles need them all.
    logprobs: Vec<f32>,
    logprob_sum: f64,
    entropy_sum: f64,
    entropy_most: f32,
    margin_sum: f64,
}

impl Tally {
    /// Counts a token.
    pub fn add(&mut self, reading: Reading) {
        self.logprobs.push(reading.logprob);
        self.logprob_sum += f64::from(reading.logprob);
        self.entropy_sum += f64::from(reading.entropy);
        self.entropy_most = self.entropy_most.max(reading.entropy);
        self.margin_sum += f64::from(reading.margin);
    }

    /// Forgets all tokens.
    pub fn clear(&mut self) {
        *self = Self { logprobs: std::mem::take(&mut self.logprobs), ..Self::default() };
        self.logprobs.clear();
    }

    /// What they add up to; `None` without any.
    pub fn certainty(&self) -> Option<Certainty> {
        let mut sorted = self.logprobs.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let least = *sorted.first()?;
        let tokens = u32::try_from(sorted.len()).unwrap_or(u32::MAX);
        let mean = |sum: f64| sum / f64::from(tokens);
        Some(Certainty {
            tokens,
            logprob_mean: mean(self.logprob_sum),
            logprob_least: least.into(),
            logprob_low: quantile(&sorted, LOW),
            entropy_mean: mean(self.entropy_sum),
            entropy_most: self.entropy_most.into(),
            margin_mean: mean(self.margin_sum),
        })
    }
}

/// The quantile `share` of numbers in order, interpolated between its neighbours.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list of some thousand numbers"
)]
fn quantile(sorted: &[f32], share: f64) -> f64 {
    let place = share * sorted.len().saturating_sub(1) as f64;
    let at = |index: usize| f64::from(sorted.get(index).copied().unwrap_or_default());
    let (below, above) = (at(place as usize), at(place.ceil() as usize));
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn near(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-6, "{left} is not {right}");
    }

    fn reading(logprob: f32, entropy: f32, margin: f32) -> Reading {
        Reading { logprob, entropy, margin }
    }

    #[test]
    fn an_answer_without_tokens_has_no_certainty() {
        assert_eq!(Tally::default().certainty(), None);
    }

    #[test]
    fn one_token_is_mean_least_and_quantile() {
        let mut tally = Tally::default();
        tally.add(reading(-0.5, 1.25, 0.375));
        let expected = Certainty {
            tokens: 1,
            logprob_mean: -0.5,
            logprob_least: -0.5,
            logprob_low: -0.5,
            entropy_mean: 1.25,
            entropy_most: 1.25,
            margin_mean: 0.375,
        };
        assert_eq!(tally.certainty(), Some(expected));
    }

    #[test]
    fn several_tokens_are_added_up_whatever_their_order() {
        let mut tally = Tally::default();
        for (logprob, entropy, margin) in
            [(-0.25, 0.5, 0.5), (-4.0, 3.0, 0.0), (-1.0, 1.0, 0.25), (-0.75, 1.5, 0.25)]
        {
            tally.add(reading(logprob, entropy, margin));
        }
        let certainty = tally.certainty().unwrap();
        assert_eq!(certainty.tokens, 4);
        near(certainty.logprob_mean, -6.0 / 4.0);
        near(certainty.logprob_least, -4.0);
        // Three tenths of the way from the least to the next.
        near(certainty.logprob_low, -4.0 + 0.3 * 3.0);
        near(certainty.entropy_mean, 6.0 / 4.0);
        near(certainty.entropy_most, 3.0);
        near(certainty.margin_mean, 1.0 / 4.0);
    }

    #[test]
    fn a_tenth_of_many_tokens_is_less_sure_than_the_low_one() {
        let mut tally = Tally::default();
        for surprise in 0_u8..=100 {
            tally.add(reading(-f32::from(surprise), 0.0, 1.0));
        }
        near(tally.certainty().unwrap().logprob_low, -90.0);
    }

    #[test]
    fn what_is_forgotten_leaves_no_trace() {
        let mut tally = Tally::default();
        tally.add(reading(-9.0, 9.0, 0.9));
        tally.clear();
        assert_eq!(tally.certainty(), None);
        tally.add(reading(-1.0, 1.0, 0.0));
        assert!((tally.certainty().unwrap().entropy_most - 1.0).abs() < 1e-6);
    }
}
