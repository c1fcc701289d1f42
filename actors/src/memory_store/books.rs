//! What the store keeps for the bookkeeper: requests to providers that are under way, and sums of
//! those that ended.

use tandem_ledger::{Head, Tokens};
use tandem_proto::v1::UsageTally;
use uuid::Uuid;

use super::database::Database;
use super::thread::{Acknowledge, change, read};
use super::{MemoryStore, Reply, Request as StoreRequest};
use crate::Result;

/// Most conversations that are reported on.
pub(crate) const CONVERSATIONS_MAX: usize = 100;

/// One try of one provider: opened before a byte leaves, settled when it has ended.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Attempt {
    /// When it began, in days since 1970.
    #[prost(uint32, tag = "1")]
    pub(crate) day: u32,
    #[prost(string, tag = "2")]
    pub(crate) provider: String,
    #[prost(string, tag = "3")]
    pub(crate) model: String,
    /// Empty for a turn of its own.
    #[prost(string, tag = "4")]
    pub(crate) conversation: String,
    /// The most it can cost; what it counts for as long as it is not settled.
    #[prost(uint64, optional, tag = "5")]
    pub(crate) reserved_micros: Option<u64>,
    /// What it came to.
    #[prost(message, optional, tag = "6")]
    pub(crate) settled: Option<UsageTally>,
}

/// Sums of one day, track, provider and model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) day: u32,
    pub(crate) fast: bool,
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) tally: UsageTally,
}

/// An answer of the local model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LocalAnswer {
    pub(crate) day: u32,
    pub(crate) model: String,
    /// Empty for a turn of its own.
    pub(crate) conversation: String,
    pub(crate) tokens: Tokens,
    pub(crate) saved_micros: u64,
    pub(crate) total_ms: u64,
}

/// How many questions of a day had which score; see [`crate::router::pacing`].
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Scores {
    #[prost(uint32, repeated, tag = "1")]
    pub(crate) buckets: Vec<u32>,
}

/// What came together since it was last summed up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch {
    /// Names it, so that the same batch adds nothing when it is given again.
    pub(crate) id: Uuid,
    pub(crate) local: Vec<LocalAnswer>,
    /// All scores of these days, which replace what is stored.
    pub(crate) scores: Vec<(u32, Scores)>,
    /// Where the egress ledger ends.
    pub(crate) head: Option<Head>,
}

/// What the bookkeeper begins a life with.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Opening {
    /// Attempts that were under way when the last life ended. They count in full now.
    pub(crate) lost: Vec<(Uuid, Attempt)>,
    /// Usage since the day that was asked for.
    pub(crate) rows: Vec<Row>,
    pub(crate) scores: Vec<(u32, Scores)>,
    pub(crate) head: Option<Head>,
}

impl MemoryStore {
    /// Notes that a request is about to leave. It is on disk when this returns.
    pub(crate) async fn open_attempt(&self, id: Uuid, attempt: Attempt) -> Result<()> {
        let attempt = Box::new(attempt);
        self.insist(|reply| StoreRequest::Books(Request::Open { id, attempt, reply })).await
    }

    /// Notes what an attempt came to. One that is not open is left as it is.
    pub(crate) async fn settle_attempt(&self, id: Uuid, settled: UsageTally) -> Result<()> {
        let settled = Box::new(settled);
        self.insist(|reply| StoreRequest::Books(Request::Settle { id, settled, reply })).await
    }

    /// Adds all that was settled, and `batch`, to the sums.
    pub(crate) async fn sum_up(&self, batch: Batch) -> Result<()> {
        self.insist(|reply| StoreRequest::Books(Request::SumUp { batch, reply })).await
    }

    /// Settles what an earlier life left open, and reads what is needed from `first_day` on.
    pub(crate) async fn open_books(&self, first_day: u32) -> Result<Opening> {
        self.insist(|reply| StoreRequest::Books(Request::OpenBooks { first_day, reply })).await
    }

    /// Usage from the first to the last day.
    pub(crate) async fn usage(&self, first_day: u32, last_day: u32) -> Result<Vec<Row>> {
        let days = (first_day, last_day);
        self.ask(|reply| StoreRequest::Books(Request::Usage { days, reply })).await
    }

    /// The conversations that cost most from the first to the last day.
    pub(crate) async fn usage_by_conversation(
        &self,
        first_day: u32,
        last_day: u32,
    ) -> Result<Vec<(Uuid, UsageTally)>> {
        let days = (first_day, last_day);
        self.ask(|reply| StoreRequest::Books(Request::ByConversation { days, reply })).await
    }
}

/// What the bookkeeper can ask of the store; the methods of [`MemoryStore`] document each.
#[derive(Debug)]
#[allow(private_interfaces, reason = "messages between actors of this crate")]
pub enum Request {
    /// [`MemoryStore::open_attempt`].
    #[allow(missing_docs, reason = "documented with the method")]
    Open { id: Uuid, attempt: Box<Attempt>, reply: Reply<()> },
    /// [`MemoryStore::settle_attempt`].
    #[allow(missing_docs, reason = "documented with the method")]
    Settle { id: Uuid, settled: Box<UsageTally>, reply: Reply<()> },
    /// [`MemoryStore::sum_up`].
    #[allow(missing_docs, reason = "documented with the method")]
    SumUp { batch: Batch, reply: Reply<()> },
    /// [`MemoryStore::open_books`].
    #[allow(missing_docs, reason = "documented with the method")]
    OpenBooks { first_day: u32, reply: Reply<Opening> },
    /// [`MemoryStore::usage`].
    #[allow(missing_docs, reason = "documented with the method")]
    Usage { days: (u32, u32), reply: Reply<Vec<Row>> },
    /// [`MemoryStore::usage_by_conversation`].
    #[allow(missing_docs, reason = "documented with the method")]
    ByConversation { days: (u32, u32), reply: Reply<Vec<(Uuid, UsageTally)>> },
}

impl Request {
    pub(super) fn serve(self, database: &mut Database) -> Option<Acknowledge> {
        match self {
            Self::Open { id, attempt, reply } => {
                change(reply, || database.open_attempt(id, &attempt))
            }
            Self::Settle { id, settled, reply } => {
                change(reply, || database.settle_attempt(id, *settled))
            }
            Self::SumUp { batch, reply } => change(reply, || database.sum_up(&batch)),
            Self::OpenBooks { first_day, reply } => {
                change(reply, || database.open_books(first_day))
            }
            Self::Usage { days, reply } => read(reply, || database.usage(days)),
            Self::ByConversation { days, reply } => {
                read(reply, || database.usage_by_conversation(days))
            }
        }
    }
}
