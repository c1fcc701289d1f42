//! Documents and chunks as the index of words keeps them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tantivy::schema::{
    FAST, Field, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions,
    Value as _,
};
use tantivy::tokenizer::{
    AsciiFoldingFilter, LowerCaser, RemoveLongFilter, SimpleTokenizer, TextAnalyzer,
};
use tantivy::{TantivyDocument, Term};

use crate::{Chunk, Document, Label, Place};

/// Name under which an index knows how texts are cut into words.
pub(crate) const WORDS: &str = "words";
/// Longer words, in bytes, are none.
const WORD_MOST: usize = 100;

/// The fields. Documents and chunks lie in one index, so that one commit is about both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    /// Source of a document, on it and on all of its chunks.
    pub(crate) source: Field,
    /// Source, on documents only.
    pub(crate) document: Field,
    /// SHA-256, on documents only.
    pub(crate) sha256: Field,
    /// `key=value` of the metadata, on chunks.
    pub(crate) tag: Field,
    /// Whether it may leave, on chunks.
    pub(crate) label: Field,
    /// Number of a chunk, on chunks only; none is given twice. They begin with 1.
    pub(crate) id: Field,
    /// The text of a chunk.
    pub(crate) text: Field,
    /// Words that stand above a chunk: title and headings.
    pub(crate) above: Field,
    /// The rest, as JSON: [`DocumentRecord`] or [`ChunkRecord`].
    pub(crate) record: Field,
}

/// What is kept of a document.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DocumentRecord {
    pub(crate) document: Document,
    pub(crate) chunks: u32,
}

/// What is kept of a chunk beside its text. What is shown with it is repeated in each, so that a hit is
/// read from one place.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChunkRecord {
    pub(crate) source: String,
    pub(crate) title: String,
    pub(crate) label: Label,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) ordinal: u32,
    pub(crate) place: Place,
}

/// The schema and its fields.
pub(crate) fn schema() -> (Schema, Fields) {
    let words = |option| TextFieldIndexing::default().set_tokenizer(WORDS).set_index_option(option);
    let text = words(IndexRecordOption::WithFreqsAndPositions);
    let above = words(IndexRecordOption::WithFreqs);
    let mut schema = Schema::builder();
    let fields = Fields {
        source: schema.add_text_field("source", STRING),
        document: schema.add_text_field("document", STRING),
        sha256: schema.add_text_field("sha256", STRING),
        tag: schema.add_text_field("tag", STRING),
        label: schema.add_text_field("label", STRING),
        id: schema.add_u64_field("id", FAST),
        text: schema
            .add_text_field("text", TextOptions::default().set_indexing_options(text).set_stored()),
        above: schema.add_text_field("above", TextOptions::default().set_indexing_options(above)),
        record: schema.add_text_field("record", STORED),
    };
    (schema.build(), fields)
}

/// How texts are cut into words: at what is no letter and no digit, in lower case, without accents.
pub(crate) fn analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(WORD_MOST))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .build()
}

/// The term that chunks with this label have.
pub(crate) fn label_term(fields: Fields, label: Label) -> Term {
    Term::from_field_text(fields.label, name(label))
}

const fn name(label: Label) -> &'static str {
    match label {
        Label::LocalOnly => "local-only",
        Label::MayLeave => "may-leave",
    }
}

/// The term that chunks with this in their metadata have.
pub(crate) fn tag_term(fields: Fields, key: &str, value: &str) -> Term {
    Term::from_field_text(fields.tag, &tag(key, value))
}

pub(crate) fn tag(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

impl Fields {
    /// A document as the index keeps it.
    pub(crate) fn document(&self, record: &DocumentRecord) -> serde_json::Result<TantivyDocument> {
        let mut kept = TantivyDocument::default();
        kept.add_text(self.source, &record.document.source);
        kept.add_text(self.document, &record.document.source);
        kept.add_text(self.sha256, &record.document.sha256);
        kept.add_text(self.record, serde_json::to_string(record)?);
        Ok(kept)
    }

    /// A chunk as the index keeps it.
    pub(crate) fn chunk(
        &self,
        document: &Document,
        chunk: &Chunk,
        id: u64,
    ) -> serde_json::Result<TantivyDocument> {
        let record = ChunkRecord {
            source: document.source.clone(),
            title: document.title.clone(),
            label: document.label,
            metadata: document.metadata.clone(),
            ordinal: chunk.ordinal,
            place: chunk.place.clone(),
        };
        let mut kept = TantivyDocument::default();
        kept.add_text(self.source, &document.source);
        kept.add_u64(self.id, id);
        kept.add_text(self.text, &chunk.text);
        kept.add_text(self.above, &document.title);
        for heading in &chunk.place.headings {
            kept.add_text(self.above, heading);
        }
        for (key, value) in &document.metadata {
            kept.add_text(self.tag, tag(key, value));
        }
        kept.add_text(self.label, name(document.label));
        kept.add_text(self.record, serde_json::to_string(&record)?);
        Ok(kept)
    }

    /// Text of a field that was kept.
    pub(crate) fn stored(kept: &TantivyDocument, field: Field) -> &str {
        kept.get_first(field).and_then(|value| value.as_str()).unwrap_or_default()
    }
}
