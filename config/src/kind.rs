//! The kinds of values that settings have: how each is read, shown and explained.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::source::Node;

mod choice;
mod number;
mod secret;
mod steps;
mod text;
mod unit;

pub(crate) use choice::{AnyOf, OneOf};
pub(crate) use number::{Amount, Fraction, Integer, LogProbability, Share, Temperature};
pub(crate) use secret::SecretPlace;
pub(crate) use steps::Steps;
pub(crate) use text::{AbsolutePath, Address, Listen, Text, Texts};
pub(crate) use unit::{AutoOrTime, Size, Time};

/// How a value of type `T` is written.
pub(crate) trait Kind<T> {
    /// The value that was written, or `None` when it is not one of this kind.
    fn read(&self, node: &Node) -> Option<T>;

    /// The value in TOML, or `None` to leave the key out.
    fn write(&self, value: &T) -> Option<String>;

    /// What may be written; ends the sentence "write …".
    fn allowed(&self) -> String;

    /// What may be written, as JSON Schema. It allows all that is allowed, and may allow more.
    fn schema(&self) -> Value;

    /// A value to show for a setting that is left out.
    fn example(&self) -> &'static str {
        ""
    }

    /// The value that was probably meant by one that cannot be read.
    fn meant(&self, _: &Node) -> Option<String> {
        None
    }

    /// What was written, for an error message.
    fn quote(&self, node: &Node) -> String {
        node.to_string()
    }
}

/// `true` or `false`.
pub(crate) struct Flag;

impl Kind<bool> for Flag {
    fn read(&self, node: &Node) -> Option<bool> {
        node.boolean()
    }

    fn write(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }

    fn allowed(&self) -> String {
        "true or false".into()
    }

    fn schema(&self) -> Value {
        json!({ "type": "boolean" })
    }
}

/// Something that may be absent, and an example of it in TOML.
pub(crate) struct Optional<K>(pub(crate) K, pub(crate) &'static str);

impl<T, K: Kind<T>> Kind<Option<T>> for Optional<K> {
    fn read(&self, node: &Node) -> Option<Option<T>> {
        self.0.read(node).map(Some)
    }

    fn write(&self, value: &Option<T>) -> Option<String> {
        self.0.write(value.as_ref()?)
    }

    fn example(&self) -> &'static str {
        self.1
    }

    fn allowed(&self) -> String {
        self.0.allowed()
    }

    fn quote(&self, node: &Node) -> String {
        self.0.quote(node)
    }

    fn schema(&self) -> Value {
        self.0.schema()
    }
}

/// Names with a value each, and an example of them in TOML. Empty is left out.
pub(crate) struct Each<K>(pub(crate) K, pub(crate) &'static str);

impl<T, K: Kind<T>> Kind<BTreeMap<String, T>> for Each<K> {
    fn read(&self, node: &Node) -> Option<BTreeMap<String, T>> {
        let Node::Table(table) = node else { return None };
        let entry = |(name, node): (&String, &Node)| Some((name.clone(), self.0.read(node)?));
        table.entries.iter().map(entry).collect()
    }

    fn write(&self, values: &BTreeMap<String, T>) -> Option<String> {
        let entry = |(name, value): (&String, &T)| {
            Some(format!("{} = {}", quoted(name), self.0.write(value)?))
        };
        let entries: Option<Vec<_>> = values.iter().map(entry).collect();
        let entries = entries.filter(|entries| !entries.is_empty())?;
        Some(format!("{{ {} }}", entries.join(", ")))
    }

    fn allowed(&self) -> String {
        format!("a table such as {}, each value being {}", self.1, self.0.allowed())
    }

    fn example(&self) -> &'static str {
        self.1
    }

    fn schema(&self) -> Value {
        json!({ "type": "object", "additionalProperties": self.0.schema() })
    }
}

pub(crate) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
