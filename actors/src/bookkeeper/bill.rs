//! One request that was let go: what was reserved for it, and how that is settled.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tandem_ledger::{Ended, Outcome, Sent, Tokens};
use tandem_proto::v1::UsageTally;
use uuid::Uuid;

use super::{Bookkeeper, Message, milliseconds};
use crate::memory_store::books::Attempt;

/// Longest reason that the ledger keeps, in bytes.
const REASON_BYTES_MAX: usize = 500;

/// A request that is about to leave.
#[derive(Debug, Clone)]
pub(crate) struct Departure {
    pub(crate) turn: String,
    pub(crate) conversation: String,
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) host: String,
    pub(crate) policy: String,
    pub(crate) reason: String,
    pub(crate) body_bytes: u64,
    pub(crate) body_sha256: String,
    pub(crate) redactions: BTreeMap<String, u32>,
    /// No less than the prompt has.
    pub(crate) prompt_tokens: u32,
    /// No more than the answer may have.
    pub(crate) max_tokens: u32,
}

impl Departure {
    pub(super) fn record(self, id: Uuid, reserved_micros: Option<u64>) -> Sent {
        let mut reason = self.reason;
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        Sent {
            attempt: id.to_string(),
            turn: self.turn,
            conversation: self.conversation,
            provider: self.provider,
            model: self.model,
            host: self.host,
            policy: self.policy,
            reason,
            body_bytes: self.body_bytes,
            body_sha256: self.body_sha256,
            redactions: self.redactions,
            reserved_micros,
        }
    }
}

/// A settlement that is to last.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) id: Uuid,
    pub(super) tally: UsageTally,
    /// For the ledger; `None` when it knows nothing of the request.
    pub(super) ended: Option<Ended>,
}

/// A request that was let go. Dropping it unsettled says that nothing was sent.
#[derive(Debug)]
pub(crate) struct Bill {
    books: Bookkeeper,
    id: Uuid,
    attempt: Attempt,
    prompt_tokens: u32,
    begun: Instant,
    /// The ledger has a record of it, or may have.
    pub(super) recorded: bool,
    settled: bool,
}

/// What a request came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    pub(super) outcome: Outcome,
    pub(super) tokens: Tokens,
    /// The tokens are an estimate.
    pub(super) estimated: bool,
}

impl Bill {
    pub(super) fn new(books: Bookkeeper, id: Uuid, attempt: Attempt, prompt_tokens: u32) -> Self {
        let begun = Instant::now();
        Self { books, id, attempt, prompt_tokens, begun, recorded: false, settled: false }
    }

    pub(super) fn books(&self) -> &Bookkeeper {
        &self.books
    }

    /// Tokens of the prompt, as estimated before it was sent.
    pub(super) fn prompt_tokens(&self) -> u64 {
        self.prompt_tokens.into()
    }

    /// Settles in memory. What it returns makes it last; the cost is `None` where no price is known.
    pub(super) fn settle(&mut self, ending: Ending) -> (Closing, Option<u64>) {
        self.settled = true;
        let Ending { outcome, tokens, estimated } = ending;
        let mut cost = self.books.cost(&self.attempt.provider, tokens);
        let sent = outcome != Outcome::NotSent;
        if !sent || tokens == Tokens::default() {
            // Whatever a request costs by itself, one that came to nothing is not charged.
            cost = cost.map(|_| 0);
        } else if estimated {
            cost = cost.min(self.attempt.reserved_micros);
        }
        let answered = outcome == Outcome::Answered;
        self.books.settle(self.id, self.attempt.day, cost, answered);
        let tally = UsageTally {
            requests: u64::from(sent),
            answered: u64::from(answered),
            prompt_tokens: tokens.prompt,
            cached_tokens: tokens.cached,
            completion_tokens: tokens.completion,
            cost_micros: cost.unwrap_or(0),
            saved_micros: 0,
            unpriced: u64::from(sent && cost.is_none()),
            estimated: u64::from(estimated),
            total_ms: if sent { milliseconds(self.elapsed()) } else { 0 },
        };
        let ended = self.recorded.then(|| Ended {
            attempt: self.id.to_string(),
            outcome,
            tokens,
            estimated,
            cost_micros: cost,
        });
        (Closing { id: self.id, tally, ended }, cost)
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let tokens = Tokens::default();
        let (closing, _) =
            self.settle(Ending { outcome: Outcome::NotSent, tokens, estimated: false });
        // Without the actor it stays open in the store, and counts in full at the next start.
        drop(self.books.shared.address.cast(Message::Close(Box::new(closing))));
    }
}
