//! A store in the making beside the one that is open, to take its place.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sled::{Batch, Db};

use super::copying::Record;
use super::opening::{self, Opened, Problem};
use super::thread::open_patiently;
use super::{key, switching};
use crate::{Error, Result};

/// The folder in that of a store with the collections that were restored with it, until these are in
/// their place.
pub(crate) const COLLECTIONS: &str = "collections";

/// A store that nobody uses yet. Dropped before it is finished, it leaves nothing.
pub(crate) struct Fresh {
    /// Dropped in this order: our lock must outlive sled. `None` once finished.
    open: Option<(Db, File)>,
    dir: PathBuf,
    records: u64,
}

impl Fresh {
    /// Begins one to take the place of `store`. There is one at a time.
    pub(super) fn begin(store: &Path) -> Result<Self> {
        let dir = switching::new_dir(store);
        let begin = || -> Opened<Self> {
            match File::open(dir.join("lock")).map(|lock| lock.try_lock()) {
                Ok(Err(TryLockError::WouldBlock)) => return Err(Problem::Locked),
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
            if dir.try_exists()? {
                fs::remove_dir_all(&dir)?;
            }
            let open = Some(opening::open(&dir)?);
            Ok(Self { open, dir: dir.clone(), records: 0 })
        };
        begin().map_err(|problem| match problem {
            Problem::Locked => Error::Store {
                problem: "another restore or compaction is under way; wait for its end".to_owned(),
            },
            problem => failed(&problem),
        })
    }

    /// Takes records over, later ones in the place of earlier ones.
    pub(crate) fn put(&mut self, records: Vec<Record>) -> Result<()> {
        let mut batch = Batch::default();
        for (key, value) in records {
            self.records += 1;
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        let Some((sled, _)) = &self.open else { return Ok(()) };
        sled.apply_batch(batch).map_err(|problem| failed(&problem.into()))
    }

    /// Where collections are put that come with it: they get to their place together with it.
    pub(crate) fn collections(&self) -> PathBuf {
        self.dir.join(COLLECTIONS)
    }

    /// How many it took.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Makes it whole and durable, in the layout of this tandem, and closes it.
    pub(super) fn finish(mut self) -> Result<()> {
        let finish = |(sled, _): &(Db, File)| -> Opened<()> {
            if !sled.contains_key(key::SCHEMA)? {
                return Err(Problem::Failed("there is no store in it".to_owned()));
            }
            // Another store: what follows this one begins anew.
            sled.remove(key::IDENTITY)?;
            sled.flush()?;
            Ok(())
        };
        self.open.as_ref().map_or(Ok(()), finish).map_err(|problem| failed(&problem))?;
        let open = self.open.take();
        drop(open);
        // Opening migrates, syncs, and shows that it can be done.
        let opened = open_patiently(&self.dir, || false);
        let finished = opened.map(|database| drop(database.close()));
        finished.map_err(|problem| failed(&problem))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            drop(open);
            drop(fs::remove_dir_all(&self.dir));
        }
    }
}

impl std::fmt::Debug for Fresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fresh").field("dir", &self.dir).finish_non_exhaustive()
    }
}

pub(super) fn failed(problem: &Problem) -> Error {
    if problem.is_full() {
        return Error::DiskFull { problem: problem.to_string() };
    }
    Error::Store { problem: problem.to_string() }
}
