//! Fetching the file of a model: over several connections, taken up again where it was broken off,
//! and checked before it gets its name.
//!
//! A pull is a future. Dropping it ends the pull and keeps what came; the next pull of the same file
//! goes on from there, in this process or another one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{JoinError, spawn_blocking};

use crate::catalog::{Entry, is_file_name};
use crate::origin::{self, Origin};
use crate::{Source, gguf};

mod error;
mod fetch;
mod journal;
mod leftovers;
mod meter;
mod pace;
mod plan;
mod remote;
mod retry;
mod store;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use leftovers::clear_leftovers;
pub use meter::{Progress, Stage};
pub use pace::Pace;
pub use retry::Retry;

use error::Failure;
use fetch::Fetch;
use journal::{Pin, SIZE_MAX};
use meter::Meter;
use remote::{Opened, Remote, hash_of};
use store::Store;

/// Most connections of one pull. A crash loses less than a piece of each, and so less than 8 MiB.
pub const PARALLEL_MAX: usize = 8;
/// Where the Hugging Face hub is.
pub const HUB_ENDPOINT: &str = "https://huggingface.co";

/// Times that a file may change at its source during one pull.
const CHANGES_MAX: u32 = 3;
/// How often it is looked how much of a file is checked.
const LOOK: Duration = Duration::from_millis(250);
const EXTENSION: &str = "gguf";
const FILE_BYTES_MAX: usize = 200;

/// What is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name of the file in the models directory.
    pub file: String,
    /// Where it can be had, best first.
    pub sources: Vec<Source>,
    /// That the file must have, in hexadecimal, if it is known.
    pub sha256: Option<String>,
    /// Of the file, if it is known.
    pub size_bytes: Option<u64>,
}

impl Target {
    /// The file of a catalog entry.
    #[must_use]
    pub fn of_entry(entry: &Entry) -> Self {
        Self {
            file: entry.file.clone(),
            sources: entry.sources.clone(),
            sha256: Some(entry.sha256.clone()).filter(|hash| !hash.is_empty()),
            size_bytes: Some(entry.size_bytes).filter(|size| *size > 0),
        }
    }

    /// Any file, which keeps its name.
    pub fn of_source(source: Source) -> Result<Self, Error> {
        let file = source.file_name().to_owned();
        let is_model = Path::new(&file)
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case(EXTENSION));
        let plain = is_file_name(&file) && !file.starts_with('.') && file.len() <= FILE_BYTES_MAX;
        if !is_model || !plain {
            return Err(Error::Unusable(format!(
                "{source} does not name a GGUF file; write the whole place of one file, down to its \
                 name, which ends in .gguf"
            )));
        }
        Ok(Self { file, sources: vec![source], sha256: None, size_bytes: None })
    }
}

/// Something that is nobody else's business and does not show in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Which hub to ask, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hub {
    /// [`HUB_ENDPOINT`] or that of a mirror.
    pub endpoint: String,
    /// For models that are not open to everybody.
    pub token: Option<Token>,
}

/// Keys for S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Keys {
    /// The access key.
    pub id: String,
    /// The secret key.
    pub secret: Token,
    /// Of keys that are good for a while only.
    pub session: Option<Token>,
}

/// Which S3 to ask, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3 {
    /// Of a server of one's own; without it, that of AWS in the region.
    pub endpoint: Option<String>,
    /// Such as `us-east-1`.
    pub region: String,
    /// Without them, only what everybody may read can be fetched.
    pub keys: Option<S3Keys>,
}

/// How files are fetched.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections of one pull, up to [`PARALLEL_MAX`].
    pub parallel: usize,
    /// How fast bytes may come.
    pub pace: Arc<Pace>,
    /// The hub of `hf:`.
    pub hub: Hub,
    /// The store of `s3:`.
    pub s3: S3,
    /// How patient a pull is with failures.
    pub retry: Retry,
    /// Longest time in which no byte comes.
    pub idle: Duration,
    /// A number from 0 up to 1, another one each time.
    pub random: fn() -> f64,
}

