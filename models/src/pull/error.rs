//! Why a pull ended without a model.

use std::path::PathBuf;

use crate::gguf;

/// Each says what is wrong and what to do. `from` is the source as it is written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The target cannot be fetched as it stands.
    #[error("{0}")]
    Unusable(String),
    /// The source does not have the file.
    #[error("{from} is not there; check how it is spelled")]
    NotThere {
        /// The source.
        from: String,
    },
    /// The source wants to know who asks, or does not give the file to them.
    #[error("{from} may not be fetched (status {status}): {advice}")]
    Denied {
        /// The source.
        from: String,
        /// Of the HTTP response.
        status: u16,
        /// What to do.
        advice: String,
    },
    /// The source gives an answer with which nothing can be done.
    #[error("{from} cannot be fetched: {problem}")]
    Refused {
        /// The source.
        from: String,
        /// What it answered.
        problem: String,
    },
    /// The source failed too often in a row. What came is kept.
    #[error("{from} cannot be reached: {problem}; pull it again to go on where this ended")]
    Unreachable {
        /// The source.
        from: String,
        /// The last failure.
        problem: String,
    },
    /// The file was changed again and again while it was fetched.
    #[error("{from} changes while it is fetched; try again later, or name a fixed revision")]
    Restless {
        /// The source.
        from: String,
    },
    /// The source has another file than the catalog means.
    #[error(
        "{from} has {actual} bytes, and the catalog knows the file with {expected}; it is not the same"
    )]
    WrongSize {
        /// The source.
        from: String,
        /// What the catalog says.
        expected: u64,
        /// What the source says.
        actual: u64,
    },
    /// What came is not what was expected; nothing of it is kept.
    #[error(
        "what came from {from} is damaged or another file: its sha256 is {actual}, {expected} is \
         right; nothing of it was kept"
    )]
    Corrupt {
        /// The source.
        from: String,
        /// The hash that it should have.
        expected: String,
        /// The hash that it has.
        actual: String,
    },
    /// What came is not a model; nothing of it is kept.
    #[error("what came from {from} is no model: {problem}")]
    NotAModel {
        /// The source.
        from: String,
        /// Why not.
        problem: gguf::Problem,
    },
    /// The disk is too full.
    #[error(
        "{needed_mib} MiB are needed in {}, and {free_mib} MiB are free; make space there, or set \
         models.dir to another folder", folder.display()
    )]
    NoSpace {
        /// The models directory.
        folder: PathBuf,
        /// What is still to come, and a reserve.
        needed_mib: u64,
        /// What there is.
        free_mib: u64,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {problem}; check disk space and permissions", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        problem: std::io::Error,
    },
    /// Another process fetches the same file.
    #[error("another process fetches {file} into the same folder; wait for it")]
    Busy {
        /// The file.
        file: String,
    },
}

impl Error {
    /// Whether the same file may come from elsewhere.
    pub(super) fn is_of_the_source(&self) -> bool {
        matches!(
            self,
            Self::NotThere { .. }
                | Self::Denied { .. }
                | Self::Refused { .. }
                | Self::Unreachable { .. }
                | Self::Restless { .. }
                | Self::WrongSize { .. }
                | Self::Corrupt { .. }
                | Self::NotAModel { .. }
        )
    }
}

/// What ends one request.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It may pass. The source may have asked for a pause.
    Passing { problem: String, pause: Option<std::time::Duration> },
    /// The source has another file now.
    Changed,
    /// The source does not give parts of the file.
    Unranged,
    /// It will not pass.
    Final(Error),
}

impl Failure {
    pub(crate) fn passing(problem: impl Into<String>) -> Self {
        Self::Passing { problem: problem.into(), pause: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}
