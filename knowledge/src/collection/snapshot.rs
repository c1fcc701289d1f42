//! A collection as it was at one commit, with all that a search needs.

use tantivy::columnar::Column;
use tantivy::query::{EnableScoring, Query as Terms, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocAddress, DocSet as _, TERMINATED, TantivyDocument, TantivyError, Term};

use super::schema::{ChunkRecord, DocumentRecord, Fields};
use crate::vectors::{Mask, View};
use crate::{Chunk, Document};

/// Marks what is no chunk or has no vector.
const NONE: u32 = u32::MAX;

type Found<T> = Result<T, TantivyError>;

/// What does not change until the next commit.
pub(crate) struct Snapshot {
    pub(crate) fields: Fields,
    pub(crate) words: tantivy::Searcher,
    pub(crate) view: Option<View>,
    /// Rows whose chunks are there.
    pub(crate) alive: Mask,
    /// Numbers of the chunks that are there, ascending, and where each lies.
    chunks: Vec<(u64, DocAddress)>,
    segments: Vec<Segment>,
}

/// What is known of the chunks of a segment.
struct Segment {
    ids: Column<u64>,
    /// Of each, its row.
    rows: Vec<u32>,
}

impl Snapshot {
    pub(crate) fn new(fields: Fields, words: tantivy::Searcher, view: Option<View>) -> Found<Self> {
        let mut alive = Mask::none(view.as_ref().map_or(0, View::rows));
        let mut chunks = Vec::new();
        let mut segments = Vec::new();
        for (ordinal, reader) in (0..).zip(words.segment_readers()) {
            let ids = reader.fast_fields().u64("id")?;
            let mut rows = vec![NONE; reader.max_doc() as usize];
            for (document, row) in (0..).zip(&mut rows) {
                let Some(id) = ids.first(document).filter(|_| !reader.is_deleted(document)) else {
                    continue;
                };
                chunks.push((id, DocAddress::new(ordinal, document)));
                if let Some(found) = view.as_ref().and_then(|view| view.row(id)) {
                    *row = u32::try_from(found).unwrap_or(NONE);
                    alive.add(found);
                }
            }
            segments.push(Segment { ids, rows });
        }
        // Segments are runs of ascending numbers, which this sort takes as they are.
        chunks.sort();
        Ok(Self { fields, words, view, alive, chunks, segments })
    }

    /// Numbers of all chunks, ascending.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.chunks.iter().map(|(id, _)| *id)
    }

    /// How many chunks there are.
    pub(crate) const fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// How many documents there are.
    pub(crate) fn documents(&self) -> u64 {
        self.words.num_docs().saturating_sub(self.chunks.len() as u64)
    }

    /// Whether there is a chunk of that number.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.chunks.binary_search_by_key(&id, |(id, _)| *id).is_ok()
    }

    /// The number of the chunk that lies there.
    pub(crate) fn id(&self, address: DocAddress) -> Option<u64> {
        self.segments.get(address.segment_ord as usize)?.ids.first(address.doc_id)
    }

    /// The vector of a chunk.
    pub(crate) fn vector(&self, id: u64) -> Option<Vec<f32>> {
        let view = self.view.as_ref()?;
        view.exact(view.row(id)?)
    }

    /// The rows of the chunks that these terms find.
    pub(crate) fn rows(&self, terms: &dyn Terms) -> Found<Mask> {
        let weight = terms.weight(EnableScoring::disabled_from_searcher(&self.words))?;
        let mut mask = Mask::none(self.view.as_ref().map_or(0, View::rows));
        for (reader, segment) in self.words.segment_readers().iter().zip(&self.segments) {
            weight.for_each_no_score(reader, &mut |documents| {
                for document in documents {
                    if let Some(row) =
                        segment.rows.get(*document as usize).filter(|row| **row != NONE)
                    {
                        mask.add(*row as usize);
                    }
                }
            })?;
        }
        Ok(mask)
    }

    /// The source of a chunk's document, when that can be read.
    pub(crate) fn source(&self, id: u64) -> Option<String> {
        self.chunk(id).ok().flatten().map(|(record, _)| record.source)
    }

    /// A chunk with the text and what belongs to it; `None` when there is none of that number.
    pub(crate) fn chunk(&self, id: u64) -> Found<Option<(ChunkRecord, Chunk)>> {
        let Ok(at) = self.chunks.binary_search_by_key(&id, |(id, _)| *id) else { return Ok(None) };
        let Some((_, address)) = self.chunks.get(at) else { return Ok(None) };
        let kept: TantivyDocument = self.words.doc(*address)?;
        let record: ChunkRecord = parsed(Fields::stored(&kept, self.fields.record))?;
        let text = Fields::stored(&kept, self.fields.text).to_owned();
        let chunk = Chunk { ordinal: record.ordinal, text, place: record.place.clone() };
        Ok(Some((record, chunk)))
    }

    /// The document that has this term, and the number of its chunks; of several, any.
    pub(crate) fn document(&self, term: &Term) -> Found<Option<(Document, u32)>> {
        let Some(address) = self.addresses(term)?.first().copied() else { return Ok(None) };
        let kept: TantivyDocument = self.words.doc(address)?;
        let record: DocumentRecord = parsed(Fields::stored(&kept, self.fields.record))?;
        Ok(Some((record.document, record.chunks)))
    }

    /// Where everything lies that has this term.
    pub(crate) fn addresses(&self, term: &Term) -> Found<Vec<DocAddress>> {
        let query = TermQuery::new(term.clone(), IndexRecordOption::Basic);
        let weight = query.weight(EnableScoring::disabled_from_searcher(&self.words))?;
        let mut addresses = Vec::new();
        for (ordinal, reader) in (0..).zip(self.words.segment_readers()) {
            let mut found = weight.scorer(reader, 1.0)?;
            while found.doc() != TERMINATED {
                if !reader.is_deleted(found.doc()) {
                    addresses.push(DocAddress::new(ordinal, found.doc()));
                }
                found.advance();
            }
        }
        Ok(addresses)
    }

    /// Sources of documents behind `after`, in their order, at most `max`.
    pub(crate) fn sources(&self, after: &str, max: usize) -> Found<Vec<String>> {
        let mut sources = Vec::new();
        for (ordinal, reader) in (0..).zip(self.words.segment_readers()) {
            let index = reader.inverted_index(self.fields.document)?;
            let mut terms = index.terms().range().gt(after).into_stream()?;
            let mut found = 0;
            while found < max
                && let Some((source, _)) = terms.next()
            {
                let source = String::from_utf8_lossy(source).into_owned();
                // A source that is gone may still be in the dictionary.
                let term = Term::from_field_text(self.fields.document, &source);
                if self.addresses(&term)?.iter().any(|address| address.segment_ord == ordinal) {
                    sources.push(source);
                    found += 1;
                }
            }
        }
        sources.sort();
        sources.truncate(max);
        Ok(sources)
    }
}

fn parsed<T: serde::de::DeserializeOwned>(json: &str) -> Found<T> {
    serde_json::from_str(json)
        .map_err(|error| TantivyError::InternalError(format!("a record cannot be read: {error}")))
}
