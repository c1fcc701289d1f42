//! Which files a ledger has.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::Error;

/// The file that grows.
pub const CURRENT: &str = "egress.jsonl";

/// What names of older files begin and end with. Between them is the index of the first record.
const OLDER: (&str, &str) = ("egress-", ".jsonl");

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// All files of a ledger, which begins with record 0.
    Folder(PathBuf),
    /// These files, oldest first, which may be a part of a ledger.
    Files(Vec<PathBuf>),
}

/// The files of the ledger in `folder`, oldest first. None when there is no folder.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::at(folder)(error)),
    };
    let mut older = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::at(folder))?.path();
        if let Some(first) = path.file_name().and_then(|name| first_index(name.to_str()?)) {
            older.push((first, path));
        }
    }
    older.sort();
    let mut files: Vec<_> = older.into_iter().map(|(_, path)| path).collect();
    let current = folder.join(CURRENT);
    if current.exists() {
        files.push(current);
    }
    Ok(files)
}

/// The name of a file that grows no more and begins with this record.
pub(crate) fn older_name(first: u64) -> String {
    format!("{}{first:012}{}", OLDER.0, OLDER.1)
}

fn first_index(name: &str) -> Option<u64> {
    name.strip_prefix(OLDER.0)?.strip_suffix(OLDER.1)?.parse().ok()
}
