//! A repository of models, made for updates: a place with all versions of some models, in which what
//! versions share lies once.
//!
//! ```text
//! PLACE/ID/versions.json             the versions, newest last; written last
//! PLACE/ID/VERSION/manifest.json     what the version is
//! PLACE/ID/VERSION/manifest.json.sig its signature, if it is signed
//! PLACE/ID/VERSION/chunks            the hashes of its chunks, in the order of the file
//! PLACE/ID/chunks/HH/HASH            a chunk, compressed if that makes it smaller
//! ```

use std::fmt;
use std::str::FromStr;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::Source;
use crate::package::{Digest, Error};

mod depot;
mod push;
#[cfg(test)]
mod tests;
mod update;

pub use push::{Pushed, push};
pub use update::{Updated, Wanted, remembered_place, update};

const FORMAT: u32 = 1;
const VERSIONS: &str = "versions.json";
const VERSIONS_BYTES_MAX: u64 = 1 << 20;
/// Versions of which an error tells.
const TOLD_MAX: usize = 10;

/// Where a repository is: `s3://BUCKET[/PREFIX]`, `https://…` or `file:/FOLDER`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(String);

impl FromStr for Place {
    type Err = String;

    /// Fails with a sentence that says what is wrong and how a place is written.
    fn from_str(text: &str) -> Result<Self, String> {
        let place = Self(text.trim_end_matches('/').to_owned());
        let plain = !text.starts_with("hf:") && !text.contains(['?', '#']);
        if plain && Source::is_meant(text) && place.source(VERSIONS).is_ok() {
            return Ok(place);
        }
        let shown: String = text.chars().take(200).collect();
        Err(format!(
            "{shown:?} is no place of a repository: write s3://BUCKET/PREFIX, https://… or \
             file:/FOLDER"
        ))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Place {
    /// What lies at this path there.
    pub fn source(&self, path: &str) -> Result<Source, String> {
        format!("{}/{path}", self.0).parse()
    }

    fn object(&self, path: &str) -> Result<Source, Error> {
        self.source(path).map_err(Error::Unusable)
    }
}

/// Where a chunk lies.
fn chunk_path(id: &str, chunk: &Digest) -> String {
    let hash = chunk.to_string();
    format!("{id}/chunks/{}/{hash}", hash.get(..2).unwrap_or_default())
}

fn version_path(id: &str, version: &Version, part: &str) -> String {
    format!("{id}/{version}/{part}")
}

/// The versions that a repository has of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Versions {
    format: u32,
    /// Oldest first.
    versions: Vec<Version>,
}

impl Default for Versions {
    fn default() -> Self {
        Self { format: FORMAT, versions: Vec::new() }
    }
}

impl Versions {
    fn parse(bytes: &[u8], what: &str) -> Result<Self, Error> {
        let parsed: Self = serde_json::from_slice(bytes)
            .map_err(|error| Error::malformed(what, format!("its versions: {error}")))?;
        if parsed.format != FORMAT {
            return Err(Error::Format { what: what.to_owned(), format: parsed.format });
        }
        Ok(parsed)
    }

    fn add(&mut self, version: Version) {
        self.versions.push(version);
        self.versions.sort();
        self.versions.dedup();
    }

    /// The newest that is finished.
    fn newest(&self) -> Option<&Version> {
        self.versions.iter().filter(|version| version.pre.is_empty()).max()
    }

    /// For a person.
    fn told(&self) -> String {
        let newest = self.versions.iter().rev().take(TOLD_MAX);
        let told: Vec<_> = newest.map(Version::to_string).collect();
        if told.is_empty() { "none".to_owned() } else { told.join(", ") }
    }
}
