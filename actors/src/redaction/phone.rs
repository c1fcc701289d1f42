//! Phone numbers, as they are written in Indonesia, the United States and Europe.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::number::Number;
use super::{before, is_word};

/// What says that the number behind it is one to call.
static CALLED: LazyLock<Regex> = LazyLock::new(|| {
    let words = "phone|telephone|telp|telepon|telpon|tel|hp|handphone|ponsel|wa|whatsapp|mobile|cell|fax\
                 |faks|sms|dial|call|hubungi|kontak|telefon|rufnummer|téléphone|teléfono";
    let between = "me|us|him|her|at|on|is|to|no|nr|nomor|number|ke|di|saya|kami|dia|ini|adalah|ya";
    Regex::new(&format!(
        r"(?i)\b(?:{words})(?:nya|-nya)?(?:[\s.:=#-]+(?:{between})\b){{0,3}}[\s.:=#(+-]*$"
    ))
    .expect("the pattern is valid")
});

/// Where a number begins whose first group may have `+` or `(` before it.
pub(super) fn start(text: &str, groups: &[Range<usize>]) -> usize {
    let Some(first) = groups.first() else { return 0 };
    let mut start = first.start;
    let closes = groups.get(1).is_some_and(|next| text[first.end..next.start].contains(')'));
    if closes && text[..start].ends_with('(') {
        start -= 1;
    }
    if text[..start].ends_with('+') {
        start -= 1;
        if closes && text[..start].ends_with('(') {
            start -= 1;
        }
    }
    start
}

pub(super) fn is_phone(number: &Number<'_>) -> bool {
    if !is_balanced(number) || is_date(number) || is_part_of_more(number) {
        return false;
    }
    is_international(number)
        || is_indonesian_mobile(number)
        || is_european(number)
        || is_american(number)
        || is_called(number)
}

/// `+62 812 3456 7890`, `0062 812…`.
fn is_international(number: &Number<'_>) -> bool {
    let plus = number.text[number.range.clone()].trim_start_matches('(').starts_with('+');
    let (digits, prefix) = match number.digits.strip_prefix(b"00") {
        Some(rest) if !plus => (rest, true),
        _ => (number.digits.as_slice(), plus),
    };
    // A round number is an amount.
    let round = digits.ends_with(b"00000");
    // What comes behind the point of a decimal number is short.
    let decimal = number.lengths().len() == 2 && number.gaps().all(|gap| gap == ".");
    prefix
        && (plus || !comes_after(number))
        && (8..=15).contains(&digits.len())
        && !digits.starts_with(b"0")
        && !round
        && !decimal
        && (plus || number.groups.len() > 1 || number.digits.len() >= 11)
}

/// `0812-3456-7890`, or with the country's code and no plus.
fn is_indonesian_mobile(number: &Number<'_>) -> bool {
    let (rest, digits, first) = match number.digits.strip_prefix(b"08") {
        Some(rest) => (rest, 10..=13, 4),
        None => match number.digits.strip_prefix(b"628") {
            Some(rest) => (rest, 11..=14, 2),
            None => return false,
        },
    };
    let lengths = number.lengths();
    let grouped = lengths.len() == 1
        || (lengths.first().is_some_and(|length| *length >= first && *length <= 5)
            && lengths.iter().skip(1).all(|length| *length >= 2));
    digits.contains(&number.digits.len()) && !rest.starts_with(b"0") && grouped
}

/// Numbers with the zero of long distance: `(021) 555-1234`, `020 7946 0958`, `06 12 34 56 78`.
fn is_european(number: &Number<'_>) -> bool {
    let lengths = number.lengths();
    let Some((first, rest)) = lengths.split_first() else { return false };
    let long_distance = number.digits.starts_with(b"0") && !number.digits.starts_with(b"00");
    let pairs = lengths.len() == 5 && lengths.iter().all(|length| *length == 2);
    // Pairs are French, or the drawn numbers of a lottery, of which there are other than five.
    let grouped = if *first == 2 && rest.iter().all(|length| *length == 2) {
        pairs && !goes_on(number)
    } else {
        rest.iter().all(|length| *length >= 2) && rest.last().is_some_and(|length| *length >= 3)
    };
    long_distance
        && !comes_after(number)
        && (9..=12).contains(&number.digits.len())
        && (2..=5).contains(first)
        && !rest.is_empty()
        && grouped
}

