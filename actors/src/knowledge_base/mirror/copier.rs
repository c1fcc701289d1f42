//! Makes a copy follow its collection: what it lacks is added, and what it has too many is removed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tandem_knowledge::{Label, Searcher};
use tokio::sync::SemaphorePermit;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::super::blocking;
use super::super::chroma::{Server, upsert};
use super::held::Held;
use super::mark::Mark;
use super::{Mirror, Standing, State};
use crate::{Error, Result};

/// Vectors of a request that adds or removes some.
const BATCH: usize = 256;
/// Numbers of a page, when it is asked for what the server has.
const PAGE: usize = 10_000;
/// How often it is looked whether the server still has all, when nothing else happens.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Before a server that failed is tried again, at first and after many failures. What was changed is
/// counted after the first of these.
const RETRY_MIN: Duration = Duration::from_millis(500);
pub(super) const RETRY_MAX: Duration = Duration::from_secs(30);

/// Who makes the copy follow the collection.
#[derive(Debug)]
pub(super) struct Copier {
    pub(super) mirror: Mirror,
    /// Of the collection, and its folder.
    pub(super) name: String,
    pub(super) dir: PathBuf,
    pub(super) searcher: Searcher,
    /// What is known of the copy, from the first round on.
    pub(super) mark: Option<Mark>,
}

impl Copier {
    /// Does so without an end.
    pub(super) async fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            match self.round().await {
                Ok(changed) => {
                    if failures > 0 {
                        info!(collection = self.name, "its copy in Chroma is complete again");
                    }
                    failures = 0;
                    let pause = if changed { RETRY_MIN } else { LOOK_AGAIN };
                    // Both mean the same: look again.
                    let _ = timeout(pause, self.mirror.0.wake.notified()).await;
                }
                Err(error) => {
                    if failures == 0 {
                        warn!(collection = self.name, %error, "its copy in Chroma waits");
                    }
                    self.mirror.fail(&error);
                    let pause = RETRY_MIN.saturating_mul(1 << failures.min(10));
                    failures = failures.saturating_add(1);
                    sleep(pause.min(RETRY_MAX)).await;
                }
            }
        }
    }

    /// Makes the copy what the collection is now. Says whether it had to be changed.
    async fn round(&mut self) -> Result<bool> {
        let mirror = self.mirror.clone();
        let server = &mirror.0.copies.server;
        let mut mark = self.verified().await?;
        let id: Arc<str> = mark.id.as_str().into();
        let only = server.is_elsewhere().then_some(Label::MayLeave);
        let (searcher, held) = (self.searcher.clone(), mark.held.clone());
        let compared = blocking(move || -> tandem_knowledge::Result<_> {
            let wanted = searcher.ids(only)?;
            let (missing, extra) = held.compare(&wanted);
            Ok((wanted, missing, extra))
        });
        let (wanted, missing, extra) = compared.await?.map_err(|error| self.failed(&error))?;
        let last = wanted.last().copied().unwrap_or(0);
        let mut upto = missing.first().map_or(last, |first| first - 1);
        let mut changed = !extra.is_empty();
        let publish = |held: &Held, upto| {
            let (held, wanted) = (held.count(), wanted.len() as u64);
            let state = State::Serving { id: Arc::clone(&id), upto };
            mirror.0.standing.send_replace(Standing { held, wanted, state });
        };
        publish(&mark.held, upto);
        for gone in extra.chunks(BATCH) {
            let _turn = self.turn().await?;
            server.delete(&id, &names(gone)).await?;
            mark.held.remove(gone);
            mark = self.save(mark).await?;
            publish(&mark.held, upto);
        }
        for new in missing.chunks(BATCH) {
            let _turn = self.turn().await?;
            let (searcher, ids) = (self.searcher.clone(), new.to_vec());
            let read = blocking(move || searcher.points(&ids)).await?;
            let points = read.map_err(|error| self.failed(&error))?;
            let sent: Vec<u64> = points.iter().map(|point| point.id).collect();
            if !sent.is_empty() {
                server.upsert(&id, blocking(move || upsert(&points)).await??).await?;
                mark.held.add(&sent);
                mark = self.save(mark).await?;
                changed = true;
            }
            upto = new.last().copied().unwrap_or(upto);
            publish(&mark.held, upto);
        }
        self.mark = Some(mark);
        Ok(changed)
    }

    /// What the server has, as far as it and the mark agree; where they do not, the server is asked for
    /// all of it. It may have lost everything, or have done what we were not told any more.
    async fn verified(&mut self) -> Result<Mark> {
        let mirror = self.mirror.clone();
        let server = &mirror.0.copies.server;
        let mut mark = match self.mark.take() {
            Some(mark) => mark,
            None => self.known().await?,
        };
        let id = server.open(&mark.name).await?;
        if id != mark.id {
            (mark.id, mark.held) = (id, Held::default());
            mark = self.save(mark).await?;
        }
        if server.count(&mark.id).await? != mark.held.count() {
            let (held, strange) = listed(server, &mark.id).await?;
            for names in strange.chunks(BATCH) {
                server.delete(&mark.id, names).await?;
            }
            mark.held = held;
            mark = self.save(mark).await?;
        }
        Ok(mark)
    }

    /// The mark on disk; a new one, which is there before the server hears of it, when there is none or
    /// it is of a copy in another place.
    async fn known(&self) -> Result<Mark> {
        let dir = self.dir.clone();
        let read = blocking(move || Mark::read(&dir)).await?;
        let place = self.mirror.0.copies.server.place();
        match read.map_err(|error| self.failed(&error))? {
            Some(mark) if mark.place == place => Ok(mark),
            _ => self.save(Mark::new(place)).await,
        }
    }

    async fn save(&self, mark: Mark) -> Result<Mark> {
        let dir = self.dir.clone();
        let saved = blocking(move || mark.write(&dir).map(|()| mark)).await?;
        saved.map_err(|error| self.failed(&error))
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        self.mirror.0.copies.writing.acquire().await.map_err(|_| Error::ShuttingDown)
    }

    fn failed(&self, error: &dyn std::error::Error) -> Error {
        Error::Collection { name: self.name.clone(), problem: error.to_string() }
    }
}

/// What the server has, by what it is called: our numbers, and what is none of them.
async fn listed(server: &Server, id: &str) -> Result<(Held, Vec<String>)> {
    let (mut held, mut strange) = (Held::default(), Vec::new());
    let mut seen = 0;
    loop {
        let page = server.ids(id, seen, PAGE).await?;
        if page.is_empty() {
            return Ok((held, strange));
        }
        seen += page.len() as u64;
        for name in page {
            match name.parse() {
                Ok(number) => held.add(&[number]),
                Err(_) => strange.push(name),
            }
        }
    }
}

fn names(ids: &[u64]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}
