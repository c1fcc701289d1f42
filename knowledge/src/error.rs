//! What can go wrong with documents.

use std::io;
use std::path::PathBuf;

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
}

/// The result of work on documents.
pub type Result<T, E = Error> = std::result::Result<T, E>;
