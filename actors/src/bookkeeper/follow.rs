//! Sees one request through: its events go on to the caller, its bill is settled.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tandem_ledger::{Outcome, Tokens};
use tandem_proto::v1::{NoticeKind, UsageTally};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::bill::{Bill, Ending};
use super::scribe::Pen;
use super::{Bookkeeper, Message, Owed, tokens_of};
use crate::memory_store::MemoryStore;
use crate::{Error, Result, TrackEvent, TrackEvents};

/// How often a store that is being restarted is asked again, and how long in between.
const STORE_TRIES: u32 = 50;
const STORE_PAUSE: Duration = Duration::from_millis(100);
/// A token has at least so many bytes on average, in any language.
const BYTES_PER_TOKEN: usize = 2;

impl Bookkeeper {
    /// Passes the events of a request on, and settles its bill when it ends or its caller is gone.
    pub(crate) fn follow(
        &self,
        bill: Bill,
        events: TrackEvents,
        owed: Owed,
    ) -> Result<TrackEvents> {
        let (sender, followed) = mpsc::channel(events.max_capacity());
        let follow = Follow::new(bill, events, sender, owed);
        self.shared.address.cast(Message::Follow(Box::new(follow)))?;
        Ok(followed)
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Follow {
    bill: Bill,
    events: TrackEvents,
    caller: mpsc::Sender<TrackEvent>,
    owed: Owed,
    /// Bytes of the answer so far.
    read: usize,
}

impl Follow {
    pub(super) fn new(
        mut bill: Bill,
        events: TrackEvents,
        caller: mpsc::Sender<TrackEvent>,
        owed: Owed,
    ) -> Self {
        bill.mark_sent();
        Self { bill, events, caller, owed, read: 0 }
    }

    /// Ends with the request, or when the caller is gone, which ends the request.
    pub(super) async fn run(mut self, pen: Pen) {
        if let Some(message) = self.bill.take_notice() {
            let notice = TrackEvent::Notice(NoticeKind::Budget, message);
            drop(self.caller.send(notice).await);
        }
        let last = loop {
            let event = tokio::select! {
                event = self.events.recv() => event,
                () = self.caller.closed() => break None,
            };
            match event {
                Some(event @ (TrackEvent::Done(_) | TrackEvent::Failed(_))) => break Some(event),
                Some(event) => {
                    if let TrackEvent::Delta { text, reasoning, .. } = &event {
                        self.read += text.len() + reasoning.len();
                    }
                    if self.caller.send(event).await.is_err() {
                        break None;
                    }
                }
                None => {
                    let part = "the provider".to_owned();
                    break Some(TrackEvent::Failed(Error::Restarting { part }));
                }
            }
        };
        // Closes the connection, if it is not closed yet, so that nothing is sent behind the reckoning.
        drop(std::mem::replace(&mut self.events, mpsc::channel(1).1));
        let ending = self.ending(last.as_ref());
        let (closing, cost) = self.bill.settle(ending);
        let books = self.bill.books().clone();
        books.close(closing, &pen).await;
        if let Some(last) = last {
            drop(self.caller.send(with_cost(last, cost)).await);
        }
    }

    fn ending(&self, last: Option<&TrackEvent>) -> Ending {
        let outcome = match last {
            Some(TrackEvent::Done(completion)) => {
                let tokens = tokens_of(&completion.usage);
                if tokens.prompt + tokens.completion > 0 {
                    return Ending { outcome: Outcome::Answered, tokens, estimated: false };
                }
                Outcome::Answered
            }
            Some(_) => Outcome::Failed,
            None => Outcome::Cancelled,
        };
        // An API that refused, or was not reached, charges nothing.
        let charged = outcome == Outcome::Answered || self.owed.load(Ordering::Relaxed);
        if !charged && self.read == 0 {
            return Ending { outcome, tokens: Tokens::default(), estimated: false };
        }
        let completion = u64::try_from(self.read.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u64::MAX);
        let tokens = Tokens { prompt: self.bill.prompt_tokens(), cached: 0, completion };
        Ending { outcome, tokens, estimated: true }
    }
}

fn with_cost(mut event: TrackEvent, cost: Option<u64>) -> TrackEvent {
    if let TrackEvent::Done(completion) = &mut event {
        completion.cost_micros = cost;
    }
    event
}

/// Settles in the store, again if that is restarted meanwhile.
pub(super) async fn persist(store: &MemoryStore, id: Uuid, tally: UsageTally) -> Result<()> {
    for _ in 0..STORE_TRIES {
        match store.settle_attempt(id, tally).await {
            Err(Error::Restarting { .. }) => tokio::time::sleep(STORE_PAUSE).await,
            settled => return settled,
        }
    }
    store.settle_attempt(id, tally).await
}
