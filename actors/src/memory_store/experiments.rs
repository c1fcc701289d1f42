//! What the store is asked about experiments and verdicts.

use tandem_proto::v1::{Feedback, Outcomes, VariantName};
use tracing::warn;

use super::database::Database;
use super::thread::{Acknowledge, change, read};
use super::{MemoryStore, Message, Reply};
use crate::Result;
use crate::experiments::Outcome;

impl MemoryStore {
    /// Adds what became of a turn to its variants. Nobody waits for it: it is on disk with the next
    /// change, and lost when the store is down or has too much to do.
    pub fn record_outcome(&self, outcome: Outcome) {
        if outcome.variants.is_empty() {
            return;
        }
        let request = super::Request::Experiments(Request::RecordOutcome { outcome });
        let sent = std::sync::Arc::clone(&self.permits)
            .try_acquire_owned()
            .is_ok_and(|permit| self.address.cast(Message::Serve(request, permit)).is_ok());
        if !sent {
            warn!("the outcome of a turn was not counted: the store is busy or restarts");
        }
    }

    /// The sums of all variants that ever had a turn, by experiment and variant.
    pub async fn outcomes(&self) -> Result<Vec<(VariantName, Outcomes)>> {
        self.ask(|reply| super::Request::Experiments(Request::Outcomes { reply })).await
    }

    /// Keeps a verdict, in the place of an earlier one on the same turn, and counts it for the
    /// turn's variants.
    pub async fn record_feedback(&self, feedback: Feedback) -> Result<()> {
        let feedback = Box::new(feedback);
        self.ask(|reply| super::Request::Experiments(Request::RecordFeedback { feedback, reply }))
            .await
    }

    /// One page of verdicts, oldest turn first, with the questions that may be shown, and the token
    /// of the next page. `page_size` is 0 (meaning 100) to 1000.
    pub async fn list_feedback(
        &self,
        page_size: u32,
        page_token: &str,
    ) -> Result<(Vec<Feedback>, String)> {
        let page_token = page_token.to_owned();
        self.ask(|reply| {
            super::Request::Experiments(Request::ListFeedback { page_size, page_token, reply })
        })
        .await
    }
}

/// What can be asked; [`MemoryStore`] documents each.
#[derive(Debug)]
#[allow(missing_docs, reason = "the methods of MemoryStore document them")]
pub enum Request {
    RecordOutcome { outcome: Outcome },
    Outcomes { reply: Reply<Vec<(VariantName, Outcomes)>> },
    RecordFeedback { feedback: Box<Feedback>, reply: Reply<()> },
    ListFeedback { page_size: u32, page_token: String, reply: Reply<(Vec<Feedback>, String)> },
}

impl Request {
    pub(super) fn serve(self, database: &mut Database) -> Option<Acknowledge> {
        match self {
            Self::RecordOutcome { outcome } => {
                if let Err(error) = database.record_outcome(&outcome) {
                    warn!(%error, "the outcome of a turn was not counted");
                }
                Some(Box::new(|_| ()))
            }
            Self::Outcomes { reply } => read(reply, || database.outcomes()),
            Self::RecordFeedback { feedback, reply } => {
                change(reply, || database.record_feedback(*feedback))
            }
            Self::ListFeedback { page_size, page_token, reply } => {
                read(reply, || database.list_feedback(page_size, &page_token))
            }
        }
    }
}
