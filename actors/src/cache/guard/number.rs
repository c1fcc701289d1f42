//! Numbers in one spelling, with their units as words of their own.

/// The words for a number with whatever sticks to it, such as `$5`, `10%` or `5kg`. `None` when it is
/// no number, or has something else in it.
pub(super) fn spell(word: &str) -> Option<Vec<String>> {
    let (currency, word) = match word.chars().next()? {
        '$' => (Some("dollar"), &word[1..]),
        '\u{20ac}' => (Some("euro"), word.trim_start_matches('\u{20ac}')),
        '\u{a3}' => (Some("pound"), word.trim_start_matches('\u{a3}')),
        _ => (None, word),
    };
    let end = word
        .char_indices()
        .find(|(at, c)| !(c.is_ascii_digit() || ".,".contains(*c) || (*at == 0 && *c == '-')));
    let (number, unit) = word.split_at(end.map_or(word.len(), |(at, _)| at));
    if !number.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    let unit = match unit {
        "" => None,
        "%" => Some("percent".to_owned()),
        unit => Some(unit.to_lowercase()).filter(|unit| super::words::UNITS.contains(&&**unit)),
    };
    if unit.is_none() && end.is_some() {
        return None;
    }
    let mut words = vec![plain(number.trim_end_matches(['.', ',']))];
    words.extend(unit.or(currency.map(str::to_owned)));
    Some(words)
}

/// Without separators between thousands. A dot is left alone: not everybody means the same by it.
fn plain(number: &str) -> String {
    let mut groups = number.split(',').skip(1).peekable();
    let thousands = groups.peek().is_some()
        && groups.all(|group| group.split('.').next().is_some_and(|digits| digits.len() == 3));
    if thousands { number.replace(',', "") } else { number.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        let all = [
            ("2023", "2023"),
            ("1,000,000", "1000000"),
            ("1,5", "1,5"),
            ("3.14", "3.14"),
            ("-5", "-5"),
            ("10%", "10 percent"),
            ("5kg", "5 kg"),
            ("5KM", "5 km"),
            ("$20", "20 dollar"),
            ("\u{20ac}20", "20 euro"),
            ("2024.", "2024"),
        ];
        for (written, expected) in all {
            assert_eq!(spell(written).unwrap().join(" "), expected, "{written}");
        }
        for word in ["v2", "2nd", "a", "$", "4k", "10:30", "2023-01-05", "192.168.0.1/8"] {
            assert_eq!(spell(word), None, "{word}");
        }
    }
}
