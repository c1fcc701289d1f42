//! Why a call failed, what to do about it, and the exit code that tells a script.

use std::{
    error::Error as _,
    fmt::Write as _,
    fs, io,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tandem_proto::error as reason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Why the daemon did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody listens at the socket, the connection broke, or the daemon is shutting down.
    #[error("{message}")]
    NotReachable {
        /// What happened.
        message: String,
    },

    /// The daemon was started and ended, or did not serve in time.
    #[error("{message}")]
    NotStarted {
        /// What happened, with the last lines of its log.
        message: String,
        /// Where its whole log is.
        log: PathBuf,
    },

    /// The socket or the daemon refused this user.
    #[error("{message}")]
    NotAllowed {
        /// What was refused.
        message: String,
    },

    /// The daemon has too much to do.
    #[error("{message}")]
    Overloaded {
        /// What is full.
        message: String,
        /// When the daemon expects to have room again.
        retry_after: Option<Duration>,
    },

    /// The deadline passed.
    #[error("{message}")]
    TimedOut {
        /// What took too long.
        message: String,
    },

    /// The request has a value that is not allowed.
    #[error("{message}")]
    Invalid {
        /// Name from [`tandem_proto::error`].
        reason: String,
        /// What is wrong, with the fields that the daemon named.
        message: String,
    },

    /// Anything else; `reason` tells what.
    #[error("{message}")]
    Failed {
        /// Name from [`tandem_proto::error`], or one that a newer daemon added.
        reason: String,
        /// What happened.
        message: String,
        /// When a retry may succeed.
        retry_after: Option<Duration>,
    },
}

/// Fields of a request's sampling that are flags of the `tandem` command.
const FLAGS: [&str; 13] = [
    "max_tokens",
    "stop",
    "seed",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "json_schema",
    "grammar",
];

impl Error {
    /// A stable name for programs, in capitals.
    pub fn reason(&self) -> &str {
        match self {
            Self::NotReachable { .. } => "NOT_REACHABLE",
            Self::NotStarted { .. } => "NOT_STARTED",
            Self::NotAllowed { .. } => "NOT_ALLOWED",
            Self::Overloaded { .. } => reason::OVERLOADED,
            Self::TimedOut { .. } => reason::DEADLINE_EXCEEDED,
            Self::Invalid { reason, .. } | Self::Failed { reason, .. } => reason,
        }
    }

