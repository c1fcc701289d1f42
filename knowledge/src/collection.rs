//! A collection of documents on disk: one directory, one process.
//!
//! An index of words keeps documents and chunks, files beside it keep a vector a chunk. The commit of the
//! index is the only one: it names how many rows of the vector files count, and those are on disk before
//! it. So whenever the process dies, a document is there whole or not at all.

mod check;
mod commit;
mod files;
mod schema;
mod snapshot;
mod upkeep;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tantivy::directory::MmapDirectory;
use tantivy::indexer::{IndexWriterOptions, NoMergePolicy, UserOperation};
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyError, Term};

pub use self::check::{Fault, Stats};
use self::commit::Commit;
pub use self::files::{CopiedFile, is_file_name};
pub(crate) use self::schema::{Fields, WORDS, analyzer, label_term, tag_term};
pub(crate) use self::snapshot::Snapshot;
use crate::error::at;
use crate::search::Searcher;
use crate::vectors::{Vectors, sync_directory, unit};
use crate::{Chunk, Document, Error, Result};

/// The index of words within the directory.
const INDEX: &str = "words";
/// Memory for words that are not on disk yet, in bytes.
const WRITER_BYTES: usize = 20 << 20;
/// Longest source and longest `key=value`, in bytes, that can be found.
const TERM_MOST: usize = 32 << 10;

/// What vectors are made with; those of different spaces cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddingSpace {
    /// Name of the model, and of its version where that matters.
    pub model: String,
    /// Numbers a vector, at least 1.
    pub dimensions: usize,
}

impl fmt::Display for EmbeddingSpace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({} dimensions)", self.model, self.dimensions)
    }
}

/// A chunk and its vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// The chunk.
    pub chunk: Chunk,
    /// Its vector, of any length but 0; empty in a collection without vectors.
    pub vector: Vec<f32>,
}

/// A collection that is open for writing.
pub struct Collection {
    directory: PathBuf,
    index: Index,
    writer: IndexWriter,
    reader: IndexReader,
    fields: Fields,
    vectors: Option<Vectors>,
    committed: Commit,
    /// Number of the next chunk.
    next: u64,
    /// What happened to sources since the last commit: whether each is there.
    staged: HashMap<String, bool>,
    /// A failed write could not be undone.
    broken: bool,
    shared: Arc<RwLock<Arc<Snapshot>>>,
}

