//! Where the events of one request go.

use tokio::sync::mpsc;

use crate::{Error, TrackEvent, TrackEvents};

/// Events that wait for the caller before the API is made to wait.
const EVENTS_MAX: usize = 64;

/// The sending side of [`TrackEvents`]. Its caller always gets a last event: whoever drops an
/// outlet without [`Outlet::end`] has died, and the caller is told so.
#[derive(Debug)]
pub struct Outlet {
    deltas: mpsc::Sender<TrackEvent>,
    /// The place for the last event, kept free from the start.
    last: Option<mpsc::OwnedPermit<TrackEvent>>,
}

impl Outlet {
    /// Both sides.
    pub(crate) fn new() -> (Self, TrackEvents) {
        let (deltas, events) = mpsc::channel(EVENTS_MAX + 1);
        let last = deltas.clone().try_reserve_owned().ok();
        (Self { deltas, last }, events)
    }

    /// Waits until the caller has room. Nothing happens when the caller is gone.
    pub(crate) async fn send(&self, event: TrackEvent) {
        let _ = self.deltas.send(event).await;
    }

    /// Waits until the caller is gone.
    pub(crate) async fn closed(&self) {
        self.deltas.closed().await;
    }

    /// Sends the last event.
    pub(crate) fn end(mut self, event: TrackEvent) {
        if let Some(last) = self.last.take() {
            last.send(event);
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        if let Some(last) = self.last.take() {
            last.send(TrackEvent::Failed(Error::Restarting { part: "the provider".into() }));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_full_channel_still_has_room_for_the_last_event() {
        let (outlet, mut events) = Outlet::new();
        let delta = || TrackEvent::Delta {
            text: "x".into(),
            reasoning: String::new(),
            logprobs: Vec::new(),
        };
        while outlet.deltas.try_send(delta()).is_ok() {}
        drop(outlet);
        for _ in 0..EVENTS_MAX {
            assert_eq!(events.try_recv().unwrap(), delta());
        }
        let last = events.try_recv().unwrap();
        assert_eq!(last, TrackEvent::Failed(Error::Restarting { part: "the provider".into() }));
        assert_eq!(events.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
    }

    #[test]
    fn an_outlet_that_was_ended_says_nothing_more() {
        let (outlet, mut events) = Outlet::new();
        outlet.end(TrackEvent::Failed(Error::ShuttingDown));
        assert_eq!(events.try_recv().unwrap(), TrackEvent::Failed(Error::ShuttingDown));
        assert_eq!(events.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
    }
}
