//! Events that a server sends over HTTP.

/// Bytes of a stream of events that are not whole lines yet.
#[derive(Debug, Default)]
pub(super) struct Events {
    rest: Vec<u8>,
}

impl Events {
    /// Takes the next bytes and returns the data of the lines that they complete. Every event of
    /// the API in question is one line.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let lines: Vec<u8> = self.rest.drain(..=end).collect();
        let lines = String::from_utf8_lossy(&lines);
        let data = lines.lines().filter_map(|line| line.strip_prefix("data:"));
        data.map(|data| data.trim_start().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_may_come_in_pieces_and_several_at_once() {
        let mut events = Events::default();
        assert_eq!(events.push(b"da"), Vec::<String>::new());
        assert_eq!(events.push(b"ta: {\"a\":1}\n\nda"), ["{\"a\":1}"]);
        assert_eq!(events.push(b"ta: 2\n\ndata:3\r\n\r\n"), ["2", "3"]);
    }

    #[test]
    fn comments_and_other_fields_are_left_out() {
        let mut events = Events::default();
        assert_eq!(events.push(b": ping\nevent: message\ndata: [DONE]\n\n"), ["[DONE]"]);
    }

    #[test]
    fn a_letter_may_be_cut_in_two() {
        let mut events = Events::default();
        let line = "data: \u{e9}\n".as_bytes();
        assert_eq!(events.push(&line[..7]), Vec::<String>::new());
        assert_eq!(events.push(&line[7..]), ["\u{e9}"]);
    }
}
