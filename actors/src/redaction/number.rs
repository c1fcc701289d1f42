//! Numbers written in groups of digits: payment cards, national ids, and phone numbers.

use std::ops::Range;

use tandem_config::PersonalData;

use super::{Found, before, is_word, phone};

/// Most groups of a number, as in `+33 (0) 1 23 45 67 89`.
const GROUPS_MAX: usize = 8;
/// Most digits of a number; more are none that a person has.
const DIGITS_MAX: usize = 19;
/// Fewest digits of any number that is looked for.
const DIGITS_MIN: usize = 7;
/// Longest gap between two groups, in bytes.
const GAP_BYTES_MAX: usize = 4;

/// Groups of digits that follow each other, as one number.
pub(super) struct Number<'a> {
    pub(super) text: &'a str,
    /// Where each group is.
    pub(super) groups: &'a [Range<usize>],
    pub(super) digits: Vec<u8>,
    /// The whole of it, with what belongs before the first group.
    pub(super) range: Range<usize>,
}

impl Number<'_> {
    pub(super) fn lengths(&self) -> Vec<usize> {
        self.groups.iter().map(ExactSizeIterator::len).collect()
    }

    /// What is between the groups.
    pub(super) fn gaps(&self) -> impl Iterator<Item = &str> {
        self.groups.windows(2).filter_map(|pair| match pair {
            [one, next] => self.text.get(one.end..next.start),
            _ => None,
        })
    }

    /// The one mark that is between all groups, empty when there is one group.
    pub(super) fn only_gap(&self) -> Option<&str> {
        let first = self.gaps().next().unwrap_or_default();
        (first.len() <= 1 && self.gaps().all(|gap| gap == first)).then_some(first)
    }

    /// Whether one of `words` is said shortly before it.
    pub(super) fn is_called(&self, words: &[&str]) -> bool {
        let said = before(self.text, self.range.start, 32).to_lowercase();
        words.iter().any(|word| said.contains(word))
    }

    fn starts_with(&self, digits: &[u8]) -> bool {
        self.digits.starts_with(digits)
    }
}

pub(super) fn find(text: &str, found: &mut Vec<Found>) {
    let groups = groups(text);
    let mut first = 0;
    while first < groups.len() {
        let match_ = longest(text, &groups, first);
        first = match match_ {
            Some((next, place)) => {
                found.push(place);
                next
            }
            None => first + 1,
        };
    }
}

/// The longest number that begins with the group `first`, and the group after it.
fn longest(text: &str, groups: &[Range<usize>], first: usize) -> Option<(usize, Found)> {
    let mut end = first + 1;
    let mut digits = groups.get(first)?.len();
    while let Some([last, next]) = groups.get(end - 1..=end)
        && end - first < GROUPS_MAX
        && digits + next.len() <= DIGITS_MAX
        && text.get(last.end..next.start).is_some_and(is_gap)
    {
        digits += next.len();
        end += 1;
    }
    while end > first {
        let groups = groups.get(first..end)?;
        let digits: Vec<u8> = groups.iter().flat_map(|it| text[it.clone()].bytes()).collect();
        if digits.len() < DIGITS_MIN {
            return None;
        }
        let range = phone::start(text, groups)..groups.last()?.end;
        let number = Number { text, groups, digits, range };
        if let Some(kind) = kind(&number) {
            return Some((end, Found { kind, range: number.range }));
        }
        end -= 1;
    }
    None
}

/// Runs of digits that no letter or underscore touches.
fn groups(text: &str) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let end = at + length;
        let touched = |letter: Option<char>| letter.is_some_and(is_word);
        if (1..=DIGITS_MAX).contains(&length)
            && !touched(text[..at].chars().next_back())
            && !touched(text[end..].chars().next())
        {
            groups.push(at..end);
        }
        at = end;
        at += bytes[at..].iter().take_while(|byte| !byte.is_ascii_digit()).count();
    }
    groups
}

/// Whether two groups with `gap` between them may be one number.
fn is_gap(gap: &str) -> bool {
    let is_mark = |c: char| " .-()/\u{a0}\u{202f}\u{2010}\u{2011}\u{2013}".contains(c);
    (1..=GAP_BYTES_MAX).contains(&gap.len())
        && gap.chars().all(is_mark)
        && !gap.contains("  ")
        && !gap.contains(". ")
}