/// Fetches a file into `folder` and returns where it is; one that is there already is left as it is.
/// `report` hears how far it is.
///
/// The sources are tried in their order. The file is there as a whole or not at all.
pub async fn pull(
    target: &Target,
    folder: &Path,
    options: &Options,
    report: &(dyn Fn(Progress) + Send + Sync),
) -> Result<PathBuf, Error> {
    let path = folder.join(&target.file);
    if tokio::fs::metadata(&path).await.is_ok_and(|facts| facts.is_file()) {
        return Ok(path);
    }
    let meter = Meter::new(report);
    let mut last = None;
    for source in &target.sources {
        if let Some(error) = &last {
            meter.note(format!("{error}; trying {source}"));
        }
        let pull = Pull { target, folder, options, meter: &meter };
        match pull.fetch_from(source).await {
            Err(error) if error.is_of_the_source() => last = Some(error),
            outcome => return outcome,
        }
    }
    Err(last.unwrap_or_else(|| {
        Error::Unusable(format!("nobody knows where {} can be had; name a source", target.file))
    }))
}

/// Bytes that came of `file` in a pull that was broken off. Blocking.
#[must_use]
pub fn unfinished_bytes(folder: &Path, file: &str) -> u64 {
    store::unfinished_bytes(folder, file)
}

/// Removes what came of `file` in a pull that was broken off. False when there was nothing. Blocking.
pub fn forget(folder: &Path, file: &str) -> Result<bool, Error> {
    store::forget(folder, file)
}

struct Pull<'a> {
    target: &'a Target,
    folder: &'a Path,
    options: &'a Options,
    meter: &'a Meter<'a>,
}

