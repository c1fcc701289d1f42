//! Mirostat 2 (Basu et al., 2020): holds the surprise of the text near a target.

use std::f32::consts::LN_2;

/// The state of a text: how surprising its next token may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mirostat {
    tau: f32,
    eta: f32,
    /// Greatest surprise in bits.
    limit: f32,
}

impl Mirostat {
    /// Aims at a surprise of `tau` bits a token; `eta` is the rate of learning.
    pub fn new(tau: f32, eta: f32) -> Self {
        Self { tau, eta, limit: 2.0 * tau }
    }

    /// How far below the logarithm of all weights that of an allowed token may lie.
    pub fn depth(&self) -> f32 {
        self.limit * LN_2
    }

    /// A token was taken that had this probability among the allowed ones.
    pub fn learn(&mut self, probability: f64) {
        #[allow(clippy::cast_possible_truncation, reason = "a few bits")]
        let surprise = -probability.log2() as f32;
        self.limit -= self.eta * (surprise - self.tau);
    }
}
