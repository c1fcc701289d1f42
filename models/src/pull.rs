//! Fetching the file of a model: over several connections, taken up again where it was broken off,
//! and checked before it gets its name.
//!
//! A pull is a future. Dropping it ends the pull and keeps what came; the next pull of the same file
//! goes on from there, in this process or another one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, spawn_blocking};

use crate::catalog::{Entry, is_file_name};
use crate::origin::{self, Origin};
use crate::package::Digest;
use crate::{Source, gguf};

mod background;
mod chunked;
mod error;
mod fetch;
mod journal;
mod leftovers;
mod meter;
mod object;
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

pub(crate) use background::in_background;
pub(crate) use chunked::{Chunked, Donor};
pub(crate) use error::Failure;
pub(crate) use journal::{Mark, Pin};
pub(crate) use meter::Meter;
pub(crate) use object::{patiently, read_object};
pub(crate) use plan::PIECE_BYTES;
pub(crate) use remote::{bucket, client, judge_status, plainly};
pub(crate) use store::Store;

use fetch::Fetch;
use journal::SIZE_MAX;
use remote::{Opened, Remote, hash_of};

/// Most connections of one pull. A crash loses less than a piece of each, and so less than 8 MiB.
pub const PARALLEL_MAX: usize = 8;
/// Where the Hugging Face hub is.
pub const HUB_ENDPOINT: &str = "https://huggingface.co";

/// Times that a file may change at its source during one pull.
const CHANGES_MAX: u32 = 3;
const EXTENSION: &str = "gguf";
/// Extension of packages that are fetched to be installed.
const PACKAGE: &str = "package";
const FILE_BYTES_MAX: usize = 200;

/// What kind of file is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A model, which is checked to be one.
    Model,
    /// A package, which is checked when it is [installed](crate::package::install).
    Package,
}

/// What is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What it is.
    pub content: Content,
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
            content: Content::Model,
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
        let content = Content::Model;
        Ok(Self { content, file, sources: vec![source], sha256: None, size_bytes: None })
    }

    /// A package, which is kept under a hidden name of its own until it is installed.
    #[must_use]
    pub fn of_package(source: Source) -> Self {
        let name = Digest::of(source.to_string().as_bytes()).to_string();
        let file = format!(".{}.{PACKAGE}", name.get(..16).unwrap_or_default());
        let content = Content::Package;
        Self { content, file, sources: vec![source], sha256: None, size_bytes: None }
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
        let fetched = match Remote::new(source, options) {
            Ok(remote) => pull.fetch_from(&remote).await,
            Err(error) => Err(error),
        };
        match fetched {
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
    async fn fetch_from(&self, remote: &Remote) -> Result<PathBuf, Error> {
        for _ in 0..=CHANGES_MAX {
            self.meter.stage(Stage::Connecting, 0, self.target.size_bytes.unwrap_or(0));
            let opened = self.ask(remote).await?;
            let pin = self.pin(remote, &opened)?;
            let Some(store) = self.open(pin.clone()).await? else {
                return Ok(self.folder.join(&self.target.file));
            };
            let mut ranged = opened.ranged;
            drop(opened);
            let failure = loop {
                self.meter.stage(Stage::Fetching, store.bytes_done(), pin.size);
                let fetch = Fetch {
                    remote,
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
                Ok(()) => return self.finish(remote, &store, pin).await,
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing { problem, .. }) => {
                    return Err(Error::Unreachable { from: remote.name.clone(), problem });
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
        Err(Error::Restless { from: remote.name.clone() })
    }

    /// Asks about the file, until there is an answer.
    async fn ask(&self, remote: &Remote) -> Result<Opened, Error> {
        let asked = patiently(self.options, &remote.name, || remote.open(&(0..1), None)).await;
        asked?.ok_or_else(|| Error::Refused {
            from: remote.name.clone(),
            problem: "it is empty".to_owned(),
        })
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
        let origin = Origin { source: from(), sha256: actual, size_bytes: pin.size };
        let content = self.target.content;
        blocking(store, move |store| match content {
            Content::Model => settle(store, &origin),
            Content::Package => store.finish(),
        })
        .await
    }

    /// Hashes what came. The thread that does it ends when nobody waits for it any more.
    async fn hash(&self, store: &Arc<Store>, size: u64) -> Result<String, Error> {
        self.meter.stage(Stage::Checking, 0, size);
        let path = store.path();
        let file = path.clone();
        let hashed = in_background(self.meter, move |go_on| origin::sha256(&file, go_on)).await;
        let hash = hashed.map_err(|error| ended(path.clone(), error))?;
        // It ends early only with this future.
        hash.map(Option::unwrap_or_default).map_err(|problem| Error::Unwritable { path, problem })
    }
}

/// Gives the file its name, if it is a model and the name is free. Blocking.
pub(crate) fn settle(store: &Store, origin: &Origin) -> Result<PathBuf, Error> {
    match gguf::read(&store.path()) {
        Ok(_) => (),
        // That says nothing about what came.
        Err(gguf::Problem::Io(problem)) => {
            return Err(Error::Unwritable { path: store.path(), problem });
        }
        Err(problem) => {
            store.discard()?;
            return Err(Error::NotAModel { from: origin.source.clone(), problem });
        }
    }
    let target = store.target();
    if target.is_file() {
        // Somebody put one there meanwhile, which is left as it is.
        store.discard()?;
        return Ok(target);
    }
    // First, so that no file is ever there of which nobody knows what it was.
    let written = origin.write(&target);
    written.map_err(|problem| Error::Unwritable { path: target, problem })?;
    store.finish()
}

/// Puts a file together from chunks, most of which may be on this machine, into `folder`.
pub(crate) async fn assemble(
    chunked: Arc<Chunked>,
    file: String,
    folder: &Path,
    options: &Options,
    meter: &Meter<'_>,
) -> Result<PathBuf, Error> {
    let target = Target {
        content: Content::Model,
        file,
        sources: Vec::new(),
        sha256: Some(chunked.sha256()),
        size_bytes: Some(chunked.size()),
    };
    let remote = Remote::of_chunks(chunked);
    Pull { target: &target, folder, options, meter }.fetch_from(&remote).await
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
