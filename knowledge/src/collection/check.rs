//! Looking whether a collection is as it was written, and how large it is.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::{Collection, EmbeddingSpace, INDEX, words};
use crate::Result;
use crate::error::at;
use crate::vectors::View;

/// Something in a collection that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, or the directory when several disagree.
    pub path: PathBuf,
    /// What is wrong, and what to do.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path.display(), self.what)
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
                what: "is not what was written; ingest the documents again".to_owned(),
            })),
            Err(error) => faults.push(Fault {
                path: index,
                what: format!("cannot be read: {error}; ingest the documents again"),
            }),
        }
        if let Some(vectors) = &self.vectors {
            let snapshot = self.snapshot();
            vectors.check(|path, row| {
                // Rows of removed chunks are read by nobody.
                if snapshot.alive.has(row) {
                    let id = vectors.view().id(row);
                    let what = format!(
                        "row {row}, of chunk {id}, is not what was written; ingest {} again",
                        snapshot.source(id).unwrap_or_else(|| "its document".to_owned())
                    );
                    faults.push(Fault { path: path.to_path_buf(), what });
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
        let mut fault = |what| faults.push(Fault { path: self.directory.clone(), what });
        let mut ordinals: HashMap<String, Vec<u32>> = HashMap::new();
        for id in snapshot.ids() {
            if let Some((record, _)) = snapshot.chunk(id).map_err(words(&self.directory))? {
                ordinals.entry(record.source).or_default().push(record.ordinal);
            }
            if snapshot.view.as_ref().is_some_and(|view| view.row(id).is_none()) {
                fault(format!("chunk {id} has no vector; ingest its document again"));
            }
        }
        let mut after = None;
        while let Some((document, chunks)) = self.documents(after.as_deref(), 1)?.pop() {
            let found = ordinals.remove(&document.source).unwrap_or_default().len();
            if found != chunks as usize {
                let source = &document.source;
                fault(format!("{source} has {found} of {chunks} chunks; ingest it again"));
            }
            after = Some(document.source);
        }
        for source in ordinals.keys() {
            fault(format!("{source} has chunks but is no document; remove it and ingest it again"));
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
