//! Keeps actors alive: starts them in order, starts one again when it ends without being asked
//! to, and gives up, so that its own supervisor decides, when one fails too often.
//!
//! [`Children`] is the bookkeeping that any actor with children embeds; [`Supervisor`] is an
//! actor that does nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tracing::{error, info, warn};

use crate::tree::Node;

pub mod ledger;
#[cfg(test)]
mod tests;

use ledger::{Decision, Intensity, Ledger};

/// Longest wait for one child to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Starts one life of a child, linked to the supervisor given.
pub type Spawn =
    Arc<dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync>;

/// A child and how to start it, as often as needed.
#[derive(Clone)]
pub struct ChildSpec {
    /// Name below its parent in the tree.
    pub name: String,
    /// Starts one life.
    pub spawn: Spawn,
}

impl ChildSpec {
    /// A child that is `actor` started with a clone of `arguments`.
    pub fn new<A>(name: impl Into<String>, actor: A, arguments: A::Arguments) -> Self
    where
        A: Actor + Clone + Sync,
        A::Arguments: Clone + Sync,
    {
        let spawn = move |supervisor| -> BoxFuture<'static, _> {
            let (actor, arguments) = (actor.clone(), arguments.clone());
            Box::pin(async move {
                let (child, _) = Actor::spawn_linked(None, actor, arguments, supervisor).await?;
                Ok(child.get_cell())
            })
        };
        Self { name: name.into(), spawn: Arc::new(spawn) }
    }
}

impl std::fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ChildSpec").field(&self.name).finish()
    }
}

/// What the actor that embeds [`Children`] has to do next.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Nothing.
    Nothing,
    /// Call [`Children::restart`] with this name after the pause.
    RestartAfter {
        /// The child that ended.
        name: String,
        /// How long to wait.
        pause: Duration,
    },
    /// The child ended because it was asked to, and is gone from the tree.
    Ended {
        /// The child that ended.
        name: String,
    },
    /// The child fails too often and stays down.
    GivenUp {
        /// The child that failed.
        name: String,
        /// How it ended the last time.
        why: String,
    },
}

/// The children of one actor.
#[derive(Debug)]
pub struct Children {
    node: Node,
    intensity: Intensity,
    epoch: Instant,
    all: Vec<Child>,
}

#[derive(Debug)]
struct Child {
    spec: ChildSpec,
    node: Node,
    ledger: Ledger,
    cell: Option<ActorCell>,
    since: Instant,
    /// Asked to stop: however it ends now, that is its end.
    stopping: bool,
}

impl Children {
    /// No children yet, below `node` in the tree.
    #[must_use]
    pub fn new(node: Node, intensity: Intensity) -> Self {
        Self { node, intensity, epoch: Instant::now(), all: Vec::new() }
    }

    /// Starts a child.
    pub async fn start(&mut self, spec: ChildSpec, supervisor: ActorCell) -> Verdict {
        let node = self.node.child(&spec.name);
        let name = spec.name.clone();
        let ledger = Ledger::new(self.intensity);
        let since = Instant::now();
        self.all.push(Child { spec, node, ledger, cell: None, since, stopping: false });
        self.restart(&name, supervisor).await
    }

    /// Starts a child again that is down.
    pub async fn restart(&mut self, name: &str, supervisor: ActorCell) -> Verdict {
        let is_it = |child: &Child| child.spec.name == name;
        let Some(index) = self.all.iter().position(is_it) else { return Verdict::Nothing };
        let child = &mut self.all[index];
        if child.cell.is_some() {
            // It was stopped and started anew before its pause was over.
            return Verdict::Nothing;
        }
        child.since = Instant::now();
        match (child.spec.spawn)(supervisor).await {
            Ok(cell) => {
                child.cell = Some(cell);
                child.node.started();
                Verdict::Nothing
            }
            // A child that fails to start sends no supervision event.
            Err(error) => self.failed(index, &error.to_string()),
        }
    }

