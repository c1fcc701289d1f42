//! The way of a turn's events to its caller: numbered, without gaps, and with an end that tells whether
//! all of them are there.

use tandem_proto::v1::{AskEvent, ask_event::Event};
use tokio::sync::mpsc;

use crate::Error;

type Sent = Result<AskEvent, Error>;

/// Where the events go.
#[derive(Debug)]
pub(super) struct Outlet {
    events: mpsc::Sender<Sent>,
    /// A place kept for the error that a turn may end with. Taken at the end.
    end: Option<mpsc::OwnedPermit<Sent>>,
    next_number: u64,
    /// An event found no room, and none follows it.
    stalled: bool,
}

impl Outlet {
    /// Goes on behind `sent` events that were sent while the question waited.
    pub(super) fn new(events: mpsc::Sender<Sent>, end: mpsc::OwnedPermit<Sent>, sent: u64) -> Self {
        Self { events, end: Some(end), next_number: sent, stalled: false }
    }

    /// Sends an event. Fails when the caller does not read any more: the channel holds a whole answer,
    /// so that only a caller who stopped reading fills it. An answer with a hole is never completed:
    /// after a failure nothing is sent but the error at the end.
    pub(super) fn send(&mut self, event: Event) -> Result<(), Error> {
        let event = AskEvent { number: self.next_number, event: Some(event) };
        if self.stalled
            || matches!(self.events.try_send(Ok(event)), Err(mpsc::error::TrySendError::Full(_)))
        {
            self.stalled = true;
            return Err(stopped_reading());
        }
        self.next_number += 1;
        Ok(())
    }

    /// Ends the stream. Returns how it ended, which differs from `how` when an event was lost.
    pub(super) fn end(&mut self, how: Result<(), Error>) -> Result<(), Error> {
        let how = if self.stalled { how.and(Err(stopped_reading())) } else { how };
        if let (Err(error), Some(end)) = (&how, self.end.take()) {
            end.send(Err(error.clone()));
        }
        how
    }
}

fn stopped_reading() -> Error {
    Error::Cancelled { reason: "the caller stopped reading the answer".to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tandem_proto::v1::{Delta, Done};

    use super::*;

    fn delta(text: &str) -> Event {
        Event::Delta(Delta { text: text.to_owned(), ..Delta::default() })
    }

    fn outlet(room: usize) -> (Outlet, mpsc::Receiver<Sent>) {
        let (events, receiver) = mpsc::channel(room + 1);
        let end = events.clone().try_reserve_owned().unwrap();
        (Outlet::new(events, end, 0), receiver)
    }

    fn received(mut receiver: mpsc::Receiver<Sent>) -> Vec<Sent> {
        std::iter::from_fn(|| receiver.try_recv().ok()).collect()
    }

    #[test]
    fn an_answer_that_is_read_is_whole_and_its_numbers_have_no_gaps() {
        let (mut outlet, receiver) = outlet(3);
        for text in ["a", "b"] {
            outlet.send(delta(text)).unwrap();
        }
        outlet.send(Event::Done(Done::default())).unwrap();
        outlet.end(Ok(())).unwrap();
        drop(outlet);
        let numbers: Vec<u64> =
            received(receiver).into_iter().map(|it| it.unwrap().number).collect();
        assert_eq!(numbers, [0, 1, 2]);
    }

    #[test]
    fn an_answer_with_a_hole_ends_with_an_error_even_if_the_caller_reads_on() {
        let (mut outlet, mut receiver) = outlet(2);
        outlet.send(delta("a")).unwrap();
        outlet.send(delta("b")).unwrap();
        assert!(matches!(outlet.send(delta("lost")), Err(Error::Cancelled { .. })));
        assert_eq!(receiver.try_recv().unwrap().unwrap().event, Some(delta("a")));
        // There is room again, but the answer would have a hole.
        assert!(outlet.send(Event::Done(Done::default())).is_err());
        assert!(matches!(outlet.end(Ok(())), Err(Error::Cancelled { .. })));
        drop(outlet);
        let rest = received(receiver);
        assert_eq!(rest.len(), 2);
        assert!(matches!(rest.last(), Some(Err(Error::Cancelled { .. }))));
    }

    #[test]
    fn a_caller_who_went_away_is_no_hole() {
        let (mut outlet, receiver) = outlet(1);
        drop(receiver);
        outlet.send(delta("a")).unwrap();
        outlet.send(delta("b")).unwrap();
        assert_eq!(outlet.end(Ok(())), Ok(()));
    }
}