fn kind(number: &Number<'_>) -> Option<PersonalData> {
    if is_after_decimal_point(number) {
        return None;
    }
    if is_card(number) {
        Some(PersonalData::Card)
    } else if is_indonesian_id(number) || is_indonesian_tax_id(number) || is_american_id(number) {
        Some(PersonalData::NationalId)
    } else if phone::is_phone(number) {
        Some(PersonalData::Phone)
    } else {
        None
    }
}

fn is_after_decimal_point(number: &Number<'_>) -> bool {
    let said = before(number.text, number.range.start, 2);
    said.ends_with(['.', ',']) && said.starts_with(|c: char| c.is_ascii_digit())
}

/// Numbers of payment cards: issued prefix, length and check digit.
fn is_card(number: &Number<'_>) -> bool {
    let lengths = number.lengths();
    let grouped = lengths.len() == 1 || lengths.iter().all(|length| (3..=7).contains(length));
    let marked = number.only_gap().is_some_and(|gap| matches!(gap, "" | " " | "-"));
    grouped && marked && is_issued(number) && luhn(&number.digits)
}

fn is_issued(number: &Number<'_>) -> bool {
    let prefix = |length: usize| -> u32 {
        number.digits.iter().take(length).fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
    };
    match number.digits.len() {
        13 => prefix(1) == 4,
        14 => matches!(prefix(2), 36 | 38 | 39) || matches!(prefix(3), 300..=305),
        15 => matches!(prefix(2), 34 | 37),
        16 => {
            prefix(1) == 4
                || matches!(prefix(2), 35 | 50..=58 | 60 | 62..=65 | 67)
                || matches!(prefix(4), 2200..=2204 | 2221..=2720)
        }
        17..=19 => prefix(1) == 4 || matches!(prefix(2), 62 | 50 | 56..=58 | 60 | 63..=65 | 67),
        _ => false,
    }
}

/// The check of ISO/IEC 7812.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (u32::from(digit - b'0'), place % 2) {
            (value, 0) => value,
            (value, _) => value * 2 / 10 + value * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != b'0')
}

/// The Indonesian NIK: region, date of birth (with 40 added to a woman's day) and serial number.
fn is_indonesian_id(number: &Number<'_>) -> bool {
    const PROVINCES: [u32; 38] = [
        11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 31, 32, 33, 34, 35, 36, 51, 52, 53, 61, 62, 63, 64,
        65, 71, 72, 73, 74, 75, 76, 81, 82, 91, 92, 93, 94, 95, 96,
    ];
    let part = |from: usize, to: usize| -> Option<u32> {
        std::str::from_utf8(number.digits.get(from..to)?).ok()?.parse().ok()
    };
    let marked = number.only_gap().is_some_and(|gap| matches!(gap, "" | " " | "-" | "."));
    let valid = || {
        let day = part(6, 8)?;
        let valid = PROVINCES.contains(&part(0, 2)?)
            && part(2, 4)? != 0
            && part(4, 6)? != 0
            && (1..=31).contains(&if day > 40 { day - 40 } else { day })
            && (1..=12).contains(&part(8, 10)?)
            && part(12, 16)? != 0;
        Some(valid)
    };
    number.digits.len() == 16 && marked && valid().unwrap_or(false)
}

/// The Indonesian NPWP, as it is written: `01.234.567.8-901.000`.
fn is_indonesian_tax_id(number: &Number<'_>) -> bool {
    number.lengths() == [2, 3, 3, 1, 3, 3] && number.gaps().eq([".", ".", ".", "-", "."])
}

/// The American social security number.
fn is_american_id(number: &Number<'_>) -> bool {
    let allowed = number.digits.len() == 9
        && !number.starts_with(b"000")
        && !number.starts_with(b"666")
        && !number.starts_with(b"9")
        && number.digits.get(3..5).is_none_or(|group| group != b"00")
        && !number.digits.ends_with(b"0000");
    let said = || number.is_called(&["ssn", "social security"]);
    allowed
        && match (number.lengths().as_slice(), number.only_gap()) {
            ([3, 2, 4], Some("-")) => !before(number.text, number.range.start, 1).ends_with('-'),
            ([3, 2, 4], Some(" " | ".")) | ([9], _) => said(),
            _ => false,
        }
}
