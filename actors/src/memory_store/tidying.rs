//! Forgets conversations that were kept long enough, or of which there are too many.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::database::transfer::Forgotten;
use super::{Arguments, MemoryStore};
use crate::Result;

/// How often it is looked.
pub(super) const INTERVAL: Duration = Duration::from_hours(24);

/// Does so in the background. Dropping it ends the work.
#[derive(Debug)]
pub(super) struct Tidying {
    store: MemoryStore,
    retention: Duration,
    size_max: u64,
    work: Option<JoinHandle<()>>,
}

impl Tidying {
    pub(super) fn of(arguments: &Arguments) -> Self {
        let Arguments { handle, retention, size_max, .. } = arguments;
        Self { store: handle.clone(), retention: *retention, size_max: *size_max, work: None }
    }

    /// Begins, unless it is at it.
    pub(super) fn begin(&mut self) {
        let idle = self.work.as_ref().is_none_or(JoinHandle::is_finished);
        if !idle || (self.retention.is_zero() && self.size_max == 0) {
            return;
        }
        let (store, retention, size_max) = (self.store.clone(), self.retention, self.size_max);
        self.work = Some(tokio::spawn(async move {
            match store.tidy(retention, size_max, SystemTime::now()).await {
                Ok(Forgotten { conversations: 0, .. }) => {}
                Ok(Forgotten { conversations, bytes, .. }) => {
                    info!(conversations, bytes, "old conversations were deleted, as is set");
                }
                Err(error) => warn!(%error, "old conversations are not deleted yet"),
            }
        }));
    }
}

impl Drop for Tidying {
    fn drop(&mut self) {
        if let Some(work) = &self.work {
            work.abort();
        }
    }
}

impl MemoryStore {
    /// Deletes conversations that nobody went on with for longer than `retention`, and then the oldest
    /// until the others have at most `size_max` bytes. Zero sets no limit.
    pub(super) async fn tidy(
        &self,
        retention: Duration,
        size_max: u64,
        now: SystemTime,
    ) -> Result<Forgotten> {
        let mut all = Forgotten::default();
        let since = now.checked_sub(retention).filter(|_| !retention.is_zero());
        let since = since.and_then(|since| since.duration_since(UNIX_EPOCH).ok());
        let since = since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        self.forget(since, 0, &mut all).await?;
        if size_max > 0 {
            let bytes = self.stats().await?.conversation_bytes;
            self.forget(0, bytes.saturating_sub(size_max), &mut all).await?;
        }
        Ok(all)
    }

    async fn forget(&self, since: u64, bytes: u64, all: &mut Forgotten) -> Result<()> {
        let mut left = bytes;
        loop {
            let gone = self.forget_oldest(since, left).await?;
            all.conversations += gone.conversations;
            all.bytes += gone.bytes;
            left = left.saturating_sub(gone.bytes);
            if !gone.more {
                return Ok(());
            }
        }
    }
}
