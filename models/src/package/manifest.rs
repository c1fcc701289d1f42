//! What a version of a model is.

use semver::Version;
use serde::{Deserialize, Serialize};

use super::{Chunking, Digest, Error};
use crate::catalog::Advice;
use crate::versions::is_id;

/// The format that is written, and the only one there is so far.
const FORMAT: u32 = 1;
/// Longest manifest in bytes.
pub(crate) const BYTES_MAX: u64 = 1 << 20;
/// Longest list of chunks in bytes: a file of 200 GB.
pub(crate) const CHUNKS_BYTES_MAX: u64 = 256 << 20;
/// Largest model in bytes: 1 TiB.
const MODEL_BYTES_MAX: u64 = 1 << 40;
/// Longest template in bytes, which is what an engine takes.
const TEMPLATE_BYTES_MAX: usize = 256 << 10;

/// What a file must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Of its bytes.
    pub sha256: Digest,
    /// Of itself.
    pub size_bytes: u64,
}

/// What a version of a model is. Unknown keys are passed over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub(super) format: u32,
    /// What the model is called, from version to version.
    pub id: String,
    /// Of the model.
    pub version: Version,
    /// For people.
    pub name: String,
    /// Models of one family answer alike; may be empty.
    pub family: String,
    /// SPDX identifier or a name; empty when nobody knows.
    pub license: String,
    /// As llama.cpp names it.
    pub architecture: String,
    /// As llama.cpp names the file type.
    pub quantization: String,
    /// Number of weights.
    pub parameters: u64,
    /// Tokens it was trained for.
    pub context_trained: u32,
    /// Languages it answers in, as ISO 639-1 codes.
    pub languages: Vec<String>,
    /// What it is good for: "chat", "code".
    pub abilities: Vec<String>,
    /// Memory below which a machine should not try; 0 when it is not known.
    pub memory_min_bytes: u64,
    /// How its makers advise to sample.
    pub sampling: Advice,
    /// A chat template that takes the place of the file's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The GGUF file.
    pub model: Part,
    /// The list of its chunks.
    pub chunks: Part,
    /// How it was cut into them.
    pub chunking: Chunking,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Manifest {
    /// The number of the format that is written.
    pub(super) const FORMAT: u32 = FORMAT;

    /// Reads one that came with `what`, and believes nothing that is not sane.
    pub(crate) fn parse(bytes: &[u8], what: &str) -> Result<Self, Error> {
        let malformed = |problem: String| Error::malformed(what, problem);
        // First, as a later format need not have the same keys.
        let unreadable = |error: serde_json::Error| malformed(format!("its manifest: {error}"));
        let Format { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if format != FORMAT {
            return Err(Error::Format { what: what.to_owned(), format });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        manifest.check().map_err(|problem| malformed(problem.to_owned()))?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), &'static str> {
        if !is_id(&self.id) || !self.version.build.is_empty() {
            return Err("its id or its version is none");
        }
        if !(1..=MODEL_BYTES_MAX).contains(&self.model.size_bytes) {
            return Err("its model has no sane size");
        }
        let sane = self.chunking.is_sane() && self.chunks.size_bytes <= CHUNKS_BYTES_MAX;
        if !sane {
            return Err("its chunks have no sane sizes");
        }
        if self.template.as_ref().is_some_and(|template| template.len() > TEMPLATE_BYTES_MAX) {
            return Err("its chat template is too long");
        }
        if !self.sampling.is_sane() {
            return Err("its advice how to sample is out of range");
        }
        Ok(())
    }

    /// As it is signed, packed and published.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let written = serde_json::to_vec_pretty(self);
        let mut bytes = written.map_err(|error| Error::Unusable(error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}
