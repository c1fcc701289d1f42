//! Scores how much a question gains from the slow track. Pure: no files, no clock, no threads.
//!
//! ```
//! use tandem_router::Scorer;
//!
//! let score = Scorer::shipped().score("What is the capital of France?");
//! assert!(score.value < 0.5);
//! println!("{}", score.reasons.join("; "));
//! ```

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts, places and codes are small, and are bounded where they are made"
)]

pub mod calibration;
pub mod dataset;
pub mod evaluation;
mod features;
mod kind;
mod model;
mod options;
mod prior;
mod score;
mod text;
mod training;
mod trees;
mod vocabulary;
mod weights;

pub use features::Features;
pub use kind::Kind;
pub use score::{Score, Scorer, Trained};
pub use training::{Example, Interrupted, QUESTIONS_MIN, folds};
pub use weights::WeightsError;
