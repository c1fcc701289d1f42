//! Fetching what is missing, over several connections.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::try_join_all;
use tokio::task::spawn_blocking;

use super::error::Failure;
use super::journal::Mark;
use super::meter::Meter;
use super::plan::{self, Plan};
use super::remote::Remote;
use super::store::Store;
use super::{Error, Options};

/// All that the connections share.
pub(super) struct Fetch<'a> {
    pub(super) remote: &'a Remote,
    pub(super) store: &'a Arc<Store>,
    pub(super) options: &'a Options,
    pub(super) meter: &'a Meter<'a>,
    /// Of the file that is being fetched.
    pub(super) mark: &'a Mark,
    /// Whether the source gives parts.
    pub(super) ranged: bool,
}

impl Fetch<'_> {
    /// Fetches all that is missing. What came when it fails is kept.
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let connections = if self.ranged { self.options.parallel.max(1) } else { 1 };
        let plan = Mutex::new(Plan::new(&self.store.done(), connections, self.ranged));
        try_join_all((0..connections).map(|_| self.work(&plan))).await.map(drop)
    }

    /// One connection.
    async fn work(&self, plan: &Mutex<Plan>) -> Result<(), Failure> {
        let plan = || plan.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut failures, mut seen) = (0, self.meter.bytes_done());
        loop {
            let next = plan().next();
            let Some(mut request) = next else { return Ok(()) };
            let (problem, asked) = match self.request(&mut request).await {
                Ok(()) => {
                    failures = 0;
                    continue;
                }
                Err(Failure::Passing { problem, pause }) => (problem, pause),
                Err(other) => return Err(other),
            };
            plan().give_back(request);
            // While anything comes over any connection, the source is not given up.
            let now = self.meter.bytes_done();
            failures = if now > seen { 1 } else { failures + 1 };
            seen = now;
            tracing::debug!(from = self.remote.name, problem, failures, "a request failed");
            let retry = &self.options.retry;
            let Some(pause) = retry.pause(failures, asked, (self.options.random)()) else {
                return Err(Error::Unreachable { from: self.remote.name.clone(), problem }.into());
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Asks for some pieces and puts them on disk one by one. `request` is what is still missing.
    async fn request(&self, request: &mut Range<u64>) -> Result<(), Failure> {
        let size = self.store.size();
        let mut opened = self.remote.open(&plan::bytes(request, size), Some(self.mark)).await?;
        if opened.size.is_some_and(|now| now != size) {
            return Err(Failure::Changed);
        }
        if self.ranged && !opened.ranged {
            return Err(Failure::Unranged);
        }
        if !opened.ranged && request.start > 0 {
            // Everything comes from the beginning again.
            request.start = 0;
        }
        let mut buffer = Vec::new();
        while !request.is_empty() {
            let piece = request.start..request.start + 1;
            let bytes = plan::bytes(&piece, size);
            let length = usize::try_from(bytes.end - bytes.start).unwrap_or(usize::MAX);
            while buffer.len() < length {
                let Some(came) = opened.body.append_to(&mut buffer).await? else {
                    return Err(Failure::passing("it ended the connection early"));
                };
                self.meter.came(came);
                self.options.pace.take(came).await;
            }
            let rest = buffer.split_off(length);
            let bytes = std::mem::replace(&mut buffer, rest);
            if !self.store.has(piece.start) {
                self.land(piece.start, bytes).await?;
            }
            request.start = piece.end;
        }
        Ok(())
    }

    async fn land(&self, piece: u64, bytes: Vec<u8>) -> Result<(), Failure> {
        let (store, length) = (Arc::clone(self.store), bytes.len() as u64);
        let written = spawn_blocking(move || store.write(piece, &bytes)).await;
        written.map_err(|error| Error::Unwritable {
            path: self.store.path(),
            problem: std::io::Error::other(error),
        })??;
        self.meter.landed(length);
        Ok(())
    }
}