impl Pull<'_> {
    async fn fetch_from(&self, source: &Source) -> Result<PathBuf, Error> {
        let remote = Remote::new(source, self.options)?;
        for _ in 0..=CHANGES_MAX {
            self.meter.stage(Stage::Connecting, 0, self.target.size_bytes.unwrap_or(0));
            let opened = self.ask(&remote).await?;
            let pin = self.pin(&remote, &opened)?;
            let Some(store) = self.open(pin.clone()).await? else {
                return Ok(self.folder.join(&self.target.file));
            };
            let mut ranged = opened.ranged;
            drop(opened);
            let failure = loop {
                self.meter.stage(Stage::Fetching, store.bytes_done(), pin.size);
                let fetch = Fetch {
                    remote: &remote,
                    store: &store,
                    options: self.options,
                    meter: self.meter,
                    mark: &pin.mark,
                    ranged,
                };
                match fetch.run().await {
                    Err(Failure::Unranged) if ranged => ranged = false,
                    outcome => break outcome,
                }
            };
            match failure {
                Ok(()) => return self.finish(&remote, &store, pin).await,
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing { problem, .. }) => {
                    return Err(Error::Unreachable { from: remote.name, problem });
                }
                Err(Failure::Changed | Failure::Unranged) => {
                    self.meter.note(format!(
                        "{} was changed while it was fetched; it is fetched anew",
                        remote.name
                    ));
                    blocking(&store, Store::discard).await?;
                }
            }
        }
        Err(Error::Restless { from: remote.name })
    }

    /// Asks about the file, until there is an answer.
    async fn ask(&self, remote: &Remote) -> Result<Opened, Error> {
        let from = || remote.name.clone();
        let mut failures = 0;
        loop {
            let (problem, asked) = match remote.open(&(0..1), None).await {
                Ok(opened) => return Ok(opened),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing { problem, pause }) => (problem, pause),
                Err(Failure::Changed | Failure::Unranged) => {
                    return Err(Error::Refused { from: from(), problem: "it is empty".to_owned() });
                }
            };
            failures += 1;
            let retry = &self.options.retry;
            let Some(pause) = retry.pause(failures, asked, (self.options.random)()) else {
                return Err(Error::Unreachable { from: from(), problem });
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Which file it is, going by what its source and the catalog say.
    fn pin(&self, remote: &Remote, opened: &Opened) -> Result<Pin, Error> {
        let from = || remote.name.clone();
        let refused = |problem: &str| Error::Refused { from: from(), problem: problem.to_owned() };
        let known = self.target.size_bytes;
        let size = match (opened.size, known) {
            (Some(actual), Some(expected)) if actual != expected => {
                return Err(Error::WrongSize { from: from(), expected, actual });
            }
            (Some(size), _) | (None, Some(size)) => size,
            (None, None) => return Err(refused("it does not say how large the file is")),
        };
        if !(1..=SIZE_MAX).contains(&size) {
            return Err(refused(&format!("it says that the file has {size} bytes")));
        }
        let hash = self.target.sha256.clone().or_else(|| hash_of(&opened.mark));
        Ok(Pin::new(from(), hash, size, opened.mark.clone()))
    }

    /// `None` when the file is there, as another process was faster.
    async fn open(&self, pin: Pin) -> Result<Option<Arc<Store>>, Error> {
        let (folder, file) = (self.folder.to_owned(), self.target.file.clone());
        let path = folder.join(&file);
        let opened = spawn_blocking(move || Store::open(&folder, &file, &pin)).await;
        Ok(opened.map_err(|error| ended(path, error))??.map(Arc::new))
    }

    /// Checks what came, and gives it its name. What is not right is removed.
    async fn finish(
        &self,
        remote: &Remote,
        store: &Arc<Store>,
        pin: Pin,
    ) -> Result<PathBuf, Error> {
        let from = || remote.name.clone();
        let actual = self.hash(store, pin.size).await?;
        if let Some(expected) = pin.sha256.filter(|expected| *expected != actual) {
            blocking(store, Store::discard).await?;
            return Err(Error::Corrupt { from: from(), expected, actual });
        }
        let read = blocking(store, |store| Ok(gguf::read(&store.path()))).await?;
        match read {
            Ok(_) => (),
            // That says nothing about what came.
            Err(gguf::Problem::Io(problem)) => {
                return Err(Error::Unwritable { path: store.path(), problem });
            }
            Err(problem) => {
                blocking(store, Store::discard).await?;
                return Err(Error::NotAModel { from: from(), problem });
            }
        }
        let origin = Origin { source: from(), sha256: actual, size_bytes: pin.size };
        let target = self.folder.join(&self.target.file);
        // First, so that no file is ever there of which nobody knows what it was.
        blocking(store, move |store| {
            if target.is_file() {
                // Somebody put one there meanwhile, which is left as it is.
                store.discard()?;
                return Ok(target);
            }
            let written = origin.write(&target);
            written.map_err(|problem| Error::Unwritable { path: target, problem })?;
            store.finish()
        })
        .await
    }

    /// Hashes what came. The thread that does it ends when nobody waits for it any more.
    async fn hash(&self, store: &Arc<Store>, size: u64) -> Result<String, Error> {
        self.meter.stage(Stage::Checking, 0, size);
        let read = Arc::new(AtomicU64::new(0));
        let heard = Arc::downgrade(&read);
        let mut hashing = Box::pin(blocking(store, move |store| {
            let mut go_on = |bytes| {
                heard.upgrade().inspect(|read| read.store(bytes, Ordering::Relaxed)).is_some()
            };
            let path = store.path();
            let hash = origin::sha256(&path, &mut go_on);
            hash.map_err(|problem| Error::Unwritable { path, problem })
        }));
        loop {
            tokio::select! {
                hash = &mut hashing => return Ok(hash?.unwrap_or_default()),
                () = tokio::time::sleep(LOOK) => self.meter.is_at(read.load(Ordering::Relaxed)),
            }
        }
    }
}

/// Does something with the store that blocks.
async fn blocking<T: Send + 'static>(
    store: &Arc<Store>,
    work: impl FnOnce(&Store) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let path = store.path();
    let store = Arc::clone(store);
    let done = spawn_blocking(move || work(&store)).await;
    done.map_err(|error| ended(path, error))?
}

fn ended(path: PathBuf, error: JoinError) -> Error {
    Error::Unwritable { path, problem: std::io::Error::other(error) }
}