/// `(415) 555-2671`, `1-800-555-0199`.
fn is_american(number: &Number<'_>) -> bool {
    let lengths = number.lengths();
    let Some(parts) = lengths.strip_suffix(&[3, 3, 4]) else { return false };
    let (([], national) | ([1], [b'1', national @ ..])) = (parts, number.digits.as_slice()) else {
        return false;
    };
    // Neither area nor exchange begins with 0 or 1. Three numbers with spaces could be anything.
    let allowed = national.first().is_some_and(|digit| *digit >= b'2')
        && national.get(3).is_some_and(|digit| *digit >= b'2');
    allowed && number.gaps().any(|gap| gap != " ")
}

fn is_said(before: &str) -> bool {
    before.bytes().any(|byte| byte.is_ascii_alphabetic()) && CALLED.is_match(before)
}

/// Any number of which it is said that it is one to call.
fn is_called(number: &Number<'_>) -> bool {
    let said = before(number.text, number.range.start, 48);
    let grouped = number.groups.len() == 1 || number.lengths().iter().all(|length| *length >= 2);
    (7..=15).contains(&number.digits.len()) && grouped && is_said(said)
}

/// Brackets are around the first group, or the second, or nowhere.
fn is_balanced(number: &Number<'_>) -> bool {
    let text = &number.text[number.range.clone()];
    let slashes = number.gaps().filter(|gap| gap.contains('/')).count();
    text.matches('(').count() == text.matches(')').count()
        && text.matches('(').count() <= 1
        && slashes <= 1
}

/// Whether there is a date in it, such as `2024-05-17` or `17.05.2024`.
fn is_date(number: &Number<'_>) -> bool {
    let value = |group: &Range<usize>| number.text[group.clone()].parse::<u32>().unwrap_or(0);
    number.groups.windows(3).any(|groups| {
        let [one, two, three] = groups else { return false };
        let year = |group: &Range<usize>| group.len() == 4 && (1900..2100).contains(&value(group));
        let day = |group: &Range<usize>| group.len() <= 2 && (1..=31).contains(&value(group));
        let gap = |from: &Range<usize>, to: &Range<usize>| number.text.get(from.end..to.start);
        let alike = gap(one, two) == gap(two, three);
        alike && ((year(one) && day(two) && day(three)) || (day(one) && day(two) && year(three)))
    })
}

/// Whether another group comes before it.
fn comes_after(number: &Number<'_>) -> bool {
    let said = before(number.text, number.range.start, 2);
    said.starts_with(|c: char| c.is_ascii_digit()) && said.ends_with([' ', '-', '.'])
}

/// Whether another group follows that looks the same.
fn goes_on(number: &Number<'_>) -> bool {
    let after = &number.text[number.range.end..];
    let gap = number.only_gap().unwrap_or(" ");
    after.strip_prefix(gap).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether it is the end or the beginning of something else: a name with numbers, a path, an amount
/// of money, a share.
fn is_part_of_more(number: &Number<'_>) -> bool {
    let said = &number.text[..number.range.start];
    let after = &number.text[number.range.end..];
    let tied = |letter: char| "-./#%&@\\".contains(letter);
    let mut letters = said.chars().rev();
    let before_it = match letters.next() {
        Some(letter) if is_word(letter) => true,
        Some(mark) if tied(mark) => {
            // `Telp.021…` and `wa.me/62…` are numbers to call.
            let called = || is_said(before(number.text, number.range.start, 48));
            letters.next().is_some_and(is_word) && !said.ends_with("wa.me/") && !called()
        }
        Some(mark) => "$€£¥".contains(mark),
        None => false,
    };
    let mut letters = after.chars();
    let after_it = match letters.next() {
        Some('%' | '@') => true,
        Some(mark) if tied(mark) => letters.next().is_some_and(is_word),
        Some(letter) => is_word(letter),
        None => false,
    };
    before_it || after_it
}
