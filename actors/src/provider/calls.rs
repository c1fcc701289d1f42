//! Tool calls, put together from pieces. None leaves here before it is whole.

use serde_json::{Map, Value};
use tandem_proto::v1::ToolCall;

use super::dialect::CallPiece;
use crate::tools::ID_BYTES_MAX;

/// Most calls in one answer.
const CALLS_MAX: usize = 128;
const NAME_BYTES_MAX: usize = 256;
/// Longest arguments of one call in bytes.
const ARGUMENTS_BYTES_MAX: usize = 1 << 20;

/// The calls of an answer that is arriving.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    index: Option<u64>,
    call: ToolCall,
}

/// Why calls cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("it called more than {CALLS_MAX} tools")]
    TooMany,
    #[error("it called a tool with an id or a name that is too long")]
    NameTooLong,
    #[error("it called a tool with more than {} KiB of arguments", ARGUMENTS_BYTES_MAX >> 10)]
    TooLong,
    #[error("it called a tool without saying which")]
    Nameless,
    #[error("it called a tool with arguments that are no JSON object")]
    NoObject,
}

impl Calls {
    /// Takes the next piece.
    pub(super) fn take(&mut self, piece: CallPiece) -> Result<(), Fault> {
        let CallPiece { index, id, name, arguments } = piece;
        let begins = !id.is_empty() || !name.is_empty();
        let at = match index {
            Some(_) => self.open.iter().rposition(|open| open.index == index),
            None if begins => None,
            None => self.open.len().checked_sub(1),
        };
        // Some number all calls alike: then another id is another call.
        let same =
            |open: &&mut Open| id.is_empty() || open.call.id.is_empty() || open.call.id == id;
        if let Some(Open { call, .. }) = at.and_then(|at| self.open.get_mut(at)).filter(same) {
            // Some repeat them with every piece.
            for (slot, word) in [(&mut call.id, id), (&mut call.name, name)] {
                if slot.is_empty() {
                    *slot = word;
                }
            }
            call.arguments.push_str(&arguments);
        } else if !begins {
            // Of a block that is no call of ours.
            return Ok(());
        } else if self.open.len() == CALLS_MAX {
            return Err(Fault::TooMany);
        } else {
            self.open.push(Open { index, call: ToolCall { id, name, arguments } });
        }
        let long = |open: &Open| open.call.arguments.len() > ARGUMENTS_BYTES_MAX;
        if self.open.iter().any(long) {
            return Err(Fault::TooLong);
        }
        Ok(())
    }

    /// All calls, whole. Those without an id get one that begins with `prefix`.
    pub(super) fn finish(&mut self, prefix: &str) -> Result<Vec<ToolCall>, Fault> {
        let whole = |(number, Open { mut call, .. }): (usize, Open)| {
            if call.name.is_empty() {
                return Err(Fault::Nameless);
            }
            if call.id.len() > ID_BYTES_MAX || call.name.len() > NAME_BYTES_MAX {
                return Err(Fault::NameTooLong);
            }
            if call.id.is_empty() {
                call.id = format!("{prefix}{number:03}");
            }
            if call.arguments.trim().is_empty() {
                "{}".clone_into(&mut call.arguments);
            }
            serde_json::from_str::<Map<String, Value>>(&call.arguments)
                .map_err(|_| Fault::NoObject)?;
            Ok(call)
        };
        self.open.drain(..).enumerate().map(whole).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn piece(index: u64, id: &str, name: &str, arguments: &str) -> CallPiece {
        let index = Some(index);
        CallPiece { index, id: id.into(), name: name.into(), arguments: arguments.into() }
    }

    fn calls(pieces: impl IntoIterator<Item = CallPiece>) -> Result<Vec<ToolCall>, Fault> {
        let mut calls = Calls::default();
        pieces.into_iter().try_for_each(|piece| calls.take(piece))?;
        calls.finish("call_")
    }

    fn words(calls: &[ToolCall]) -> Vec<[&str; 3]> {
        calls.iter().map(|it| [it.id.as_str(), it.name.as_str(), it.arguments.as_str()]).collect()
    }

    #[test]
    fn pieces_of_calls_that_run_side_by_side_find_their_call() {
        let calls = calls([
            piece(0, "a", "f", ""),
            piece(1, "b", "g", "{"),
            piece(0, "", "", "{\"x\""),
            piece(1, "", "", "}"),
            piece(0, "", "", ":1}"),
        ]);
        assert_eq!(words(&calls.unwrap()), [["a", "f", "{\"x\":1}"], ["b", "g", "{}"]]);
    }

    #[test]
    fn calls_that_share_an_index_are_told_apart_by_id() {
        let calls =
            calls([piece(0, "a", "f", "{}"), piece(0, "b", "f", "{"), piece(0, "b", "f", "}")]);
        assert_eq!(words(&calls.unwrap()), [["a", "f", "{}"], ["b", "f", "{}"]]);
    }

    #[test]
    fn calls_without_index_or_id_are_numbered() {
        let whole = |name| CallPiece { index: None, ..piece(0, "", name, "") };
        let calls = calls([whole("f"), whole("f")]).unwrap();
        assert_eq!(words(&calls), [["call_000", "f", "{}"], ["call_001", "f", "{}"]]);
    }

    #[test]
    fn pieces_of_a_block_that_is_no_call_are_passed_over() {
        assert_eq!(calls([piece(3, "", "", "{\"query\"")]), Ok(vec![]));
    }

    #[test]
    fn what_cannot_be_a_whole_call_is_refused() {
        for arguments in ["{", "[]", "7", "{}{}", "{\"x\":}"] {
            assert_eq!(calls([piece(0, "a", "f", arguments)]), Err(Fault::NoObject), "{arguments}");
        }
        assert_eq!(calls([piece(0, "a", "", "{}")]), Err(Fault::Nameless));
        assert_eq!(calls([piece(0, &"a".repeat(257), "f", "{}")]), Err(Fault::NameTooLong));
        assert_eq!(calls((0..129).map(|n| piece(n, "", "f", "{}"))), Err(Fault::TooMany));
    }

    #[test]
    fn arguments_without_end_are_refused_before_they_fill_memory() {
        let mut calls = Calls::default();
        calls.take(piece(0, "a", "f", "{\"x\":\"")).unwrap();
        let refused = (0..2000).find_map(|_| calls.take(piece(0, "", "", &"x".repeat(1024))).err());
        assert_eq!(refused, Some(Fault::TooLong));
        assert!(calls.open[0].call.arguments.len() <= ARGUMENTS_BYTES_MAX + 1024);
    }
}
