//! What is recorded.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One line of the ledger, without its place in the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// 0, 1, 2 … without gaps, over all files.
    pub index: u64,
    /// When it was written, in UTC.
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// A request is about to leave the machine.
    Sent(Sent),
    /// A request that was recorded as sent is over.
    Ended(Ended),
    /// The last line of a file was incomplete, as after a crash, and was cut off.
    Repaired {
        /// How many bytes were cut.
        bytes: u64,
    },
    /// The daemon found fewer or other records than it had written.
    Missing {
        /// So many records there should have been.
        expected: u64,
        /// So many were found.
        found: u64,
    },
}

/// A request as it leaves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// Joins this record to the one of its end. Every try has one of its own.
    pub attempt: String,
    /// The turn that it belongs to.
    pub turn: String,
    /// The conversation of the turn; empty for a turn of its own.
    pub conversation: String,
    /// Name of the provider in the settings.
    pub provider: String,
    /// Name of the model there.
    pub model: String,
    /// Where the bytes go: host and port.
    pub host: String,
    /// The policy under which it may leave.
    pub policy: String,
    /// Why the router sent it.
    pub reason: String,
    /// Length of the body.
    pub body_bytes: u64,
    /// SHA-256 of the exact body, in hexadecimal.
    pub body_sha256: String,
    /// How many pieces of personal data were masked, by kind.
    #[serde(default)]
    pub redactions: BTreeMap<String, u32>,
    /// The most it can cost, in millionths of the currency; absent where no price is known.
    pub reserved_micros: Option<u64>,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// As in [`Sent`].
    pub attempt: String,
    /// How.
    pub outcome: Outcome,
    /// Tokens, as the API counted them or, where it did not, as estimated.
    pub tokens: Tokens,
    /// The tokens are an estimate.
    #[serde(default)]
    pub estimated: bool,
    /// What it cost, in millionths of the currency; absent where no price is known.
    pub cost_micros: Option<u64>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With a complete answer.
    Answered,
    /// With an error.
    Failed,
    /// Its caller went away, or the daemon was told to end.
    Cancelled,
    /// Nothing was sent after all.
    NotSent,
    /// The daemon ended before it did.
    Lost,
}

/// Tokens of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Of the prompt.
    pub prompt: u64,
    /// Of those, how many the API had cached.
    pub cached: u64,
    /// Of the answer.
    pub completion: u64,
}
