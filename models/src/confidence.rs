//! How likely an answer is right, as far as its tokens tell.
//!
//! A logistic rule over the statistics that the engine gathers. Models are sure in different ways,
//! so the catalog can hold coefficients for a model; `calibrate` in `tests/` fits them.

use serde::Deserialize;
use tandem_proto::v1::Certainty;

/// Coefficients of the rule: what each statistic adds to the log-odds that the answer is right. One
/// that is left out adds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Log-odds to begin with.
    pub bias: f64,
    /// Per unit of `Certainty.logprob_mean`.
    pub logprob_mean: f64,
    /// Per unit of `Certainty.logprob_low`.
    pub logprob_low: f64,
    /// Per unit of `Certainty.entropy_most`.
    pub entropy_most: f64,
    /// Per unit of `Certainty.margin_mean`.
    pub margin_mean: f64,
    /// Per unit of the natural logarithm of `Certainty.tokens`.
    pub tokens_ln: f64,
    /// Confidence below which an answer of the model should be made by the slow track as well; absent
    /// where confidence says too little.
    pub escalate_below: Option<f64>,
}

impl Rule {
    /// For models that nobody has calibrated.
    pub const UNCALIBRATED: Self = Self {
        bias: 1.5,
        logprob_mean: 2.0,
        logprob_low: 0.0,
        entropy_most: 0.0,
        margin_mean: 0.0,
        tokens_ln: 0.0,
        escalate_below: None,
    };

    /// From 0 to 1; `None` when there is nothing to tell from.
    #[must_use]
    pub fn confidence(&self, certainty: &Certainty) -> Option<f64> {
        if certainty.tokens == 0 {
            return None;
        }
        let log_odds = self.bias
            + self.logprob_mean * certainty.logprob_mean
            + self.logprob_low * certainty.logprob_low
            + self.entropy_most * certainty.entropy_most
            + self.margin_mean * certainty.margin_mean
            + self.tokens_ln * f64::from(certainty.tokens).ln();
        let confidence = 1.0 / (1.0 + (-log_odds).exp());
        confidence.is_finite().then_some(confidence)
    }

    /// Whether every coefficient is a number.
    pub(crate) fn is_finite(&self) -> bool {
        let Self {
            bias,
            logprob_mean,
            logprob_low,
            entropy_most,
            margin_mean,
            tokens_ln,
            escalate_below,
        } = self;
        [bias, logprob_mean, logprob_low, entropy_most, margin_mean, tokens_ln]
            .into_iter()
            .chain(escalate_below)
            .all(|number| number.is_finite())
    }
}

/// Adds nothing to even odds.
impl Default for Rule {
    fn default() -> Self {
        Self {
            bias: 0.0,
            logprob_mean: 0.0,
            logprob_low: 0.0,
            entropy_most: 0.0,
            margin_mean: 0.0,
            tokens_ln: 0.0,
            escalate_below: None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn certainty() -> Certainty {
        Certainty {
            tokens: 4,
            logprob_mean: -0.5,
            logprob_least: -2.0,
            logprob_low: -1.5,
            entropy_mean: 0.75,
            entropy_most: 2.5,
            margin_mean: 0.25,
        }
    }

    #[test]
    fn every_coefficient_adds_its_share_to_the_log_odds() {
        let rule = Rule {
            bias: 0.25,
            logprob_mean: 2.0,
            logprob_low: 0.5,
            entropy_most: -0.5,
            margin_mean: 4.0,
            tokens_ln: -1.0,
            escalate_below: None,
        };
        let log_odds: f64 = 0.25 - 1.0 - 0.75 - 1.25 + 1.0 - 4.0_f64.ln();
        let expected = 1.0 / (1.0 + (-log_odds).exp());
        assert!((rule.confidence(&certainty()).unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn without_coefficients_the_odds_are_even() {
        assert_eq!(Rule::default().confidence(&certainty()), Some(0.5));
    }

    #[test]
    fn without_a_calibration_the_surer_answer_gets_more_confidence() {
        let of = |logprob_mean| {
            let certainty = Certainty { logprob_mean, ..certainty() };
            Rule::UNCALIBRATED.confidence(&certainty).unwrap()
        };
        assert!(of(-0.1) > of(-0.5) && of(-0.5) > of(-3.0));
        assert!(of(-1e9) >= 0.0 && of(0.0) <= 1.0);
    }

    #[test]
    fn nothing_is_said_about_no_tokens_or_numbers_that_are_none() {
        assert_eq!(Rule::UNCALIBRATED.confidence(&Certainty::default()), None);
        let broken = Certainty { logprob_mean: f64::NAN, ..certainty() };
        assert_eq!(Rule::UNCALIBRATED.confidence(&broken), None);
    }
}
