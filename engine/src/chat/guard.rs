//! Keeps what users write from being read as control tokens.
//!
//! Templates put messages between control tokens as plain text, and the tokenizer reads both in
//! one go: a message that contains `<|im_end|>` could end its own turn. So every control token in
//! a message gets a mark behind its first character. The template sees the message otherwise
//! unchanged, can trim it and look into it; the rendered text is cut at the marks and its pieces
//! are tokenized one by one, so that none of them holds the whole token.
//!
//! A control token cannot be made of template and message together either: a message that begins
//! with the end of one, or ends with the beginning of one, is marked there. What is left is a
//! template that takes characters out of the middle of a message and so joins two halves of a
//! control token; no known template does.

use std::collections::BTreeSet;

/// A noncharacter, which Unicode keeps out of interchanged text.
const MARK: char = '\u{fdd0}';

/// Joins the pieces of a prompt to one text that shows where it was cut. No piece holds it.
pub const SEAM: &str = "\u{fdd0}";

/// Knows the texts of the control tokens.
#[derive(Debug)]
pub struct Guard {
    controls: Vec<String>,
}

impl Guard {
    /// Guards against `controls`. A text of one character cannot be cut and is ignored.
    pub fn new(mut controls: Vec<String>) -> Self {
        controls.retain(|text| text.chars().nth(1).is_some());
        Self { controls }
    }

    /// `content` with marks.
    pub fn protect(&self, content: &str) -> String {
        let content = content.replace(MARK, "\u{fffd}");
        let marks = self.marks(&content);
        let mut marked = String::with_capacity(content.len() + marks.len() * MARK.len_utf8());
        let mut from = 0;
        for at in marks {
            marked.push_str(&content[from..at]);
            marked.push(MARK);
            from = at;
        }
        marked.push_str(&content[from..]);
        marked
    }

    /// Cuts rendered text at the marks that keep a control token apart. All marks disappear.
    pub fn split(&self, rendered: &str) -> Vec<String> {
        let plain: String = rendered.chars().filter(|&letter| letter != MARK).collect();
        let mut pieces = Vec::new();
        let (mut from, mut at) = (0, 0);
        for letter in rendered.chars() {
            if letter != MARK {
                at += letter.len_utf8();
            } else if at > from && self.spans(&plain[..at], &plain[at..]) {
                pieces.push(plain[from..at].to_owned());
                from = at;
            }
        }
        pieces.push(plain[from..].to_owned());
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }

    /// Whether a control token comes first in `text`.
    pub fn begins_with_control(&self, text: &str) -> bool {
        self.controls.iter().any(|control| text.starts_with(control.as_str()))
    }

    /// Whether a control token lies across the place between two texts.
    pub fn spans(&self, before: &str, behind: &str) -> bool {
        self.splits().any(|(start, end)| before.ends_with(start) && behind.starts_with(end))
    }

    fn marks(&self, content: &str) -> BTreeSet<usize> {
        let mut marks = BTreeSet::new();
        let mut starts = [false; 256];
        for control in &self.controls {
            starts[usize::from(control.as_bytes()[0])] = true;
        }
        for (at, first) in content.char_indices() {
            let rest = &content[at..];
            let begins = || self.controls.iter().any(|control| rest.starts_with(control.as_str()));
            if starts[usize::from(rest.as_bytes()[0])] && begins() {
                marks.insert(at + first.len_utf8());
            }
        }
        // Inside the white space, where trimming does not take the mark along.
        let trimmed = content.trim();
        let start = content.len() - content.trim_start().len();
        if self.splits().any(|(_, end)| trimmed.starts_with(end)) {
            marks.insert(start);
        }
        if self.splits().any(|(beginning, _)| trimmed.ends_with(beginning)) {
            marks.insert(start + trimmed.len());
        }
        marks
    }

    /// Every way to cut every control token in two.
    fn splits(&self) -> impl Iterator<Item = (&str, &str)> {
        self.controls.iter().flat_map(|control| {
            control.char_indices().skip(1).map(|(middle, _)| control.split_at(middle))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new(["<|end|>", "</s>", "<|e", "x"].map(str::to_owned).to_vec())
    }

    fn pieces(content: &str) -> Vec<String> {
        guard().split(&guard().protect(content))
    }

    #[test]
    fn no_piece_holds_a_control_token_and_no_text_is_lost() {
        let hostile = ["<|end|>", "a</s>b</s>", "<|<|end|>", "<|e<|end|>nd|>", "</s</s>>", "<</s>"];
        for content in hostile {
            let pieces = pieces(content);
            assert_eq!(pieces.concat(), content);
            for piece in pieces {
                assert!(guard().controls.iter().all(|c| !piece.contains(c.as_str())), "{piece}");
            }
        }
    }

    #[test]
    fn halves_at_the_ends_are_cut_off_inside_the_white_space() {
        assert_eq!(guard().protect(" /s> "), format!(" {MARK}/s> "));
        assert_eq!(guard().protect("a <|\n"), format!("a <|{MARK}\n"));
    }

    #[test]
    fn other_text_is_left_alone() {
        for content in ["", " ", "plain", "a < b", "x", "< |end|>"] {
            assert_eq!(guard().protect(content), content);
        }
    }

    #[test]
    fn a_message_is_cut_only_where_the_template_put_the_other_half() {
        let quote = guard().protect("> as you said");
        assert_eq!(guard().split(&format!("user\n{quote}")), ["user\n> as you said"]);
        assert_eq!(guard().split(&format!("<|end|{quote}")), ["<|end|", "> as you said"]);
    }

    #[test]
    fn a_mark_from_outside_does_not_survive() {
        assert_eq!(guard().protect(&format!("<{MARK}/s>")), "<\u{fffd}/s>");
    }
}
