//! Names that the settings list.

use aho_corasick::AhoCorasick;
use tandem_config::PersonalData;

use super::{Found, stands_alone};
use crate::{Error, Result};

/// Finds names as whole words, in any case and with any white space between their parts.
#[derive(Debug, Clone)]
pub(super) struct Names(AhoCorasick);

impl Names {
    /// `None` when there are no names.
    pub(super) fn new(names: &[String]) -> Result<Option<Self>> {
        let names: Vec<String> = names
            .iter()
            .map(|name| Folded::new(name.trim()).text)
            .filter(|it| !it.is_empty())
            .collect();
        if names.is_empty() {
            return Ok(None);
        }
        AhoCorasick::new(names).map(|names| Some(Self(names))).map_err(|_| {
            Error::invalid("security.names", "are too many to look for; name fewer people")
        })
    }

    pub(super) fn find(&self, text: &str, found: &mut Vec<Found>) {
        let folded = Folded::new(text);
        let names = self.0.find_overlapping_iter(&folded.text);
        let ranges = names.map(|name| folded.origin(name.start())..folded.origin(name.end()));
        let alone = ranges.filter(|range| !range.is_empty() && stands_alone(text, range));
        found.extend(alone.map(|range| Found { kind: PersonalData::Name, range }));
    }
}

/// A text in which case and the kind and amount of white space make no difference.
struct Folded {
    text: String,
    /// Where each byte of `text` was, and at last the end.
    origins: Vec<usize>,
}

impl Folded {
    fn new(original: &str) -> Self {
        let (mut text, mut origins) = (String::new(), Vec::new());
        for (at, letter) in original.char_indices() {
            if letter.is_whitespace() {
                if !text.ends_with(' ') {
                    text.push(' ');
                }
            } else if letter == 'ς' {
                // The form of a sigma at the end of a word.
                text.push('σ');
            } else {
                text.extend(letter.to_lowercase());
            }
            origins.resize(text.len(), at);
        }
        origins.push(original.len());
        Self { text, origins }
    }

    fn origin(&self, at: usize) -> usize {
        self.origins.get(at).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn found<'a>(names: &[&str], text: &'a str) -> Vec<&'a str> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut found = Vec::new();
        if let Some(names) = Names::new(&names).unwrap() {
            names.find(text, &mut found);
        }
        found.into_iter().map(|found| &text[found.range]).collect()
    }

    #[test]
    fn names_are_whole_words_in_any_case_of_any_script() {
        let names = ["Budi Santoso", "Łukasz", "Ayşe", "Мария", "Γιώργος"];
        assert_eq!(found(&names, "BUDI \u{a0} santoso's cat"), ["BUDI \u{a0} santoso"]);
        assert_eq!(found(&names, "łukasz, ŁUKASZ; МАРИЯ"), ["łukasz", "ŁUKASZ", "МАРИЯ"]);
        assert_eq!(found(&names, "ΓΙΏΡΓΟΣ: γιώργος"), ["ΓΙΏΡΓΟΣ", "γιώργος"]);
        assert_eq!(found(&names, "budi santosos Ałukasz łukasz_2 Łukasz1"), Vec::<&str>::new());
    }

    #[test]
    fn a_name_is_found_within_and_beside_a_longer_one() {
        assert_eq!(found(&["Budi", "Budi San"], "Budi Santoso"), ["Budi"]);
        assert_eq!(found(&["an bo", "bo li"], "san bo li"), ["bo li"]);
        assert_eq!(found(&["Budi", "Budi Santoso"], "Budi Santoso"), ["Budi", "Budi Santoso"]);
    }

    #[test]
    fn no_names_find_nothing_and_their_letters_are_no_pattern() {
        assert_eq!(found(&[], "anything"), Vec::<&str>::new());
        assert_eq!(found(&["  "], "any  thing"), Vec::<&str>::new());
        assert_eq!(found(&["J. (Joe) Doe"], "Jx (Joe) Doe and j. (joe) doe"), ["j. (joe) doe"]);
    }
}
