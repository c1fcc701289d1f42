//! How often one client may call what.

use std::collections::BTreeMap;

/// Calls per minute of one client. Over a minute they are evenly spread; as many may come at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rates {
    /// Of each method that `methods` does not name; 0 is as many as it likes.
    pub default_per_minute: u32,
    /// Of methods such as `Assistant/Ask`.
    pub methods: BTreeMap<String, u32>,
}

impl Rates {
    /// Calls of a method, such as `Assistant/Ask`, that one client may make in a minute; 0 is as many
    /// as it likes.
    #[must_use]
    pub fn per_minute(&self, method: &str) -> u32 {
        self.methods.get(method).copied().unwrap_or(self.default_per_minute)
    }
}
