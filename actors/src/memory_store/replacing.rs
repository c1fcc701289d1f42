//! Closes the store and goes on with another one in its place, inside the thread: what is asked
//! meanwhile waits.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::info;
use uuid::Uuid;

use super::care::{Renewed, disk_bytes, too_busy};
use super::conversations::Origin;
use super::database::{Database, decode, unreadable};
use super::fresh::{COLLECTIONS, Fresh, failed};
use super::opening::Opened;
use super::thread::open_patiently;
use super::{Reply, key, switching};
use crate::{Error, Result};

/// How often what changed meanwhile is fetched, at most.
const ROUNDS_MAX: usize = 64;

/// Replace the store by one that was made beside it.
#[derive(Debug)]
pub struct Replace {
    pub(super) fresh: Box<Fresh>,
    /// The copy that it is made of; what changed since is taken over.
    pub(super) copy: Option<Uuid>,
    /// The old store is kept.
    pub(super) keep: bool,
    pub(super) overwrite: bool,
    pub(super) reply: Reply<Replaced>,
}

/// The store was replaced.
#[derive(Debug)]
pub(crate) struct Replaced {
    pub(super) renewed: Renewed,
}

impl Replace {
    /// Returns the store to go on with; an error when none can be opened.
    pub(super) fn run(self, mut database: Database) -> Opened<Database> {
        let Self { fresh, copy, keep, overwrite, reply } = self;
        let prepared = check_removing(&database, keep)
            .and_then(|()| prepare(&mut database, *fresh, copy, overwrite));
        let records = match prepared {
            Ok(records) => records,
            Err(error) => {
                drop(reply.send(Err(error)));
                return Ok(database);
            }
        };
        let dir = database.dir().to_owned();
        let bytes_before = disk_bytes(&dir);
        drop(database.close());
        let previous = keep.then(|| before_restore(&dir));
        let old = previous.clone().unwrap_or_else(|| switching::old_dir(&dir));
        let decided = switching::decide(&dir, &old);
        // Whatever was decided: opening finishes it.
        match (open_patiently(&dir, || false), decided) {
            (Ok(database), Ok(())) => {
                info!(records, ?previous, "the store was replaced by a new one");
                let bytes_after = disk_bytes(&dir);
                let renewed = Renewed { records, bytes_before, bytes_after, previous };
                drop(reply.send(Ok(Replaced { renewed })));
                Ok(database)
            }
            (Ok(database), Err(error)) => {
                drop(reply.send(Err(failed(&error.into()))));
                Ok(database)
            }
            (Err(problem), _) => {
                let problem_text = format!(
                    "the new store does not open ({problem}); the one before is {}",
                    old.display()
                );
                drop(reply.send(Err(Error::Store { problem: problem_text })));
                Err(problem)
            }
        }
    }
}

/// Refuses to remove a store in which there is more than the store.
fn check_removing(database: &Database, keep: bool) -> Result<()> {
    let collections = database.dir().join(COLLECTIONS);
    if keep || !collections.exists() {
        return Ok(());
    }
    let problem = format!(
        "{} has collections of a backup that are not in their place; restart tandem, which puts them \
         there",
        collections.display()
    );
    Err(Error::Store { problem })
}

/// Makes the new store whole. How many records it was made of.
fn prepare(
    database: &mut Database,
    mut fresh: Fresh,
    copy: Option<Uuid>,
    overwrite: bool,
) -> Result<u64> {
    database.check_overwriting(overwrite)?;
    if let Some(copy) = copy {
        let mut rounds = 0;
        loop {
            let page = database.copy_rest(copy)?;
            fresh.put(page.records)?;
            rounds += 1;
            if page.next.is_none() {
                break;
            }
            if rounds > ROUNDS_MAX {
                return Err(too_busy());
            }
        }
    }
    let records = fresh.records();
    fresh.finish().map(|()| records)
}

/// What a folder is called that a restore has replaced: a name beside it that nothing has.
pub(crate) fn before_restore(dir: &Path) -> PathBuf {
    let of = dir.file_name().unwrap_or_default().to_string_lossy();
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut name = format!("{of}-before-restore-{seconds}");
    let mut number = 1;
    while dir.with_file_name(&name).exists() {
        number += 1;
        name = format!("{of}-before-restore-{seconds}-{number}");
    }
    dir.with_file_name(name)
}

impl Database {
    /// Refuses to overwrite a store in which there is anything that somebody may miss.
    pub(super) fn check_overwriting(&self, overwrite: bool) -> Result<()> {
        let holds = [b"c", b"t", b"f", b"x", b"d", b"v", b"k"];
        let kept = holds.iter().any(|kind| self.sled.scan_prefix(kind).next().is_some());
        if kept && !overwrite {
            let problem = "the store is not empty; back it up, and then restore with --overwrite";
            return Err(Error::invalid("overwrite", problem));
        }
        Ok(())
    }

    /// Which store this is, and how far it came.
    pub(super) fn origin(&self) -> Result<Origin> {
        let value = self.sled.get(key::IDENTITY).map_err(unreadable)?.unwrap_or_default();
        let identity: Vec<u8> = decode("the store's identity", &value)?;
        let identity = Uuid::from_slice(&identity).unwrap_or_default().to_string();
        Ok(Origin { identity, position: self.position(), room: self.room.clone() })
    }
}
