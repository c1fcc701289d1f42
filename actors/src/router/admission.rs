//! The door: what is let in, what is sent away, and with which words.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use tandem_proto::v1::Admission;

use super::Router;
use super::class::Class;
use super::estimate::Estimate;
use super::places::{Place, Refusal};
use crate::{Error, Result};

impl Router {
    /// How much is being done, and how much may be.
    #[must_use]
    pub fn admission(&self) -> Admission {
        let load = self.places.load();
        let [waiting_interactive, waiting_batch, waiting_background] = load.waiting;
        Admission {
            running: load.running,
            running_max: self.config.running_max,
            waiting: load.waiting.iter().sum(),
            waiting_max: self.config.waiting_max,
            draining: self.draining.load(Ordering::SeqCst),
            waiting_interactive,
            waiting_batch,
            waiting_background,
            refused: self.places.refused(),
            clients: load.clients,
        }
    }

    /// A place among the work that the daemon takes on, to be held until it is done. The request for
    /// it has about so many bytes.
    pub fn admit(&self, class: Class, client: &str, bytes: usize) -> Result<Place> {
        let place = self.places.take(class, client, bytes);
        // Looked at last: whoever holds a place is waited for.
        if self.draining.load(Ordering::SeqCst) {
            return Err(Error::ShuttingDown);
        }
        self.demand.notify_waiters();
        place.map_err(|refusal| {
            let tandem_config::Router { running_max, waiting_max, .. } = self.config;
            let waiting = self.places.taken().saturating_sub(running_max);
            let what = match refusal {
                Refusal::Full => format!(
                    "the places for {running_max} questions that run and {waiting_max} that wait \
                     are taken (router.running_max, router.waiting_max)"
                ),
                Refusal::Greedy { held, free } => format!(
                    "client {client:?} has {held} questions under way, and the {free} places that \
                     are left are for others (router.waiting_max)"
                ),
                Refusal::Large { bytes } => format!(
                    "so much is under way that no request of {} KiB is taken on",
                    bytes.div_ceil(1 << 10)
                ),
            };
            self.refused();
            let retry_after = self.estimate().retry_after(waiting, running_max);
            Error::Overloaded { what, retry_after }
        })
    }

    /// Counts a request that was refused because there are too many of them.
    pub fn refused(&self) {
        self.places.refuse();
    }

    pub(super) fn estimate(&self) -> MutexGuard<'_, Estimate> {
        self.estimate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
