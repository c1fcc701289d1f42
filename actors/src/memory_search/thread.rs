//! The one thread that touches the index. It follows the store by itself, and before each search, so
//! that what was stored before is found.

use std::fs;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use tantivy::TantivyError;
use tokio::runtime::Handle as Runtime;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::index::{Hits, Index, Mark};
use super::{Found, Job, WAITING_MAX};
use crate::memory_store::MemoryStore;
use crate::memory_store::conversations::Origin;
use crate::memory_store::journal::Step;
use crate::{Error, Node, Result};

/// How often it follows when nobody searches.
const INTERVAL: Duration = Duration::from_secs(5);
/// More is asked of the index than is wanted, as some of it may be gone from the store.
const SPARE: u32 = 50;
/// Turns that are read from the store at once.
const LOOK: usize = 8;

/// A running thread. It finishes what it was given and ends when `jobs` is dropped.
pub(super) struct Handle {
    pub(super) jobs: SyncSender<Job>,
    /// Closes when the thread has ended.
    pub(super) ended: oneshot::Receiver<()>,
}

/// Starts the thread. `on_end` hears why it ended.
pub(super) fn start(
    store: MemoryStore,
    dir: &Path,
    node: Node,
    on_end: impl FnOnce(String) + Send + 'static,
) -> io::Result<Handle> {
    let (jobs, queue) = sync_channel(WAITING_MAX);
    let (ended_sender, ended) = oneshot::channel();
    let follower =
        Follower { store, runtime: Runtime::current(), dir: dir.to_owned(), index: None };
    std::thread::Builder::new().name("memory-search".to_owned()).spawn(move || {
        let _ended = ended_sender;
        let life = catch_unwind(AssertUnwindSafe(|| serve(follower, &queue, &node)));
        on_end(life.map_or_else(|_| "its thread panicked".to_owned(), |()| "stopped".to_owned()));
    })?;
    Ok(Handle { jobs, ended })
}

fn serve(mut follower: Follower, queue: &Receiver<Job>, node: &Node) {
    let mut complained = false;
    // At once, as the store may have gone on without it.
    let mut pause = Duration::ZERO;
    loop {
        let job = match queue.recv_timeout(pause) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        pause = INTERVAL;
        node.set_queue(usize::from(job.is_some()));
        match job {
            Some(Job::Find { query, limit, reply }) => {
                if !reply.is_closed() {
                    drop(reply.send(follower.find(&query, limit)));
                }
            }
            Some(Job::Refresh { reply }) => drop(reply.send(follower.follow())),
            None => match follower.follow() {
                Ok(()) => complained = false,
                // Between two lives of the store there is nothing to follow.
                Err(Error::Restarting { .. } | Error::Overloaded { .. }) => {}
                Err(error) if !complained => {
                    warn!(%error, "the search index does not follow the store");
                    complained = true;
                }
                Err(_) => {}
            },
        }
        node.set_queue(0);
    }
}

struct Follower {
    store: MemoryStore,
    runtime: Runtime,
    dir: PathBuf,
    /// `None` until it is opened.
    index: Option<Index>,
}

