//! One engine's worker in the loader's books.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::inspect::Inspected;
use super::pool::Candidate;
use crate::inference_worker::{Phase, Worker};

pub(super) struct Hosted {
    /// Names the worker among all that there ever were.
    pub(super) number: u64,
    /// Its name among the loader's children.
    pub(super) name: String,
    pub(super) worker: Worker,
    /// What it hosts, for one more of its kind.
    pub(super) inspected: Inspected,
    /// Given to everyone who acquires the worker.
    pub(super) lease: Arc<()>,
    pub(super) last_used: Instant,
    /// Asked to stop.
    pub(super) stopping: bool,
    /// To be stopped when nobody uses it any more, as another takes its place.
    pub(super) retiring: bool,
}

impl Hosted {
    /// Whether its end is only a matter of time.
    pub(super) fn is_leaving(&self) -> bool {
        self.stopping || matches!(self.worker.watch().borrow().phase, Phase::Failed(_))
    }

    /// The model's file.
    pub(super) fn path(&self) -> &Path {
        &self.inspected.located.path
    }

    /// Whether requests get an answer from it.
    pub(super) fn serves(&self) -> bool {
        !self.is_leaving() && !self.is_loading()
    }

    /// Whether it takes memory that it does not have yet.
    pub(super) fn is_loading(&self) -> bool {
        self.worker.watch().borrow().phase != Phase::Ready
    }

    /// Whether nobody uses it or is about to.
    pub(super) fn is_idle(&self) -> bool {
        self.requests() == 0
    }

    pub(super) fn candidate(&self) -> Candidate {
        let (ready, requests) = (!self.is_loading(), self.requests());
        Candidate { number: self.number, ready, requests }
    }

    pub(super) fn hand_out(&mut self) -> Worker {
        self.last_used = Instant::now();
        self.worker.leased(&self.lease)
    }

    /// Requests, and those who hold the worker to make one. Who does both counts twice for as
    /// long as that lasts.
    fn requests(&self) -> usize {
        self.worker.requests() + Arc::strong_count(&self.lease) - 1
    }
}
