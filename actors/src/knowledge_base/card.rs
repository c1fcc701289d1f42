//! What is kept of a collection beside its documents, in `collection.json` in its folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tandem_knowledge::collection::CopiedFile;
use tandem_knowledge::{EmbeddingSpace, Label};

use super::maker::Maker;
use super::record;
use crate::{Error, Result};

const FILE: &str = "collection.json";
/// Longest name of a collection.
const NAME_BYTES_MAX: usize = 64;

/// How a collection was made, and what is to be done with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Card {
    /// What makes its embeddings; nothing when it is searched by words only.
    pub(super) embedding: Option<Maker>,
    /// Of documents that come without one.
    pub(super) label: Label,
    /// What is read again when something in it changes.
    pub(super) watched: Vec<Watched>,
}

/// A folder that is watched, and how its documents are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Watched {
    pub(super) path: PathBuf,
    pub(super) label: Option<Label>,
    pub(super) metadata: BTreeMap<String, String>,
}

impl Card {
    /// The card of the collection in `dir`, if there is one.
    pub(super) fn read(dir: &Path) -> io::Result<Option<Self>> {
        record::read(&dir.join(FILE))
    }

    /// What the vectors of the index are made with.
    pub(super) fn space(&self) -> Option<&EmbeddingSpace> {
        self.embedding.as_ref().map(|maker| &maker.space)
    }

    /// As it is in a copy of the collection.
    pub(super) fn copied(&self) -> io::Result<CopiedFile> {
        Ok(CopiedFile::new(FILE.to_owned(), Cursor::new(record::text(self)?)))
    }

    /// Puts it on disk, whole or not at all.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        record::write(dir, FILE, self)
    }
}

/// The cards of the collections in this folder, by name.
pub(super) fn cards(dir: &Path) -> io::Result<BTreeMap<String, io::Result<Card>>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries?,
    };
    let mut cards = BTreeMap::new();
    for entry in entries {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if check_name(&name).is_err() {
            continue;
        }
        if let Some(card) = Card::read(&dir.join(&name)).transpose() {
            cards.insert(name, card);
        }
    }
    Ok(cards)
}

/// Refuses what is no name of a folder everywhere.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(known) {
        return Ok(());
    }
    let problem =
        format!("{name:?} is no name; use 1 to {NAME_BYTES_MAX} of a-z, 0-9, `-` and `_`");
    Err(Error::invalid("collection", problem))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_card_reads_back_and_its_absence_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("notes");
        assert_eq!(Card::read(&dir).unwrap(), None);
        let watched = Watched {
            path: PathBuf::from("/a b"),
            label: None,
            metadata: [("of".to_owned(), "home".to_owned())].into(),
        };
        let card = Card { embedding: None, label: Label::MayLeave, watched: vec![watched] };
        card.write(&dir).unwrap();
        assert_eq!(Card::read(&dir).unwrap(), Some(card));
        fs::write(dir.join(FILE), "{").unwrap();
        assert!(Card::read(&dir).is_err());
    }

    #[test]
    fn a_name_cannot_leave_the_folder_of_the_collections() {
        for name in ["", "..", "a/b", "Notes", "a b", &"x".repeat(65)] {
            assert!(matches!(check_name(name), Err(Error::Invalid { .. })), "{name}");
        }
        assert_eq!(check_name("rust-docs_2"), Ok(()));
    }
}
