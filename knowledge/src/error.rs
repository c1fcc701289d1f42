//! What can go wrong with documents.

use std::io;
use std::path::PathBuf;

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
}

/// The result of work on documents.
pub type Result<T, E = Error> = std::result::Result<T, E>;
