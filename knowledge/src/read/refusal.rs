//! Why a document is not read.

use serde::{Deserialize, Serialize};

/// Why a document is not read, and what can be done about it. It travels between processes, so it holds
/// no error of the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The file is too long.
    #[error("has more than {bytes_max} bytes; raise the limit of bytes or split it")]
    TooManyBytes {
        /// The limit.
        bytes_max: usize,
    },
    /// More text came out of it than is allowed.
    #[error("holds more than {text_max} bytes of text; raise the limit of text or split it")]
    TooMuchText {
        /// The limit.
        text_max: usize,
    },
    /// More blocks came out of it than are allowed.
    #[error("has more than {blocks_max} paragraphs; raise the limit of blocks or split it")]
    TooManyBlocks {
        /// The limit.
        blocks_max: usize,
    },
    /// Containers stand too deep inside each other.
    #[error("nests more than {nesting_max} deep; raise the limit of nesting or simplify it")]
    TooDeep {
        /// The limit.
        nesting_max: usize,
    },
    /// It is a picture, a program or the like.
    #[error("looks like no text; convert it to text, Markdown, HTML or PDF")]
    NotText,
    /// There is nothing to read in it.
    #[error("has no text; if it shows scanned pages, run text recognition on it first")]
    Empty,
    /// A PDF that wants a password.
    #[error("is encrypted; save it without a password")]
    Encrypted,
    /// It is not what its format wants.
    #[error("cannot be read as {format}: {detail}; repair it or convert it to another format")]
    Malformed {
        /// The format.
        format: String,
        /// What is wrong.
        detail: String,
    },
    /// The process that read it died of it.
    #[error("brought its reader down ({how}); repair it or convert it to another format")]
    Crashed {
        /// How the process ended.
        how: String,
    },
    /// Reading it took too long.
    #[error(
        "was not read within {seconds} s; raise the limit of time, or convert it to another format"
    )]
    TookTooLong {
        /// The limit in seconds.
        seconds: u64,
    },
}
