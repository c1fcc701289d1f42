//! Collections from a backup: made in a folder of their own, and put in the place of those that are here
//! once they are whole and nobody uses these.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tandem_knowledge::Collection;
use tandem_knowledge::collection::is_file_name;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::info;

use super::card::{Card, Watched, check_name};
use super::mirror::remains;
use super::pool;
use super::{KnowledgeBase, Message, REQUESTS_MAX, blocking};
use crate::memory_store::{before_restore, unwritable};
use crate::storage::Piece;
use crate::{Error, Result};

/// Most numbers of a vector; memory is taken by them.
const DIMENSIONS_MAX: usize = 1 << 16;
/// Longest wait for those who use collections.
const PATIENCE: Duration = Duration::from_secs(30);

/// Collections in the making. Blocking.
#[derive(Debug)]
pub(crate) struct Restoring {
    dir: PathBuf,
    names: BTreeSet<String>,
    /// The file that is being written.
    file: Option<Draft>,
}

#[derive(Debug)]
struct Draft {
    collection: String,
    name: String,
    file: File,
}

/// While it lives, nobody uses a collection, and none is open.
#[derive(Debug)]
pub(crate) struct Standstill {
    _all: OwnedSemaphorePermit,
}

impl Restoring {
    /// Begins in `dir`, which is made.
    pub(crate) fn begin(dir: PathBuf) -> Result<Self> {
        new_dir(&dir).map_err(unwritable)?;
        Ok(Self { dir, names: BTreeSet::new(), file: None })
    }

    /// Writes a piece behind those before it. No name in it leads out of the folder.
    pub(crate) fn put(&mut self, piece: Piece) -> Result<()> {
        let Piece { collection, file: name, bytes } = piece;
        let mut draft = match self.file.take() {
            Some(draft) if draft.collection == collection && draft.name == name => draft,
            before => {
                finish(before)?;
                self.create(collection, name)?
            }
        };
        draft.file.write_all(&bytes).map_err(unwritable)?;
        self.file = Some(draft);
        Ok(())
    }

    /// Shows that all collections can be used, and puts them on disk. How many there are.
    pub(crate) fn finish(self) -> Result<u64> {
        finish(self.file)?;
        for name in &self.names {
            let dir = self.dir.join(name);
            let unusable = |problem: String| {
                Error::invalid("data", format!("collection {name:?} of the backup: {problem}"))
            };
            let card = Card::read(&dir).map_err(|error| unusable(error.to_string()))?;
            let card =
                card.ok_or_else(|| unusable("has no card; make the backup again".to_owned()))?;
            if card.space().is_some_and(|space| space.dimensions > DIMENSIONS_MAX) {
                return Err(unusable("has vectors of too many dimensions".to_owned()));
            }
            let opened = Collection::open(&dir, card.space());
            drop(opened.map_err(|error| unusable(error.to_string()))?);
            sync(&dir)?;
        }
        sync(&self.dir)?;
        self.dir.parent().map_or(Ok(()), sync)?;
        Ok(self.names.len() as u64)
    }

    fn create(&mut self, collection: String, name: String) -> Result<Draft> {
        if check_name(&collection).is_err() || !is_file_name(&name) {
            let problem =
                format!("the backup has {collection:?}/{name:?}, which no collection has");
            return Err(Error::invalid("data", problem));
        }
        let dir = self.dir.join(&collection);
        if self.names.insert(collection.clone()) {
            new_dir(&dir).map_err(unwritable)?;
        }
        let path = dir.join(&name);
        let folder = path.parent().filter(|folder| *folder != dir && !folder.exists());
        folder.map_or(Ok(()), new_dir).map_err(unwritable)?;
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Error::invalid("data", format!("the backup has {collection:?}/{name:?} twice"))
            }
            _ => unwritable(error),
        })?;
        Ok(Draft { collection, name, file })
    }
}

impl KnowledgeBase {
    /// Waits until nobody uses a collection, closes all of them, and watches none. Where there are any,
    /// `overwrite` must say that they may be replaced. [`Self::go_on`] ends it.
    pub(crate) async fn stand_still(&self, overwrite: bool) -> Result<Standstill> {
        let used = || Error::Overloaded {
            what: "collections of documents are in use, perhaps by an ingestion".to_owned(),
            retry_after: PATIENCE,
        };
        let all = u32::try_from(REQUESTS_MAX).unwrap_or(u32::MAX);
        let all = timeout(PATIENCE, Arc::clone(&self.permits).acquire_many_owned(all)).await;
        let all = all.map_err(|_| used())?.map_err(|_| Error::ShuttingDown)?;
        let still = Standstill { _all: all };
        self.check_overwriting(overwrite).await?;
        let endings = self.ask(|reply| Message::CloseAll { reply }).await?;
        if timeout(PATIENCE, pool::closed(endings)).await.is_err() {
            self.go_on(still).await?;
            return Err(used());
        }
        Ok(still)
    }

    /// Refuses to replace collections without being told to.
    pub(crate) async fn check_overwriting(&self, overwrite: bool) -> Result<()> {
        if overwrite || self.cards().await?.is_empty() {
            return Ok(());
        }
        let problem =
            "there are collections of documents; back them up, and then restore with --overwrite";
        Err(Error::invalid("overwrite", problem))
    }