    /// What to do about it, for a person at a command line.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotReachable { .. } => {
                "start the daemon with `tandem service start`, or name its socket with --socket"
            }
            Self::NotStarted { log, .. } => {
                let log = log.display();
                return Some(format!(
                    "`tandem config check` checks the settings; the log is {log}"
                ));
            }
            Self::NotAllowed { .. } => {
                "run this as the user who runs the daemon, or name your own socket with --socket"
            }
            Self::Overloaded { retry_after, .. } => return Some(retry(*retry_after)),
            Self::TimedOut { .. } => {
                "ask for less, or raise `router.deadline`; `tandem status` shows what is running"
            }
            Self::Invalid { reason, .. } => match reason.as_str() {
                reason::PROMPT_TOO_LONG => {
                    "shorten the prompt, or raise the limit that the message names"
                }
                _ => return self.flag().map(|flag| format!("set it with {flag}")),
            },
            Self::Failed { reason, retry_after, .. } => match reason.as_str() {
                reason::BUDGET_SPENT => "`tandem usage` shows what is left of each budget",
                reason::LEDGER_FAILED => {
                    "make room on the disk; until then `--policy fast` answers without a provider"
                }
                reason::MODEL_NOT_FOUND => "`tandem model list` shows the models that are known",
                reason::PULL_UNREACHABLE => {
                    "pull it again later: it goes on where it ended; models.pull.hf_endpoint names a mirror"
                }
                reason::PULL_FAILED => "`tandem model pull --help` shows what a source looks like",
                reason::MODEL_INVALID => "`tandem model info ID` says what is wrong with the file",
                reason::EMBEDDING_MODEL_NOT_CHOSEN => {
                    "`tandem model import --help` shows how to get one; --model names one"
                }
                reason::MODEL_TOO_LARGE => {
                    "unload another model with `tandem model unload ID`, or take a smaller one"
                }
                reason::KNOWLEDGE_BACKEND_FAILED => {
                    "`tandem knowledge list` shows how far each copy is; --mode words needs none"
                }
                reason::ENGINE_CRASHED | reason::ENGINE_UNAVAILABLE | reason::RESTARTING => {
                    return Some(retry(*retry_after));
                }
                reason::CONVERSATION_NOT_FOUND => {
                    "`tandem conversation list` shows the conversations that are stored"
                }
                reason::MEMORY_NOT_FOUND => "`tandem memory list` shows what is remembered",
                reason::PROVIDER_NOT_CONFIGURED => {
                    "add a table `[providers.NAME]` to the settings, or ask with --policy fast"
                }
                reason::PROVIDER_REFUSED => {
                    "check `api_key`, `model` and `base_url` of this provider in the settings"
                }
                reason::PROVIDER_FAILED | reason::PROVIDER_EXHAUSTED => {
                    "`tandem status` shows the providers; --policy fast answers without them"
                }
                reason::STORE_FAILED => "check that the data directory is writable and not full",
                reason::INTERNAL => "the daemon's log has the cause",
                _ => return retry_after.map(|after| retry(Some(after))),
            },
        };
        Some(hint.into())
    }

    /// The flag that sets the sampling field that the message names: `--top-p` for
    /// `sampling.top_p`.
    fn flag(&self) -> Option<String> {
        let message = self.to_string();
        let (_, field) = message.split_once("sampling.")?;
        let end = field.find(|c: char| c != '_' && !c.is_ascii_lowercase()).unwrap_or(field.len());
        let flag = field.get(..end).filter(|field| FLAGS.contains(field))?;
        Some(format!("--{}", flag.replace('_', "-")))
    }

    /// 1 failed, 2 invalid arguments, 3 not reachable, 4 not allowed, 5 overloaded or timed out.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed { reason, .. } if reason == reason::RATE_LIMITED => 5,
            Self::Failed { .. } => 1,
            Self::Invalid { .. } => 2,
            Self::NotReachable { .. } | Self::NotStarted { .. } => 3,
            Self::NotAllowed { .. } => 4,
            Self::Overloaded { .. } | Self::TimedOut { .. } => 5,
        }
    }

    /// Why no connection could be made to `socket`.
    pub(crate) fn connecting(socket: &Path, error: &tonic::transport::Error) -> Self {
        let mut cause = error.source();
        while let Some(source) = cause {
            if let Some(io) = source.downcast_ref::<io::Error>() {
                return Self::opening(socket, io);
            }
            cause = source.source();
        }
        Self::NotReachable { message: format!("cannot reach the daemon: {error}") }
    }

    fn opening(path: &Path, error: &io::Error) -> Self {
        let socket = path.display();
        match error.kind() {
            io::ErrorKind::ConnectionRefused if is_no_socket(path) => {
                Self::NotReachable { message: format!("{socket} is not a socket") }
            }
            io::ErrorKind::PermissionDenied => {
                Self::NotAllowed { message: format!("you may not use the socket {socket}") }
            }
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Self::NotReachable { message: format!("no daemon listens at {socket}") }
            }
            _ => Self::NotReachable {
                message: format!("cannot reach the daemon at {socket}: {error}"),
            },
        }
    }
}

/// Decides by the reason in `google.rpc.ErrorInfo`; by the code only when there is none, because
/// then the status comes from the transport or from something that is not tandem.
impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let retry_after = details.retry_info().and_then(|info| info.retry_delay);
        let reason = details
            .error_info()
            .filter(|info| info.domain == reason::DOMAIN)
            .map(|info| info.reason.clone());
        match reason {
            Some(reason) => by_reason(reason, &status, &details, retry_after),
            None => by_code(&status, &details, retry_after),
        }
    }
}

