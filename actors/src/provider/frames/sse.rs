//! Server-sent events from bytes that arrive in any pieces.
//!
//! Only what the dialects use: the data of each event. The crates for it keep what has no end, so this
//! is our own.

use std::collections::VecDeque;

use super::{EVENT_BYTES_MAX, Fault};

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The event that is arriving, and those that have arrived.
#[derive(Debug, Default)]
pub(in super::super) struct Parser {
    line: Vec<u8>,
    data: Vec<u8>,
    after_carriage_return: bool,
    after_first_line: bool,
    events: VecDeque<String>,
}

impl Parser {
    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        for &byte in bytes {
            let after_carriage_return = std::mem::take(&mut self.after_carriage_return);
            match byte {
                b'\n' if after_carriage_return => {}
                b'\n' => self.end_line()?,
                b'\r' => {
                    self.after_carriage_return = true;
                    self.end_line()?;
                }
                _ if self.line.len() + self.data.len() >= EVENT_BYTES_MAX => {
                    return Err(Fault::TooLong);
                }
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    /// The data of the oldest event that was not asked for yet.
    pub(super) fn next_event(&mut self) -> Option<String> {
        self.events.pop_front()
    }

    fn end_line(&mut self) -> Result<(), Fault> {
        let mut line = self.line.as_slice();
        if !std::mem::replace(&mut self.after_first_line, true) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            // The last line end belongs to the format, not to the data.
            if self.data.pop().is_some() {
                let data = std::mem::take(&mut self.data);
                self.events.push_back(String::from_utf8(data).map_err(|_| Fault::NotUtf8)?);
            }
        } else if let Some(value) = line.strip_prefix(b"data:") {
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            self.data.push(b'\n');
        }
        self.line.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Result<Vec<String>, Fault> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece)?;
            events.extend(std::iter::from_fn(|| parser.next_event()));
        }
        Ok(events)
    }

    #[test]
    fn events_are_the_same_wherever_the_bytes_are_cut() {
        let stream = ": hello\n\ndata: {\"é\":1}\n\nevent: x\ndata:two\ndata: lines\n\n\
                      data: a\r\ndata: A\r\n\r\ndata: b\r\rid: 7\n\ndata: [DONE]\n\n"
            .as_bytes();
        let expected = ["{\"é\":1}", "two\nlines", "a\nA", "b", "[DONE]"];
        assert_eq!(events(&[stream]).as_deref(), Ok(expected.map(String::from).as_slice()));
        for cut in 0..stream.len() {
            let (left, right) = stream.split_at(cut);
            assert_eq!(events(&[left, right]), events(&[stream]), "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(events(&bytes), events(&[stream]));
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        let stream = "\u{feff}data: x\n\n".as_bytes();
        assert_eq!(events(&[stream]), Ok(vec!["x".to_owned()]));
    }

    #[test]
    fn an_event_that_was_not_ended_is_not_reported() {
        assert_eq!(events(&[b"data: x\n"]), Ok(vec![]));
    }

    #[test]
    fn an_event_without_end_is_refused_before_it_fills_memory() {
        let one_line = vec![b'x'; EVENT_BYTES_MAX + 1];
        assert_eq!(events(&[&one_line]), Err(Fault::TooLong));
        let many_lines = b"data: x\n".repeat(EVENT_BYTES_MAX);
        assert_eq!(events(&[&many_lines]), Err(Fault::TooLong));
    }

    #[test]
    fn keep_alives_never_add_up() {
        assert_eq!(events(&[&b": keep-alive\n\n".repeat(EVENT_BYTES_MAX / 8)]), Ok(vec![]));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        assert_eq!(events(&[b"data: \xff\n\n"]), Err(Fault::NotUtf8));
    }
}
