//! Personal data in texts that leave the machine: found, masked, and put back into the answer.
//!
//! Nothing here is kept beyond a turn, and nothing is sent anywhere. What finds is made of bounded
//! patterns and checks, so that a text of a megabyte costs milliseconds and none can make it slow.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use tandem_config::PersonalData;
use tandem_config::Security;

use crate::Result;

mod address;
mod bank;
mod form;
mod mask;
mod name;
mod number;
mod phone;
mod placeholder;
mod restorer;
mod secret;
#[cfg(test)]
mod tests;

pub use form::Form;
pub use mask::Mask;
use name::Names;
pub use restorer::Restorer;

/// Finds personal data of the kinds that the settings name. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Redaction {
    kinds: Arc<[PersonalData]>,
    names: Option<Names>,
}

/// A place in a text where there is personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What kind it is.
    pub kind: PersonalData,
    /// Where it is, in bytes.
    pub range: Range<usize>,
}

impl Redaction {
    /// Finds what `settings` ask for.
    ///
    /// [`crate::Error::Invalid`] when the names make too large a pattern.
    pub fn new(settings: &Security) -> Result<Self> {
        let kinds = settings.redact_kinds.iter().copied().collect();
        Ok(Self { kinds, names: Names::new(&settings.names)? })
    }

    /// Finds these kinds, whatever the settings say.
    pub(crate) fn of(kinds: &[PersonalData]) -> Self {
        Self { kinds: kinds.into(), names: None }
    }

    /// How many different values of each kind are in `text`.
    #[must_use]
    pub fn find(&self, text: &str) -> Counts {
        let mut values: Vec<_> =
            self.places(text).into_iter().map(|found| (found.kind, &text[found.range])).collect();
        values.sort_unstable();
        values.dedup();
        values.into_iter().map(|(kind, _)| kind).collect()
    }

    /// Where personal data is in `text`, in order and without overlaps.
    #[must_use]
    pub fn places(&self, text: &str) -> Vec<Found> {
        let mut found = Vec::new();
        secret::find(text, &mut found);
        address::find(text, &mut found);
        bank::find(text, &mut found);
        number::find(text, &mut found);
        found.retain(|found| self.kinds.contains(&found.kind));
        if let Some(names) = self.names.as_ref().filter(|_| self.wants(PersonalData::Name)) {
            names.find(text, &mut found);
        }
        found.retain(|found| !placeholder::is_one(&text[found.range.clone()]));
        merged(found)
    }

    /// Gives each value in `texts`, which are all that will be sent, a placeholder.
    #[must_use]
    pub fn mask(&self, texts: &[(Form, &str)]) -> Mask {
        Mask::new(self, texts)
    }

    fn wants(&self, kind: PersonalData) -> bool {
        self.kinds.contains(&kind)
    }
}

/// Without overlaps: what overlaps becomes one place, of the kind that comes first in the list of
/// kinds.
fn merged(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_unstable_by_key(|found| (found.range.start, found.range.end));
    let mut merged: Vec<Found> = Vec::with_capacity(found.len());
    for next in found {
        match merged.last_mut() {
            Some(last) if next.range.start < last.range.end => {
                last.range.end = last.range.end.max(next.range.end);
                last.kind = last.kind.min(next.kind);
            }
            _ => merged.push(next),
        }
    }
    merged
}

/// How many values there are of each kind. Shown in words: `2 e-mail addresses and 1 secret`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<PersonalData, usize>);

impl Counts {
    /// Nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each kind that was found, by the word for it in settings, with its number.
    pub fn iter(&self) -> impl Iterator<Item = (PersonalData, usize)> {
        self.0.iter().map(|(kind, count)| (*kind, *count))
    }

    /// The same by the word for each kind, in the singular.
    #[must_use]
    pub(crate) fn by_key(&self) -> BTreeMap<String, u32> {
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        self.iter().map(|(kind, count)| (words(kind).0.to_owned(), number(count))).collect()
    }
}

impl FromIterator<PersonalData> for Counts {
    fn from_iter<I: IntoIterator<Item = PersonalData>>(kinds: I) -> Self {
        let mut counts = Self::default();
        for kind in kinds {
            *counts.0.entry(kind).or_default() += 1;
        }
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.len().saturating_sub(1);
        for (index, (kind, count)) in self.0.iter().enumerate() {
            let before = match index {
                0 => "",
                _ if index == last => " and ",
                _ => ", ",
            };
            let (one, many) = words(*kind);
            write!(f, "{before}{count} {}", if *count == 1 { one } else { many })?;
        }
        Ok(())
    }
}

fn words(kind: PersonalData) -> (&'static str, &'static str) {
    match kind {
        PersonalData::Secret => ("secret", "secrets"),
        PersonalData::Email => ("e-mail address", "e-mail addresses"),
        PersonalData::Iban => ("IBAN", "IBANs"),
        PersonalData::Card => ("card number", "card numbers"),
        PersonalData::NationalId => ("national id", "national ids"),
        PersonalData::Phone => ("phone number", "phone numbers"),
        PersonalData::Ip => ("IP address", "IP addresses"),
        PersonalData::Name => ("name", "names"),
    }
}

/// Whether `range` stands alone in `text`: neither end of it is in the middle of a word.
fn stands_alone(text: &str, range: &Range<usize>) -> bool {
    !is_within_word(text, range.start) && !is_within_word(text, range.end)
}

fn is_within_word(text: &str, at: usize) -> bool {
    let (before, after) = text.split_at(at);
    before.chars().next_back().is_some_and(is_word) && after.chars().next().is_some_and(is_word)
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The end of `text` before `at`, at most `bytes` long, for a look at what a value is said to be.
fn before(text: &str, at: usize, bytes: usize) -> &str {
    let from = text.floor_char_boundary(at.saturating_sub(bytes));
    &text[from..at]
}
