//! The thread of one collection. Everything that touches the collection's files and blocks happens on it,
//! in order; searches, which only read, go past it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use futures::executor::block_on;
use tandem_knowledge::{Collection, EmbeddingSpace, Searcher};
use tokio::sync::{oneshot, watch};

use super::mirror::Mirror;
use crate::{Error, Result};

/// Most jobs that wait for the thread.
const JOBS_MAX: usize = 512;

type Job = Box<dyn FnOnce(&mut Collection) + Send>;
type Opened = Option<Result<Searcher>>;

/// A collection that is open, or about to be. Cheap to clone; the thread ends with the last clone.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    name: String,
    jobs: SyncSender<Job>,
    opened: watch::Receiver<Opened>,
    /// Shared by all clones.
    lease: Arc<()>,
    mirror: Option<Mirror>,
}

/// Tells when a collection's thread has let go of the files.
#[derive(Debug, Clone)]
pub(super) struct Ending(watch::Receiver<Opened>);

impl Ending {
    /// Returns when it has.
    pub(super) async fn wait(mut self) {
        while self.0.changed().await.is_ok() {}
    }

    /// Whether it has.
    pub(super) fn is_over(&self) -> bool {
        self.0.has_changed().is_err()
    }
}

impl Shelf {
    /// Starts to open the collection in `dir`, which is made when there is none, as soon as the thread
    /// that had it open `before` has let go of it.
    pub(super) fn open(
        name: &str,
        dir: PathBuf,
        space: Option<EmbeddingSpace>,
        before: Option<Ending>,
        mirror: Option<Mirror>,
    ) -> Result<Self> {
        let (jobs, queue) = sync_channel(JOBS_MAX);
        let (open, opened) = watch::channel(None);
        let shelf = Self { name: name.to_owned(), jobs, opened, lease: Arc::default(), mirror };
        let of = name.to_owned();
        let serve = move || {
            if let Some(before) = before {
                block_on(before.wait());
            }
            let collection = Collection::open(&dir, space.as_ref());
            let collection = match collection.map_err(|error| unusable(&of, &error)) {
                Ok(collection) => collection,
                Err(error) => return drop(open.send(Some(Err(error)))),
            };
            if open.send(Some(Ok(collection.reader()))).is_ok() {
                serve(collection, &queue);
            }
        };
        thread::Builder::new()
            .name(format!("knowledge-{name}"))
            .spawn(serve)
            .map_err(|error| shelf.failed(&error))?;
        Ok(shelf)
    }

    /// Whether its thread has ended: the collection could not be opened, or its code panicked.
    pub(super) fn has_ended(&self) -> bool {
        self.ending().is_over()
    }

    /// Whether anybody but the caller has it.
    pub(super) fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.lease) > 1
    }

    /// Tells when the thread has ended, which it does not before the last clone is gone.
    pub(super) fn ending(&self) -> Ending {
        Ending(self.opened.clone())
    }

    /// The copy of its vectors elsewhere, when there is to be one.
    pub(super) fn mirror(&self) -> Option<&Mirror> {
        self.mirror.as_ref()
    }

    /// Reads the collection as it was last committed.
    pub(super) async fn searcher(&self) -> Result<Searcher> {
        let mut opened = self.opened.clone();
        match opened.wait_for(Option::is_some).await {
            Ok(opened) => opened.clone().unwrap_or_else(|| Err(self.restarting())),
            Err(_) => Err(self.restarting()),
        }
    }

    /// Does something with the collection, on its thread.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Collection) -> tandem_knowledge::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.searcher().await?;
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |collection| {
            let done = work(collection);
            // What was staged before it failed must not come with the next commit.
            if done.is_err()
                && let Err(error) = collection.roll_back()
            {
                tracing::warn!(%error, "a collection cannot be rolled back");
            }
            drop(reply.send(done));
        });
        self.jobs.try_send(job).map_err(|error| match error {
            std::sync::mpsc::TrySendError::Full(_) => Error::Overloaded {
                what: format!("{JOBS_MAX} requests wait for collection {:?}", self.name),
                retry_after: std::time::Duration::from_secs(1),
            },
            std::sync::mpsc::TrySendError::Disconnected(_) => self.restarting(),
        })?;
        let done = answer.await.map_err(|_| self.restarting())?;
        done.map_err(|error| self.failed(&error))
    }

    /// Changes the collection, on its thread, and has its copy follow.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Collection) -> tandem_knowledge::Result<T> + Send + 'static,
    ) -> Result<T> {
        let done = self.with(work).await;
        if let Some(mirror) = &self.mirror {
            mirror.wake();
        }
        done
    }

    /// What the caller is told of a failure.
    pub(super) fn failed(&self, error: &dyn std::error::Error) -> Error {
        unusable(&self.name, error)
    }

    /// What the caller is told who asks for something that the collection does not have.
    pub(super) fn unusable(&self, problem: &str) -> Error {
        Error::Collection { name: self.name.clone(), problem: problem.to_owned() }
    }

    fn restarting(&self) -> Error {
        Error::Restarting { part: format!("collection {:?}", self.name) }
    }
}

fn unusable(name: &str, error: &dyn std::error::Error) -> Error {
    Error::Collection { name: name.to_owned(), problem: error.to_string() }
}

/// A job that panics takes the thread with it: what it left of the collection is not to be trusted, and
/// what was committed is on disk.
fn serve(mut collection: Collection, queue: &Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        if catch_unwind(AssertUnwindSafe(|| job(&mut collection))).is_err() {
            tracing::error!("a collection's thread panicked; it is opened again at the next use");
            return;
        }
    }
}
