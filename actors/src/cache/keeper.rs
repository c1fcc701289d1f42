//! What the caches' own thread does: opens the files, appends to them, and removes what is too old or
//! too much. Everything here blocks. A cache that fails is off; nothing else suffers.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tandem_config::Secret;

use super::answer;
use super::index::Index;
use super::key::StoreKey;
use super::log::{self, Appended, Found, Log};
use super::near::Vectors;
use super::seal::{Digest, SEAL_BYTES, Seal};
use super::stock::{Stock, milliseconds};

/// Segments of a full cache: what goes at a time is a part of it like this.
const SEGMENTS: u64 = 8;
const SEGMENT_BYTES_MAX: u64 = 16 << 20;

/// Something to be kept.
#[derive(Debug)]
pub(super) struct New {
    pub(super) digest: Digest,
    pub(super) plain: Vec<u8>,
}

/// Opens, writes and clears one cache.
#[derive(Debug)]
pub(super) struct Keeper {
    stock: Arc<Stock>,
    /// Folder of the cache's files.
    folder: PathBuf,
    key: KeyPlace,
    /// Questions that can be found by what they mean, if any can.
    vectors: Option<Arc<Mutex<Vectors>>>,
    /// Set while the files are open.
    log: Option<Log>,
    /// It could not be opened, and is left alone.
    failed: bool,
}

/// Where the key is.
#[derive(Debug, Clone)]
pub(super) struct KeyPlace {
    pub(super) named: Option<Secret>,
    /// Where it is made when it is not named.
    pub(super) data_dir: PathBuf,
}

impl Keeper {
    /// Opens what is there. What was kept before the cache was turned off is removed.
    pub(super) fn start(
        stock: Arc<Stock>,
        folder: PathBuf,
        key: KeyPlace,
        vectors: Option<Arc<Mutex<Vectors>>>,
        now: SystemTime,
    ) -> Self {
        let mut keeper = Self { stock, folder, key, vectors, log: None, failed: false };
        let there = keeper.folder.exists();
        if there && keeper.stock.is_on() {
            keeper.open(now);
        } else if there && let Err(error) = fs::remove_dir_all(&keeper.folder) {
            let folder = keeper.folder.display();
            keeper.stock.report(format!("is off, and {folder} cannot be removed: {error}"));
        }
        keeper
    }

    /// Keeps entries, except those that are there and too large ones. What fails is counted.
    pub(super) fn keep(&mut self, entries: Vec<New>, now: SystemTime) {
        if !self.stock.is_on() || self.failed {
            return;
        }
        if self.log.is_none() {
            self.open(now);
        }
        self.remove_expired(now);
        let count = entries.len();
        for (done, entry) in entries.into_iter().enumerate() {
            if let Err(error) = self.keep_one(&entry, now) {
                self.stock.failed(count - done);
                self.stock.report(format!("cannot be written: {error}"));
                return;
            }
        }
    }

