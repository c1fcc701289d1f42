//! What follows from an error: whether to try again, and who else may answer.

use std::time::Duration;

use super::Error;

impl Error {
    /// When the same request may succeed, if that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::ProviderFailed { retry_after, .. } => *retry_after,
            Self::ProviderExhausted { retry_after, .. }
            | Self::Overloaded { retry_after, .. }
            | Self::EngineUnavailable { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// The error without words that a remote API chose, which may quote the prompt.
    #[must_use]
    pub fn for_log(&self) -> String {
        match self {
            Self::ProviderFailed { provider, .. } => format!("provider {provider:?} failed"),
            Self::ProviderRefused { provider, .. } | Self::ProviderKeyRefused { provider, .. } => {
                format!("provider {provider:?} refused the request")
            }
            Self::ProviderExhausted { provider, .. } => {
                format!("the quota at provider {provider:?} is used up")
            }
            other => other.to_string(),
        }
    }

    /// Whether nobody is to blame and it may pass: an engine, a provider or its budget is not there
    /// just now. Who asked for the wrong model, or set something wrongly, is to hear that.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::EngineCrashed { .. }
                | Self::EngineUnavailable { .. }
                | Self::Overloaded { .. }
                | Self::ProviderFailed { .. }
                | Self::ProviderTimedOut { .. }
                | Self::ProviderExhausted { .. }
                | Self::BudgetSpent { .. }
                | Self::KnowledgeBackend { .. }
                | Self::Restarting { .. }
                | Self::Unresponsive { .. }
        )
    }

    /// The local model that is itself to blame, so that another one may answer where the caller named
    /// none.
    #[must_use]
    pub fn model_at_fault(&self) -> Option<&str> {
        match self {
            Self::ModelInvalid { id, .. }
            | Self::ModelAbsent { id, .. }
            | Self::ModelNotFound { id, .. }
            | Self::ModelTooLarge { id, .. }
            | Self::EngineUnavailable { model: id, .. } => Some(id),
            _ => None,
        }
    }

    /// Whether the other track may answer in place of the one that ended with this error.
    /// Not when the request itself is at fault or the caller is gone.
    #[must_use]
    pub fn other_track_may_answer(&self) -> bool {
        !matches!(
            self,
            Self::Invalid { .. }
                | Self::Cancelled { .. }
                | Self::DeadlineExceeded { .. }
                | Self::ConversationNotFound { .. }
                | Self::MemoryNotFound { .. }
                | Self::CollectionNotFound { .. }
                | Self::Collection { .. }
                | Self::KnowledgeBackend { .. }
                | Self::NotInDocuments { .. }
                | Self::ShuttingDown
        )
    }
}
