//! The text of a question without what says nothing about it: white space, kinds of quotes, accents,
//! and the middle of what is very long.

use icu_normalizer::DecomposingNormalizerBorrowed;

/// Bytes looked at from the beginning of a prompt.
const HEAD_BYTES: usize = 5 << 10;
/// Bytes looked at from its end, where the question often is.
const TAIL_BYTES: usize = 3 << 10;

/// A normalised text: lines without blank ones, words apart by one space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) text: String,
    /// Bytes in the middle that were not looked at.
    pub(crate) omitted: usize,
}

/// Normalises head and tail of `prompt`.
pub(crate) fn normalise(prompt: &str) -> Text {
    let prompt = prompt.trim();
    let (head, tail) = if prompt.len() <= HEAD_BYTES + TAIL_BYTES {
        (prompt, "")
    } else {
        let head = prompt.floor_char_boundary(HEAD_BYTES);
        let tail = prompt.ceil_char_boundary(prompt.len() - TAIL_BYTES);
        (&prompt[..head], &prompt[tail..])
    };
    let mut text = String::with_capacity(head.len() + tail.len() + 1);
    append(&mut text, head);
    text.push('\n');
    append(&mut text, tail);
    text.truncate(text.trim_end().len());
    Text { text, omitted: prompt.len() - head.len() - tail.len() }
}

/// Appends a part, letter by letter.
fn append(text: &mut String, part: &str) {
    if part.is_ascii() {
        part.chars().for_each(|letter| push(text, letter));
    } else {
        let nfkd = const { DecomposingNormalizerBorrowed::new_nfkd() };
        // Some letters decompose into many.
        let letters = nfkd.normalize_iter(part.chars()).take(part.len());
        letters.for_each(|letter| push(text, letter));
    }
}

/// Appends one letter of a decomposed text.
fn push(text: &mut String, letter: char) {
    let folded = match letter {
        // A carriage return alone ends no line since long.
        '\n' | '\u{2028}' | '\u{2029}' => {
            if text.ends_with(' ') {
                text.pop();
            }
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            return;
        }
        ' '..='~' => letter,
        _ if letter.is_whitespace() => ' ',
        // Marks that belong to the letter before, and letters that are not seen.
        '\u{300}'..='\u{36f}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => {
            return;
        }
        _ if letter.is_control() => return,
        '\u{2018}'..='\u{201b}' | '\u{2032}' | '\u{b4}' => '\'',
        '\u{201c}'..='\u{201f}' | '\u{2033}' | '\u{ab}' | '\u{bb}' => '"',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{2044}' | '\u{2215}' => '/',
        '\u{2022}' | '\u{2023}' | '\u{25aa}' | '\u{25cf}' => '\u{2022}',
        other => other,
    };
    if folded == ' ' && (text.is_empty() || text.ends_with([' ', '\n'])) {
        return;
    }
    text.push(folded);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_and_kinds_of_letters_do_not_matter() {
        let plain = "What is \"caf\u{e9}\" - 10 km?\nA. one";
        let noisy = " What\t is\u{a0}\u{201c}cafe\u{301}\u{201d}  \u{2013}  \u{ff11}0 k\u{200b}m? \r\n \n\nA.   one \n";
        assert_eq!(normalise(plain), normalise(noisy));
        assert_eq!(normalise(plain).text, "What is \"cafe\" - 10 km?\nA. one");
    }

    #[test]
    fn head_and_tail_of_a_long_text_are_kept() {
        let text = format!("first {} last", "\u{1f980}".repeat(1 << 18));
        let short = normalise(&text);
        assert!(short.text.starts_with("first ") && short.text.ends_with(" last"));
        assert!(short.text.len() <= HEAD_BYTES + TAIL_BYTES + 1);
        assert!(short.omitted > 1 << 19);
    }

    #[test]
    fn nothing_is_left_of_blank_text() {
        for blank in ["", " ", "\n\t \u{a0}\n", "\u{200b}"] {
            assert_eq!(normalise(blank).text, "", "{blank:?}");
        }
    }
}
