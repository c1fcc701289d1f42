//! What generation needs to know of a vocabulary, so that its logic is tested without a model.

/// Tokens `0..size()` and what they stand for.
pub trait Vocabulary {
    /// Number of tokens.
    fn size(&self) -> u32;

    /// Whether the token ends an answer.
    fn ends_generation(&self, token: u32) -> bool;

    /// Appends what a reader sees of the token; nothing for control tokens.
    fn append_text(&self, token: u32, out: &mut Vec<u8>);

    /// Appends the token's own bytes, control tokens included.
    fn append_bytes(&self, token: u32, out: &mut Vec<u8>);
}
