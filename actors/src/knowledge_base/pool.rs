//! Which collections are open. One that nobody has used for a while is closed, and the one that was not
//! used for the longest time when there is no place for another; never one that somebody uses.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_knowledge::EmbeddingSpace;
use tokio_util::task::AbortOnDropHandle;

use super::mirror::{Copies, Mirror};
use super::shelf::{Ending, Shelf};
use crate::{Error, Result};

/// Most collections that are open at a time.
const OPEN_MAX: usize = 64;
/// How long a collection stays open that nobody uses. Opening one reads the codes of all its vectors.
const IDLE_TIME: Duration = Duration::from_mins(10);

/// The collections that are open, and those that are being closed.
#[derive(Debug, Default)]
pub(super) struct Pool {
    open: HashMap<String, Open>,
    /// Those whose threads may not have let go of the files yet.
    leaving: HashMap<String, Ending>,
    /// Where copies of their vectors are kept; nothing when none are.
    copies: Option<Arc<Copies>>,
}

#[derive(Debug)]
struct Open {
    shelf: Shelf,
    last_used: Instant,
    /// Keeps its copy.
    _copier: Option<AbortOnDropHandle<()>>,
}

impl Pool {
    /// No collection is open yet; those that will be are copied there.
    pub(super) fn new(copies: Option<Arc<Copies>>) -> Self {
        Self { copies, ..Self::default() }
    }

    /// The collection of that name in `dir`, which is opened unless it is open.
    pub(super) fn get(
        &mut self,
        name: &str,
        dir: PathBuf,
        space: Option<EmbeddingSpace>,
        now: Instant,
    ) -> Result<Shelf> {
        self.open.retain(|_, open| !open.shelf.has_ended());
        self.leaving.retain(|_, ending| !ending.is_over());
        if let Some(open) = self.open.get_mut(name) {
            open.last_used = now;
            return Ok(open.shelf.clone());
        }
        if self.open.len() >= OPEN_MAX {
            self.make_place()?;
        }
        let mirror = self.copies.clone().filter(|_| space.is_some()).map(Mirror::new);
        let before = self.leaving.get(name).cloned();
        let shelf = Shelf::open(name, dir.clone(), space, before, mirror.clone())?;
        let copier = mirror.map(|mirror| mirror.keep(name, dir, shelf.clone()));
        let open = Open { shelf: shelf.clone(), last_used: now, _copier: copier };
        self.open.insert(name.to_owned(), open);
        Ok(shelf)
    }

    /// Closes what nobody has used for long and whose copy is whole. Whoever wants it after that opens it
    /// anew.
    pub(super) fn close_idle(&mut self, now: Instant) {
        let mut idle = Vec::new();
        for (name, open) in &mut self.open {
            let is_behind = open.shelf.mirror().is_some_and(Mirror::is_behind);
            if open.shelf.is_in_use() || is_behind {
                open.last_used = now;
            } else if now.duration_since(open.last_used) >= IDLE_TIME {
                idle.push(name.clone());
            }
        }
        for name in idle {
            self.close(&name);
        }
    }

    /// Closes one, as soon as nobody uses it.
    pub(super) fn close(&mut self, name: &str) {
        if let Some(Open { shelf, .. }) = self.open.remove(name) {
            self.leaving.insert(name.to_owned(), shelf.ending());
        }
    }

    /// Closes all, and tells when each has been closed.
    pub(super) fn close_all(&mut self) -> Vec<Ending> {
        let names: Vec<String> = self.open.keys().cloned().collect();
        for name in names {
            self.close(&name);
        }
        self.leaving.values().cloned().collect()
    }

    fn make_place(&mut self) -> Result<()> {
        let unused = self.open.iter().filter(|(_, open)| !open.shelf.is_in_use());
        // One whose copy is whole, if there is one.
        let oldest = unused
            .min_by_key(|(_, open)| {
                (open.shelf.mirror().is_some_and(Mirror::is_behind), open.last_used)
            })
            .map(|(name, _)| name.clone());
        let oldest = oldest.ok_or_else(|| Error::Overloaded {
            what: format!("{OPEN_MAX} collections are in use, and not more can be"),
            retry_after: Duration::from_secs(1),
        })?;
        self.close(&oldest);
        Ok(())
    }
}

/// Returns when all of these are closed.
pub(super) async fn closed(endings: Vec<Ending>) {
    for ending in endings {
        ending.wait().await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Collections in a folder, with a clock of their own.
    struct Base {
        folder: tempfile::TempDir,
        pool: Pool,
        begin: Instant,
    }

    impl Base {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            Self { folder, pool: Pool::default(), begin: Instant::now() }
        }

        fn get(&mut self, number: usize, minute: u64) -> Result<Shelf> {
            let (name, now) = (number.to_string(), self.begin + Duration::from_mins(minute));
            self.pool.get(&name, self.folder.path().join(&name), None, now)
        }

        fn is_open(&self, number: usize) -> bool {
            self.pool.open.contains_key(&number.to_string())
        }
    }

    async fn is_usable(shelf: Shelf) -> bool {
        shelf.with(|collection| collection.stats()).await.is_ok()
    }

    #[tokio::test]
    async fn there_is_a_place_for_one_more_as_long_as_not_all_are_used() {
        let mut base = Base::new();
        let first = base.get(0, 0).unwrap();
        for number in 1..OPEN_MAX {
            drop(base.get(number, 1).unwrap());
        }
        drop(base.get(1, 2).unwrap());
        for number in OPEN_MAX..OPEN_MAX + 9 {
            assert!(is_usable(base.get(number, 3).unwrap()).await, "{number}");
        }
        assert_eq!(base.pool.open.len(), OPEN_MAX);
        assert!(base.is_open(0) && base.is_open(1), "one is used, one was used last");
        assert!(is_usable(first).await);
        // One that had to go is opened again, behind the thread that had it.
        let gone = (2..OPEN_MAX).find(|number| !base.is_open(*number)).unwrap();
        assert!(is_usable(base.get(gone, 3).unwrap()).await);
    }

    #[tokio::test]
    async fn when_all_are_used_one_more_is_refused() {
        let mut base = Base::new();
        let used: Vec<_> = (0..OPEN_MAX).map(|number| base.get(number, 0).unwrap()).collect();
        let refused = base.get(OPEN_MAX, 1).unwrap_err();
        assert!(matches!(refused, Error::Overloaded { .. }), "{refused}");
        drop(used);
        assert!(is_usable(base.get(OPEN_MAX, 1).unwrap()).await);
    }

    #[tokio::test]
    async fn only_what_nobody_uses_is_closed_after_a_while() {
        let mut base = Base::new();
        let used = base.get(0, 0).unwrap();
        for minute in 0..3 {
            drop(base.get(1 + usize::try_from(minute).unwrap(), minute).unwrap());
        }
        base.pool.close_idle(base.begin + Duration::from_mins(11));
        assert_eq!([0, 1, 2, 3].map(|number| base.is_open(number)), [true, false, false, true]);
        drop(used);
        base.pool.close_idle(base.begin + Duration::from_mins(12));
        assert!(base.is_open(0), "it was used a minute ago");
        base.pool.close_idle(base.begin + Duration::from_mins(30));
        assert!(base.pool.open.is_empty());
        closed(base.pool.close_all()).await;
        assert!(is_usable(base.get(0, 31).unwrap()).await);
    }
}
