//! Errors as gRPC statuses: the only place that chooses codes, reasons and details.

use std::collections::HashMap;
use std::time::Duration;

use tandem_actors::Error;
use tandem_proto::error as reason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Longest message of a status.
const MESSAGE_BYTES_MAX: usize = 1024;
/// Suggested pause before an actor that is being restarted is asked again.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// Suggested pause before a source that failed is asked again.
const PULL_PAUSE: Duration = Duration::from_secs(30);
/// Suggested pause before a search is tried again whose server is away.
const SERVER_PAUSE: Duration = Duration::from_secs(5);
/// Suggested pause before a full disk is tried again.
const DISK_PAUSE: Duration = Duration::from_secs(10);

/// The status of an error, with `ErrorInfo` and, where they help, `RetryInfo` and `BadRequest`.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn of(error: Error) -> Status {
    let (code, reason, retry_after) = classify(&error);
    let message = shortened(error.to_string());
    let mut details =
        ErrorDetails::with_error_info(reason, tandem_proto::error::DOMAIN, HashMap::new());
    if let Some(pause) = retry_after {
        details.set_retry_info(Some(pause));
    }
    if let Error::Invalid { field, problem } = &error {
        details.add_bad_request_violation(field.clone(), shortened(problem.clone()));
    }
    if let Error::Internal { problem } = &error {
        tracing::error!(problem, "internal error");
    }
    Status::with_error_details(code, message, details)
}

/// Statuses travel in headers, which are short.
fn shortened(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
    message
}

