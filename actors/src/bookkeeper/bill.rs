//! One request that was let go: what was reserved for it, and how that is settled.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tandem_ledger::{Ended, Entry, Outcome, Sent, Tokens};
use tandem_proto::v1::UsageTally;
use tracing::warn;
use uuid::Uuid;

use super::scribe::Pen;
use super::{Bookkeeper, LEDGER_DEADLINE, Message, follow, milliseconds};
use crate::memory_store::books::Attempt;
use crate::{Error, Result};

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

impl Bookkeeper {
    /// Reserves and records what is about to leave. Nothing may be sent unless this succeeds.
    ///
    /// [`Error::BudgetSpent`] when a budget could be passed, [`Error::Ledger`] when it cannot be
    /// recorded, and errors of the store.
    pub(crate) async fn begin(&self, departure: Departure) -> Result<Bill> {
        let Departure { provider, model, conversation, prompt_tokens, max_tokens, .. } = &departure;
        let reserved = self.worst(provider, *prompt_tokens, *max_tokens);
        let id = Uuid::now_v7();
        let (day, near) = self.purse(|purse, now| {
            let day = purse.reserve(id, provider, reserved.unwrap_or(0), now)?;
            Ok::<_, Error>((day, purse.nearly_spent(provider)))
        })??;
        let attempt = Attempt {
            day,
            provider: provider.clone(),
            model: model.clone(),
            conversation: conversation.clone(),
            reserved_micros: reserved,
            settled: None,
        };
        // From here on whoever drops it gives the reservation back.
        let mut bill = Bill::new(self.clone(), id, attempt.clone(), *prompt_tokens, near);
        self.shared.store.open_attempt(id, attempt).await?;
        bill.recorded = true;
        let entry = Entry::Sent(departure.record(id, reserved));
        let recorded = self
            .shared
            .address
            .ask(LEDGER_DEADLINE, |reply| Message::Record(Box::new(entry), reply))
            .await?;
        bill.recorded = recorded.is_ok();
        recorded.map(|()| bill)
    }

    /// Settles in memory; the caller makes it last.
    fn settle(&self, id: Uuid, day: u32, cost: Option<u64>, answered: bool) {
        drop(self.purse(|purse, now| purse.settle(id, cost.unwrap_or(0), now)));
        if let Some(micros) = cost {
            self.demand(|demand| demand.history.paid(day, micros, answered));
        }
    }

    /// Makes a settlement last: in the store and in the ledger.
    pub(super) async fn close(&self, closing: Closing, pen: &Pen) {
        let Closing { id, tally, ended } = closing;
        let record = async {
            let Some(ended) = ended else { return };
            if let Err(problem) = pen.write(Entry::Ended(ended)).await {
                warn!(%problem, "an end was not recorded");
            }
        };
        let ((), settled) = tokio::join!(record, follow::persist(&self.shared.store, id, tally));
        if let Err(problem) = settled {
            warn!(%problem, "an attempt stays open and will count in full");
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

/// A request that was let go. Dropping it before it is marked as sent says that nothing was; behind
/// that it stays open, as if the daemon had ended, and counts in full.
#[derive(Debug)]
pub(crate) struct Bill {
    books: Bookkeeper,
    id: Uuid,
    attempt: Attempt,
    prompt_tokens: u32,
    begun: Instant,
    /// What its caller is to know about a budget.
    near: Option<String>,
    /// The ledger has a record of it, or may have.
    recorded: bool,
    /// It was sent, or settled.
    gone: bool,
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
    fn new(
        books: Bookkeeper,
        id: Uuid,
        attempt: Attempt,
        prompt_tokens: u32,
        near: Option<String>,
    ) -> Self {
        let begun = Instant::now();
        Self { books, id, attempt, prompt_tokens, begun, near, recorded: false, gone: false }
    }

    pub(super) fn books(&self) -> &Bookkeeper {
        &self.books
    }

    /// From here on the API may charge for it.
    pub(super) fn mark_sent(&mut self) {
        self.gone = true;
    }

    /// That a budget is nearly spent, to be told once.
    pub(super) fn take_notice(&mut self) -> Option<String> {
        self.near.take()
    }

    /// Tokens of the prompt, as estimated before it was sent.
    pub(super) fn prompt_tokens(&self) -> u64 {
        self.prompt_tokens.into()
    }

    /// Settles in memory. What it returns makes it last; the cost is `None` where no price is known.
    pub(super) fn settle(&mut self, ending: Ending) -> (Closing, Option<u64>) {
        self.gone = true;
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
        if self.gone {
            return;
        }
        let tokens = Tokens::default();
        let (closing, _) =
            self.settle(Ending { outcome: Outcome::NotSent, tokens, estimated: false });
        // Without the actor it stays open in the store, and counts in full at the next start.
        drop(self.books.shared.address.cast(Message::Close(Box::new(closing))));
    }
}
