//! Why a command did not do what it was asked for.

use std::io;

use tandem_client::Error;
use tonic::Status;

/// Exit code of a command that Ctrl-C ended, as shells expect it: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// The outcome of a command that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The daemon refused or could not be reached.
    #[error(transparent)]
    Daemon(#[from] Error),

    /// The settings cannot be used; lists every problem.
    #[error("{0}")]
    Settings(String),

    /// The arguments fit the grammar and still make no sense.
    #[error("{message}")]
    Usage { message: String, hint: String },

    /// Ctrl-C.
    #[error("cancelled")]
    Cancelled,

    /// Input could not be read or output not be written.
    #[error("{0}")]
    Output(#[source] io::Error),
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    /// A stable name for programs.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Daemon(error) => error.reason(),
            Self::Settings(_) => tandem_proto::error::SETTINGS_INVALID,
            Self::Usage { .. } => "USAGE",
            Self::Cancelled => tandem_proto::error::CANCELLED,
            Self::Output(_) => "INPUT_OUTPUT",
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Daemon(error) => error.hint(),
            Self::Usage { hint, .. } => Some(hint.clone()),
            Self::Settings(_) | Self::Cancelled | Self::Output(_) => None,
        }
    }

    /// Whether the reader of the output went away, as `head` does. That is no failure.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            failure if failure.is_closed_pipe() => 0,
            Self::Daemon(error) => error.exit_code(),
            Self::Settings(_) | Self::Usage { .. } => 2,
            Self::Cancelled => INTERRUPTED,
            Self::Output(_) => 1,
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Daemon(status.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_convention() {
        assert_eq!(Failure::usage("x", "y").exit_code(), 2);
        assert_eq!(Failure::Settings("x".into()).exit_code(), 2);
        assert_eq!(Failure::Cancelled.exit_code(), 130);
        assert_eq!(Failure::Output(io::ErrorKind::StorageFull.into()).exit_code(), 1);
        assert_eq!(Failure::Output(io::ErrorKind::BrokenPipe.into()).exit_code(), 0);
        let error = Error::Overloaded { message: "full".into(), retry_after: None };
        assert_eq!(Failure::from(error).exit_code(), 5);
    }
}
