//! The egress ledger: one record before anything leaves the machine, one when it has ended.
//!
//! Records are JSON, one a line, in `egress.jsonl` and the older files beside it. Each holds the hash
//! of the one before, so whoever changes, removes or moves one has to change all that follow. No
//! record holds a word of what was asked or answered.
//!
//! [`Writer`] is for the one process that owns the folder; [`verify()`] and [`read()`] need nothing but
//! the files.

mod chain;
mod files;
mod head;
mod record;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub use chain::digest;
pub use files::{CURRENT, Source, files};
pub use head::Head;
pub use record::{Ended, Entry, Outcome, Record, Sent, Tokens};
pub use verify::{Fault, Report, read, verify};
pub use writer::Writer;

use std::path::PathBuf;

/// Why a ledger cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something else is where a file of the ledger should be.
    #[error("{0} is not a plain file; move it away")]
    NotAFile(PathBuf),
    /// A record cannot be put in words.
    #[error("a record is not JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Error {
    pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
