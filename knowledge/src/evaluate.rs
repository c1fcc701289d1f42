//! Judging a search by questions whose answers are known to stand in certain passages.
//!
//! Measured are recall (how many of a question's passages are among the first `k`), the mean reciprocal rank of
//! the first one (MRR), and the normalised discounted cumulative gain (nDCG, Järvelin and Kekäläinen 2002), all
//! with confidence intervals by the bootstrap over questions (Efron 1979).

mod measures;
mod questions;

pub use measures::{Estimate, Judgement, Report, judge, report};
pub use questions::{Passage, Question, load_questions, parse_questions};

#[cfg(test)]
mod tests;
