//! What can be wrong with settings, in words that say how to put it right.

use std::{fmt, io, path::PathBuf};

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings file that was named is not there.
    #[error("no such file: {}; name another settings file with --config", .0.display())]
    Missing(PathBuf),

    /// The settings file cannot be read.
    #[error("cannot read the settings file {}: {source}; name another with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// There are settings files in several languages, and none was named.
    #[error("there are several settings files: {}; keep one of them, or name one with --config", listed(.0))]
    Several(Vec<PathBuf>),

    /// The settings file is not in the language that its name says.
    #[error("{origin}: {message}; the file must be {language}")]
    Syntax {
        /// File and line.
        origin: Origin,
        /// What the parser said.
        message: String,
        /// What it should be.
        language: &'static str,
    },

    /// Settings are unknown or have values that are not allowed. All of them are listed.
    #[error("{}", list(.0))]
    Invalid(Vec<Problem>),

    /// A secret cannot be read from where the settings say it is. The value is never part of this.
    #[error("cannot read the secret {secret}: {reason}")]
    Secret {
        /// Where the secret should be.
        secret: String,
        /// What is wrong and what to do.
        reason: String,
    },
}

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where the setting was made.
    pub origin: Origin,
    /// The setting, such as `router.policy`.
    pub key: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl Problem {
    /// Sorts problems as a person puts them right: the file from top to bottom, then the rest.
    pub(crate) fn rank(&self) -> (u8, usize) {
        match self.origin {
            Origin::File(_, line) => (0, line),
            Origin::Variable(_) => (1, 0),
            Origin::Flag(_) => (2, 0),
            Origin::Profile(_) => (3, 0),
            Origin::Default => (4, 0),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.origin, self.key, self.message)
    }
}

/// Where a setting was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file, at a line that counts from 1.
    File(PathBuf, usize),
    /// In an environment variable.
    Variable(String),
    /// With a flag of the command line.
    Flag(&'static str),
    /// In the profile of this name.
    Profile(&'static str),
    /// Nowhere: it follows from the machine and its user.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Profile(name) => write!(f, "profile {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn list(problems: &[Problem]) -> String {
    match problems {
        [problem] => problem.to_string(),
        problems => problems
            .iter()
            .fold(format!("{} settings cannot be used:", problems.len()), |lines, problem| {
                format!("{lines}\n  {problem}")
            }),
    }
}
