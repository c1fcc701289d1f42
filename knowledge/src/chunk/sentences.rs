//! Sentences, by the rules of Unicode, with abbreviations.

use unicode_segmentation::UnicodeSegmentation as _;

/// What ends with a full stop and no sentence, in English and Indonesian; capital letters made small.
const ABBREVIATIONS: [&str; 56] = [
    "a.k.a", "al", "approx", "bpk", "ca", "cf", "ch", "co", "corp", "dept", "dgn", "dkk", "dll",
    "dr", "dra", "drs", "dsb", "dst", "e.g", "ed", "eds", "eq", "etc", "fig", "figs", "gen", "gov",
    "hal", "hlm", "i.e", "inc", "ir", "jl", "jr", "ltd", "mr", "mrs", "ms", "mt", "no", "nos", "p",
    "pp", "prof", "resp", "rev", "sec", "sect", "sr", "st", "tel", "tsb", "ust", "vol", "vs",
    "yth",
];

/// The sentences of a text, without the space around them.
pub(super) fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut bounds = text.split_sentence_bound_indices().peekable();
    std::iter::from_fn(move || {
        let (start, first) = bounds.next()?;
        let mut end = start + first.len();
        while let Some((_, next)) = bounds.next_if(|_| text.get(start..end).is_some_and(goes_on)) {
            end += next.len();
        }
        text.get(start..end)
    })
    .map(str::trim)
    .filter(|sentence| !sentence.is_empty())
}

/// Whether the full stop at the end of a text belongs to an abbreviation, an initial or a number.
fn goes_on(text: &str) -> bool {
    let Some(text) = text.trim_end().strip_suffix('.') else { return false };
    let word = text
        .rsplit(|letter: char| letter.is_whitespace() || "([\"'“‘".contains(letter))
        .next()
        .unwrap_or(text);
    // The number of an item, alone in front of its text.
    if word.len() == text.trim_start().len()
        && !word.is_empty()
        && word.bytes().all(|digit| digit.is_ascii_digit())
    {
        return true;
    }
    let mut letters = word.chars();
    match (letters.next(), letters.next()) {
        // An initial, as in J. Doe, but not "I".
        (Some(letter), None) if letter.is_uppercase() => letter != 'I',
        _ => ABBREVIATIONS.binary_search(&word.to_lowercase().as_str()).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<&str> {
        sentences(text).collect()
    }

    #[test]
    fn abbreviations_are_in_order() {
        assert!(ABBREVIATIONS.is_sorted());
    }

    #[test]
    fn sentences_end_where_people_end_them() {
        assert_eq!(
            of("One is here. Two is there! Is three? Yes."),
            ["One is here.", "Two is there!", "Is three?", "Yes."]
        );
        assert_eq!(
            of("Siswa belajar, dll. Guru mengajar. Lihat hlm. 4."),
            ["Siswa belajar, dll. Guru mengajar.", "Lihat hlm. 4."]
        );
    }

    #[test]
    fn abbreviations_initials_and_numbers_end_none() {
        assert_eq!(
            of("See Fig. 3 by Dr. J. Doe et al. Then stop."),
            ["See Fig. 3 by Dr. J. Doe et al. Then stop."]
        );
        assert_eq!(
            of("Some values, e.g. 3.14, are known. So it is."),
            ["Some values, e.g. 3.14, are known.", "So it is."]
        );
        assert_eq!(of("1. Open the lid."), ["1. Open the lid."]);
        assert_eq!(of("So do I. You too."), ["So do I.", "You too."]);
    }

    #[test]
    fn other_scripts_have_sentences_too() {
        assert_eq!(of("これは一つ。これは二つ。").len(), 2);
    }
}
