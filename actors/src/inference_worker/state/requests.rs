//! What is asked of the worker, from its admission to the engine that works on it.

use std::time::Instant;

use ractor::ActorRef;
use tandem_proto::engine::{Cancel, to_engine};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::AbortHandle;
use tracing::info;

use super::super::Message;
use super::super::in_flight::{Entry, Ticket};
use super::super::query::Query;
use super::super::recovery::Stage;
use super::State;
use crate::{Error, TrackEvent, TrackRequest};

impl State {
    pub(in super::super) fn generate(
        &mut self,
        myself: &ActorRef<Message>,
        request: TrackRequest,
        ticket: Ticket,
    ) {
        self.take_on(myself, Entry::new(request, ticket));
    }

    /// Goes on with a request, perhaps begun by an engine of another worker.
    pub(in super::super) fn take_on(&mut self, myself: &ActorRef<Message>, mut entry: Entry) {
        let id = self.in_flight.next_id();
        let (events, deadline) = (entry.events().clone(), entry.deadline());
        entry.set_watcher(self.watch(myself, id, events, deadline));
        self.in_flight.admit(id, entry);
        self.submit();
    }

    /// Has [`Message::Abandoned`] sent when nobody waits for a request any more.
    fn watch(
        &mut self,
        myself: &ActorRef<Message>,
        id: u64,
        events: mpsc::Sender<TrackEvent>,
        deadline: Instant,
    ) -> AbortHandle {
        let myself = myself.clone();
        // Finished watchers are swept here, so that the set does not grow.
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(async move {
            let error = tokio::select! {
                () = events.closed() => Error::Cancelled { reason: "the caller went away".to_owned() },
                () = tokio::time::sleep_until(deadline.into()) => {
                    Error::DeadlineExceeded { stage: "while the model answered".to_owned() }
                }
            };
            let _ = myself.cast(Message::Abandoned { id, error });
        })
    }

    pub(in super::super) fn query(&mut self, query: Query, permit: OwnedSemaphorePermit) {
        self.queries.admit(query, permit);
        self.submit();
    }

    pub(in super::super) fn abandon(&mut self, id: u64, error: Error) {
        if self.in_flight.end(id, error) {
            self.send(to_engine::Message::Cancel(Cancel { id }));
        }
        self.show_queue();
    }

    /// Tells the engine about queries that nobody waits for any more.
    pub(in super::super) fn drop_unwanted_queries(&mut self) {
        for id in self.queries.drop_unwanted() {
            self.send(to_engine::Message::Cancel(Cancel { id }));
        }
        self.show_queue();
    }

    /// Hands everything to the engine that it does not have, if it is ready for it.
    pub(super) fn submit(&mut self) {
        self.show_queue();
        if !matches!(self.stage, Stage::Serving { .. }) || self.process.is_none() {
            return;
        }
        for generate in self.in_flight.submit_all() {
            self.send(to_engine::Message::Generate(generate));
        }
        for query in self.queries.send_all() {
            self.send(query);
        }
    }

    /// Hands what waits for the next engine to another worker of the model that serves, as far as
    /// that takes it. What was begun goes on there as it would have here.
    pub(super) fn hand_over(&mut self) {
        if self.in_flight.len() == 0 {
            return;
        }
        let Some(sibling) = self.arguments.loader.sibling(&self.arguments.handle) else { return };
        let mut handed_over = 0;
        for id in self.in_flight.ids() {
            let Ok(permit) = sibling.permit() else { break };
            let Some(entry) = self.in_flight.take(id) else { continue };
            // Should the other end just now, too, the caller is told to try again.
            let _ = sibling.address.cast(Message::TakeOver(Box::new(entry.moved(permit))));
            handed_over += 1;
        }
        info!(model = self.model(), handed_over, "another engine goes on with the answers");
        self.show_queue();
    }

    pub(super) fn show_queue(&self) {
        self.arguments.node.set_queue(self.in_flight.len() + self.queries.len());
    }
}
