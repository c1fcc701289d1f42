//! What stands in the place of a value, in the forms that models give it.
//!
//! `[EMAIL_1]` is what is sent. Models drop the brackets, change case, or escape for Markdown; what
//! is still told apart from their own words is read, and nothing else.

use tandem_config::PersonalData;

const LABELS: [(PersonalData, &str); 8] = [
    (PersonalData::Secret, "SECRET"),
    (PersonalData::Email, "EMAIL"),
    (PersonalData::Iban, "IBAN"),
    (PersonalData::Card, "CARD"),
    (PersonalData::NationalId, "IDNUMBER"),
    (PersonalData::Phone, "PHONE"),
    (PersonalData::Ip, "IP"),
    (PersonalData::Name, "NAME"),
];
/// Most digits of a number.
const DIGITS_MAX: usize = 7;

/// The kind and number of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) kind: PersonalData,
    pub(super) number: u32,
}

/// What a text may begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// A placeholder of so many bytes.
    Placeholder(Key, usize),
    /// One that may be whole when more of the text is known.
    Incomplete,
    /// None.
    Other,
}

impl Key {
    /// What is sent.
    pub(super) fn written(self) -> String {
        format!("[{}_{}]", label(self.kind), self.number)
    }
}

/// What stands for a value that no [`Key`] was given.
pub(super) fn nameless(kind: PersonalData) -> String {
    format!("[{}]", label(kind))
}

fn label(kind: PersonalData) -> &'static str {
    LABELS.iter().find(|(it, _)| *it == kind).map_or("DATA", |(_, label)| label)
}

/// Whether `text` is a placeholder, whole or without its brackets.
pub(super) fn is_one(text: &str) -> bool {
    let inner = text.trim_start_matches('[').trim_end_matches(']');
    let label = inner.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_');
    LABELS.iter().any(|(_, it)| *it == label)
}

/// The keys that `text` has in it, in whatever form: a value that got one of them could be put
/// where the text itself says so.
pub(super) fn mentioned(text: &str) -> Vec<Key> {
    let mut keys = Vec::new();
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        // The last letters of all labels, so that few places are looked at.
        if !b"tTlLnNdDrReEpP".contains(byte) {
            continue;
        }
        let rest = &bytes[at + 1..];
        let gap = rest.iter().take(MARKS_MAX).take_while(|byte| is_mark(**byte)).count();
        let digits: Vec<u8> =
            rest[gap..].iter().copied().take(DIGITS_MAX).take_while(u8::is_ascii_digit).collect();
        let head = &bytes[..=at];
        for (kind, label) in LABELS {
            let Some(tail) = head.len().checked_sub(label.len()).map(|from| &head[from..]) else {
                continue;
            };
            if tail.eq_ignore_ascii_case(label.as_bytes()) {
                // Digits that follow may belong to something else.
                let numbers = digits.iter().scan(0_u32, |number, digit| {
                    *number = *number * 10 + u32::from(digit - b'0');
                    Some(*number)
                });
                keys.extend(numbers.map(|number| Key { kind, number }));
            }
        }
    }
    keys
}

/// Most marks between label and number.
const MARKS_MAX: usize = 3;

fn is_mark(byte: u8) -> bool {
    matches!(byte, b'_' | b'-' | b' ' | b'\\')
}

