//! Searching a collection by words, by meaning, or by both.

mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tantivy::Term;

use crate::collection::{Embedded, Snapshot, label_term, words};
use crate::diversity::{Choice, diversify};
use crate::fusion::fuse;
use crate::vectors::{dot, unit};
use crate::{Chunk, Document, Error, Label, Result};

/// Candidates of each kind that are fused, at least.
const DEPTH: usize = 100;
/// From how many times as many as are asked for those that differ are chosen.
const POOL: usize = 4;

/// By what is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// By words and by meaning.
    #[default]
    Hybrid,
    /// By words (BM25).
    Words,
    /// By meaning (cosine of the vectors).
    Vectors,
}

/// What may be found. An empty filter lets everything through.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Filter {
    /// Of each key, one of its values.
    pub metadata: BTreeMap<String, BTreeSet<String>>,
    /// Only documents of these sources, unless it is empty.
    pub sources: BTreeSet<String>,
    /// Only what has this label.
    pub label: Option<Label>,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Query {
    /// Words, as people write them; nothing in them is syntax.
    pub words: String,
    /// The vector of the question, of any length but 0; none to search by words.
    pub vector: Option<Vec<f32>>,
    /// The most hits.
    pub count: usize,
    /// What may be found.
    pub filter: Filter,
    /// By what is searched. A mode that needs the vector finds nothing by meaning without it.
    pub mode: Mode,
    /// From 0 to 1: how much hits shall differ from each other rather than be relevant.
    pub diversity: Option<f32>,
}

impl Query {
    /// The vector whose neighbours are looked for; none when only words are.
    pub fn meaning(&self) -> Option<&[f32]> {
        self.vector.as_deref().filter(|_| self.mode != Mode::Words)
    }

    /// The candidates of each kind, by words and by meaning, that hits are chosen from, at most.
    pub fn depth(&self) -> usize {
        let depth = if self.mode == Mode::Hybrid { DEPTH } else { 0 };
        let pool = if self.diversity.is_some() { POOL * self.count } else { self.count };
        depth.max(pool)
    }
}

/// A chunk that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The chunk's number in the collection.
    pub id: u64,
    /// Source of its document.
    pub source: String,
    /// Title of its document.
    pub title: String,
    /// Metadata of its document.
    pub metadata: BTreeMap<String, String>,
    /// Whether a provider may read it.
    pub label: Label,
    /// The chunk.
    pub chunk: Chunk,
    /// What hits are ordered by unless they had to differ: reciprocal ranks, so it only compares hits of
    /// one search.
    pub score: f32,
    /// Cosine of the chunk's vector and the query's, from -1 to 1, when there are both.
    pub similarity: Option<f32>,
    /// BM25, when it is among the best by words.
    pub words: Option<f32>,
}

/// A chunk as another index of vectors needs to know it.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The chunk's number in the collection. None is given twice, and a chunk that changes is another.
    pub id: u64,
    /// Its vector, of length 1.
    pub vector: Vec<f32>,
    /// Whether a provider may read it.
    pub label: Label,
    /// Metadata of its document.
    pub metadata: BTreeMap<String, String>,
}

/// A chunk that could be a hit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The chunk's number in the collection.
    pub id: u64,
    /// How good it is; more is better. Scores of different kinds cannot be compared.
    pub score: f32,
}

/// Searches a collection as it was at its last commit. A cheap copy that several threads can use.
#[derive(Clone)]
pub struct Searcher {
    directory: PathBuf,
    shared: Arc<RwLock<Arc<Snapshot>>>,
}

