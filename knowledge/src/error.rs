//! What can go wrong with documents.

use std::io;
use std::path::{Path, PathBuf};

use crate::read::Refusal;

/// What went wrong, and what can be done about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of a collection could not be read or written.
    #[error("{path}: {error}; check disk space and permissions")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A document is not read.
    #[error("{path} {refusal}")]
    Refused {
        /// The document.
        path: PathBuf,
        /// Why.
        refusal: Refusal,
    },
    /// A file changed whenever it was read.
    #[error("{path} changes while it is read; try again when nobody writes to it")]
    Changing {
        /// The file.
        path: PathBuf,
    },
    /// A folder has too many documents.
    #[error(
        "{path} has more than {files_max} documents; raise the limit of files or name a smaller folder"
    )]
    TooManyFiles {
        /// The folder.
        path: PathBuf,
        /// The limit.
        files_max: usize,
    },
    /// A folder has too much in it.
    #[error(
        "{path} has more than {entries_max} entries; raise the limit of entries or name a smaller folder"
    )]
    TooManyEntries {
        /// The folder.
        path: PathBuf,
        /// The limit.
        entries_max: usize,
    },
    /// Folders stand too deep inside each other.
    #[error(
        "{path} is more than {depth_max} folders deep; raise the limit of depth or name a smaller folder"
    )]
    TooDeep {
        /// The first folder that is too deep.
        path: PathBuf,
        /// The limit.
        depth_max: usize,
    },
    /// A line of a question set is not what it should be.
    #[error("{path}:{line}: {detail}; correct the line")]
    Question {
        /// The question set.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// A template cannot be used.
    #[error("{path}:{line}: {detail}; correct the template or remove it")]
    Template {
        /// The template.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// No template has this name.
    #[error("there is no template {name}; there are {known}")]
    NoTemplate {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// Chunks are to be smaller than can be.
    #[error("chunks of {tokens_max} tokens are too small; allow {least} at least")]
    Budget {
        /// What was asked for.
        tokens_max: u32,
        /// What must be.
        least: u32,
    },
    /// Another process, or another part of this one, has the collection open.
    #[error("{0} is open elsewhere; use that one, or close it first")]
    Locked(PathBuf),
    /// A file of a collection is not what was written.
    #[error(
        "{path} is damaged: {what}; restore the collection from a backup or ingest its documents again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A collection was made by another version of this program.
    #[error(
        "{path} has format {found}, and this version knows format {known}; ingest its documents again"
    )]
    Format {
        /// The directory of the collection.
        path: PathBuf,
        /// The format on disk; 0 when it is none that has a number.
        found: u32,
        /// The one of this version.
        known: u32,
    },
    /// A collection was made with other embeddings than those it is opened with.
    #[error(
        "{path} was made with {found}, not with {wanted}; ingest its documents again or choose that model"
    )]
    OtherEmbedding {
        /// The directory of the collection.
        path: PathBuf,
        /// What it was made with.
        found: String,
        /// What it was to be opened with.
        wanted: String,
    },
    /// A vector cannot be compared with others.
    #[error(
        "a vector of {found} dimensions without a direction, or not of {wanted} dimensions; check the embedding model"
    )]
    Vector {
        /// Its dimensions.
        found: usize,
        /// Those of the collection.
        wanted: usize,
    },
    /// Something that documents are found by is too long.
    #[error("{what} is {bytes} bytes long, and at most {most} are possible; shorten it")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The greatest length.
        most: usize,
    },
    /// The index of words failed.
    #[error("index in {path}: {error}; check disk space and the collection")]
    Words {
        /// The directory of the index.
        path: PathBuf,
        /// What the index says.
        error: Box<tantivy::TantivyError>,
    },
    /// A write failed in a way that leaves open what is on disk.
    #[error("{0} failed before and cannot be written to; close and open it")]
    Broken(PathBuf),
}

/// Names the file that an error of the system is about.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |error| Error::Io { path: path.to_path_buf(), error }
}

/// The result of work on documents.
pub type Result<T, E = Error> = std::result::Result<T, E>;
