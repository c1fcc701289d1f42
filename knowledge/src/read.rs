//! Reading: from the bytes of a file to the blocks of a document.
//!
//! A document is read whole or not at all: what passes a limit is refused with a [`Refusal`] that says so.

mod decode;
mod file;
mod format;
mod gatherer;
mod html;
mod isolated;
mod markdown;
mod pdf;
mod plain;
mod refusal;
mod table;
mod walk;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use file::{Taken, take};
pub use format::{Format, SNIFFED_BYTES};
pub use isolated::{Isolation, READER, serve};
pub use refusal::Refusal;
pub use walk::{Found, Reason, Skipped, Walk, WalkLimits, walk};

use crate::Block;
use gatherer::Gatherer;
pub(crate) use table::HEAD_RULE;

/// A document as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// What the document calls itself, if it does.
    pub title: Option<String>,
    /// Its text, in order, at least one.
    pub blocks: Vec<Block>,
    /// What it says of itself: front matter, `meta` elements, a PDF's information. Keys have lower-case
    /// letters, digits, `_` and `-`.
    pub metadata: BTreeMap<String, String>,
    /// What a reader of the text should know, for people.
    pub warnings: Vec<String>,
}

/// How much one document may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: usize,
    /// Bytes of text that come out of it, which compression can make many.
    pub text: usize,
    /// Blocks that come out of it.
    pub blocks: usize,
    /// Lists, quotations and other containers inside each other.
    pub nesting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 20, text: 32 << 20, blocks: 200_000, nesting: 200 }
    }
}

/// Reads a document. Panics and hangs that a hostile PDF may cause are not contained here; that is what
/// [`Isolation`] is for. All other formats are read in time and memory that grow with the bytes only.
pub fn read(bytes: &[u8], format: Format, limits: &Limits) -> Result<Reading, Refusal> {
    if bytes.len() > limits.bytes {
        return Err(Refusal::TooManyBytes { bytes_max: limits.bytes });
    }
    let mut gatherer = Gatherer::new(*limits);
    if format == Format::Pdf {
        pdf::read(bytes, &mut gatherer)?;
    } else {
        let text = decode::decode(bytes, format, &mut gatherer)?;
        match format {
            Format::Markdown => markdown::read(&text, &mut gatherer)?,
            Format::Html => html::read(&text, &mut gatherer)?,
            Format::Plain | Format::Pdf => plain::read(&text, &mut gatherer)?,
        }
    }
    gatherer.finish()
}

#[cfg(test)]
mod tests;
