//! Documents and the parts that they are cut into.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Whether something may be read by a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Label {
    /// Never leaves this machine.
    #[default]
    LocalOnly,
    /// A remote provider may read it.
    MayLeave,
}

/// What is known of a document besides its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Where it comes from: an absolute path, or the name that its owner gave it. It names the document
    /// within its collection: what comes from the same source replaces it.
    pub source: String,
    /// For people; the source's last part when the document names none.
    pub title: String,
    /// SHA-256 of its bytes, in lower-case hexadecimal. What has the same needs no second reading.
    pub sha256: String,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// When the file was last changed, in microseconds since 1970; 0 when it is no file.
    pub modified: u64,
    /// What its owner wants to filter by. Keys have letters, digits, `_` and `-`.
    pub metadata: BTreeMap<String, String>,
    /// Whether a provider may read it.
    pub label: Label,
    /// How it was cut into chunks; `None` when that was not written down.
    #[serde(default)]
    pub cut: Option<Cut>,
}

/// The settings by which a document is cut into chunks. Other settings make other chunks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Longest chunk, in tokens, unless the embedding model reads less.
    pub tokens_max: u32,
    /// Tokens at the end of a chunk that the next one begins with, at most.
    pub overlap: u32,
}

/// Where in a document something stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// Page, from 1 on, in formats that have pages.
    pub page: Option<u32>,
    /// Line where it begins, from 1 on, in formats that have lines.
    pub line: Option<u32>,
    /// The headings above it, outermost first.
    pub headings: Vec<String>,
}

/// What a block is; it decides where the block may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Names what follows; never stands alone in a chunk when something follows.
    Heading,
    /// May be cut between sentences.
    Paragraph,
    /// One item of a list.
    Item,
    /// May be cut between lines only.
    Code,
    /// Rows on lines of their own; may be cut between them. When the second line is made of dashes, the
    /// first one names the columns, and each part begins with both.
    Table,
}

/// A paragraph, or what else stands on its own in a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// What it is.
    pub kind: Kind,
    /// Its text, without markup, not empty.
    pub text: String,
    /// Where it begins. The headings above a heading are without itself.
    pub place: Place,
}

/// Most bytes of headings that are put in front of a chunk's text when it is embedded.
const CONTEXT_BYTES: usize = 160;
/// What stands between headings there.
const CONTEXT_GAP: &str = " > ";

impl Place {
    /// How many of the headings, counted from the innermost, go in front of a text that stands here.
    pub(crate) fn context_headings(&self) -> usize {
        let mut bytes = 0;
        let fits = |heading: &&String| {
            bytes += heading.len() + CONTEXT_GAP.len();
            bytes <= CONTEXT_BYTES
        };
        self.headings.iter().rev().take_while(fits).count()
    }
}

impl Chunk {
    /// The text to be embedded: the innermost headings above the chunk, which often name what its sentences
    /// are about, and below them its own text.
    pub fn embedded_text(&self) -> String {
        let headings = self.place.context_headings();
        if headings == 0 {
            return self.text.clone();
        }
        let first = self.place.headings.len() - headings;
        let context = self.place.headings.get(first..).unwrap_or_default().join(CONTEXT_GAP);
        format!("{context}\n{}", self.text)
    }
}

/// What is embedded, found and cited as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Its number in its document, from 0 on.
    pub ordinal: u32,
    /// The text, as it is shown and read by a model.
    pub text: String,
    /// Where it begins.
    pub place: Place,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_document_that_was_kept_before_settings_were_written_down_is_read() {
        let kept = r#"{"source": "/a", "title": "A", "sha256": "", "bytes": 1, "modified": 2,
                       "metadata": {}, "label": "may-leave"}"#;
        let document: Document = serde_json::from_str(kept).unwrap();
        assert_eq!((document.label, document.cut), (Label::MayLeave, None));
    }
}