impl fmt::Debug for Searcher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Searcher").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Searcher {
    pub(crate) const fn new(directory: PathBuf, shared: Arc<RwLock<Arc<Snapshot>>>) -> Self {
        Self { directory, shared }
    }

    /// Finds the best chunks, best first.
    pub fn search(&self, query: &Query) -> Result<Vec<Hit>> {
        let now = self.now();
        let vectors = match query.meaning() {
            Some(vector) => now.by_vector(vector, &query.filter, query.depth(), 0),
            None => Ok(Vec::new()),
        };
        self.rank(&now, query, &vectors.map_err(self.words())?)
    }

    /// The best chunks by meaning alone, best first, of those with numbers above `after`.
    pub fn by_vector(
        &self,
        vector: &[f32],
        filter: &Filter,
        count: usize,
        after: u64,
    ) -> Result<Vec<Candidate>> {
        self.now().by_vector(vector, filter, count, after).map_err(self.words())
    }

    /// Finds the best chunks by words, and by meaning among candidates that another index found. Those
    /// that are gone meanwhile are left out. Candidates must already fit the filter.
    pub fn hits(&self, query: &Query, vectors: &[Candidate]) -> Result<Vec<Hit>> {
        self.rank(&self.now(), query, vectors)
    }

    /// The document of that source and the number of its chunks.
    pub fn document(&self, source: &str) -> Result<Option<(Document, u32)>> {
        let now = self.now();
        let term = Term::from_field_text(now.fields.document, source);
        now.document(&term).map_err(self.words())
    }

    /// A document with these bytes, whatever its source is, and the number of its chunks.
    pub fn by_sha256(&self, sha256: &str) -> Result<Option<(Document, u32)>> {
        let now = self.now();
        now.document(&Term::from_field_text(now.fields.sha256, sha256)).map_err(self.words())
    }

    /// At most `max` documents behind that source, in the order of their sources, with the number of their
    /// chunks.
    pub fn documents(&self, after: Option<&str>, max: usize) -> Result<Vec<(Document, u32)>> {
        let now = self.now();
        let sources = now.sources(after.unwrap_or_default(), max).map_err(self.words())?;
        let document = |source: &String| {
            let term = Term::from_field_text(now.fields.document, source);
            now.document(&term).map_err(self.words()).transpose()
        };
        sources.iter().filter_map(document).collect()
    }

    /// The chunks of a document in their order, with their vectors; `None` when there is no such document
    /// or one of its vectors is damaged.
    pub fn chunks(&self, source: &str) -> Result<Option<Vec<Embedded>>> {
        let now = self.now();
        let document = Term::from_field_text(now.fields.document, source);
        let document = now.document(&document).map_err(self.words())?;
        let Some((_, count)) = document else { return Ok(None) };
        let term = Term::from_field_text(now.fields.source, source);
        let mut chunks = Vec::with_capacity(count as usize);
        for address in now.addresses(&term).map_err(self.words())? {
            let Some(id) = now.id(address) else { continue };
            let vector = if now.view.is_some() { now.vector(id) } else { Some(Vec::new()) };
            let chunk = now.chunk(id).map_err(self.words())?;
            let (Some(vector), Some((_, chunk))) = (vector, chunk) else { return Ok(None) };
            chunks.push(Embedded { chunk, vector });
        }
        chunks.sort_by_key(|embedded| embedded.chunk.ordinal);
        Ok(Some(chunks))
    }

    /// Numbers of all chunks, or of those with a label, ascending: what a copy of the vectors elsewhere
    /// must have.
    pub fn ids(&self, label: Option<Label>) -> Result<Vec<u64>> {
        let now = self.now();
        let Some(label) = label else { return Ok(now.ids().collect()) };
        let found = now.addresses(&label_term(now.fields, label)).map_err(self.words())?;
        let mut ids: Vec<u64> = found.into_iter().filter_map(|address| now.id(address)).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// The chunks of these numbers, in their order. Those that are gone, or whose vectors are damaged, are
    /// left out.
    pub fn points(&self, ids: &[u64]) -> Result<Vec<Point>> {
        let now = self.now();
        let point = |id: &u64| -> Result<Option<Point>> {
            let chunk = now.chunk(*id).map_err(self.words())?;
            let (Some((record, _)), Some(vector)) = (chunk, now.vector(*id)) else {
                return Ok(None);
            };
            Ok(Some(Point { id: *id, vector, label: record.label, metadata: record.metadata }))
        };
        ids.iter().filter_map(|id| point(id).transpose()).collect()
    }

    /// Whether all of these candidates are still there.
    pub fn has_all(&self, candidates: &[Candidate]) -> bool {
        let now = self.now();
        candidates.iter().all(|candidate| now.has(candidate.id))
    }

    fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shared.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn words(&self) -> impl Fn(tantivy::TantivyError) -> Error + '_ {
        let directory: &Path = &self.directory;
        words(directory)
    }

    fn rank(&self, now: &Snapshot, query: &Query, vectors: &[Candidate]) -> Result<Vec<Hit>> {
        let words = match query.mode {
            Mode::Hybrid | Mode::Words => now.by_words(&query.words, &query.filter, query.depth()),
            Mode::Vectors => Ok(Vec::new()),
        };
        let words = words.map_err(self.words())?;
        let ids = |list: &[Candidate]| list.iter().map(|candidate| candidate.id).collect();
        let mut fused = fuse(&[ids(&words), ids(vectors)]);
        if let Some(diversity) = query.diversity {
            fused.truncate(POOL * query.count);
            let choice = |&(id, score): &(u64, f32)| Choice { score, vector: now.vector(id) };
            let choices: Vec<Choice> = fused.iter().map(choice).collect();
            let places = diversify(&choices, query.count, diversity);
            fused = places.iter().filter_map(|at| fused.get(*at).copied()).collect();
        }
        let by_words: HashMap<u64, f32> =
            words.iter().map(|found| (found.id, found.score)).collect();
        let by_vector: HashMap<u64, f32> =
            vectors.iter().map(|found| (found.id, found.score)).collect();
        let question = query.vector.as_deref().and_then(unit);
        let similarity = |id| {
            let found = by_vector.get(&id).copied();
            found.or_else(|| Some(dot(question.as_ref()?, &now.vector(id)?)))
        };
        let mut hits = Vec::with_capacity(query.count);
        for (id, score) in fused {
            if hits.len() == query.count {
                break;
            }
            let Some((record, chunk)) = now.chunk(id).map_err(self.words())? else { continue };
            hits.push(Hit {
                id,
                source: record.source,
                title: record.title,
                metadata: record.metadata,
                label: record.label,
                chunk,
                score,
                similarity: similarity(id),
                words: by_words.get(&id).copied(),
            });
        }
        Ok(hits)
    }
}

#[cfg(test)]
mod tests;
