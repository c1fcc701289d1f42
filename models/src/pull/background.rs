//! Work that blocks and is long, with somebody who waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{JoinError, spawn_blocking};

use super::Meter;

/// How often it is looked how far the work is.
const LOOK: Duration = Duration::from_millis(250);

/// Does `work` on a thread of its own and reports how far it is. The work says so to the function that
/// it is given, and is to end when that says no: then nobody waits for it any more.
pub(crate) async fn in_background<T: Send + 'static>(
    meter: &Meter<'_>,
    work: impl FnOnce(&mut dyn FnMut(u64) -> bool) -> T + Send + 'static,
) -> Result<T, JoinError> {
    let done = Arc::new(AtomicU64::new(0));
    let heard = Arc::downgrade(&done);
    let mut working = spawn_blocking(move || {
        work(&mut |bytes| {
            heard.upgrade().inspect(|done| done.store(bytes, Ordering::Relaxed)).is_some()
        })
    });
    loop {
        tokio::select! {
            outcome = &mut working => return outcome,
            () = tokio::time::sleep(LOOK) => meter.is_at(done.load(Ordering::Relaxed)),
        }
    }
}
