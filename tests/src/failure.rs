//! An error status, taken apart.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What a status says.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Its code.
    pub code: Code,
    /// A name from [`tandem_proto::error`]; empty when the status is not from tandem.
    pub reason: String,
    /// For a person.
    pub message: String,
    /// When to try again, if that may help.
    pub retry_after: Option<Duration>,
    /// The fields at fault.
    pub fields: Vec<String>,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let ours = details.error_info().filter(|info| info.domain == tandem_proto::error::DOMAIN);
        let fields = details.bad_request().map_or(&[][..], |request| &request.field_violations);
        Self {
            code: status.code(),
            reason: ours.map(|info| info.reason.clone()).unwrap_or_default(),
            message: status.message().to_owned(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            fields: fields.iter().map(|violation| violation.field.clone()).collect(),
        }
    }
}
