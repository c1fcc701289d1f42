//! What the caller of a question that waits is told.

use tandem_proto::v1::{AskEvent, Queued, ask_event::Event};
use tokio::sync::mpsc;

use crate::Result;

/// What a caller was told so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Events of the answer that were sent.
    pub(crate) events: u64,
    /// The place in the queue; 0 when none was told.
    position: u32,
}

impl Told {
    /// Tells where the question stands, if that is news, and if the caller has read what was sent
    /// before: what is told here takes no room from the answer.
    pub(super) fn tell(&mut self, queued: Queued, events: &mpsc::Sender<Result<AskEvent>>) {
        // One place is kept for the end.
        let has_read = events.capacity() + 1 >= events.max_capacity();
        if queued.position == self.position || !has_read {
            return;
        }
        let event = AskEvent { number: self.events, event: Some(Event::Queued(queued)) };
        // A caller who went away is noticed elsewhere.
        if events.try_send(Ok(event)).is_ok() {
            self.events += 1;
            self.position = queued.position;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn queued(position: u32) -> Queued {
        Queued { position, waiting: 9, estimate_ms: None }
    }

    #[test]
    fn only_a_new_place_is_told_and_only_to_who_has_read_of_the_old_one() {
        let (events, mut receiver) = mpsc::channel(3);
        let _end = events.clone().try_reserve_owned().unwrap();
        let mut told = Told::default();
        for position in [4, 4, 3, 2] {
            told.tell(queued(position), &events);
        }
        let mut read = || {
            let event = receiver.try_recv().ok()?.unwrap();
            let Some(Event::Queued(queued)) = event.event else { return None };
            Some((event.number, queued.position))
        };
        assert_eq!((read(), read()), (Some((0, 4)), None));
        told.tell(queued(4), &events);
        told.tell(queued(1), &events);
        assert_eq!((read(), read()), (Some((1, 1)), None));
        assert_eq!(told.events, 2);
    }
}
