//! The router's state and what each message does to it.

use std::collections::HashMap;
use std::time::Instant;

use ractor::{Actor, ActorId, ActorRef, SupervisionEvent};
use tandem_proto::v1::Policy;
use tracing::{error, warn};

use super::plan::{Plan, ProviderState, Situation, decide};
use super::queue::Queue;
use super::{Arguments, Job, Load, Message};
use crate::turn::{self, TurnActor};
use crate::{Error, Node, Result};

pub(crate) struct State {
    arguments: Arguments,
    queue: Queue<Job>,
    turns: HashMap<ActorId, Turn>,
}

struct Turn {
    actor: ActorRef<turn::Message>,
    node: Node,
}

impl State {
    pub(super) fn new(arguments: Arguments) -> Self {
        // Turns of an earlier life went with it.
        arguments.node.remove_children();
        let queue = Queue::new(arguments.handle.config.running_max);
        Self { arguments, queue, turns: HashMap::new() }
    }

    pub(super) fn submit(&mut self, job: Job) {
        let (priority, deadline) = (job.request.priority(), job.deadline);
        self.queue.push(job, priority, deadline);
    }

    /// Starts turns as long as there are slots.
    pub(super) async fn run_next(&mut self, myself: &ActorRef<Message>) {
        while let Some(job) = self.queue.pop() {
            if job.events.is_closed() {
                self.arguments.handle.counts.cancelled();
                self.queue.release();
                continue;
            }
            let plan = match self.plan(&job) {
                Ok(plan) => plan,
                Err(error) => {
                    self.refuse(job, error);
                    self.queue.release();
                    continue;
                }
            };
            self.arguments.handle.counts.started();
            let turn_id = uuid::Uuid::now_v7().to_string();
            let node = self.arguments.node.child(&format!("turn {turn_id}"));
            let arguments = turn::Arguments {
                turn_id,
                job,
                plan,
                services: self.arguments.services.clone(),
                counts: self.arguments.handle.counts.clone(),
            };
            match Actor::spawn_linked(None, TurnActor, arguments, myself.get_cell()).await {
                Ok((actor, _)) => {
                    node.started();
                    self.turns.insert(actor.get_id(), Turn { actor, node });
                }
                Err(problem) => {
                    error!(%problem, "a turn could not be started");
                    node.remove();
                    self.queue.release();
                }
            }
        }
        self.show_load();
    }

    /// A turn ended.
    pub(super) fn on_turn(&mut self, event: &SupervisionEvent) {
        let (cell, failure) = match event {
            SupervisionEvent::ActorFailed(cell, failure) => (cell, Some(failure)),
            SupervisionEvent::ActorTerminated(cell, _, _) => (cell, None),
            _ => return,
        };
        if let Some(turn) = self.turns.remove(&cell.get_id()) {
            turn.node.remove();
            self.queue.release();
        }
        if let Some(failure) = failure {
            error!(%failure, "a turn failed");
            self.arguments.handle.counts.failed();
        }
    }

    /// Refuses the questions that waited past their deadline, and forgets those of callers who
    /// went away.
    pub(super) fn expire(&mut self) {
        for job in self.queue.expire(Instant::now(), |job| job.events.is_closed()) {
            if job.events.is_closed() {
                self.arguments.handle.counts.cancelled();
                continue;
            }
            let stage = "while the question waited for a slot".to_owned();
            self.refuse(job, Error::DeadlineExceeded { stage });
        }
    }

    /// Ends everything that waits or runs.
    pub(super) fn end_all(&mut self) {
        for job in self.queue.clear() {
            self.refuse(job, Error::ShuttingDown);
        }
        for turn in self.turns.values() {
            if turn.actor.cast(turn::Message::Abort(Error::ShuttingDown)).is_err() {
                warn!("a turn ended before it could be told to");
            }
        }
    }

    fn plan(&self, job: &Job) -> Result<Plan> {
        let Arguments { services, handle, .. } = &self.arguments;
        let name = Some(job.request.provider.as_str()).filter(|name| !name.is_empty());
        let provider = services.escalator.provider(name).map(|provider| ProviderState {
            name: provider.name().to_owned(),
            worth_trying: provider.is_worth_trying(),
        });
        let policy = match job.request.policy() {
            Policy::Unspecified => match handle.config.policy {
                tandem_config::Policy::Auto => Policy::Auto,
                tandem_config::Policy::Fast => Policy::Fast,
                tandem_config::Policy::Slow => Policy::Slow,
                tandem_config::Policy::Private => Policy::Private,
            },
            policy => policy,
        };
        let slow_threshold = handle.config.slow_threshold;
        decide(&Situation {
            prompt: &job.request.prompt,
            policy,
            slow_threshold,
            provider,
            named: name.is_some(),
            grammar: job.request.sampling.as_ref().is_some_and(|s| !s.grammar.is_empty()),
        })
    }

    fn refuse(&self, job: Job, error: Error) {
        self.arguments.handle.counts.failed();
        job.end.send(Err(error));
    }

    fn show_load(&self) {
        let waiting = self.queue.waiting();
        let running = self.queue.running();
        self.arguments.node.set_queue(running as usize + waiting);
        let load = Load { running, waiting: u32::try_from(waiting).unwrap_or(u32::MAX) };
        self.arguments.handle.load.send_if_modified(|shown| {
            let changed = *shown != load;
            *shown = load;
            changed
        });
    }
}
