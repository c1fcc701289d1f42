//! Calibration: does an answer that tandem is sure of turn out right as often as it says?
//!
//! Questions with known answers go to the fast track of a running daemon. What comes back is graded,
//! and the rule that makes a confidence of the statistics of an answer's tokens is fitted to it.
#![allow(clippy::cast_precision_loss, reason = "counts of questions")]

mod asking;
mod cascade;
mod logistic;
pub mod metrics;
mod question;
mod report;

use serde::{Deserialize, Serialize};

pub use asking::{Manner, ask_all};
pub use cascade::Cascade;
pub use logistic::{FEATURES, Rule, out_of_fold};
pub use question::{Gold, Question};
pub use report::Report;

/// One question's answer, graded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Graded {
    /// The question's.
    pub id: String,
    /// The question's.
    pub domain: String,
    /// Whether the answer is right; one in which no answer can be found is wrong.
    pub right: bool,
    /// What tandem said, 0 to 1.
    pub confidence: f64,
    /// The statistics behind it, in the order of [`FEATURES`].
    pub features: [f64; FEATURES.len()],
    /// What was answered.
    pub text: String,
}

impl Graded {
    /// The collection that the question is from: its id up to the first dash.
    pub fn benchmark(&self) -> &str {
        self.id.split('-').next().unwrap_or_default()
    }
}
