//! How documents are cut, kept and found.

use std::path::PathBuf;
use std::time::Duration;

use crate::Secret;

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
    /// Where the nearest vectors are looked for.
    pub backend: KnowledgeBackend,
    /// The server of that name; of no matter while another backend is chosen.
    pub chroma: Chroma,
}

/// Where the vectors of collections are searched. The collections themselves stay in the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnowledgeBackend {
    /// In the collections' own index.
    Embedded,
    /// In a server of Chroma, which gets a copy of them.
    Chroma,
}

/// A server of Chroma.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chroma {
    /// Its address, without `/api/v2` and without a slash at the end.
    pub url: String,
    /// The tenant whose database it is.
    pub tenant: String,
    /// The database, which must exist.
    pub database: String,
    /// Where the token is kept; absent when the server wants none.
    pub token: Option<Secret>,
    /// Longest time for one request.
    pub timeout: Duration,
    /// Whether the collections' own index answers when the server does not; else a search fails.
    pub fallback: bool,
}

impl Default for Chroma {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8000".into(),
            tenant: "default_tenant".into(),
            database: "default_database".into(),
            token: None,
            timeout: Duration::from_secs(5),
            fallback: true,
        }
    }
}

impl Default for Knowledge {
    fn default() -> Self {
        Self {
            chunk_tokens: 200,
            overlap_tokens: 30,
            document_bytes_max: 64 << 20,
            passages: 5,
            relevance: 0.35,
            diversity: 0.2,
            template: "default".into(),
            templates: PathBuf::new(),
            backend: KnowledgeBackend::Embedded,
            chroma: Chroma::default(),
        }
    }
}
