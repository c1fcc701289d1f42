//! From tokens to text: whole UTF-8 only, nothing of a stop string, and thoughts apart.

use crate::reasoning::{Said, Splitter};
use crate::vocabulary::Vocabulary;

/// Turns the tokens of an answer into text as they come.
#[derive(Debug)]
pub struct Output {
    stops: Vec<String>,
    /// The beginning of a character whose end has not come; at most 3 bytes.
    incomplete: Vec<u8>,
    /// Text that may be the beginning of a stop string.
    held: String,
    splitter: Splitter,
    /// Everything handed out, as long as it is what the tokens say.
    verbatim: Option<String>,
    piece: Vec<u8>,
}

/// What came of a token.
#[derive(Debug, PartialEq)]
pub struct Emitted {
    /// Text to hand out.
    pub said: Said,
    /// A stop string was reached: the answer ends before it.
    pub stopped: bool,
}

impl Output {
    /// Ends at the first of `stops`, none of which is empty.
    pub fn new(stops: Vec<String>, splitter: Splitter) -> Self {
        Self {
            stops,
            incomplete: Vec::new(),
            held: String::new(),
            splitter,
            verbatim: Some(String::new()),
            piece: Vec::new(),
        }
    }

    /// Takes the next token.
    pub fn push(&mut self, token: u32, vocabulary: &impl Vocabulary) -> Emitted {
        let mut piece = std::mem::take(&mut self.piece);
        piece.clear();
        if self.splitter.is_mark(token) {
            vocabulary.append_bytes(token, &mut piece);
        } else {
            vocabulary.append_text(token, &mut piece);
        }
        if piece.is_empty() {
            // The text does not show that the token was there.
            self.verbatim = None;
        }
        let emitted = self.push_bytes(&piece);
        self.piece = piece;
        emitted
    }

    /// The text held back, when nothing more comes.
    pub fn finish(&mut self) -> Said {
        if !std::mem::take(&mut self.incomplete).is_empty() {
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        let held = std::mem::take(&mut self.held);
        let mut said = self.splitter.push(&held);
        said.push(&self.splitter.finish());
        self.note(&said);
        said
    }

    /// The whole text handed out, if it is all that the tokens say.
    pub fn verbatim(&self) -> Option<&str> {
        self.verbatim.as_deref().filter(|_| self.splitter.is_plain())
    }

    /// Whether the model still thinks, and has not begun to answer.
    pub fn is_thinking(&self) -> bool {
        self.splitter.is_thinking()
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> Emitted {
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
            self.incomplete.clear();
            let said = self.finish();
            self.verbatim = None;
            return Emitted { said, stopped: true };
        }
        let rest = self.held.split_off(self.held.len() - self.held_back());
        let certain = std::mem::replace(&mut self.held, rest);
        let said = self.splitter.push(&certain);
        self.note(&said);
        Emitted { said, stopped: false }
    }

    fn note(&mut self, said: &Said) {
        if let Some(verbatim) = &mut self.verbatim {
            verbatim.push_str(&said.text);
        }
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
    use crate::reasoning::Reasoning;

    fn output(stops: &[&str]) -> Output {
        let stops = stops.iter().map(|&stop| stop.to_owned()).collect();
        Output::new(stops, Splitter::default())
    }

    /// Pushes pieces until one stops; the whole text, and whether it stopped.
    fn run<'a>(stops: &[&str], pieces: impl IntoIterator<Item = &'a [u8]>) -> (String, bool) {
        let mut output = output(stops);
        let mut text = String::new();
        for piece in pieces {
            let emitted = output.push_bytes(piece);
            text.push_str(&emitted.said.text);
            if emitted.stopped {
                return (text, true);
            }
        }
        text.push_str(&output.finish().text);
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
            assert_eq!(output.push_bytes(&[*byte]).said.text, "");
        }
        assert_eq!(output.push_bytes(&"🦀".as_bytes()[3..]).said.text, "🦀");
        assert_eq!(output.finish().text, "");
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
        assert_eq!(output.push_bytes(b"the E").said.text, "the ");
        assert_eq!(output.push_bytes(b"N").said.text, "");
        assert_eq!(output.push_bytes(b"E").said.text, "EN");
        assert_eq!(output.push_bytes(b"!").said.text, "E!");
        assert_eq!(output.push_bytes(b"EN").said.text, "");
        assert_eq!(output.finish().text, "EN");
    }

