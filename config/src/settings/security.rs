//! What happens to personal data before a question leaves the machine, and to what stays on it.

use crate::Secret;

/// What happens to personal data before a question leaves the machine, and to what stays on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// What is done where some is found.
    pub redact: Redact,
    /// The kinds that are looked for.
    pub redact_kinds: Vec<PersonalData>,
    /// Names of people and other words that are looked for, as whole words in any case.
    pub names: Vec<String>,
    /// The key that caches on disk are encrypted with; when absent, one is made in the data folder.
    pub store_key: Option<Secret>,
}

impl Default for Security {
    fn default() -> Self {
        use PersonalData::{Card, Email, Iban, Name, NationalId, Phone, Secret};
        Self {
            redact: Redact::Mask,
            redact_kinds: vec![Secret, Email, Iban, Card, NationalId, Phone, Name],
            names: Vec::new(),
            store_key: None,
        }
    }
}

/// What is done with personal data in a question that would leave the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redact {
    /// Placeholders are sent in its place, and it is put back into the answer.
    Mask,
    /// The question stays on this machine.
    Local,
    /// Nothing: it is sent as it is.
    Off,
}

/// A kind of personal data. Where two are found in one place, it counts as the earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PersonalData {
    /// A password, key or token.
    Secret,
    /// An e-mail address.
    Email,
    /// The number of a bank account.
    Iban,
    /// The number of a payment card.
    Card,
    /// A number that a state gave a person, of a kind that can be checked.
    NationalId,
    /// A phone number.
    Phone,
    /// An address of a machine that is not this one.
    Ip,
    /// A name of [`Security::names`].
    Name,
}
