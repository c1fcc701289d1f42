//! The files of a collection as they are at one commit, to be copied while the collection goes on.

use std::fmt;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use super::{Collection, INDEX, Vectors, unwritten, words};
use crate::Result;
use crate::error::at;
use crate::vectors;

/// The file of the index that says which others belong to its commit.
const COMMIT: &str = "meta.json";
/// The file of the index that names all that are there; those that it does not name are not checked.
const MANAGED: &str = ".managed.json";
/// Longest name that file systems allow.
const NAME_BYTES_MAX: usize = 255;

/// A file of a copy. It is open, so that it can be read whatever becomes of the collection.
pub struct CopiedFile {
    /// Its name, relative to the directory of the collection.
    pub name: String,
    /// What belongs to the copy.
    pub content: Box<dyn Read + Send>,
}

impl CopiedFile {
    /// A file of this name with this in it.
    pub fn new(name: String, content: impl Read + Send + 'static) -> Self {
        Self { name, content: Box::new(content) }
    }
}

impl fmt::Debug for CopiedFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CopiedFile").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Collection {
    /// The files of the collection as of its last commit. In a directory of their own they are a collection
    /// that can be opened. What is committed or compacted from now on changes nothing of them.
    pub fn copy(&self) -> Result<Vec<CopiedFile>> {
        self.unbroken()?;
        let index = self.directory.join(INDEX);
        let opened = |path: &Path| File::open(path).map_err(at(path));
        let segments =
            self.index.load_metas().map_err(words(&self.directory))?.list_segment_files();
        let managed = self.index.directory().list_managed_files();
        let mut names: Vec<PathBuf> = segments.intersection(&managed).cloned().collect();
        names.sort();
        let mut files = Vec::new();
        for name in &names {
            files.push(CopiedFile::new(
                in_index(&name.to_string_lossy()),
                opened(&index.join(name))?,
            ));
        }
        for (path, bytes) in self.vectors.iter().flat_map(Vectors::files) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push(CopiedFile::new(name, opened(path)?.take(bytes)));
        }
        let commit = index.join(COMMIT);
        let commit = std::fs::read(&commit).map_err(at(&commit))?;
        names.push(COMMIT.into());
        let managed = serde_json::to_vec(&names).map_err(|error| unwritten(&error))?;
        files.push(CopiedFile::new(in_index(MANAGED), Cursor::new(managed)));
        files.push(CopiedFile::new(in_index(COMMIT), Cursor::new(commit)));
        Ok(files)
    }
}

fn in_index(name: &str) -> String {
    format!("{INDEX}/{name}")
}

/// What says how a collection was made. It is whoever opens the collection that writes it.
const CARD: &str = "collection.json";

/// Whether a copy of a collection has files of this name. No other is to be taken from a copy that comes from
/// elsewhere: such a name never leads out of the directory of the collection.
pub fn is_file_name(name: &str) -> bool {
    let plain = |name: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        !matches!(name, "" | "." | "..") && name.len() <= NAME_BYTES_MAX && name.bytes().all(known)
    };
    match name.split_once('/') {
        None => plain(name) && (name == CARD || name.starts_with(vectors::NAME)),
        Some((folder, name)) => folder == INDEX && plain(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_file_leads_out_of_the_collection() {
        let outside =
            ["", ".", "..", "/etc/x", "../x", "words/../x", "words/..", "words/", "words/a/b"];
        for name in outside.into_iter().chain(["other/x", "a\\b", "a\0b", "words//x", "ä"]) {
            assert!(!is_file_name(name), "{name:?}");
        }
        for name in
            ["collection.json", "vectors-0.exact", "words/.managed.json", "words/0a1b.store"]
        {
            assert!(is_file_name(name), "{name:?}");
        }
    }
}
