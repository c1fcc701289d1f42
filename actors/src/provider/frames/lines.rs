//! Events that end with their line.

use std::collections::VecDeque;

use super::{EVENT_BYTES_MAX, Fault};

/// The line that is arriving, and those that have arrived.
#[derive(Debug, Default)]
pub(in super::super) struct Parser {
    line: Vec<u8>,
    events: VecDeque<String>,
}

impl Parser {
    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (end, text) = match part.strip_suffix(b"\n") {
                Some(text) => (true, text),
                None => (false, part),
            };
            if self.line.len() + text.len() > EVENT_BYTES_MAX {
                return Err(Fault::TooLong);
            }
            self.line.extend_from_slice(text);
            if end {
                let line = std::mem::take(&mut self.line);
                let line = String::from_utf8(line).map_err(|_| Fault::NotUtf8)?;
                if !line.trim().is_empty() {
                    self.events.push_back(line);
                }
            }
        }
        Ok(())
    }

    /// The oldest line that was not asked for yet.
    pub(super) fn next_event(&mut self) -> Option<String> {
        self.events.pop_front()
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
    fn lines_are_the_same_wherever_the_bytes_are_cut() {
        let stream = "{\"é\":1}\r\n\n{}\nnot ended".as_bytes();
        let expected = Ok(vec!["{\"é\":1}\r".to_owned(), "{}".to_owned()]);
        for cut in 0..stream.len() {
            let (left, right) = stream.split_at(cut);
            assert_eq!(events(&[left, right]), expected, "cut at {cut}");
        }
        assert_eq!(events(&stream.chunks(1).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_memory() {
        assert_eq!(events(&[&vec![b'x'; EVENT_BYTES_MAX + 1]]), Err(Fault::TooLong));
        let pieces = vec![&b"xxxxxxxx"[..]; EVENT_BYTES_MAX / 8 + 1];
        assert_eq!(events(&pieces), Err(Fault::TooLong));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        assert_eq!(events(&[b"\xff\n"]), Err(Fault::NotUtf8));
    }
}
