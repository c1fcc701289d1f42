//! Names that the settings list.

use regex::{Regex, RegexBuilder};
use tandem_config::PersonalData;

use super::{Found, stands_alone};
use crate::{Error, Result};

/// Most memory for the pattern of all names, in bytes.
const PATTERN_BYTES_MAX: usize = 32 << 20;

/// Finds names as whole words, in any case and with any white space between their parts.
#[derive(Debug, Clone)]
pub(super) struct Names(Regex);

impl Names {
    /// `None` when there are no names.
    pub(super) fn new(names: &[String]) -> Result<Option<Self>> {
        let mut patterns: Vec<String> = names
            .iter()
            .map(|name| name.split_whitespace().map(regex::escape).collect::<Vec<_>>().join(r"\s+"))
            .filter(|pattern| !pattern.is_empty())
            .collect();
        if patterns.is_empty() {
            return Ok(None);
        }
        // The first that fits is taken, and the longest name says most.
        patterns.sort_unstable_by_key(|pattern| std::cmp::Reverse(pattern.len()));
        let pattern = RegexBuilder::new(&patterns.join("|"))
            .case_insensitive(true)
            .size_limit(PATTERN_BYTES_MAX)
            .build();
        pattern.map(|pattern| Some(Self(pattern))).map_err(|_| {
            Error::invalid("security.names", "are too many to look for; name fewer people")
        })
    }

    pub(super) fn find(&self, text: &str, found: &mut Vec<Found>) {
        let mut at = 0;
        while let Some(name) = self.0.find_at(text, at) {
            at = if stands_alone(text, &name.range()) {
                found.push(Found { kind: PersonalData::Name, range: name.range() });
                name.end()
            } else {
                // Another name may begin inside of this one.
                text.ceil_char_boundary(name.start() + 1)
            };
        }
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
        let names = ["Budi", "Budi Santoso", "Łukasz", "Ayşe", "Мария"];
        assert_eq!(found(&names, "BUDI   santoso's cat"), ["BUDI   santoso"]);
        assert_eq!(found(&names, "łukasz, ŁUKASZ; МАРИЯ"), ["łukasz", "ŁUKASZ", "МАРИЯ"]);
        assert_eq!(found(&names, "budiman kebudian budi_2 Budi1"), Vec::<&str>::new());
    }

    #[test]
    fn a_shorter_name_is_found_where_the_longer_one_goes_on() {
        assert_eq!(found(&["Budi", "Budi San"], "Budi Santoso"), ["Budi"]);
        assert_eq!(found(&["an bo", "bo li"], "san bo li"), ["bo li"]);
    }

    #[test]
    fn no_names_find_nothing_and_their_letters_are_no_pattern() {
        assert_eq!(found(&[], "anything"), Vec::<&str>::new());
        assert_eq!(found(&["  "], "anything"), Vec::<&str>::new());
        assert_eq!(found(&["J. (Joe) Doe"], "Jx (Joe) Doe and j. (joe) doe"), ["j. (joe) doe"]);
    }
}
