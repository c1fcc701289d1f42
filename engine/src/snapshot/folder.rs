//! The folder of saved snapshots, which engines of other models use as well.
//!
//! What happened to a file is always taken from the folder: another engine may have removed it to
//! keep the budget, which is one for all. The index only knows which prefixes there ought to be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};

use super::key::hex;
use super::{Key, Snapshot, continues, file};
use crate::log;

/// Ends the name of a snapshot.
const SUFFIX: &str = ".prefix";

/// Ends the name of a snapshot that is being written.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Most snapshots in the folder, which bounds the index and the time to read it.
const FILES_MAX: usize = 256;

/// Most names read from the folder, whoever put them there.
const NAMES_MAX: usize = 4096;

/// Time without another try after a file could not be written, as a rule because the disk is full.
const PAUSE: Duration = Duration::from_mins(10);

/// Age from which a temporary file without a lock is a leftover.
const LEFTOVER_AGE: Duration = Duration::from_mins(1);

/// One engine's view of the folder. The scheduler looks things up while a thread writes.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    key: Key,
    budget: u64,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    /// Tokens of the snapshots under our key, by file name.
    stored: BTreeMap<String, Vec<u32>>,
    /// Names of those being written or waiting for it.
    coming: BTreeSet<String>,
    /// Nothing is written before.
    paused_until: Option<Instant>,
}

/// A snapshot's file, of whatever key.
struct Listed {
    name: String,
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Folder {
    /// Opens the folder at `path`, making it if need be; its snapshots have at most `budget` bytes
    /// together. Removes what dead engines left half written, and reads the tokens of the snapshots
    /// saved under `key`.
    pub fn open(path: &Path, key: Key, budget: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        if path.metadata()?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(path, Permissions::from_mode(0o700))?;
        }
        let index = Mutex::default();
        let folder = Self { path: path.to_owned(), key, budget, index };
        folder.remove_leftovers()?;
        folder.make_room(0)?;
        let ours = format!("{}-", folder.prefix());
        let listed = folder.list()?;
        for Listed { name, path, .. } in listed.iter().filter(|file| file.name.starts_with(&ours)) {
            let tokens = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
            let tokens = tokens.map_err(file::ReadError::from);
            match tokens.and_then(|(length, file)| file::read_tokens(file, length, &key)) {
                Ok(tokens) => drop(folder.index().stored.insert(name.clone(), tokens)),
                Err(error) => discard(path, &error),
            }
        }
        Ok(folder)
    }

    /// Length of the longest prefix that should be there and behind which `prompt` goes on; 0 when
    /// there is none.
    pub fn longest(&self, prompt: &[u32]) -> usize {
        let index = self.index();
        let fitting = index.stored.values().filter(|tokens| continues(prompt, tokens));
        fitting.map(Vec::len).max().unwrap_or(0)
    }

    /// Reads the snapshot of exactly these tokens, which counts as used. A file with any defect is
    /// removed and as good as absent.
    pub fn read(&self, tokens: &[u32]) -> Option<Snapshot> {
        let name = self.name(tokens);
        if !self.index().stored.contains_key(&name) {
            return None;
        }
        let path = self.path.join(&name);
        match self.read_file(&path) {
            Ok(snapshot) if snapshot.tokens == tokens => Some(snapshot),
            result => {
                if let Err(error) = result {
                    discard(&path, &error);
                }
                self.index().stored.remove(&name);
                None
            }
        }
    }

    /// Counts the snapshot of exactly these tokens as used, if there is one.
    pub fn touch(&self, tokens: &[u32]) {
        let name = self.name(tokens);
        if self.index().stored.contains_key(&name)
            && let Ok(file) = File::open(self.path.join(name))
        {
            // A file that looks older than it is goes earlier; that is all.
            let _ = file.set_modified(SystemTime::now());
        }
    }

    /// Removes the snapshot of exactly these tokens.
    pub fn remove(&self, tokens: &[u32]) {
        let name = self.name(tokens);
        if self.index().stored.remove(&name).is_some() {
            let _ = fs::remove_file(self.path.join(name));
        }
    }

    /// Whether a snapshot of these tokens should be written: it has a size for it, there is none,
    /// and none is on its way. If so, one is on its way from now on, until [`Folder::write`] or
    /// [`Folder::give_up`].
    pub fn claim(&self, tokens: &[u32], state_bytes: usize, now: Instant) -> bool {
        let fits = (1..=file::TOKENS_MAX).contains(&tokens.len())
            && (1..=file::STATE_BYTES_MAX).contains(&state_bytes)
            && file::length(tokens.len(), state_bytes) <= self.budget;
        let name = self.name(tokens);
        let mut index = self.index();
        fits && index.paused_until.is_none_or(|end| now >= end)
            && !index.stored.contains_key(&name)
            && index.coming.insert(name)
    }

