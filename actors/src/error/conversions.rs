//! What errors of other crates are to a caller.

use std::time::Duration;

use tandem_models::catalog::Unresolved;
use tandem_models::{package, pull};

use super::Error;

impl From<Unresolved> for Error {
    fn from(error: Unresolved) -> Self {
        match error {
            Unresolved::Absent { id, path } => {
                Self::ModelAbsent { id, path: path.display().to_string() }
            }
            Unresolved::Unknown { id, known } => Self::ModelNotFound { id, known },
        }
    }
}

impl From<pull::Error> for Error {
    fn from(error: pull::Error) -> Self {
        let problem = error.to_string();
        match error {
            pull::Error::Unreachable { .. } => Self::PullUnreachable { problem },
            pull::Error::Busy { .. } => {
                Self::Overloaded { what: problem, retry_after: Duration::from_secs(10) }
            }
            _ => Self::PullFailed { problem },
        }
    }
}

impl From<package::Error> for Error {
    fn from(error: package::Error) -> Self {
        let problem = error.to_string();
        match error {
            package::Error::Pull(error) => error.into(),
            package::Error::Unsigned { .. } | package::Error::Untrusted { .. } => {
                Self::PackageUntrusted { problem }
            }
            _ => Self::PackageFailed { problem },
        }
    }
}
