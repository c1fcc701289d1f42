//! Why a package or a repository cannot be used.

use std::path::PathBuf;

use semver::Version;

use crate::pull;

/// Each says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Unusable(String),
    /// It contradicts itself, or goes beyond what is sane. Nothing of it was installed.
    #[error("{what} is damaged or hostile: {problem}; nothing was installed, get it again")]
    Malformed {
        /// The package, or the part of a repository.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It is from a later version of tandem.
    #[error("{what} has format {format}, which this tandem does not know; update tandem")]
    Format {
        /// The package, or the part of a repository.
        what: String,
        /// What it says.
        format: u32,
    },
    /// Keys are trusted, and it has no signature.
    #[error(
        "{what} is not signed, and models.trusted_keys lets in only what is; nothing was installed"
    )]
    Unsigned {
        /// The package or the version.
        what: String,
    },
    /// Its signature is by nobody who is trusted.
    #[error(
        "{what} is signed by none of models.trusted_keys, or was changed since; nothing was installed"
    )]
    Untrusted {
        /// The package or the version.
        what: String,
    },
    /// A version is never replaced.
    #[error("{place} has another {id} {version} already; choose a version that is not taken")]
    Published {
        /// The repository.
        place: String,
        /// Of the model.
        id: String,
        /// That was to be published.
        version: Version,
    },
    /// The repository lacks what was asked for.
    #[error("{place} has no {what}; it has {known}")]
    NoVersion {
        /// The repository.
        place: String,
        /// Model and version.
        what: String,
        /// Versions that are there.
        known: String,
    },
    /// A file on this machine cannot be read.
    #[error("cannot read {}: {problem}; check that it is there and its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        problem: std::io::Error,
    },
    /// Fetching, sending or writing failed.
    #[error(transparent)]
    Pull(#[from] pull::Error),
}

impl Error {
    /// An [`Error::Malformed`].
    pub(crate) fn malformed(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Malformed { what: what.into(), problem: problem.into() }
    }
}