    /// A snapshot that was claimed will not be written.
    pub fn give_up(&self, tokens: &[u32]) {
        let name = self.name(tokens);
        self.index().coming.remove(&name);
    }

    /// Writes a snapshot that was claimed. If that fails, says so once and lets nothing more be
    /// claimed for a while.
    pub fn write(&self, snapshot: &Snapshot) {
        let name = self.name(&snapshot.tokens);
        let result = self.write_file(&name, snapshot);
        let mut index = self.index();
        index.coming.remove(&name);
        match result {
            Ok(()) => drop(index.stored.insert(name, snapshot.tokens.clone())),
            Err(error) => {
                // Others may have been waiting already.
                if index.paused_until.replace(Instant::now() + PAUSE).is_none_or(is_past) {
                    let (folder, minutes) = (self.path.display(), PAUSE.as_secs() / 60);
                    log::line(format_args!(
                        "cannot save a prefix in {folder}: {error}; trying again in {minutes} minutes"
                    ));
                }
            }
        }
    }

    fn write_file(&self, name: &str, snapshot: &Snapshot) -> io::Result<()> {
        self.make_room(file::length(snapshot.tokens.len(), snapshot.state.len()))?;
        let temporary = self.path.join(format!("{name}.{}{TEMPORARY_SUFFIX}", std::process::id()));
        let saved = file::save(&temporary, &self.path.join(name), &self.key, snapshot);
        if saved.is_err() {
            let _ = fs::remove_file(temporary);
        }
        saved
    }

    fn read_file(&self, path: &Path) -> Result<Snapshot, file::ReadError> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let snapshot = file::read(&file, length, &self.key)?;
        let _ = file.set_modified(SystemTime::now());
        Ok(snapshot)
    }

    /// Removes the snapshots unused for longest until `bytes` more fit into the budget.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut files = self.list()?;
        files.sort_by_key(|file| file.used);
        let mut left = files.len();
        let mut total = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.bytes));
        for file in files {
            if total.saturating_add(bytes) <= self.budget && left < FILES_MAX {
                break;
            }
            match fs::remove_file(&file.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            self.index().stored.remove(&file.name);
            total = total.saturating_sub(file.bytes);
            left -= 1;
        }
        Ok(())
    }

    /// All snapshots in the folder, of whatever key. Other files are not ours to count or remove.
    fn list(&self) -> io::Result<Vec<Listed>> {
        let listed = self.names()?.into_iter().filter(|(name, _)| name.ends_with(SUFFIX));
        Ok(listed
            .filter_map(|(name, path)| {
                // Gone by now, if this fails.
                let facts = fs::symlink_metadata(&path).ok()?;
                let used = facts.modified().ok()?;
                Some(Listed { name, path, bytes: facts.len(), used })
            })
            .collect())
    }

    /// Removes temporary files whose writers are dead: they are not locked, and too old to be
    /// between their creation and their lock.
    fn remove_leftovers(&self) -> io::Result<()> {
        let middle = format!("{SUFFIX}.");
        for (name, path) in self.names()? {
            let temporary = name.ends_with(TEMPORARY_SUFFIX) && name.contains(&middle);
            if temporary && is_old(&path) && File::open(&path).is_ok_and(|f| f.try_lock().is_ok()) {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let entries = fs::read_dir(&self.path)?.take(NAMES_MAX).filter_map(Result::ok);
        // A link or a pipe is nothing of ours.
        let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        Ok(files
            .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
            .collect())
    }

    /// Begins the names of all our files.
    fn prefix(&self) -> String {
        hex(&self.key.bytes()[..8])
    }

    fn name(&self, tokens: &[u32]) -> String {
        let mut hash = Sha256::new();
        for token in tokens {
            hash.update(token.to_le_bytes());
        }
        format!("{}-{}{SUFFIX}", self.prefix(), hex(&hash.finalize()[..8]))
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_past(time: Instant) -> bool {
    time <= Instant::now()
}

fn is_old(path: &Path) -> bool {
    let changed = fs::symlink_metadata(path).and_then(|facts| facts.modified());
    changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= LEFTOVER_AGE))
}

/// Removes a file that is of no use, and says why, if it is there at all.
fn discard(path: &Path, error: &file::ReadError) {
    if fs::remove_file(path).is_ok() {
        log::line(format_args!("discarded the saved prefix {}: {error}", path.display()));
    }
}

#[cfg(test)]
mod tests;
