//! The placeholders of one turn.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use tandem_config::PersonalData;

use super::placeholder::{self, Key};
use super::restorer::Values;
use super::{Counts, Form, Found, Redaction, Restorer, stands_alone};

/// What a provider is told, so that it uses placeholders as they are.
const NOTE: &str = "Parts of this conversation are replaced by placeholders in square brackets, such \
                    as [EMAIL_1]. Write them exactly as they are wherever you mean what they stand for.";

/// Longest value that is looked for where nothing shows what it is. Nobody repeats a longer one in
/// passing, and an automaton for it costs much.
const AGAIN_BYTES_MAX: usize = 256;

/// Which placeholder stands for which value. The same value has the same one in all texts of the
/// turn, and no placeholder is used that one of them has in it already.
#[derive(Debug, Clone)]
pub struct Mask {
    redaction: Redaction,
    keys: HashMap<String, Key>,
    values: Values,
    /// Finds the values again where nothing around them shows what they are.
    again: Option<AhoCorasick>,
}

impl Mask {
    pub(super) fn new(redaction: &Redaction, texts: &[(Form, &str)]) -> Self {
        let (mut keys, mut values) = (HashMap::new(), HashMap::new());
        let mut found: Vec<(PersonalData, String)> = Vec::new();
        for (form, text) in texts {
            form.map(text, |part| {
                let places = redaction.places(part).into_iter();
                found.extend(places.map(|it| (it.kind, part[it.range].to_owned())));
                part.to_owned()
            });
        }
        if !found.is_empty() {
            let mut taken: HashSet<Key> = HashSet::new();
            for (form, text) in texts {
                form.map(text, |part| {
                    taken.extend(placeholder::mentioned(part));
                    part.to_owned()
                });
            }
            let mut numbers: HashMap<PersonalData, u32> = HashMap::new();
            for (kind, value) in found {
                if keys.contains_key(&value) {
                    continue;
                }
                let number = numbers.entry(kind).or_default();
                let key = loop {
                    *number += 1;
                    let key = Key { kind, number: *number };
                    if !taken.contains(&key) {
                        break key;
                    }
                };
                values.insert(key, value.clone());
                keys.insert(value, key);
            }
        }
        let again: Vec<_> = keys.keys().filter(|value| value.len() <= AGAIN_BYTES_MAX).collect();
        let again = (!again.is_empty()).then(|| {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(again)
        });
        let again = again.and_then(Result::ok);
        Self { redaction: redaction.clone(), keys, values: Arc::new(values), again }
    }

    /// Nothing was found: there is nothing to mask and nothing to put back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many different values of each kind have a placeholder.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.values.keys().map(|key| key.kind).collect()
    }

    /// What to tell the provider, beside the system prompt, when there are placeholders.
    #[must_use]
    pub fn note(&self) -> Option<&'static str> {
        (!self.is_empty()).then_some(NOTE)
    }

    /// `text` with placeholders for values. A value that was in none of the texts that the mask was
    /// made of is replaced, too, by `[EMAIL]` and the like, and does not come back.
    #[must_use]
    pub fn apply(&self, form: Form, text: &str) -> String {
        form.map(text, |part| self.masked(part))
    }

    /// `text`, such as the arguments of a tool call, with the values put back.
    #[must_use]
    pub fn restore(&self, form: Form, text: &str) -> String {
        let mut restorer = self.restorer(form);
        let mut whole = restorer.push(text);
        whole.push_str(&restorer.finish());
        whole
    }

    /// Puts the values back into a stream.
    #[must_use]
    pub fn restorer(&self, form: Form) -> Restorer {
        Restorer::new(Arc::clone(&self.values), form)
    }

    fn masked(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut at = 0;
        for Found { kind, range } in self.redaction.places(text) {
            self.mask_again(&text[at..range.start], &mut masked);
            match self.keys.get(&text[range.clone()]) {
                Some(key) => masked.push_str(&key.written()),
                None => masked.push_str(&placeholder::nameless(kind)),
            }
            at = range.end;
        }
        self.mask_again(&text[at..], &mut masked);
        masked
    }

    /// Masks what was found elsewhere in a text where nothing was found.
    fn mask_again(&self, text: &str, masked: &mut String) {
        let mut at = 0;
        while let Some(range) = self.next_again(text, at) {
            masked.push_str(&text[at..range.start]);
            if let Some(key) = self.keys.get(&text[range.clone()]) {
                masked.push_str(&key.written());
            }
            at = range.end;
        }
        masked.push_str(&text[at..]);
    }

    fn next_again(&self, text: &str, from: usize) -> Option<Range<usize>> {
        let again = self.again.as_ref()?;
        let mut at = from;
        loop {
            let found = again.find(Input::new(text).span(at..text.len()))?.range();
            if stands_alone(text, &found) {
                return Some(found);
            }
            at = text.ceil_char_boundary(found.start + 1);
        }
    }
}
