//! Words from a list.

use serde_json::{Value, json};

use super::{Kind, quoted};
use crate::source::Node;

/// One of some words.
pub(crate) struct OneOf<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind<T> for OneOf<T> {
    fn read(&self, node: &Node) -> Option<T> {
        let text = node.text()?;
        self.0.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
    }

    fn write(&self, value: &T) -> Option<String> {
        self.0.iter().find(|(_, other)| other == value).map(|(word, _)| quoted(word))
    }

    fn allowed(&self) -> String {
        format!("one of {}", listed(self.0))
    }

    fn schema(&self) -> Value {
        json!({ "enum": words(self.0) })
    }
}

/// Some of some words, or none.
pub(crate) struct AnyOf<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind<Vec<T>> for AnyOf<T> {
    fn read(&self, node: &Node) -> Option<Vec<T>> {
        let value = |text: &&str| self.0.iter().find(|(word, _)| word == text).map(|(_, it)| *it);
        node.list()?.iter().map(value).collect()
    }

    fn write(&self, values: &Vec<T>) -> Option<String> {
        let word = |value: &T| self.0.iter().find(|(_, it)| it == value).map(|(it, _)| quoted(it));
        Some(format!("[{}]", values.iter().map(word).collect::<Option<Vec<_>>>()?.join(", ")))
    }

    fn allowed(&self) -> String {
        format!("a list of none or some of {}, in brackets", listed(self.0))
    }

    fn schema(&self) -> Value {
        json!({ "type": "array", "items": { "enum": words(self.0) } })
    }
}

fn words<T>(of: &[(&'static str, T)]) -> Vec<&'static str> {
    of.iter().map(|(word, _)| *word).collect()
}

fn listed<T>(of: &[(&'static str, T)]) -> String {
    words(of).iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
}