    /// Removes everything. The bytes that are free again.
    pub(super) fn clear(&mut self, now: SystemTime) -> u64 {
        let bytes = self.stock.index().bytes();
        self.stock.publish(None, Index::new(self.stock.limits.ttl));
        if let Some(vectors) = &self.vectors {
            lock(vectors).clear();
        }
        (self.log, self.failed) = (None, false);
        let removed = fs::remove_dir_all(&self.folder);
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.failed = true;
                self.stock.report(format!("cannot be cleared: {error}"));
            }
            _ if self.stock.is_on() => self.open(now),
            _ => self.stock.report(String::new()),
        }
        bytes
    }

    /// Removes the segments in which all is too old.
    pub(super) fn remove_expired(&mut self, now: SystemTime) {
        let expired = self.stock.index().expired(milliseconds(now));
        for number in expired {
            if let Err(error) = self.remove(number) {
                self.stock.report(format!("cannot be made smaller: {error}"));
            }
        }
    }

    fn open(&mut self, now: SystemTime) {
        match self.try_open(now) {
            Ok(problem) => self.stock.report(problem),
            Err(problem) => {
                self.failed = true;
                self.stock.report(format!("is off: {problem}"));
            }
        }
    }

    /// Opens the files. Returns what is to be told about it.
    fn try_open(&mut self, now: SystemTime) -> Result<String, String> {
        let key = StoreKey::load(self.key.named.as_ref(), &self.key.data_dir);
        let seal = Arc::new(Seal::new(self.stock.name, &key.map_err(|error| error.to_string())?));
        let segment_bytes_max = (self.stock.limits.bytes_max / SEGMENTS).min(SEGMENT_BYTES_MAX);
        let found = Log::open(self.folder.clone(), seal.fingerprint, segment_bytes_max);
        let Found { log, segments, foreign } = found.map_err(|error| {
            format!("{}: {error}; check disk space and permissions", self.folder.display())
        })?;
        let mut index = Index::new(self.stock.limits.ttl);
        for segment in segments {
            index.begin(segment.number, segment.file, log::HEAD_BYTES);
            for (id, place) in segment.entries {
                index.add(id, place, log::record_bytes(place.length.into()));
            }
        }
        self.log = Some(log);
        self.stock.publish(Some(seal), index);
        self.remove_expired(now);
        // The limit may be another one than when it was written.
        self.make_room(0).map_err(|error| error.to_string())?;
        self.load_vectors(now);
        Ok(match foreign {
            0 => String::new(),
            _ => "was written with another key, or was damaged, and began empty; is \
                  security.store_key the one that was meant?"
                .to_owned(),
        })
    }

    fn keep_one(&mut self, entry: &New, now: SystemTime) -> io::Result<()> {
        let Some(seal) = self.stock.seal() else { return Ok(()) };
        let (id, written_ms) = (seal.id(&entry.digest), milliseconds(now));
        let bytes = log::record_bytes((entry.plain.len() + SEAL_BYTES) as u64);
        if bytes > self.largest() || self.stock.index().find(&id, written_ms).is_some() {
            return Ok(());
        }
        let Some(sealed) = seal.seal(&id, written_ms, &entry.plain) else { return Ok(()) };
        self.make_room(bytes + log::HEAD_BYTES)?;
        let Some(log) = &mut self.log else { return Ok(()) };
        let Appended { place, begun } = log.append(&id, written_ms, &sealed)?;
        let mut index = self.stock.index();
        if let Some(file) = begun {
            index.begin(place.segment, file, log::HEAD_BYTES);
        }
        index.add(id, place, bytes);
        drop(index);
        if let (Some(vectors), Some((scope, vector))) = (&self.vectors, answer::near(&entry.plain))
        {
            lock(vectors).add(scope, id, vector);
        }
        Ok(())
    }

    /// Largest entry: one must not push most of the others out.
    fn largest(&self) -> u64 {
        (self.stock.limits.bytes_max / SEGMENTS).min(SEGMENT_BYTES_MAX) - log::HEAD_BYTES
    }

    /// Removes the oldest segments until so many more bytes are allowed.
    fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        loop {
            let index = self.stock.index();
            let oldest = index.oldest();
            let fits = index.bytes() + bytes <= self.stock.limits.bytes_max;
            drop(index);
            match oldest {
                Some(oldest) if !fits => self.remove(oldest)?,
                _ => return Ok(()),
            }
        }
    }

    fn remove(&mut self, number: u32) -> io::Result<()> {
        let gone = self.stock.index().drop_segment(number);
        if let Some(vectors) = &self.vectors {
            lock(vectors).remove(&gone);
        }
        self.log.as_mut().map_or(Ok(()), |log| log.remove(number))
    }

    fn load_vectors(&mut self, now: SystemTime) {
        let (Some(vectors), Some(seal)) = (&self.vectors, self.stock.seal()) else { return };
        let ids = self.stock.index().ids();
        for id in ids {
            let located = self.stock.find_id(id, Arc::clone(&seal), now);
            let plain = located.and_then(|located| self.stock.read(&located));
            if let Some((scope, vector)) = plain.as_deref().and_then(answer::near) {
                lock(vectors).add(scope, id, vector);
            }
        }
    }
}

fn lock(vectors: &Mutex<Vectors>) -> MutexGuard<'_, Vectors> {
    vectors.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
