//! The events of a stream, from bytes that arrive in any pieces. Linear in the input and bounded.

mod lines;
mod sse;

/// Longest event in bytes.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// Why a stream of events cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("it sent an event of more than {} KiB", EVENT_BYTES_MAX >> 10)]
    TooLong,
    #[error("it sent an event that is not UTF-8")]
    NotUtf8,
}

/// Events that are arriving.
#[derive(Debug)]
pub(super) enum Frames {
    /// Server-sent events.
    Events(sse::Parser),
    /// One event a line.
    Lines(lines::Parser),
}

impl Frames {
    pub(super) fn events() -> Self {
        Self::Events(sse::Parser::default())
    }

    pub(super) fn lines() -> Self {
        Self::Lines(lines::Parser::default())
    }

    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Events(parser) => parser.push(bytes),
            Self::Lines(parser) => parser.push(bytes),
        }
    }

    /// The data of the oldest event that was not asked for yet.
    pub(super) fn next_event(&mut self) -> Option<String> {
        match self {
            Self::Events(parser) => parser.next_event(),
            Self::Lines(parser) => parser.next_event(),
        }
    }
}
