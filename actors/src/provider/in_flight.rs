//! One request to an API, as its breaker and its statistics see it.

use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use super::breaker::{Outcome, Pass};
use super::stats::Stats;
use super::{Provider, random};
use crate::{Completion, Error, Node};

/// Leave to ask the API, to be held until the request is over. One that is dropped before anything
/// came of it says nothing about the API.
#[derive(Debug)]
pub(crate) struct Admission {
    provider: Provider,
    pass: Option<Pass>,
    _place: OwnedSemaphorePermit,
}

impl Admission {
    pub(super) fn new(provider: Provider, pass: Pass, place: OwnedSemaphorePermit) -> Self {
        Self { provider, pass: Some(pass), _place: place }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            let settle = |stats: &mut Stats| {
                stats.breaker.settle(pass, &Outcome::Unknown, Instant::now(), random());
            };
            self.provider.stats(settle);
        }
    }
}

/// A request that is being answered, as the statistics see it.
#[derive(Debug)]
pub(super) struct InFlight {
    node: Node,
    admission: Admission,
}

impl InFlight {
    pub(super) fn new(node: Node, admission: Admission) -> Self {
        admission.provider.stats(|stats| {
            stats.began();
            node.set_queue(stats.in_flight as usize);
        });
        Self { node, admission }
    }

    pub(super) fn provider(&self) -> &Provider {
        &self.admission.provider
    }

    /// The request was answered, or ended with an error.
    pub(super) fn judge(&mut self, outcome: &Result<Completion, Error>) {
        let Some(pass) = self.admission.pass.take() else { return };
        self.admission.provider.stats(|stats| {
            let before = stats.health();
            match outcome {
                Ok(completion) => stats.answered(pass, completion, Instant::now()),
                Err(error) => stats.failed(pass, error, Instant::now()),
            }
            if stats.health() != before {
                self.node.set_health(stats.health());
            }
        });
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.admission.provider.stats(|stats| {
            stats.ended();
            self.node.set_queue(stats.in_flight as usize);
        });
    }
}
