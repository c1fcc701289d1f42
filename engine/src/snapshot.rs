//! Prompts that were computed before, kept so that they need not be computed again: in memory
//! while the engine lives, and on disk for the engines after it.
//!
//! A snapshot is used whole or not at all. That is exact for every kind of model: one with a
//! sliding window has forgotten what a shorter prefix would need.

mod file;
mod folder;
mod key;
mod memory;
mod store;

pub use key::{Key, ModelFile};
pub use store::{Budget, Store};

/// A prefix and what the model computed for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The prefix.
    pub tokens: Vec<u32>,
    /// What [`crate::llama::Context::save_sequence`] returned for it.
    pub state: Vec<u8>,
}

impl Snapshot {
    /// Number of tokens, as llama.cpp counts.
    pub fn length(&self) -> u32 {
        u32::try_from(self.tokens.len()).unwrap_or(u32::MAX)
    }
}

/// Whether a prompt goes on behind `prefix`. One token at least must be left to compute, as the
/// answer follows from its logits.
fn continues(prompt: &[u32], prefix: &[u32]) -> bool {
    prompt.len() > prefix.len() && prompt.starts_with(prefix)
}
