//! How a record becomes a line, and back.
//!
//! A line is `{"hash":"…","prev":"…","index":…}`. The hash is the SHA-256 of every byte behind the comma
//! that follows it, up to the end of the line, so nothing depends on how JSON is spaced or ordered.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Record};

const BEFORE_HASH: &str = "{\"hash\":\"";
const AFTER_HASH: &str = "\",";
/// Digits of a hash.
const HASH_DIGITS: usize = 64;

/// What stands for the hash before the first record.
pub(crate) fn genesis() -> String {
    "0".repeat(HASH_DIGITS)
}

#[derive(Serialize)]
struct Linked<'a> {
    prev: &'a str,
    #[serde(flatten)]
    record: &'a Record,
}

#[derive(Deserialize)]
struct Parsed {
    prev: String,
    #[serde(flatten)]
    record: Record,
}

/// A record with its place in the chain.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) hash: String,
    pub(crate) prev: String,
    pub(crate) record: Record,
}

/// The line, with its end, and its hash.
pub(crate) fn line(record: &Record, prev: &str) -> Result<(String, String), Error> {
    let json = serde_json::to_string(&Linked { prev, record })?;
    let rest = json.strip_prefix('{').unwrap_or(&json);
    let hash = digest(rest.as_bytes());
    let line = format!("{BEFORE_HASH}{hash}{AFTER_HASH}{rest}\n");
    Ok((line, hash))
}

/// The record of a line without its end; `None` when it was changed.
pub(crate) fn read_line(line: &[u8]) -> Option<Link> {
    let line = std::str::from_utf8(line).ok()?;
    let (hash, rest) = line.strip_prefix(BEFORE_HASH)?.split_at_checked(HASH_DIGITS)?;
    let rest = rest.strip_prefix(AFTER_HASH)?;
    if digest(rest.as_bytes()) != hash {
        return None;
    }
    let Parsed { prev, record } = serde_json::from_str(&format!("{{{rest}")).ok()?;
    Some(Link { hash: hash.to_owned(), prev, record })
}

/// SHA-256 in hexadecimal, as in the ledger.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
