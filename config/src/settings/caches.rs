//! What is kept so that it need not be computed or asked again.

use std::time::Duration;

/// The cache of embeddings. What is kept is numbers, never a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddingCache {
    /// How long an embedding is kept.
    pub ttl: Duration,
    /// Disk in bytes; the oldest go first. 0 keeps none.
    pub bytes_max: u64,
}

impl Default for EmbeddingCache {
    fn default() -> Self {
        Self { ttl: Duration::from_hours(24 * 90), bytes_max: 64 << 20 }
    }
}

/// The cache of answers.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponseCache {
    /// Whether answers are kept at all. What was asked outside of a conversation is else on no disk.
    pub enabled: bool,
    /// How long an answer is kept.
    pub ttl: Duration,
    /// Disk in bytes; the oldest go first.
    pub bytes_max: u64,
    /// Cosine from which two questions in other words may be the same one, 0 to 1. When absent, only
    /// the same words are.
    pub similarity: Option<f64>,
}

impl Default for ResponseCache {
    fn default() -> Self {
        Self {
            enabled: false,
            ttl: Duration::from_hours(24),
            bytes_max: 16 << 20,
            similarity: None,
        }
    }
}