fn by_reason(
    reason: String,
    status: &Status,
    details: &ErrorDetails,
    retry_after: Option<Duration>,
) -> Error {
    let message = message(status, details);
    match reason.as_str() {
        reason::OVERLOADED => Error::Overloaded { message, retry_after },
        reason::DEADLINE_EXCEEDED => Error::TimedOut { message },
        reason::SHUTTING_DOWN => Error::NotReachable { message },
        reason::INVALID_ARGUMENT | reason::PROMPT_TOO_LONG | reason::SETTINGS_INVALID => {
            Error::Invalid { reason, message }
        }
        _ => Error::Failed { reason, message, retry_after },
    }
}

fn by_code(status: &Status, details: &ErrorDetails, retry_after: Option<Duration>) -> Error {
    // The daemon sends no source: this status was made here, when the connection broke.
    if status.source().is_some() {
        return Error::NotReachable { message: "the connection to the daemon broke".into() };
    }
    let message = message(status, details);
    match status.code() {
        Code::Unavailable => Error::NotReachable { message },
        Code::PermissionDenied | Code::Unauthenticated => Error::NotAllowed { message },
        Code::ResourceExhausted => Error::Overloaded { message, retry_after },
        Code::DeadlineExceeded => Error::TimedOut { message },
        Code::InvalidArgument | Code::OutOfRange => {
            Error::Invalid { reason: reason::INVALID_ARGUMENT.into(), message }
        }
        Code::Cancelled => Error::Failed { reason: reason::CANCELLED.into(), message, retry_after },
        Code::Unimplemented => Error::Failed {
            reason: "UNIMPLEMENTED".into(),
            message: "the daemon does not know this call; update it".into(),
            retry_after,
        },
        code => Error::Failed { reason: format!("{code:?}").to_uppercase(), message, retry_after },
    }
}

/// The status in words, with the fields at fault unless the message names them.
fn message(status: &Status, details: &ErrorDetails) -> String {
    let mut message = match status.message() {
        "" => status.code().description().to_lowercase(),
        message => message.to_owned(),
    };
    for violation in details.bad_request().map_or(&[][..], |request| &request.field_violations) {
        if !message.contains(&violation.description) {
            let _ = write!(message, "\n  {}: {}", violation.field, violation.description);
        }
    }
    message
}

fn is_no_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|facts| !facts.file_type().is_socket())
}