impl fmt::Debug for Collection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Collection").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Collection {
    /// Opens the collection in a directory, which it creates when there is none. Without an embedding it
    /// is searched by words only. One that was made with another embedding is refused, as its vectors
    /// cannot be compared with new ones.
    pub fn open(directory: &Path, embedding: Option<&EmbeddingSpace>) -> Result<Self> {
        let words_in = directory.join(INDEX);
        std::fs::create_dir_all(&words_in).map_err(at(&words_in))?;
        let (schema, fields) = schema::schema();
        let mapped = MmapDirectory::open(&words_in)
            .map_err(|error| words(directory)(TantivyError::from(error)))?;
        let index = Index::open_or_create(mapped, schema).map_err(|error| match error {
            TantivyError::SchemaError(_) => {
                Error::Format { path: directory.into(), found: 0, known: 1 }
            }
            error => words(directory)(error),
        })?;
        index.tokenizers().register(WORDS, analyzer());
        let options = IndexWriterOptions::builder()
            .memory_budget_per_thread(WRITER_BYTES)
            .num_worker_threads(1)
            .num_merge_threads(1)
            .build();
        let writer = index.writer_with_options(options).map_err(|error| match error {
            TantivyError::LockFailure(..) => Error::Locked(directory.into()),
            error => words(directory)(error),
        })?;
        writer.set_merge_policy(Box::new(NoMergePolicy));

        let found = Commit::of(&index, directory)?;
        let committed = found.clone().unwrap_or_else(|| Commit::first(embedding.cloned()));
        if committed.embedding.as_ref() != embedding {
            let name = |space: Option<&EmbeddingSpace>| {
                space.map_or_else(|| "no embedding".to_owned(), ToString::to_string)
            };
            return Err(Error::OtherEmbedding {
                path: directory.into(),
                found: name(committed.embedding.as_ref()),
                wanted: name(embedding),
            });
        }
        let open =
            |space: &EmbeddingSpace| Vectors::open(directory, space.dimensions, committed.extent());
        let vectors = embedding.map(open).transpose()?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into();
        let reader: IndexReader = reader.map_err(words(directory))?;
        let snapshot = Snapshot::new(
            fields,
            reader.searcher(),
            vectors.as_ref().map(|all| all.view().clone()),
        );
        let snapshot = snapshot.map_err(words(directory))?;
        let mut collection = Self {
            directory: directory.into(),
            index,
            writer,
            reader,
            fields,
            vectors,
            next: committed.next,
            committed,
            staged: HashMap::new(),
            broken: false,
            shared: Arc::new(RwLock::new(Arc::new(snapshot))),
        };
        if found.is_none() {
            collection.write(collection.committed.clone())?;
            sync_directory(directory)?;
        }
        Ok(collection)
    }

    /// Puts a document in the place of what had its source. It counts from the next commit on. Should this
    /// fail, all that was not committed is undone, other documents included.
    pub fn replace(&mut self, document: Document, chunks: Vec<Embedded>) -> Result<()> {
        self.unbroken()?;
        within("the source", &document.source)?;
        for (key, value) in &document.metadata {
            within("a pair of the metadata", &schema::tag(key, value))?;
        }
        let (chunks, vectors) = self.units(chunks)?;
        let done = self.stage(&document, &chunks, &vectors);
        self.or_undo(done)?;
        self.staged.insert(document.source, true);
        Ok(())
    }

    /// Removes the document of that source from the next commit on. Says whether there was one.
    pub fn remove(&mut self, source: &str) -> Result<bool> {
        self.unbroken()?;
        let there = match self.staged.get(source) {
            Some(there) => *there,
            None => self.document(source)?.is_some(),
        };
        if there {
            self.writer.delete_term(Term::from_field_text(self.fields.source, source));
            self.staged.insert(source.to_owned(), false);
        }
        Ok(there)
    }

    /// Makes all changes since the last commit true at once. They are on disk and seen by searches when
    /// this returns. Should it fail, they are undone.
    pub fn commit(&mut self) -> Result<()> {
        self.unbroken()?;
        if self.staged.is_empty() {
            return Ok(());
        }
        let rows = self.vectors.as_ref().map_or(0, Vectors::rows);
        let commit = Commit { rows, next: self.next, ..self.committed.clone() };
        let done = self.write(commit);
        self.or_undo(done)?;
        // What was committed stays so if this fails.
        if let Err(error) = self.tidy() {
            tracing::warn!(%error, "segments of an index could not be merged");
        }
        Ok(())
    }

    /// Undoes all changes since the last commit.
    pub fn roll_back(&mut self) -> Result<()> {
        self.unbroken()?;
        self.broken = true;
        self.writer.rollback().map_err(words(&self.directory))?;
        self.writer.set_merge_policy(Box::new(NoMergePolicy));
        // What is on disk decides: a commit may have become true before it failed.
        let Some(committed) = Commit::of(&self.index, &self.directory)? else {
            return Err(Error::Broken(self.directory.clone()));
        };
        if let (Some(vectors), Some(space)) = (&mut self.vectors, &committed.embedding) {
            if committed.extent() == self.committed.extent() {
                vectors.roll_back()?;
            } else {
                *vectors = Vectors::open(&self.directory, space.dimensions, committed.extent())?;
            }
        }
        self.next = committed.next;
        self.committed = committed;
        self.staged.clear();
        self.publish()?;
        self.broken = false;
        Ok(())
    }

    /// Searches what was last committed, also while this collection is written to.
    pub fn reader(&self) -> Searcher {
        Searcher::new(self.directory.clone(), Arc::clone(&self.shared))
    }

    /// The document of that source and the number of its chunks.
    pub fn document(&self, source: &str) -> Result<Option<(Document, u32)>> {
        self.reader().document(source)
    }

    /// A document with these bytes, whatever its source is, and the number of its chunks.
    pub fn by_sha256(&self, sha256: &str) -> Result<Option<(Document, u32)>> {
        self.reader().by_sha256(sha256)
    }

    /// At most `max` documents behind that source, in the order of their sources, with the number of their
    /// chunks.
    pub fn documents(&self, after: Option<&str>, max: usize) -> Result<Vec<(Document, u32)>> {
        self.reader().documents(after, max)
    }

    /// The chunks of a document in their order, with their vectors, as they would be given to
    /// [`Collection::replace`]; `None` when there is no such document or one of its vectors is damaged.
    pub fn chunks(&self, source: &str) -> Result<Option<Vec<Embedded>>> {
        self.reader().chunks(source)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shared.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn unbroken(&self) -> Result<()> {
        if self.broken { Err(Error::Broken(self.directory.clone())) } else { Ok(()) }
    }

    fn or_undo<T>(&mut self, done: Result<T>) -> Result<T> {
        if let Err(error) = &done
            && let Err(second) = self.roll_back()
        {
            tracing::error!(%error, %second, "a failed change of a collection could not be undone");
        }
        done
    }

    /// Chunks apart from their vectors, and those at length 1.
    fn units(&self, chunks: Vec<Embedded>) -> Result<(Vec<Chunk>, Vec<Vec<f32>>)> {
        let wanted = self.committed.embedding.as_ref().map_or(0, |space| space.dimensions);
        let unit = |vector: &[f32]| {
            let unit = if vector.is_empty() { Some(Vec::new()) } else { unit(vector) };
            let unit = unit.filter(|_| vector.len() == wanted);
            unit.ok_or(Error::Vector { found: vector.len(), wanted })
        };
        chunks.into_iter().map(|embedded| Ok((embedded.chunk, unit(&embedded.vector)?))).collect()
    }

    fn stage(&mut self, document: &Document, chunks: &[Chunk], vectors: &[Vec<f32>]) -> Result<()> {
        if let Some(all) = &mut self.vectors {
            all.append(self.next, vectors)?;
        }
        let count = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
        let record = schema::DocumentRecord { document: document.clone(), chunks: count };
        let mut operations = Vec::with_capacity(chunks.len() + 2);
        let before = Term::from_field_text(self.fields.source, &document.source);
        operations.push(UserOperation::Delete(before));
        operations.push(UserOperation::Add(
            self.fields.document(&record).map_err(|error| unwritten(&error))?,
        ));
        for chunk in chunks {
            let kept =
                self.fields.chunk(document, chunk, self.next).map_err(|error| unwritten(&error))?;
            operations.push(UserOperation::Add(kept));
            self.next += 1;
        }
        self.writer.run(operations).map_err(words(&self.directory))?;
        Ok(())
    }

    /// Makes this commit true.
    fn write(&mut self, commit: Commit) -> Result<()> {
        if let Some(vectors) = &self.vectors {
            vectors.sync()?;
        }
        let payload = commit.payload()?;
        let mut prepared = self.writer.prepare_commit().map_err(words(&self.directory))?;
        prepared.set_payload(&payload);
        prepared.commit().map_err(words(&self.directory))?;
        // The index renames its file of commits into place without this.
        sync_directory(&self.directory.join(INDEX))?;
        if let Some(vectors) = &mut self.vectors {
            vectors.commit();
        }
        self.committed = commit;
        self.staged.clear();
        self.publish()
    }

    /// Lets searches see what was committed.
    fn publish(&self) -> Result<()> {
        self.reader.reload().map_err(words(&self.directory))?;
        let view = self.vectors.as_ref().map(|vectors| vectors.view().clone());
        let snapshot = Snapshot::new(self.fields, self.reader.searcher(), view);
        let snapshot = Arc::new(snapshot.map_err(words(&self.directory))?);
        *self.shared.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
        Ok(())
    }
}

fn within(what: &'static str, term: &str) -> Result<()> {
    let bytes = term.len();
    if bytes > TERM_MOST { Err(Error::TooLong { what, bytes, most: TERM_MOST }) } else { Ok(()) }
}

/// Names the collection that an error of the index is about.
pub(crate) fn words(directory: &Path) -> impl Fn(TantivyError) -> Error {
    move |error| Error::Words { path: directory.join(INDEX), error: Box::new(error) }
}

/// An error of writing JSON, which needs a value that JSON cannot say.
fn unwritten(error: &serde_json::Error) -> Error {
    let error = TantivyError::InternalError(format!("a record cannot be written: {error}"));
    Error::Words { path: INDEX.into(), error: Box::new(error) }
}

#[cfg(test)]
mod tests;