    /// Goes on, with the collections that came with the store, if any did. Returns where those are then that
    /// were here before.
    pub(crate) async fn go_on(&self, still: Standstill) -> Result<Option<PathBuf>> {
        let (dir, restored) = (Arc::clone(&self.dir), Arc::clone(&self.restored));
        let previous = blocking(move || adopt(&dir, &restored)).await?;
        if let Some(copies) = &self.copies {
            copies.deleted.notify_one();
        }
        let cards = self.cards().await?;
        // Who reads what is watched needs a place.
        drop(still);
        self.address.cast(Message::GoOn { cards })?;
        previous.map_err(unwritable)
    }
}

/// What is watched, by the names of the collections. One whose card cannot be read says so when it is
/// used.
pub(super) fn watched(cards: BTreeMap<String, io::Result<Card>>) -> BTreeMap<String, Vec<Watched>> {
    let watched = |(name, card): (String, io::Result<Card>)| Some((name, card.ok()?.watched));
    cards.into_iter().filter_map(watched).collect()
}

/// Puts the folder `restored`, if there is one, in the place of `dir`, and returns where what was there is
/// kept. What a crash interrupts is finished by the next call.
pub(super) fn adopt(dir: &Path, restored: &Path) -> io::Result<Option<PathBuf>> {
    if !restored.try_exists()? {
        return Ok(None);
    }
    let previous = dir.try_exists()?.then(|| before_restore(dir));
    if let Some(previous) = &previous {
        remains::carry(dir, restored)?;
        fs::rename(dir, previous)?;
    }
    if let Err(error) = fs::rename(restored, dir) {
        if let Some(previous) = &previous {
            fs::rename(previous, dir)?;
        }
        return Err(error);
    }
    for folder in [dir.parent(), restored.parent()].into_iter().flatten() {
        File::open(folder)?.sync_all()?;
    }
    info!(?previous, "the collections were replaced by those of a backup");
    Ok(previous)
}

fn new_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(dir)
}

fn finish(draft: Option<Draft>) -> Result<()> {
    draft.map_or(Ok(()), |draft| draft.file.sync_all()).map_err(unwritable)
}

/// Returns when the names in a folder and in those below it are on disk.
fn sync(dir: &Path) -> Result<()> {
    let sync = || -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                File::open(entry.path())?.sync_all()?;
            }
        }
        File::open(dir)?.sync_all()
    };
    sync().map_err(unwritable)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn piece(collection: &str, file: &str, bytes: &[u8]) -> Piece {
        Piece { collection: collection.to_owned(), file: file.to_owned(), bytes: bytes.to_vec() }
    }

    #[test]
    fn nothing_is_written_outside_of_the_folder_or_twice() {
        let parent = tempfile::tempdir().unwrap();
        let mut restoring = Restoring::begin(parent.path().join("new")).unwrap();
        for (collection, file) in [
            ("..", "x"),
            ("/tmp", "x"),
            ("a/b", "x"),
            ("", "x"),
            ("notes", "../x"),
            ("notes", "/tmp/x"),
            ("notes", "words/../../x"),
            ("notes", "deep/x"),
            ("notes", ""),
        ] {
            let refused = restoring.put(piece(collection, file, b"x")).unwrap_err();
            assert!(refused.to_string().contains("no collection has"), "{refused}");
        }
        restoring.put(piece("notes", "words/a.idx", b"one")).unwrap();
        restoring.put(piece("notes", "words/a.idx", b" two")).unwrap();
        restoring.put(piece("notes", "words/b.idx", b"")).unwrap();
        let file = parent.path().join("new/notes/words/a.idx");
        assert_eq!(fs::read(file).unwrap(), b"one two");
        let refused = restoring.put(piece("notes", "words/a.idx", b"three")).unwrap_err();
        assert!(refused.to_string().contains("twice"), "{refused}");
        let names = fs::read_dir(parent.path()).unwrap().map(|it| it.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["new"]);
        let refused = restoring.finish().unwrap_err();
        assert!(refused.to_string().contains("has no card"), "{refused}");
    }

    #[test]
    fn a_crash_between_two_steps_of_the_exchange_is_made_good() {
        for crash in [false, true] {
            let parent = tempfile::tempdir().unwrap();
            let (dir, restored) = (parent.path().join("knowledge"), parent.path().join("restored"));
            for (folder, content) in [(&dir, "before"), (&restored, "after")] {
                fs::create_dir(folder).unwrap();
                fs::write(folder.join("file"), content).unwrap();
            }
            let kept = if crash {
                let kept = before_restore(&dir);
                fs::rename(&dir, &kept).unwrap();
                assert_eq!(adopt(&dir, &restored).unwrap(), None);
                kept
            } else {
                adopt(&dir, &restored).unwrap().unwrap()
            };
            assert_eq!(fs::read_to_string(dir.join("file")).unwrap(), "after");
            assert_eq!(fs::read_to_string(kept.join("file")).unwrap(), "before");
            assert_eq!(adopt(&dir, &restored).unwrap(), None, "it is done once");
            assert_eq!(fs::read_to_string(dir.join("file")).unwrap(), "after");
        }
    }
}