/// Whether a placeholder begins `text`. `after_word` says that a letter, digit or underscore comes
/// before it, and `ended` that no more text follows.
pub(super) fn begins(text: &str, after_word: bool, ended: bool) -> Beginning {
    let mut reader = Reader { rest: text.as_bytes(), length: 0, ended };
    match reader.read(after_word) {
        Ok(key) => Beginning::Placeholder(key, reader.length),
        Err(Stop::Short) if !ended => Beginning::Incomplete,
        Err(_) => Beginning::Other,
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    length: usize,
    ended: bool,
}

/// Why there is no placeholder.
enum Stop {
    /// The text is too short to tell.
    Short,
    Other,
}

impl Reader<'_> {
    fn read(&mut self, after_word: bool) -> Result<Key, Stop> {
        let markdown = self.take(b"\\[")?;
        let bracket = markdown || self.take(b"[")?;
        let begin = self.length;
        let (kind, exact) = self.label()?;
        if !bracket && !exact {
            return Err(Stop::Other);
        }
        let plain_mark = self.take(b"_")?;
        if !plain_mark && !self.take(b"\\_")? && !self.take(b"\\\\_")? {
            // Words such as "Phone 1" are a model's own unless they are in brackets.
            if !bracket || !(self.take(b" ")? || self.take(b"-")?) {
                return Err(Stop::Other);
            }
        }
        let number = self.number()?;
        if bracket {
            let close: &[u8] = if markdown { b"\\]" } else { b"]" };
            if !self.take(close)? {
                return Err(Stop::Other);
            }
        } else if !self.ended || !self.rest.is_empty() {
            match self.rest.first() {
                None => return Err(Stop::Short),
                // A letter that is not ASCII may be one.
                Some(byte) if byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80 => {
                    return Err(Stop::Other);
                }
                Some(_) => (),
            }
        }
        let is_sent = begin == 1 && exact && plain_mark;
        if after_word && !is_sent {
            return Err(Stop::Other);
        }
        Ok(Key { kind, number })
    }

    /// Reads `wanted` if it is next.
    fn take(&mut self, wanted: &[u8]) -> Result<bool, Stop> {
        if let Some(rest) = self.rest.strip_prefix(wanted) {
            self.advance(rest, wanted.len());
            return Ok(true);
        }
        if wanted.starts_with(self.rest) { Err(Stop::Short) } else { Ok(false) }
    }

    /// A label, and whether it is in capitals.
    fn label(&mut self) -> Result<(PersonalData, bool), Stop> {
        let mut short = false;
        for (kind, label) in LABELS {
            let label = label.as_bytes();
            let length = label.len().min(self.rest.len());
            let (head, rest) = self.rest.split_at(length);
            if !head.eq_ignore_ascii_case(&label[..length]) {
                continue;
            }
            if length == label.len() {
                let exact = head == label;
                self.advance(rest, length);
                return Ok((kind, exact));
            }
            short = true;
        }
        Err(if short { Stop::Short } else { Stop::Other })
    }

    fn number(&mut self) -> Result<u32, Stop> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (head, rest) = self.rest.split_at(digits);
        match head.first() {
            None if self.rest.is_empty() => return Err(Stop::Short),
            None | Some(b'0') => return Err(Stop::Other),
            Some(_) if digits > DIGITS_MAX => return Err(Stop::Other),
            Some(_) => (),
        }
        if rest.is_empty() && !self.ended {
            return Err(Stop::Short);
        }
        self.advance(rest, digits);
        Ok(head.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }
}

impl<'a> Reader<'a> {
    fn advance(&mut self, rest: &'a [u8], bytes: usize) {
        self.rest = rest;
        self.length += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Key = Key { kind: PersonalData::Email, number: 1 };

    #[test]
    fn forms_that_models_make_are_read() {
        for text in [
            "[EMAIL_1]",
            "[email_1]",
            "[Email 1]",
            "[EMAIL-1]",
            "[EMAIL\\_1]",
            "\\[EMAIL\\_1\\]",
            "[EMAIL\\\\_1]",
            "EMAIL_1",
            "EMAIL\\_1",
        ] {
            assert_eq!(
                begins(text, false, true),
                Beginning::Placeholder(FIRST, text.len()),
                "{text}"
            );
            let followed = format!("{text}, too");
            let beginning = begins(&followed, false, false);
            assert_eq!(beginning, Beginning::Placeholder(FIRST, text.len()), "{text}");
            for cut in 1..text.len() {
                assert_eq!(
                    begins(&text[..cut], false, false),
                    Beginning::Incomplete,
                    "{text} {cut}"
                );
            }
        }
        assert_eq!(begins("[EMAIL_1]x", true, false), Beginning::Placeholder(FIRST, 9));
    }

    #[test]
    fn words_of_its_own_are_left_to_the_model() {
        for text in [
            "email_1",
            "Email 1",
            "Phone 1: ",
            "EMAIL_1x",
            "EMAIL_1_a",
            "EMAIL_1é",
            "EMAIL_01",
            "[EMAIL_1",
            "[EMAIL_]",
            "[EMAIL]",
            "EMAIL 1",
            "[[EMAIL_1]]",
            "\\[EMAIL_1]",
            "emails",
            "[",
        ] {
            assert_eq!(begins(text, false, true), Beginning::Other, "{text}");
        }
        for text in ["EMAIL_1 ", "[email_1]", "[EMAIL 1]"] {
            assert_eq!(begins(text, true, false), Beginning::Other, "after a word: {text}");
        }
    }

    #[test]
    fn whatever_can_be_read_counts_as_mentioned() {
        let twelve = Key { number: 12, ..FIRST };
        for text in ["[EMAIL_12]", "email_12", "e-mail EMAIL 12", "\\[Email\\_12\\]", "xEMAIL-12x"]
        {
            assert_eq!(mentioned(text), [FIRST, twelve], "{text}");
        }
        assert_eq!(mentioned("email, EMAIL_, 1"), []);
    }
}
