//! What has to be the same to the letter: quotations, code, abbreviations.

/// A part of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Plain(&'a str),
    /// Without its quotation marks.
    Quoted(&'a str),
}

/// Opening and closing marks. The apostrophe is one where no letter stands on its outer side.
const MARKS: [(char, char); 6] = [
    ('"', '"'),
    ('`', '`'),
    ('\u{201c}', '\u{201d}'),
    ('\u{2018}', '\u{2019}'),
    ('\u{ab}', '\u{bb}'),
    ('\'', '\''),
];

/// The question in parts. A mark without a partner is plain.
pub(super) fn pieces(question: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = question;
    while let Some((before, quoted, behind)) = next_quoted(rest) {
        pieces.extend([Piece::Plain(before), Piece::Quoted(quoted)]);
        rest = behind;
    }
    pieces.push(Piece::Plain(rest));
    pieces
}

fn next_quoted(text: &str) -> Option<(&str, &str, &str)> {
    let mut previous = ' ';
    for (at, c) in text.char_indices() {
        let opens = MARKS.iter().find(|(open, _)| *open == c && !previous.is_alphanumeric());
        if let Some((open, close)) = opens {
            let inner = &text[at + open.len_utf8()..];
            let closes = |(end, _): &(usize, &str)| {
                let behind = inner[end + close.len_utf8()..].chars().next();
                *end > 0 && !behind.is_some_and(char::is_alphanumeric)
            };
            if let Some((end, _)) = inner.match_indices(*close).find(closes) {
                return Some((&text[..at], &inner[..end], &inner[end + close.len_utf8()..]));
            }
        }
        previous = c;
    }
    None
}

/// Whether a word looks like a name in a program, a path, an address or a version.
pub(super) fn is_code(word: &str) -> bool {
    let inner = word.chars().any(|c| "_\\@=<>*^~|&.:".contains(c));
    let digits = word.chars().any(|c| c.is_ascii_digit());
    let letters: Vec<char> = word.chars().filter(|c| c.is_alphabetic()).collect();
    let lower_then_upper = letters.windows(2).any(
        |pair| matches!(pair, [first, second] if first.is_lowercase() && second.is_uppercase()),
    );
    inner || digits || lower_then_upper || word.matches('/').count() > 1
}

/// `WHO` is not `who`, and `A` is only an article where a sentence begins.
pub(super) fn is_abbreviation(word: &str, begins: bool) -> bool {
    let long = word.chars().count() > 1;
    word.chars().all(char::is_uppercase) && (long || !(begins || word == "I"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotations_are_found_and_apostrophes_are_none() {
        use Piece::{Plain, Quoted};
        let all = [
            ("what is \"a b\"?", vec![Plain("what is "), Quoted("a b"), Plain("?")]),
            ("don't say 'no', please", vec![Plain("don't say "), Quoted("no"), Plain(", please")]),
            ("the dogs' owners' home", vec![Plain("the dogs' owners' home")]),
            ("an \"open one", vec![Plain("an \"open one")]),
            ("run `ls -l`", vec![Plain("run "), Quoted("ls -l"), Plain("")]),
            ("\u{201c}x\u{201d}", vec![Plain(""), Quoted("x"), Plain("")]),
        ];
        for (text, expected) in all {
            assert_eq!(pieces(text), expected, "{text}");
        }
    }

    #[test]
    fn names_in_programs_paths_and_versions_are_code() {
        for code in ["foo_bar", "std::fs", "a.b", "HashMap", "v2", "/etc/hosts", "x=1", "3x"] {
            assert!(is_code(code), "{code}");
        }
        for word in ["Paris", "c++", "c#", "WHO", "and/or", "long-term"] {
            assert!(!is_code(word), "{word}");
        }
    }
}
