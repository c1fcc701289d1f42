//! Numbers of bank accounts (IBAN, ISO 13616).

use std::sync::LazyLock;

use regex::Regex;
use tandem_config::PersonalData;

use super::{Found, stands_alone};

static BEGINNING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?-u)[A-Za-z]{2}\d{2}").expect("the pattern is valid"));

/// Letters and digits of an IBAN, by the country that it begins with.
const LENGTHS: [(usize, &str); 18] = [
    (15, "NO"),
    (16, "BE"),
    (18, "DK FI FK FO GL NL SD"),
    (19, "MK SI"),
    (20, "AT BA EE KZ LT LU MN XK"),
    (21, "CH HR LI LV"),
    (22, "BG BH CR DE GB GE IE ME RS VA"),
    (23, "AE GI IL IQ OM SO TL"),
    (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
    (25, "LY PT ST"),
    (26, "IS TR"),
    (27, "BI DJ FR GR IT MC MR SM"),
    (28, "AL AZ BY CY DO GT HN HU LB NI PL SV"),
    (29, "BR EG PS QA UA"),
    (30, "JO KW MU YE"),
    (31, "MT SC"),
    (32, "LC"),
    (33, "RU"),
];

pub(super) fn find(text: &str, found: &mut Vec<Found>) {
    let mut at = 0;
    while let Some(beginning) = BEGINNING.find_at(text, at) {
        let start = beginning.start();
        match end_of_iban(text, start) {
            Some(end) if stands_alone(text, &(start..end)) => {
                found.push(Found { kind: PersonalData::Iban, range: start..end });
                at = end;
            }
            _ => at = start + 1,
        }
    }
}

/// Where the IBAN ends that begins at `start`, if there is one. Single spaces and hyphens may be
/// in it.
fn end_of_iban(text: &str, start: usize) -> Option<usize> {
    let country = text.get(start..start + 2)?.to_ascii_uppercase();
    let (length, _) = LENGTHS.iter().find(|(_, countries)| countries.contains(&country))?;
    let mut symbols = Vec::with_capacity(*length);
    let mut after_gap = false;
    for (at, byte) in text.bytes().enumerate().skip(start) {
        match byte {
            b' ' | b'-' if !after_gap => after_gap = true,
            _ if byte.is_ascii_alphanumeric() => {
                after_gap = false;
                symbols.push(byte);
                if symbols.len() == *length {
                    return is_valid(&symbols).then_some(at + 1);
                }
            }
            _ => return None,
        }
    }
    None
}

/// The check digits: the number, with its beginning moved to the end and letters as 10 to 35, is 1
/// modulo 97.
fn is_valid(symbols: &[u8]) -> bool {
    let (beginning, account) = symbols.split_at(4.min(symbols.len()));
    let remainder = account.iter().chain(beginning).fold(0_u32, |remainder, symbol| {
        match char::from(*symbol).to_digit(36) {
            Some(value) if value < 10 => (remainder * 10 + value) % 97,
            Some(value) => (remainder * 100 + value) % 97,
            None => 0,
        }
    });
    remainder == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        find(text, &mut found);
        found.into_iter().map(|found| &text[found.range]).collect()
    }

    #[test]
    fn an_iban_ends_where_its_country_says() {
        for iban in [
            "DE89 3704 0044 0532 0130 00",
            "GB29NWBK60161331926819",
            "NL91 ABNA 0417 1643 00",
            "fr14 2004 1010 0505 0001 3m02 606",
        ] {
            assert_eq!(found(iban), [iban]);
            assert_eq!(found(&format!("IBAN:{iban} PAID 12")), [iban]);
        }
    }

    #[test]
    fn a_wrong_digit_or_a_longer_word_is_no_iban() {
        for text in [
            "DE88 3704 0044 0532 0130 00",
            "GB29NWBK60161331926819X",
            "DE89 3704",
            "DE89\u{e9}",
            "XDE89370400440532013000",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }
}
