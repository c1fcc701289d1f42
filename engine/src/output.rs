//! From token bytes to text: whole UTF-8 only, and nothing of a stop string.

/// Turns the bytes of an answer into text as they come.
#[derive(Debug)]
pub struct Output {
    stops: Vec<String>,
    /// The beginning of a character whose end has not come; at most 3 bytes.
    incomplete: Vec<u8>,
    /// Text that may be the beginning of a stop string.
    held: String,
}

/// What came of some bytes.
#[derive(Debug, PartialEq)]
pub struct Emitted {
    /// Text to hand out.
    pub text: String,
    /// A stop string was reached: the answer ends before it.
    pub stopped: bool,
}

impl Output {
    /// Ends at the first of `stops`, none of which is empty.
    pub fn new(stops: Vec<String>) -> Self {
        Self { stops, incomplete: Vec::new(), held: String::new() }
    }

    /// Takes the bytes of one token.
    pub fn push(&mut self, bytes: &[u8]) -> Emitted {
        self.incomplete.extend_from_slice(bytes);
        let mut used = 0;
        for chunk in self.incomplete.utf8_chunks() {
            self.held.push_str(chunk.valid());
            used += chunk.valid().len();
            let invalid = chunk.invalid();
            let at_end = used + invalid.len() == self.incomplete.len();
            if at_end && may_continue(invalid) {
                break;
            }
            used += invalid.len();
            if !invalid.is_empty() {
                self.held.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.incomplete.drain(..used);
        if let Some(start) = self.stop_start() {
            self.held.truncate(start);
            return Emitted { text: std::mem::take(&mut self.held), stopped: true };
        }
        let rest = self.held.split_off(self.held.len() - self.held_back());
        Emitted { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// The text held back, when nothing more comes.
    pub fn finish(&mut self) -> String {
        if !std::mem::take(&mut self.incomplete).is_empty() {
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        std::mem::take(&mut self.held)
    }

    /// Where the stop string begins that ends first, so that the answer does not depend on how
    /// the text is cut into tokens.
    fn stop_start(&self) -> Option<usize> {
        let found = self.stops.iter().filter_map(|stop| {
            let start = self.held.find(stop.as_str())?;
            Some((start + stop.len(), start))
        });
        found.min().map(|(_, start)| start)
    }

    /// Length of the longest end of the text that a stop string may begin with.
    fn held_back(&self) -> usize {
        let beginnings = self.stops.iter().flat_map(|stop| {
            stop.char_indices().map(|(end, _)| &stop[..end]).filter(|part| !part.is_empty())
        });
        beginnings.filter(|part| self.held.ends_with(part)).map(str::len).max().unwrap_or(0)
    }
}

/// Whether these bytes, which are no character, are the beginning of one.
fn may_continue(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(stops: &[&str]) -> Output {
        Output::new(stops.iter().map(|&stop| stop.to_owned()).collect())
    }

    /// Pushes pieces until one stops; the whole text, and whether it stopped.
    fn run<'a>(stops: &[&str], pieces: impl IntoIterator<Item = &'a [u8]>) -> (String, bool) {
        let mut output = output(stops);
        let mut text = String::new();
        for piece in pieces {
            let emitted = output.push(piece);
            text.push_str(&emitted.text);
            if emitted.stopped {
                return (text, true);
            }
        }
        text.push_str(&output.finish());
        (text, false)
    }

    #[test]
    fn text_comes_out_as_it_goes_in_however_it_is_cut() {
        let text = "Grüße, 世界 🦀!";
        for size in 1..8 {
            assert_eq!(run(&[], text.as_bytes().chunks(size)), (text.to_owned(), false));
        }
    }

    #[test]
    fn a_character_is_held_until_it_is_whole() {
        let mut output = output(&[]);
        for byte in &"🦀".as_bytes()[..3] {
            assert_eq!(output.push(&[*byte]).text, "");
        }
        assert_eq!(output.push(&"🦀".as_bytes()[3..]).text, "🦀");
        assert_eq!(output.finish(), "");
    }

    #[test]
    fn bytes_that_are_no_utf8_become_replacement_characters() {
        for size in 1..5 {
            assert_eq!(
                run(&[], b"a\xffb\xe2\x82c\xf0\x9f".chunks(size)).0,
                "a\u{fffd}b\u{fffd}c\u{fffd}"
            );
        }
    }

    #[test]
    fn the_answer_ends_before_the_stop_string_however_it_is_cut() {
        for size in 1..12 {
            let (text, stopped) = run(&["\nUser:", "###"], b"fine.\nUse it\nUser: x".chunks(size));
            assert_eq!((text.as_str(), stopped), ("fine.\nUse it", true), "pieces of {size}");
        }
    }

    #[test]
    fn of_two_stop_strings_the_one_that_ends_first_counts() {
        for size in 1..6 {
            let (text, stopped) = run(&["bcde", "cd"], b"abcdef".chunks(size));
            assert_eq!((text.as_str(), stopped), ("ab", true), "pieces of {size}");
        }
    }

    #[test]
    fn only_a_possible_stop_string_is_held_back() {
        let mut output = output(&["END"]);
        assert_eq!(output.push(b"the E").text, "the ");
        assert_eq!(output.push(b"N").text, "");
        assert_eq!(output.push(b"E").text, "EN");
        assert_eq!(output.push(b"!").text, "E!");
        assert_eq!(output.push(b"EN").text, "");
        assert_eq!(output.finish(), "EN");
    }

    #[test]
    fn stop_strings_may_overlap_themselves_and_hold_wide_characters() {
        for size in 1..5 {
            assert_eq!(run(&["aab"], b"aaab".chunks(size)), ("a".to_owned(), true));
            assert_eq!(run(&["世界"], "世世界".as_bytes().chunks(size)), ("世".to_owned(), true));
        }
    }
}
