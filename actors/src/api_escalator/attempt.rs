//! One try of one provider: paid for and recorded before a byte of it leaves.

use tandem_ledger::digest;

use super::SlowRequest;
use crate::bookkeeper::{Bookkeeper, Departure, Owed};
use crate::provider::Provider;
use crate::{Result, TrackEvents};

/// Asks `provider`. Dropping the events cancels the request.
///
/// Fails as [`Provider::prepare`] and [`Bookkeeper::begin`] do; then nothing has left the machine.
// Cancel-safe: what is dropped on the way gives back what it reserved.
pub(super) async fn attempt(
    provider: &Provider,
    slow: &SlowRequest,
    books: &Bookkeeper,
) -> Result<TrackEvents> {
    let prepared = provider.prepare(&slow.request)?;
    let body = prepared.body();
    let max_tokens = slow.request.sampling.max_tokens.unwrap_or(u32::MAX);
    let departure = Departure {
        turn: slow.request.turn_id.clone(),
        conversation: slow.conversation_id.clone(),
        provider: provider.name().to_owned(),
        model: provider.model().to_owned(),
        host: provider.host(),
        policy: slow.policy.clone(),
        reason: slow.reason.clone(),
        body_bytes: u64::try_from(body.len()).unwrap_or(u64::MAX),
        body_sha256: digest(body),
        redactions: slow.redactions.clone(),
        prompt_tokens: slow.prompt_tokens,
        max_tokens: max_tokens.min(provider.max_tokens()),
    };
    let bill = books.begin(departure).await?;
    let owed = Owed::default();
    let events = provider.send(prepared, &slow.request, Owed::clone(&owed))?;
    books.follow(bill, events, owed)
}
