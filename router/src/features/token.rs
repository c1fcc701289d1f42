//! Cuts a text into words, numbers and signs.

/// A piece of text that counts as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Word(&'a str),
    Number(&'a str),
    Sign(char),
}

/// The tokens of `text`, in order.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let length = if first.is_alphabetic() {
            end_of(rest, char::is_alphanumeric, |letter| letter == '\'')
        } else if first.is_ascii_digit() {
            end_of(
                rest,
                |letter| letter.is_ascii_digit(),
                |letter| matches!(letter, '.' | ',' | '/'),
            )
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        Some(if first.is_alphabetic() {
            Token::Word(token)
        } else if first.is_ascii_digit() {
            Token::Number(token)
        } else {
            Token::Sign(first)
        })
    })
}

/// Where the letters that belong to a token end. One that joins counts only between two of them.
fn end_of(text: &str, belongs: impl Fn(char) -> bool, joins: impl Fn(char) -> bool) -> usize {
    let mut end = 0;
    let mut open = false;
    for (place, letter) in text.char_indices() {
        if belongs(letter) {
            end = place + letter.len_utf8();
            open = false;
        } else if joins(letter) && !open {
            open = true;
        } else {
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_numbers_and_signs_are_told_apart() {
        use Token::{Number, Sign, Word};
        let text = "Isn't H2O $1,500.25, or 3/4?x='a'";
        let expected = [
            Word("Isn't"),
            Word("H2O"),
            Sign('$'),
            Number("1,500.25"),
            Sign(','),
            Word("or"),
            Number("3/4"),
            Sign('?'),
            Word("x"),
            Sign('='),
            Sign('\''),
            Word("a"),
            Sign('\''),
        ];
        assert_eq!(tokens(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn any_text_is_cut_to_its_end() {
        for text in ["", " ", "é", "1.", "a'", "\u{1f980}\u{1f980}", "...", "1,,2"] {
            let bytes: usize = tokens(text)
                .map(|token| match token {
                    Token::Word(text) | Token::Number(text) => text.len(),
                    Token::Sign(sign) => sign.len_utf8(),
                })
                .sum();
            assert_eq!(bytes, text.replace(' ', "").len(), "{text}");
        }
    }
}
