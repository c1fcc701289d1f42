//! One try of one provider.

use super::SlowRequest;
use crate::provider::Provider;
use crate::{Result, TrackEvents};

/// Asks `provider`. Dropping the events cancels the request.
pub(super) async fn attempt(provider: &Provider, slow: &SlowRequest) -> Result<TrackEvents> {
    provider.start(slow.request.clone()).await
}
