//! Looks into folders that may hold anything, and into no more than is sane.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Most names that are looked at in one scan of all folders.
const NAMES_MAX: usize = 20_000;

/// A walk through folders, which ends when it has seen too much.
#[derive(Debug)]
pub(super) struct Walk {
    left: usize,
}

impl Default for Walk {
    fn default() -> Self {
        Self::of(NAMES_MAX)
    }
}

impl Walk {
    /// A walk that ends after this many names.
    pub(super) fn of(left: usize) -> Self {
        Self { left }
    }

    /// What lies in a folder, by name. Nothing when it cannot be read; what is hidden or has a name
    /// that is not UTF-8 is passed over.
    pub(super) fn folder(&mut self, folder: &Path) -> Vec<(String, PathBuf)> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(self.left);
        let names: Vec<_> =
            entries.map(|entry| (entry.file_name().into_string(), entry.path())).collect();
        self.left -= names.len();
        let mut names: Vec<_> = names
            .into_iter()
            .filter_map(|(name, path)| Some((name.ok()?, path)))
            .filter(|(name, _)| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    /// Whether it ended before it had seen everything.
    pub(super) fn is_exhausted(&self) -> bool {
        self.left == 0
    }
}

/// The beginning of a file, of at most `bytes_max`. `None` when there is no such file or it is not a
/// text.
pub(super) fn beginning(path: &Path, bytes_max: u64) -> Option<String> {
    // Looked at first, since opening a pipe would wait for a writer.
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(bytes_max).read_to_end(&mut bytes).ok()?;
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        // The end may have cut a letter.
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let mut bytes = error.into_bytes();
            bytes.truncate(valid);
            String::from_utf8(bytes).ok()
        }
    }
}