fn retry(after: Option<Duration>) -> String {
    match after.map(|after| after.as_secs_f64()) {
        Some(seconds) if seconds >= 1.0 => format!("try again in {seconds:.0} s"),
        _ => "try again in a moment; `tandem status` shows what is running".into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn with_reason(code: Code, name: &str) -> Error {
        let details = ErrorDetails::with_error_info(name, reason::DOMAIN, []);
        Status::with_error_details(code, "said so", details).into()
    }

    #[test]
    fn every_reason_has_the_exit_code_that_scripts_expect() {
        // Codes that contradict the reason show that the reason decides.
        let expected = [
            (reason::INVALID_ARGUMENT, 2),
            (reason::PROMPT_TOO_LONG, 2),
            (reason::MODEL_NOT_FOUND, 1),
            (reason::MODEL_INVALID, 1),
            (reason::MODEL_TOO_LARGE, 1),
            (reason::MODEL_UNSUITABLE, 1),
            (reason::EMBEDDING_MODEL_NOT_CHOSEN, 1),
            (reason::IMPORT_FAILED, 1),
            (reason::ENGINE_CRASHED, 1),
            (reason::ENGINE_UNAVAILABLE, 1),
            (reason::OVERLOADED, 5),
            (reason::RATE_LIMITED, 5),
            (reason::DEADLINE_EXCEEDED, 5),
            (reason::CANCELLED, 1),
            (reason::CONVERSATION_NOT_FOUND, 1),
            (reason::MEMORY_NOT_FOUND, 1),
            (reason::PROVIDER_NOT_CONFIGURED, 1),
            (reason::PROVIDER_FAILED, 1),
            (reason::PROVIDER_REFUSED, 1),
            (reason::PROVIDER_EXHAUSTED, 1),
            (reason::STORE_FAILED, 1),
            (reason::DISK_FULL, 1),
            (reason::SHUTTING_DOWN, 3),
            (reason::RESTARTING, 1),
            (reason::INTERNAL, 1),
        ];
        for (name, exit_code) in expected {
            let error = with_reason(Code::PermissionDenied, name);
            assert_eq!(error.exit_code(), exit_code, "{name}");
            assert_eq!(error.to_string(), "said so");
        }
    }

    #[test]
    fn without_a_reason_the_code_decides() {
        let expected = [
            (Code::Unavailable, 3),
            (Code::PermissionDenied, 4),
            (Code::Unauthenticated, 4),
            (Code::ResourceExhausted, 5),
            (Code::DeadlineExceeded, 5),
            (Code::InvalidArgument, 2),
            (Code::OutOfRange, 2),
            (Code::NotFound, 1),
            (Code::Cancelled, 1),
            (Code::Unimplemented, 1),
        ];
        for (code, exit_code) in expected {
            assert_eq!(Error::from(Status::new(code, "x")).exit_code(), exit_code, "{code:?}");
        }
    }

    #[test]
    fn a_reason_from_another_domain_is_not_tandems() {
        let details = ErrorDetails::with_error_info(reason::OVERLOADED, "googleapis.com", []);
        let error: Error = Status::with_error_details(Code::NotFound, "x", details).into();
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn a_reason_this_client_does_not_know_is_kept() {
        let error = with_reason(Code::NotFound, "MOON_IN_THE_WRONG_PHASE");
        assert_eq!((error.reason(), error.exit_code()), ("MOON_IN_THE_WRONG_PHASE", 1));
    }

    #[test]
    fn the_daemons_delay_is_in_the_hint() {
        let mut details = ErrorDetails::with_error_info(reason::OVERLOADED, reason::DOMAIN, []);
        details.set_retry_info(Some(Duration::from_secs(7)));
        let error: Error =
            Status::with_error_details(Code::ResourceExhausted, "full", details).into();
        assert_eq!(error.hint().unwrap(), "try again in 7 s");
    }

    #[test]
    fn fields_at_fault_are_named_once() {
        let mut details =
            ErrorDetails::with_error_info(reason::INVALID_ARGUMENT, reason::DOMAIN, []);
        details.add_bad_request_violation("sampling.top_p", "must be above 0");
        details.add_bad_request_violation("prompt", "is empty");
        let error: Error =
            Status::with_error_details(Code::InvalidArgument, "prompt is empty", details).into();
        assert_eq!(error.to_string(), "prompt is empty\n  sampling.top_p: must be above 0");
    }

    #[test]
    fn the_flag_of_a_wrong_sampling_field_is_named() {
        let hint = |message: &str| {
            let reason = reason::INVALID_ARGUMENT.into();
            Error::Invalid { reason, message: message.into() }.hint()
        };
        assert_eq!(hint("sampling.top_p: 2 is not in 0 to 1").unwrap(), "set it with --top-p");
        assert_eq!(hint("sampling.logprobs: too many"), None);
        assert_eq!(hint("prompt: is empty"), None);
    }

    #[test]
    fn a_file_that_is_no_socket_is_not_an_absent_daemon() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Error::opening(file.path(), &io::ErrorKind::ConnectionRefused.into());
        assert!(error.to_string().ends_with(" is not a socket"), "{error}");
        assert_eq!(error.exit_code(), 3);
    }

    #[test]
    fn a_socket_of_somebody_else_is_not_an_absent_daemon() {
        let of = |kind: io::ErrorKind| Error::opening(Path::new("/s"), &kind.into()).exit_code();
        assert_eq!(of(io::ErrorKind::PermissionDenied), 4);
        assert_eq!(of(io::ErrorKind::NotFound), 3);
        assert_eq!(of(io::ErrorKind::ConnectionRefused), 3);
    }
}