    /// Digests a supervision event. Events of actors that are no child any more are ignored.
    pub fn on_event(&mut self, event: &SupervisionEvent) -> Verdict {
        let (cell, why) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, Some(error.to_string())),
            // An actor that is killed while it is idle keeps its state, and says so only here.
            SupervisionEvent::ActorTerminated(cell, state, reason) => {
                let asked_to = state.is_some() && reason.as_deref() != Some("killed");
                let why = || reason.clone().unwrap_or_else(|| "killed".to_owned());
                (cell, (!asked_to).then(why))
            }
            _ => return Verdict::Nothing,
        };
        let is_it =
            |child: &Child| child.cell.as_ref().is_some_and(|c| c.get_id() == cell.get_id());
        let Some(index) = self.all.iter().position(is_it) else {
            return Verdict::Nothing;
        };
        match why {
            Some(why) if !self.all[index].stopping => self.failed(index, &why),
            _ => self.ended(index),
        }
    }

    /// Asks a child to stop. Its end comes as an event, unless it is between two lives.
    pub fn stop(&mut self, name: &str) -> Verdict {
        let is_it = |child: &Child| child.spec.name == name;
        let Some(index) = self.all.iter().position(is_it) else { return Verdict::Nothing };
        let child = &mut self.all[index];
        child.stopping = true;
        match &child.cell {
            Some(cell) => {
                cell.stop(None);
                Verdict::Nothing
            }
            None => self.ended(index),
        }
    }

    /// Stops all children, last started first, each within [`STOP_TIMEOUT`].
    pub async fn stop_all(&mut self) {
        while let Some(child) = self.all.pop() {
            let Some(cell) = child.cell else { continue };
            cell.stop(None);
            if cell.wait(Some(STOP_TIMEOUT)).await.is_err() {
                warn!(actor = child.spec.name, "did not stop in time, killing it");
                cell.kill();
            }
            child.node.ended("stopped", false);
        }
    }

    fn ended(&mut self, index: usize) -> Verdict {
        let child = self.all.remove(index);
        child.node.remove();
        Verdict::Ended { name: child.spec.name }
    }

    fn failed(&mut self, index: usize, why: &str) -> Verdict {
        let child = &mut self.all[index];
        let productive =
            child.cell.take().is_some() && child.since.elapsed() > self.intensity.window;
        let name = child.spec.name.clone();
        match child.ledger.ended(productive, self.epoch.elapsed()) {
            Decision::RestartAfter(pause) => {
                warn!(actor = name, why, ?pause, "actor ended, starting it again");
                child.node.ended(why, true);
                Verdict::RestartAfter { name, pause }
            }
            Decision::GiveUp => {
                error!(actor = name, why, "actor fails too often, giving it up");
                child.node.ended(why, false);
                self.all.remove(index);
                Verdict::GivenUp { name, why: why.to_owned() }
            }
        }
    }
}

/// An actor that only supervises. When a child is given up, it stops the others and fails.
#[derive(Debug, Clone, Copy)]
pub struct Supervisor;

/// How to start a [`Supervisor`].
#[derive(Debug, Clone)]
pub struct Arguments {
    /// Its place in the tree.
    pub node: Node,
    /// Its children, in the order in which they are started.
    pub children: Vec<ChildSpec>,
}

/// Messages of a [`Supervisor`], which only it sends to itself.
#[derive(Debug)]
pub enum Message {
    /// The pause before a restart is over.
    Restart(String),
}

impl Actor for Supervisor {
    type Msg = Message;
    type State = Children;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        Arguments { node, children: specs }: Arguments,
    ) -> Result<Children, ActorProcessingErr> {
        node.started();
        let mut children = Children::new(node, Intensity::default());
        for spec in specs {
            let verdict = children.start(spec, myself.get_cell()).await;
            carry_out(&myself, verdict)?;
        }
        Ok(children)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        Message::Restart(name): Message,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        info!(actor = name, "starting again");
        let verdict = children.restart(&name, myself.get_cell()).await;
        carry_out(&myself, verdict)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        carry_out(&myself, children.on_event(&event))
    }

    async fn post_stop(
        &self,
        _: ActorRef<Message>,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        children.stop_all().await;
        Ok(())
    }
}

fn carry_out(myself: &ActorRef<Message>, verdict: Verdict) -> Result<(), ActorProcessingErr> {
    match verdict {
        Verdict::Nothing | Verdict::Ended { .. } => Ok(()),
        Verdict::RestartAfter { name, pause } => {
            drop(myself.send_after(pause, move || Message::Restart(name)));
            Ok(())
        }
        Verdict::GivenUp { name, why } => Err(format!("{name} fails too often: {why}").into()),
    }
}
