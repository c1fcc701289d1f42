//! Texts, addresses and paths.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf};

use serde_json::{Value, json};

use super::{Kind, quoted};
use crate::source::Node;

/// Text whose length in bytes is in the range.
pub(crate) struct Text(pub(crate) RangeInclusive<usize>);

impl Kind<String> for Text {
    fn read(&self, node: &Node) -> Option<String> {
        node.text().filter(|text| self.0.contains(&text.len())).map(str::to_owned)
    }

    fn write(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }

    fn allowed(&self) -> String {
        format!("text of {} to {} bytes", self.0.start(), self.0.end())
    }

    fn schema(&self) -> Value {
        // The limits count bytes, those of a schema characters, of which there are no more.
        json!({ "type": "string", "minLength": (*self.0.start()).min(1), "maxLength": self.0.end() })
    }
}

/// A list of texts.
pub(crate) struct Texts {
    pub(crate) count_max: usize,
    /// Length of each in bytes.
    pub(crate) bytes: RangeInclusive<usize>,
}

impl Kind<Vec<String>> for Texts {
    fn read(&self, node: &Node) -> Option<Vec<String>> {
        let texts = node.list().filter(|texts| texts.len() <= self.count_max)?;
        let fits = |text: &str| self.bytes.contains(&text.len());
        texts.into_iter().map(|text| fits(text).then(|| text.to_owned())).collect()
    }

    fn write(&self, values: &Vec<String>) -> Option<String> {
        let texts: Vec<_> = values.iter().map(|text| quoted(text)).collect();
        Some(format!("[{}]", texts.join(", ")))
    }

    fn allowed(&self) -> String {
        let (from, to) = (self.bytes.start(), self.bytes.end());
        format!("a list of at most {} texts of {from} to {to} bytes, in brackets", self.count_max)
    }

    fn schema(&self) -> Value {
        json!({ "type": "array", "maxItems": self.count_max, "items": Text(self.bytes.clone()).schema() })
    }
}

/// The address of an API, kept without a slash at its end.
pub(crate) struct Address;

impl Kind<String> for Address {
    fn read(&self, node: &Node) -> Option<String> {
        let text = node.text()?.trim_end_matches('/');
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let host_is_there = rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
        let plain = rest.bytes().all(|b| b.is_ascii_graphic() && !b"@?#\\\"<>".contains(&b));
        (host_is_there && plain).then(|| text.to_owned())
    }

    fn write(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }

    fn allowed(&self) -> String {
        "an address that begins with http:// or https:// and has no user, password, query or fragment, \
         such as \"https://host/v1\""
            .into()
    }

    /// An address with a user or a query may hold a key.
    fn quote(&self, node: &Node) -> String {
        match node.text() {
            Some(text) if text.contains(['@', '?']) => "(not shown)".into(),
            _ => node.to_string(),
        }
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": "^https?://[0-9A-Za-z\\[]" })
    }
}

/// Where something listens: an address and a port.
pub(crate) struct Listen;

impl Kind<SocketAddr> for Listen {
    fn read(&self, node: &Node) -> Option<SocketAddr> {
        node.text()?.parse().ok()
    }

    fn write(&self, value: &SocketAddr) -> Option<String> {
        Some(quoted(&value.to_string()))
    }

    fn allowed(&self) -> String {
        "an IP address and a port, such as \"127.0.0.1:9464\"".into()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": ":[0-9]+$" })
    }
}

/// A path from the root: a settings file has no directory of its own.
pub(crate) struct AbsolutePath;

impl Kind<PathBuf> for AbsolutePath {
    fn read(&self, node: &Node) -> Option<PathBuf> {
        node.text()
            .filter(|text| !text.contains('\0'))
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    }

    fn write(&self, value: &PathBuf) -> Option<String> {
        Some(quoted(&value.to_string_lossy()))
    }

    fn allowed(&self) -> String {
        "a path that begins with /".into()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": "^/" })
    }
}
