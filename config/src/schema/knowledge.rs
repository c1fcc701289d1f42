//! The settings of documents.

use super::{TIMEOUT, Visitor};
use crate::kind::{
    AbsolutePath, Address, Flag, Fraction, Integer, OneOf, Optional, SecretPlace, Size, Text, Time,
};
use crate::{Chroma, Knowledge, KnowledgeBackend};

const BACKENDS: OneOf<KnowledgeBackend> =
    OneOf(&[("embedded", KnowledgeBackend::Embedded), ("chroma", KnowledgeBackend::Chroma)]);

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
    v.setting(
        "backend",
        "where vectors are searched: embedded, or in a server of chroma that gets a copy of them",
        &mut knowledge.backend,
        &BACKENDS,
    );
    v.table("chroma", |v| visit_chroma(&mut knowledge.chroma, v));
}

fn visit_chroma(chroma: &mut Chroma, v: &mut impl Visitor) {
    v.setting("url", "address of the server, without /api/v2", &mut chroma.url, &Address);
    v.setting("tenant", "tenant whose database it is", &mut chroma.tenant, &Text(1..=256));
    v.setting("database", "database, which must exist", &mut chroma.database, &Text(1..=256));
    v.setting(
        "token",
        "where the token is kept: { env = … }, { file = … } or { keyring = … }",
        &mut chroma.token,
        &Optional(SecretPlace, "{ env = \"NAME\" }"),
    );
    v.setting("timeout", "longest time for one request", &mut chroma.timeout, &Time(TIMEOUT));
    v.setting(
        "fallback",
        "search the collections' own index when the server does not answer; else fail",
        &mut chroma.fallback,
        &Flag,
    );
}