    #[test]
    fn stop_strings_may_overlap_themselves_and_hold_wide_characters() {
        for size in 1..5 {
            assert_eq!(run(&["aab"], b"aaab".chunks(size)), ("a".to_owned(), true));
            assert_eq!(run(&["世界"], "世世界".as_bytes().chunks(size)), ("世".to_owned(), true));
        }
    }

    /// Tokens are the bytes of their text; `$` and beyond ASCII are control tokens.
    struct Bytes;

    impl Vocabulary for Bytes {
        fn size(&self) -> u32 {
            256
        }

        fn ends_generation(&self, _: u32) -> bool {
            false
        }

        fn append_text(&self, token: u32, out: &mut Vec<u8>) {
            if token != u32::from(b'$') && token < 128 {
                self.append_bytes(token, out);
            }
        }

        fn append_bytes(&self, token: u32, out: &mut Vec<u8>) {
            match token {
                200 => out.extend_from_slice(b"[THINK]"),
                201 => out.extend_from_slice(b"[/THINK]"),
                other => out.push(u8::try_from(other).unwrap_or_default()),
            }
        }
    }

    /// An answer of a model that thinks; its marks are the control tokens 200 and 201.
    fn thinking(stops: &[&str], tokens: &[u32]) -> (Said, Option<String>) {
        let reasoning = Reasoning::new("", |text| match text {
            "[THINK]" => Some(200),
            "[/THINK]" => Some(201),
            _ => None,
        });
        let stops = stops.iter().map(|&stop| stop.to_owned()).collect();
        let mut output = Output::new(stops, reasoning.splitter("[INST]Hi[/INST]"));
        let mut said = Said::default();
        for &token in tokens {
            let emitted = output.push(token, &Bytes);
            said.push(&emitted.said);
            if emitted.stopped {
                return (said, output.verbatim().map(str::to_owned));
            }
        }
        said.push(&output.finish());
        (said, output.verbatim().map(str::to_owned))
    }

    fn tokens(parts: &[&[u8]]) -> Vec<u32> {
        parts.concat().into_iter().map(u32::from).collect()
    }

    #[test]
    fn marks_that_are_control_tokens_part_thought_from_answer() {
        let (said, verbatim) = thinking(&[], &tokens(&[&[200], b"Hm. ", &[201], b"\nYes$!"]));
        assert_eq!((said.reasoning.as_str(), said.text.as_str()), ("Hm.", "Yes!"));
        assert_eq!(verbatim, None);
    }

    #[test]
    fn a_thought_is_told_from_the_answer_wherever_its_bytes_are_cut() {
        let reasoning = Reasoning::new("{{ '</think>' }}", |_| None);
        let bytes = "\n<think>\nHm, 世界 </th.\n</think>\n\nGrüße, <think>! END".as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut output = Output::new(vec!["END".to_owned()], reasoning.splitter(""));
                let mut said = Said::default();
                for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    said.push(&output.push_bytes(piece).said);
                }
                assert_eq!(said.reasoning, "Hm, 世界 </th.", "cut at {first} and {second}");
                assert_eq!(said.text, "Grüße, <think>! ", "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_stop_string_ends_a_thought_and_what_was_held_back_of_it_comes_out() {
        let (said, _) = thinking(&["END"], &tokens(&[&[200], b"Hm [/THEND never"]));
        assert_eq!((said.reasoning.as_str(), said.text.as_str()), ("Hm [/TH", ""));
    }

    #[test]
    fn an_answer_is_verbatim_only_if_its_text_says_all_that_its_tokens_say() {
        assert_eq!(thinking(&[], &tokens(&[b" Yes. "])).1.as_deref(), Some(" Yes. "));
        assert_eq!(thinking(&["zz"], &tokens(&[b"Yesz"])).1.as_deref(), Some("Yesz"));
        assert_eq!(thinking(&["zz"], &tokens(&[b"Yeszz"])).1, None, "stopped");
        assert_eq!(thinking(&[], &tokens(&[b"Ye$s"])).1, None, "a token without text");
        assert_eq!(thinking(&[], &[]).1.as_deref(), Some(""));
    }
}
