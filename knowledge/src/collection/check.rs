//! Looking whether a collection is as it was written, and how large it is.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::{Collection, EmbeddingSpace, INDEX, words};
use crate::Result;
use crate::error::at;
use crate::vectors::View;

/// What to do when it is not known whose bytes are damaged.
const ALL_AGAIN: &str = "restore the collection from a backup, or ingest its documents again";

/// Something in a collection that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, or the directory when several disagree.
    pub path: PathBuf,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}; {}", self.path.display(), self.what, self.advice)
    }
}

/// How large a collection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// What its vectors are made with.
    pub embedding: Option<EmbeddingSpace>,
    /// Documents.
    pub documents: u64,
    /// Their chunks.
    pub chunks: u64,
    /// Rows of vectors, those of removed chunks included; [`Collection::compact`] drops them.
    pub rows: u64,
    /// Bytes on disk of the index of words.
    pub words_bytes: u64,
    /// Bytes on disk of vectors and their codes.
    pub vectors_bytes: u64,
    /// Bytes that the codes take in memory.
    pub memory_bytes: u64,
}

impl Collection {
    /// How large the collection is, as of the last commit.
    pub fn stats(&self) -> Result<Stats> {
        let snapshot = self.snapshot();
        let words_bytes = files_bytes(&self.directory.join(INDEX))?;
        Ok(Stats {
            embedding: self.committed.embedding.clone(),
            documents: snapshot.documents(),
            chunks: snapshot.chunks() as u64,
            rows: snapshot.view.as_ref().map_or(0, View::rows) as u64,
            words_bytes,
            vectors_bytes: files_bytes(&self.directory)?,
            memory_bytes: snapshot.view.as_ref().map_or(0, View::bytes),
        })
    }

    /// Reads everything and returns what is damaged. A collection in which nothing is damaged returns
    /// nothing; an error is only that files cannot be read.
    pub fn check(&self) -> Result<Vec<Fault>> {
        let mut faults = Vec::new();
        let index = self.directory.join(INDEX);
        match self.index.validate_checksum() {
            Ok(damaged) => faults.extend(damaged.into_iter().map(|path| Fault {
                path: index.join(path),
                what: "is not what was written".to_owned(),
                advice: ALL_AGAIN.to_owned(),
            })),
            Err(error) => faults.push(Fault {
                path: index,
                what: format!("cannot be read: {error}"),
                advice: ALL_AGAIN.to_owned(),
            }),
        }
        if let Some(vectors) = &self.vectors {
            let snapshot = self.snapshot();
            vectors.check(|path, row| {
                // Rows of removed chunks are read by nobody.
                if snapshot.alive.has(row) {
                    let id = vectors.view().id(row);
                    let source = snapshot.source(id).unwrap_or_else(|| "its document".to_owned());
                    faults.push(Fault {
                        path: path.to_path_buf(),
                        what: format!("row {row}, of chunk {id}, is not what was written"),
                        advice: format!("ingest {source} again"),
                    });
                }
            })?;
        }
        if faults.is_empty() {
            self.compare(&mut faults)?;
        }
        Ok(faults)
    }

    /// Compares documents, chunks and vectors with each other.
    fn compare(&self, faults: &mut Vec<Fault>) -> Result<()> {
        let snapshot = self.snapshot();
        let path = || self.directory.clone();
        let mut fault = |what, advice| faults.push(Fault { path: path(), what, advice });
        let mut ordinals: HashMap<String, Vec<u32>> = HashMap::new();
        for id in snapshot.ids() {
            if let Some((record, _)) = snapshot.chunk(id).map_err(words(&self.directory))? {
                ordinals.entry(record.source).or_default().push(record.ordinal);
            }
            if snapshot.view.as_ref().is_some_and(|view| view.row(id).is_none()) {
                let what = format!("chunk {id} has no vector");
                fault(what, "ingest its document again".to_owned());
            }
        }
        let mut after = None;
        while let Some((document, chunks)) = self.documents(after.as_deref(), 1)?.pop() {
            let found = ordinals.remove(&document.source).unwrap_or_default().len();
            if found != chunks as usize {
                let source = &document.source;
                let what = format!("{source} has {found} of {chunks} chunks");
                fault(what, "ingest it again".to_owned());
            }
            after = Some(document.source);
        }
        for source in ordinals.keys() {
            let what = format!("{source} has chunks but is no document");
            fault(what, "remove it and ingest it again".to_owned());
        }
        Ok(())
    }
}

/// Bytes of the files in a directory, without those in directories below it.
fn files_bytes(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in directory.read_dir().map_err(at(directory))? {
        let entry = entry.map_err(at(directory))?;
        // What is merged away meanwhile has no length.
        if let Ok(metadata) = entry.metadata()
            && metadata.is_file()
        {
            bytes += metadata.len();
        }
    }
    Ok(bytes)
}
