//! The thread of one collection. Everything that touches the collection's files and blocks happens on it,
//! in order; searches, which only read, go past it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tandem_knowledge::{Collection, EmbeddingSpace, Searcher};
use tokio::sync::{oneshot, watch};

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
}

impl Shelf {
    /// Starts to open the collection in `dir`, which is made when there is none.
    pub(super) fn open(name: &str, dir: PathBuf, space: Option<EmbeddingSpace>) -> Result<Self> {
        let (jobs, queue) = sync_channel(JOBS_MAX);
        let (open, opened) = watch::channel(None);
        let shelf = Self { name: name.to_owned(), jobs, opened };
        let of = name.to_owned();
        let serve = move || {
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
        self.opened.has_changed().is_err()
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