fn classify(error: &Error) -> (Code, &'static str, Option<Duration>) {
    match error {
        Error::Invalid { .. } => (Code::InvalidArgument, reason::INVALID_ARGUMENT, None),
        Error::SettingsInvalid { .. } => (Code::InvalidArgument, reason::SETTINGS_INVALID, None),
        Error::PromptTooLong { .. } => (Code::InvalidArgument, reason::PROMPT_TOO_LONG, None),
        Error::ModelNotFound { .. } | Error::ModelAbsent { .. } => {
            (Code::NotFound, reason::MODEL_NOT_FOUND, None)
        }
        Error::ModelInvalid { .. } => (Code::FailedPrecondition, reason::MODEL_INVALID, None),
        Error::ModelUnsuitable { .. } => (Code::FailedPrecondition, reason::MODEL_UNSUITABLE, None),
        Error::EmbeddingModelNotChosen { .. } => {
            (Code::FailedPrecondition, reason::EMBEDDING_MODEL_NOT_CHOSEN, None)
        }
        Error::ImportFailed { .. } => (Code::FailedPrecondition, reason::IMPORT_FAILED, None),
        Error::PullFailed { .. } => (Code::FailedPrecondition, reason::PULL_FAILED, None),
        Error::PullUnreachable { .. } => {
            (Code::Unavailable, reason::PULL_UNREACHABLE, Some(PULL_PAUSE))
        }
        Error::PackageFailed { .. } => (Code::FailedPrecondition, reason::PACKAGE_FAILED, None),
        Error::PackageUntrusted { .. } => {
            (Code::FailedPrecondition, reason::PACKAGE_UNTRUSTED, None)
        }
        Error::ModelInUse { .. } => (Code::FailedPrecondition, reason::MODEL_IN_USE, None),
        Error::ModelTooLarge { .. } => (Code::ResourceExhausted, reason::MODEL_TOO_LARGE, None),
        Error::EngineCrashed { .. } => {
            (Code::Unavailable, reason::ENGINE_CRASHED, Some(RESTART_PAUSE))
        }
        Error::EngineUnavailable { retry_after, .. } => {
            (Code::Unavailable, reason::ENGINE_UNAVAILABLE, Some(*retry_after))
        }
        Error::Overloaded { retry_after, .. } => {
            (Code::ResourceExhausted, reason::OVERLOADED, Some(*retry_after))
        }
        Error::RateLimited { retry_after, .. } => {
            (Code::ResourceExhausted, reason::RATE_LIMITED, Some(*retry_after))
        }
        Error::DeadlineExceeded { .. } => (Code::DeadlineExceeded, reason::DEADLINE_EXCEEDED, None),
        Error::Cancelled { .. } => (Code::Cancelled, reason::CANCELLED, None),
        Error::ConversationNotFound { .. } => {
            (Code::NotFound, reason::CONVERSATION_NOT_FOUND, None)
        }
        Error::MemoryNotFound { .. } => (Code::NotFound, reason::MEMORY_NOT_FOUND, None),
        Error::CollectionNotFound { .. } => (Code::NotFound, reason::COLLECTION_NOT_FOUND, None),
        Error::KnowledgeBackend { .. } => {
            (Code::Unavailable, reason::KNOWLEDGE_BACKEND_FAILED, Some(SERVER_PAUSE))
        }
        Error::NotInDocuments { .. } => (Code::NotFound, reason::NOT_IN_DOCUMENTS, None),
        Error::DocumentsStayHere { .. } => {
            (Code::FailedPrecondition, reason::DOCUMENTS_STAY_HERE, None)
        }
        Error::Collection { .. } => (Code::FailedPrecondition, reason::COLLECTION_FAILED, None),
        Error::EmbeddingModelGone { .. } => {
            (Code::FailedPrecondition, reason::EMBEDDING_MODEL_GONE, None)
        }
        Error::NotSupported { .. } => (Code::FailedPrecondition, reason::NOT_SUPPORTED, None),
        Error::ProviderNotConfigured { .. } => {
            (Code::FailedPrecondition, reason::PROVIDER_NOT_CONFIGURED, None)
        }
        Error::ProviderFailed { retry_after, .. } => {
            (Code::Unavailable, reason::PROVIDER_FAILED, Some(retry_after.unwrap_or(RESTART_PAUSE)))
        }
        Error::PersonalData { .. } => (Code::FailedPrecondition, reason::PERSONAL_DATA, None),
        Error::Offline => (Code::FailedPrecondition, reason::OFFLINE, None),
        Error::ProviderTimedOut { .. } => {
            (Code::Unavailable, reason::PROVIDER_FAILED, Some(RESTART_PAUSE))
        }
        Error::ProviderExhausted { retry_after, .. } => {
            (Code::ResourceExhausted, reason::PROVIDER_EXHAUSTED, Some(*retry_after))
        }
        Error::ProviderRefused { .. } | Error::ProviderKeyRefused { .. } => {
            (Code::FailedPrecondition, reason::PROVIDER_REFUSED, None)
        }
        Error::BudgetSpent { retry_after, .. } => {
            (Code::ResourceExhausted, reason::BUDGET_SPENT, Some(*retry_after))
        }
        Error::Ledger { .. } => (Code::Unavailable, reason::LEDGER_FAILED, Some(RESTART_PAUSE)),
        Error::Store { .. } => (Code::Unavailable, reason::STORE_FAILED, None),
        Error::DiskFull { .. } => (Code::ResourceExhausted, reason::DISK_FULL, Some(DISK_PAUSE)),
        Error::ShuttingDown => (Code::Unavailable, reason::SHUTTING_DOWN, Some(RESTART_PAUSE)),
        Error::Restarting { .. } => (Code::Unavailable, reason::RESTARTING, Some(RESTART_PAUSE)),
        Error::Unresponsive { .. } => {
            (Code::Unavailable, reason::UNRESPONSIVE, Some(RESTART_PAUSE))
        }
        Error::Internal { .. } => (Code::Internal, reason::INTERNAL, None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_invalid_field_is_named_in_the_details() {
        let status = of(Error::invalid("sampling.top_p", "is 2; allowed are 0 to 1"));
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INVALID_ARGUMENT", "tandem"));
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, "sampling.top_p");
    }

    #[test]
    fn what_may_be_retried_says_when() {
        let crashed = Error::EngineCrashed { model: "m".to_owned(), reason: "SIGKILL".to_owned() };
        let overloaded =
            Error::Overloaded { what: "x".to_owned(), retry_after: Duration::from_secs(2) };
        for (error, code) in [
            (crashed, Code::Unavailable),
            (overloaded, Code::ResourceExhausted),
            (Error::ShuttingDown, Code::Unavailable),
        ] {
            let status = of(error);
            assert_eq!(status.code(), code);
            let retry = status.get_error_details().retry_info().unwrap().retry_delay;
            assert!(retry.unwrap() > Duration::ZERO);
        }
    }

    #[test]
    fn a_long_message_is_cut_so_that_it_fits_into_headers() {
        let status = of(Error::invalid("model", "é".repeat(10_000)));
        assert!(status.message().len() <= MESSAGE_BYTES_MAX + '…'.len_utf8());
        assert!(status.details().len() < 3 * MESSAGE_BYTES_MAX);
    }

    #[test]
    fn what_cannot_succeed_is_not_called_retryable() {
        for error in [
            Error::ModelInvalid { id: "m".to_owned(), problem: "truncated".to_owned() },
            Error::ConversationNotFound { id: "c".to_owned() },
            Error::PromptTooLong { problem: "long".to_owned() },
        ] {
            let status = of(error);
            assert!(status.get_error_details().retry_info().is_none());
            assert_ne!(status.code(), Code::Unavailable);
        }
    }
}
