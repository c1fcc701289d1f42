//! What a model's file is, and what it should be.

use serde::Serialize;
use tandem_client::v1;

use super::{filled, name};

/// A file that was compared with what it should be.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verified {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: String,
    pub(crate) expected_sha256: Option<String>,
    /// Who knows the hash: `catalog`, `first_pull` or `keeper`.
    pub(crate) known_from: Option<String>,
    pub(crate) problem: Option<String>,
}

impl From<v1::VerifyModelResponse> for Verified {
    fn from(verified: v1::VerifyModelResponse) -> Self {
        let known_from = verified.known_from();
        let known = known_from != v1::KnownFrom::Unspecified;
        Self {
            known_from: known.then(|| name(known_from.as_str_name(), "KNOWN_FROM_")),
            id: verified.id,
            path: verified.path,
            size_bytes: verified.size_bytes,
            sha256: verified.sha256,
            expected_sha256: filled(verified.expected_sha256),
            problem: filled(verified.problem),
        }
    }
}

impl Verified {
    /// One line, or one for each hash when they differ.
    pub(crate) fn text(&self) -> String {
        let Self { id, sha256, .. } = self;
        match (&self.problem, &self.expected_sha256, self.known_from.as_deref()) {
            (Some(_), Some(expected), _) if expected != sha256 => {
                format!("{id} has the sha256 {sha256}\n{id} should have  {expected}\n")
            }
            (Some(_), ..) => format!("{id} has the sha256 {sha256}\n"),
            (None, _, Some("catalog")) => {
                format!("{id} is what the catalog says: sha256 {sha256}\n")
            }
            (None, _, Some("keeper")) => {
                format!("{id} is what the program that keeps it says: sha256 {sha256}\n")
            }
            (None, _, Some(_)) => format!("{id} is what was fetched: sha256 {sha256}\n"),
            (None, ..) => format!(
                "{id} is a whole GGUF file with the sha256 {sha256}; nobody knows which it should have\n"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(known_from: v1::KnownFrom, problem: &str) -> String {
        let known = known_from != v1::KnownFrom::Unspecified;
        Verified::from(v1::VerifyModelResponse {
            id: "m".into(),
            sha256: "ab".into(),
            expected_sha256: match (known, problem) {
                (false, _) => "",
                (true, "") => "ab",
                (true, _) => "cd",
            }
            .into(),
            known_from: known_from.into(),
            problem: problem.into(),
            ..Default::default()
        })
        .text()
    }

    #[test]
    fn the_report_says_how_sure_it_is() {
        use v1::KnownFrom::{Catalog, FirstPull, Unspecified};
        assert_eq!(verified(Catalog, ""), "m is what the catalog says: sha256 ab\n");
        assert_eq!(verified(FirstPull, ""), "m is what was fetched: sha256 ab\n");
        assert!(verified(Unspecified, "").contains("nobody knows which it should have"));
        assert!(verified(Catalog, "damaged").ends_with("m should have  cd\n"));
        assert_eq!(verified(Unspecified, "truncated"), "m has the sha256 ab\n");
    }
}