impl Follower {
    fn find(&mut self, query: &str, limit: u32) -> Result<Vec<Found>> {
        self.follow()?;
        let hits = match self.search(query, limit) {
            Ok(hits) => hits,
            Err(error) => {
                let origin = self.runtime.block_on(self.store.origin())?;
                self.remake(&origin, &error.to_string())?;
                self.search(query, limit).map_err(failed)?
            }
        };
        let mut found = Vec::new();
        for some in hits.list.chunks(LOOK) {
            let places = some.iter().map(|hit| hit.place).collect();
            let turns = self.runtime.block_on(self.store.turns_at(places))?;
            for (hit, there) in some.iter().zip(turns) {
                let Some((conversation, turn)) = there else { continue };
                let (snippet, marked) = hits.snippet(&turn.prompt, &turn.answer);
                let (turn_id, created, score) = (turn.id, turn.created, hit.score);
                found.push(Found { conversation, turn_id, created, snippet, marked, score });
                if found.len() == limit as usize {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    fn search(&self, query: &str, limit: u32) -> tantivy::Result<Hits> {
        let absent = || TantivyError::InternalError("there is no index".to_owned());
        let index = self.index.as_ref().ok_or_else(absent)?;
        unharmed(|| index.search(query, limit.saturating_add(SPARE) as usize))?
    }

    /// Brings the index up to date; one that fails is made anew.
    fn follow(&mut self) -> Result<()> {
        let origin = self.runtime.block_on(self.store.origin())?;
        match unharmed(|| self.catch_up(&origin)).unwrap_or_else(|error| Err(error.into())) {
            Ok(Followed::Yes) => Ok(()),
            Ok(Followed::No(why)) => self.remake(&origin, why),
            Err(Failure::Store(error)) => Err(error),
            Err(Failure::Index(error)) => self.remake(&origin, &error.to_string()),
        }
    }

    fn remake(&mut self, origin: &Origin, why: &str) -> Result<()> {
        origin.room.clone()?;
        info!(why, "the search index is made anew");
        self.rebuild(origin).map_err(|failure| {
            self.index = None;
            match failure {
                Failure::Store(error) => error,
                Failure::Index(error) => failed(error),
            }
        })
    }

    fn catch_up(&mut self, origin: &Origin) -> std::result::Result<Followed, Failure> {
        let index = match &mut self.index {
            Some(index) => index,
            none => match Index::open(&self.dir)? {
                Some(index) => none.insert(index),
                None => return Ok(Followed::No("there is none")),
            },
        };
        let Some(mark) = index.mark().cloned() else {
            return Ok(Followed::No("it is not whole, or of another version"));
        };
        if mark.identity != origin.identity {
            return Ok(Followed::No("it is of another store"));
        }
        // On a full disk, what it has is searched.
        if mark.position == origin.position || origin.room.is_err() {
            return Ok(Followed::Yes);
        }
        let mut position = mark.position;
        let writing = index.write()?;
        loop {
            let Some(advance) = self.runtime.block_on(self.store.advance(position))? else {
                return Ok(Followed::No("it is too far behind"));
            };
            for step in advance.steps {
                match step {
                    Step::Forget(conversation) => writing.forget(conversation),
                    Step::Add(text) => writing.add(&text)?,
                }
            }
            position = advance.position;
            if advance.done {
                break;
            }
        }
        // The positions are those of one store only.
        if self.runtime.block_on(self.store.origin())?.identity != origin.identity {
            return Ok(Followed::No("the store was replaced"));
        }
        writing.commit(Mark { position, identity: mark.identity })?;
        self.runtime.block_on(self.store.trim_journal(position))?;
        Ok(Followed::Yes)
    }

    fn rebuild(&mut self, origin: &Origin) -> std::result::Result<(), Failure> {
        self.index = None;
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Failure::Index(error.into()));
            }
            _ => {}
        }
        let mut index = Index::create(&self.dir)?;
        let writing = index.write()?;
        let mut after = None;
        loop {
            let (texts, next) = self.runtime.block_on(self.store.all_texts(after))?;
            for text in &texts {
                writing.add(text)?;
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        // What changed meanwhile is behind this position, and is made again.
        writing.commit(Mark { position: origin.position, identity: origin.identity.clone() })?;
        self.index = Some(index);
        match self.catch_up(&self.runtime.block_on(self.store.origin())?)? {
            Followed::Yes => Ok(()),
            Followed::No(why) => {
                warn!(why, "the search index has to be made once more");
                Ok(())
            }
        }
    }
}

/// tantivy panics on some kinds of damage, which is an error here.
fn unharmed<T>(work: impl FnOnce() -> T) -> tantivy::Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| TantivyError::InternalError("it is damaged".to_owned()))
}

enum Followed {
    Yes,
    /// It has to be made anew.
    No(&'static str),
}

enum Failure {
    Store(Error),
    Index(TantivyError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<TantivyError> for Failure {
    fn from(error: TantivyError) -> Self {
        Self::Index(error)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: TantivyError) -> Error {
    Error::Store { problem: format!("the search index: {error}") }
}
