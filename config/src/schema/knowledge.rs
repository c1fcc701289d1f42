//! The settings of documents.

use super::Visitor;
use crate::Knowledge;
use crate::kind::{AbsolutePath, Fraction, Integer, Size, Text};

pub(super) fn visit_knowledge(knowledge: &mut Knowledge, v: &mut impl Visitor) {
    v.setting(
        "chunk_tokens",
        "longest chunk of a document, in tokens of the embedding model",
        &mut knowledge.chunk_tokens,
        &Integer(32..=8192),
    );
    v.setting(
        "overlap_tokens",
        "tokens at the end of a chunk that the next one begins with, at most",
        &mut knowledge.overlap_tokens,
        &Integer(0..=1024),
    );
    v.setting(
        "document_bytes_max",
        "longest document that is read, in bytes",
        &mut knowledge.document_bytes_max,
        &Size(1 << 10..=1 << 30),
    );
    v.setting(
        "passages",
        "most passages that a question is answered from",
        &mut knowledge.passages,
        &Integer(1..=50),
    );
    v.setting(
        "relevance",
        "cosine of question and passage below which the passage does not answer it",
        &mut knowledge.relevance,
        &Fraction,
    );
    v.setting(
        "diversity",
        "how much passages shall differ from each other: 0 not at all, 1 as much as they can",
        &mut knowledge.diversity,
        &Fraction,
    );
    v.setting(
        "template",
        "how a model is told to answer from passages: default, technical, education, or one of yours",
        &mut knowledge.template,
        &Text(1..=64),
    );
    v.setting(
        "templates",
        "folder of your templates, LANGUAGE/NAME.jinja",
        &mut knowledge.templates,
        &AbsolutePath,
    );
}
