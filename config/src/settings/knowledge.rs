//! How documents are cut, kept and found.

use std::path::PathBuf;

/// Documents: how they are cut and found, and how much of them a question is answered from.
#[derive(Debug, Clone, PartialEq)]
pub struct Knowledge {
    /// Longest chunk, in tokens of the embedding model. One that reads less gets shorter ones.
    pub chunk_tokens: u32,
    /// Tokens at the end of a chunk that the next one begins with, at most.
    pub overlap_tokens: u32,
    /// Longest document that is read, in bytes.
    pub document_bytes_max: u64,
    /// Most passages that a question is answered from.
    pub passages: u32,
    /// Cosine of question and passage below which a passage does not answer the question.
    pub relevance: f64,
    /// How much passages shall differ from each other: 0 not at all, 1 as much as they can.
    pub diversity: f64,
    /// Name of the template by which a model is told to answer from passages.
    pub template: String,
    /// Folder of the user's templates, `LANGUAGE/NAME.jinja`.
    pub templates: PathBuf,
}

impl Default for Knowledge {
    fn default() -> Self {
        Self {
            chunk_tokens: 200,
            overlap_tokens: 30,
            document_bytes_max: 64 << 20,
            passages: 5,
            relevance: 0.3,
            diversity: 0.2,
            template: "default".into(),
            templates: PathBuf::new(),
        }
    }
}
