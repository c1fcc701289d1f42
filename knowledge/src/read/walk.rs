//! Finding the documents of a folder.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;

use super::{Format, SNIFFED_BYTES};
use crate::{Error, Result};

/// How much one folder may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalkLimits {
    /// Documents in it.
    pub files: usize,
    /// Files and folders that are looked at.
    pub entries: usize,
    /// Folders inside each other.
    pub depth: usize,
}

impl Default for WalkLimits {
    fn default() -> Self {
        Self { files: 100_000, entries: 2_000_000, depth: 64 }
    }
}

/// A document of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is, beginning with the folder as it was named.
    pub path: PathBuf,
    /// What it is.
    pub format: Format,
    /// Its length when it was found, in bytes.
    pub bytes: u64,
}

/// Something that is passed over, and that a person might miss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
}

/// Why something is passed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A link to a folder that it stands in.
    #[error("is a link that leads back to {0}, round and round; remove the link")]
    Loop(PathBuf),
    /// A link to something outside of the folder.
    #[error("is a link to {0}, outside of the folder; add that by its own name")]
    Outside(PathBuf),
    /// A link to nothing.
    #[error("is a link that leads nowhere; remove the link")]
    Broken,
    /// It could not be looked at.
    #[error("cannot be read ({0}); check its permissions")]
    Unreadable(String),
    /// Its name says nothing of its format, and neither do its first bytes.
    #[error("looks like no text; convert it to text, Markdown, HTML or PDF")]
    NotText,
}

/// What a folder has in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Walk {
    /// Its documents, by path.
    pub found: Vec<Found>,
    /// What was passed over and might be missed, by path. Hidden and ignored files, other formats, and links
    /// to what is found anyway are not listed.
    pub skipped: Vec<Skipped>,
}

/// Lists the documents below a folder. `.gitignore` and `.ignore` inside of it are respected, links are not
/// followed.
pub fn walk(root: &Path, limits: &WalkLimits) -> Result<Walk> {
    let failed = |error| Error::Io { path: root.to_owned(), error };
    let real_root = root.canonicalize().map_err(failed)?;
    fs::read_dir(&real_root).map_err(failed)?;
    let entries = WalkBuilder::new(root)
        .require_git(false)
        .git_global(false)
        .git_exclude(false)
        .parents(false)
        .max_depth(Some(limits.depth.saturating_add(1)))
        .sort_by_file_name(Ord::cmp)
        .build();
    let mut walk = Walk::default();
    for (number, entry) in entries.enumerate() {
        if number > limits.entries {
            return Err(Error::TooManyEntries {
                path: root.to_owned(),
                entries_max: limits.entries,
            });
        }
        match entry {
            Ok(entry) if entry.path_is_symlink() && entry.depth() > 0 => {
                if let Some(reason) = judge_link(entry.path(), &real_root) {
                    walk.skipped.push(Skipped { path: entry.into_path(), reason });
                }
            }
            Ok(entry)
                if entry.file_type().is_some_and(|kind| kind.is_dir())
                    && entry.depth() > limits.depth =>
            {
                return Err(Error::TooDeep { path: entry.into_path(), depth_max: limits.depth });
            }
            Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                match judge_file(entry.path()) {
                    Ok(Some((format, bytes))) => {
                        walk.found.push(Found { path: entry.into_path(), format, bytes });
                    }
                    Ok(None) => (),
                    Err(reason) => walk.skipped.push(Skipped { path: entry.into_path(), reason }),
                }
                if walk.found.len() > limits.files {
                    return Err(Error::TooManyFiles {
                        path: root.to_owned(),
                        files_max: limits.files,
                    });
                }
            }
            Ok(_) => (),
            Err(error) => walk.skipped.push(unreadable(root, &error)),
        }
    }
    walk.found.sort_by(|one, other| one.path.cmp(&other.path));
    walk.skipped.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(walk)
}

/// The format and length of a file; `None` when it is none that is read.
fn judge_file(path: &Path) -> Result<Option<(Format, u64)>, Reason> {
    if !Format::is_possible(path) {
        return Ok(None);
    }
    let look = || -> io::Result<_> {
        let mut file = File::open(path)?;
        let mut first = Vec::with_capacity(SNIFFED_BYTES);
        let bytes = file.metadata()?.len();
        file.by_ref().take(SNIFFED_BYTES as u64).read_to_end(&mut first)?;
        Ok((Format::of(path, &first), bytes, first.is_empty()))
    };
    match look().map_err(|error| Reason::Unreadable(error.to_string()))? {
        (Some(format), bytes, _) => Ok(Some((format, bytes))),
        (None, _, true) => Ok(None),
        (None, _, false) => Err(Reason::NotText),
    }
}

/// What a link is passed over for; `None` when it leads to something that is found by itself.
fn judge_link(link: &Path, real_root: &Path) -> Option<Reason> {
    let Ok(target) = link.canonicalize() else {
        // The system gives up on links that lead to each other, too.
        return Some(Reason::Broken);
    };
    let real_link = link.parent().and_then(|folder| folder.canonicalize().ok())?;
    if real_link.starts_with(&target) {
        return Some(Reason::Loop(target));
    }
    (!target.starts_with(real_root)).then_some(Reason::Outside(target))
}

fn unreadable(root: &Path, error: &ignore::Error) -> Skipped {
    let mut at = error;
    let mut path = root.to_owned();
    loop {
        match at {
            ignore::Error::WithPath { path: inner, err } => {
                path.clone_from(inner);
                at = err;
            }
            ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
                at = err;
            }
            _ => return Skipped { path, reason: Reason::Unreadable(at.to_string()) },
        }
    }
}
