//! One cache as its readers see it: what is there, what is not, and how often each was the case.
//! Finding an entry takes a lock and no disk.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tandem_proto::v1::CacheStats;

use super::index::{Index, Place};
use super::log;
use super::seal::{Digest, Id, Seal};

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) enabled: bool,
    pub(super) ttl: Duration,
    pub(super) bytes_max: u64,
}

/// One cache.
#[derive(Debug)]
pub(crate) struct Stock {
    pub(super) name: &'static str,
    pub(super) limits: Limits,
    index: Mutex<Index<Arc<File>>>,
    /// Set while the files are open.
    seal: RwLock<Option<Arc<Seal>>>,
    /// Why nothing is kept, or was lost.
    problem: Mutex<String>,
    hits: AtomicU64,
    misses: AtomicU64,
    semantic_hits: AtomicU64,
    failures: AtomicU64,
}

/// An entry that is there and not read yet.
#[derive(Debug)]
pub(crate) struct Located {
    pub(super) id: Id,
    place: Place,
    file: Arc<File>,
    seal: Arc<Seal>,
    /// How old it is.
    pub(super) age: Duration,
}

impl Stock {
    pub(super) fn new(name: &'static str, limits: Limits) -> Self {
        Self {
            name,
            limits,
            index: Mutex::new(Index::new(limits.ttl)),
            seal: RwLock::default(),
            problem: Mutex::default(),
            hits: AtomicU64::default(),
            misses: AtomicU64::default(),
            semantic_hits: AtomicU64::default(),
            failures: AtomicU64::default(),
        }
    }

    /// Whether the settings turn it on.
    pub(crate) fn is_on(&self) -> bool {
        self.limits.enabled
    }

    pub(crate) fn find(&self, digest: &Digest, now: SystemTime) -> Option<Located> {
        let seal = self.seal()?;
        self.find_id(seal.id(digest), seal, now)
    }

    pub(super) fn find_id(&self, id: Id, seal: Arc<Seal>, now: SystemTime) -> Option<Located> {
        let now_ms = milliseconds(now);
        let (place, file) = self.index().find(&id, now_ms)?;
        let age = Duration::from_millis(now_ms.saturating_sub(place.written_ms));
        Some(Located { id, place, file, seal, age })
    }

    /// Reads an entry. Blocking.
    pub(super) fn read(&self, located: &Located) -> Option<Vec<u8>> {
        let Located { id, place, file, seal, .. } = located;
        let sealed = log::read(file, *place).ok();
        let plain = sealed.and_then(|sealed| seal.open(id, place.written_ms, &sealed));
        if plain.is_none() {
            self.index().forget(id);
            self.failed(1);
        }
        plain
    }

    pub(super) fn seal(&self) -> Option<Arc<Seal>> {
        self.seal.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index<Arc<File>>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Readers find what is in `index` from now on, and nothing without a seal.
    pub(super) fn publish(&self, seal: Option<Arc<Seal>>, index: Index<Arc<File>>) {
        *self.index() = index;
        *self.seal.write().unwrap_or_else(PoisonError::into_inner) = seal;
    }

    pub(super) fn report(&self, problem: String) {
        if !problem.is_empty() {
            tracing::warn!(cache = self.name, problem, "a cache has a problem");
        }
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    pub(crate) fn hit(&self, count: usize) {
        self.hits.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn semantic_hit(&self) {
        self.hit(1);
        self.semantic_hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn missed(&self, count: usize) {
        self.misses.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, count: usize) {
        self.failures.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> CacheStats {
        let (entries, bytes) = {
            let index = self.index();
            (index.len() as u64, index.bytes())
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            name: self.name.to_owned(),
            problem: self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            enabled: self.limits.enabled,
            entries,
            bytes,
            bytes_max: self.limits.bytes_max,
            ttl_s: self.limits.ttl.as_secs(),
            hits: count(&self.hits),
            misses: count(&self.misses),
            semantic_hits: count(&self.semantic_hits),
            failures: count(&self.failures),
        }
    }
}

pub(super) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
