//! The loader's state and what each message does to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use ractor::{ActorRef, RpcReplyPort, SupervisionEvent};
use tandem_models::catalog::Located;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::choosing::Machine;
use super::cooling::CoolingDown;
use super::hosted::Hosted;
use super::hosting::{Room, find_room};
use super::inspect::{Inspected, Inspector};
use super::names::Names;
use super::pool::{Candidate, Homes, choose, wants_another};
use super::standing::Standing;
use super::swap::{Plan, Probation};
use super::tuning::Idleness;
use super::{Arguments, Caller, Message};
use crate::inference_worker::{self, InferenceWorker, Phase, Worker};
use crate::supervisor::ledger::Intensity;
use crate::supervisor::{ChildSpec, Children, Verdict};
use crate::{Error, Result};

/// Longest wait for memory to be measured anew.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a model goes without another engine when one beside others was given up.
const POOL_PAUSE: Duration = Duration::from_secs(30);

pub(crate) struct State {
    pub(super) arguments: Arguments,
    inspector: Arc<Inspector>,
    pub(super) hosted: Vec<Hosted>,
    /// Number of the next worker.
    next_number: u64,
    homes: Homes,
    /// Who wants to know when all engines of a file are gone.
    pub(super) unloads: Vec<(PathBuf, RpcReplyPort<Result<bool>>)>,
    children: Children,
    /// Models to be decided about once workers that are on their way out are gone, and their
    /// memory is measured to be free.
    waiting: Vec<(Inspected, Caller)>,
    /// A worker ended a moment ago; its memory may not be measured to be free yet.
    settling: bool,
    cooling_down: CoolingDown,
    pub(super) names: Names,
    /// Another model or version is about to take the place of one.
    pub(super) swap: Option<Plan>,
    /// What is about to take a place was hosted before, and stays if nothing comes of that.
    pub(super) hosts_new_anyway: bool,
    /// Swaps that came to an end, one way or the other.
    pub(super) swaps: u64,
    /// What it takes the place of had to end before it could be loaded.
    pub(super) displaced: bool,
    pub(super) probation: Option<Probation>,
    /// Bytes that engines will take which serve nobody.
    pub(super) promised: Arc<AtomicU64>,
    pub(super) idleness: Idleness,
    pub(super) epoch: Instant,
    pub(super) tasks: JoinSet<()>,
}

impl State {
    pub(super) fn new(arguments: Arguments) -> Self {
        let machine = Machine::of(&arguments);
        let handle = &arguments.handle;
        let inspector = Inspector::new(
            arguments.models.clone(),
            arguments.engine.clone(),
            Arc::clone(&handle.roots),
            Arc::clone(&handle.standing),
            machine,
        );
        Self {
            children: Children::new(arguments.node.clone(), Intensity::default()),
            arguments,
            inspector: Arc::new(inspector),
            hosted: Vec::new(),
            next_number: 1,
            homes: Homes::default(),
            unloads: Vec::new(),
            waiting: Vec::new(),
            settling: false,
            cooling_down: CoolingDown::default(),
            names: Names::default(),
            swap: None,
            hosts_new_anyway: false,
            swaps: 0,
            displaced: false,
            probation: None,
            promised: Arc::default(),
            idleness: Idleness::default(),
            epoch: Instant::now(),
            tasks: JoinSet::new(),
        }
    }

    pub(super) async fn acquire(&mut self, myself: &ActorRef<Message>, caller: Caller) {
        // Before more is asked of it: answers that come fast would make up for deaths.
        self.watch_over();
        if self.idleness.disturb() {
            // The memory of the trial that was broken off is not measured to be free yet.
            self.wait_until_settled(myself);
        }
        let model =
            self.instead_of(&caller.asked).unwrap_or_else(|| self.or_default(&caller.asked));
        let mut caller = Caller { model, swaps: self.swaps, ..caller };
        if let Some(path) = self.file_of(&caller.model) {
            match self.hand_out(myself, &path, caller).await {
                Some(back) => caller = back,
                None => return,
            }
        }
        let myself = myself.clone();
        self.blocking(move |inspector| {
            let inspected = Box::new(inspector.inspect(&caller.model));
            let _ = myself.cast(Message::Inspected { inspected, caller });
        });
    }

    /// The file of a model that is hosted and was asked for by this name before.
    pub(super) fn file_of(&self, name: &str) -> Option<PathBuf> {
        self.names.file(name).map(Path::to_owned)
    }

    /// Gives the caller one of the workers that host this file. Gives the caller back when there is
    /// none. Where all are busy and there may be more, one more is started for those to come.
    async fn hand_out(
        &mut self,
        myself: &ActorRef<Message>,
        path: &Path,
        caller: Caller,
    ) -> Option<Caller> {
        let is_it = |hosted: &&Hosted| !hosted.is_leaving() && hosted.path() == path;
        let candidates: Vec<Candidate> =
            self.hosted.iter().filter(is_it).map(Hosted::candidate).collect();
        let chosen = choose(&candidates, self.homes.of(&caller.conversation));
        let hosted = self.hosted.iter_mut().find(|hosted| Some(hosted.number) == chosen);
        let Some(hosted) = hosted else { return Some(caller) };
        self.homes.settle(&caller.conversation, hosted.number);
        self.names.learn(&caller.model, path);
        if caller.asked.is_empty() && self.swap.is_none() {
            self.arguments.handle.standing.found_default(path);
        }
        let _ = caller.reply.send(Ok(hosted.hand_out()));
        if !wants_another(&candidates, hosted.inspected.engines_max)
            || !self.cooling_down.allows_another(path, Instant::now())
        {
            return None;
        }
        let inspected = hosted.inspected.clone();
        let needed = inspected.model.memory_estimate_bytes;
        // Nobody is displaced for one more of the same.
        if find_room(needed, self.available_bytes(), &[]) == Room::Enough {
            info!(model = inspected.located.id, "all engines are busy, starting one more");
            self.start_worker(myself, inspected).await;
        }
        None
    }

    /// Starts a worker for a model that was looked at, unless there is one by now.
    pub(super) async fn host(
        &mut self,
        myself: &ActorRef<Message>,
        inspected: Result<Inspected>,
        caller: Caller,
    ) {
        if caller.swaps != self.swaps {
            // The name may mean another file by now.
            drop(myself.cast(Message::Acquire(caller)));
            return;
        }
        let inspected = match inspected {
            Ok(inspected) => inspected,
            Err(error) => return drop(caller.reply.send(Err(error))),
        };
        let Located { id, path, .. } = inspected.located.clone();
        let Some(caller) = self.hand_out(myself, &path, caller).await else { return };
        if let Some(error) = self.cooling_down.refusal(&path, Instant::now()) {
            let _ = caller.reply.send(Err(error));
            return;
        }
        if self.hosted.iter().any(Hosted::is_leaving) {
            self.waiting.push((inspected, caller));
            return;
        }
        let needed = inspected.model.memory_estimate_bytes;
        let available = self.available_bytes();
        match find_room(needed, available, &self.idle()) {
            Room::AfterUnloading(_) | Room::TooLittle if self.settling => {
                self.waiting.push((inspected, caller));
            }
            Room::Enough => {
                let number = self.start_worker(myself, inspected).await;
                self.homes.settle(&caller.conversation, number);
                let hosted = self.hosted.iter_mut().find(|hosted| hosted.number == number);
                let worker = hosted.map(Hosted::hand_out);
                if worker.is_some() {
                    self.names.learn(&caller.model, &path);
                }
                if caller.asked.is_empty() && self.swap.is_none() {
                    self.standing().found_default(&path);
                }
                // It is gone when its actor could not be started.
                let part = "the inference worker".to_owned();
                let _ = caller.reply.send(worker.ok_or(Error::Restarting { part }));
            }
            Room::AfterUnloading(numbers) => {
                for number in numbers {
                    info!(number, "unloading an idle engine to make room");
                    self.displaced |= self.makes_room_for_swap(number, &path);
                    self.begin_stop(myself, number);
                }
                self.waiting.push((inspected, caller));
            }
            Room::TooLittle if self.drains_for(&inspected) => {
                self.waiting.push((inspected, caller));
            }
            Room::TooLittle => {
                let error = Error::ModelTooLarge {
                    id,
                    needed_mib: needed >> 20,
                    available_mib: available >> 20,
                };
                let _ = caller.reply.send(Err(error));
            }
        }
    }

    /// Starts a worker and returns its number.
    async fn start_worker(&mut self, myself: &ActorRef<Message>, inspected: Inspected) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let Inspected { located, model, identity, sampling, template, draft, confidence, .. } =
            inspected.clone();
        let performance = self.arguments.handle.performance(&model.path);
        let worker = Worker::new(model, identity, sampling, performance);
        self.standing().forgive(&located.path);
        if inspected.pinned {
            self.standing().pin(&located.path);
        }
        let name = self.child_name(&located.id);
        let lease = Arc::new(());
        let arguments = inference_worker::Arguments {
            model: located.id,
            path: located.path,
            binary: self.arguments.binary.clone(),
            template,
            draft,
            confidence,
            config: self.arguments.engine.clone(),
            prefix_dir: self.arguments.prefix_dir.clone(),
            monitor: self.arguments.monitor.clone(),
            store: self.arguments.store.clone(),
            loader: self.arguments.handle.clone(),
            handle: worker.clone(),
            lease: Arc::downgrade(&lease),
            dwell: inference_worker::DWELL,
            node: self.arguments.node.child(&name),
        };
        self.hosted.push(Hosted {
            number,
            name: name.clone(),
            worker,
            inspected,
            lease,
            last_used: Instant::now(),
            stopping: false,
            retiring: false,
        });
        self.publish();
        let spec = ChildSpec::new(name, InferenceWorker, arguments);
        let verdict = self.children.start(spec, myself.get_cell()).await;
        self.carry_out(myself, verdict);
        number
    }

    /// A name for one more worker of a model; the first one has no number in it.
    fn child_name(&self, id: &str) -> String {
        let is_free = |name: &String| self.hosted.iter().all(|hosted| hosted.name != *name);
        let others = (2_usize..).map(|ordinal| format!("inference_worker {id} #{ordinal}"));
        let mut names = std::iter::once(format!("inference_worker {id}")).chain(others);
        names.find(is_free).unwrap_or_default()
    }

    pub(super) async fn restart(&mut self, myself: &ActorRef<Message>, name: &str) {
        let verdict = self.children.restart(name, myself.get_cell()).await;
        self.carry_out(myself, verdict);
        self.decide_again(myself);
    }

    /// The memory of workers that ended is measured to be free.
    pub(super) fn settle(&mut self, myself: &ActorRef<Message>) {
        self.settling = false;
        self.decide_again(myself);
    }

    pub(super) fn decide_again(&mut self, myself: &ActorRef<Message>) {
        for (inspected, caller) in std::mem::take(&mut self.waiting) {
            let inspected = Box::new(Ok(inspected));
            let _ = myself.cast(Message::Inspected { inspected, caller });
        }
    }

    pub(super) fn on_child(&mut self, myself: &ActorRef<Message>, event: SupervisionEvent) {
        let verdict = self.children.on_event(&event);
        drop(event);
        self.carry_out(myself, verdict);
    }

    pub(super) async fn stop(&mut self) {
        self.tasks.shutdown().await;
        self.children.stop_all().await;
        self.hosted.clear();
        self.publish();
    }

    fn carry_out(&mut self, myself: &ActorRef<Message>, verdict: Verdict) {
        match verdict {
            Verdict::Nothing => (),
            Verdict::RestartAfter { name, pause } => {
                drop(myself.send_after(pause, move || Message::Restart(name)));
            }
            Verdict::Ended { name } | Verdict::GivenUp { name, .. } => {
                self.forget(&name);
                self.wait_until_settled(myself);
                self.decide_again(myself);
            }
        }
    }

    /// Has [`Message::Settled`] sent when the memory was measured anew.
    fn wait_until_settled(&mut self, myself: &ActorRef<Message>) {
        self.settling = true;
        let (mut samples, myself) = (self.arguments.monitor.watch(), myself.clone());
        self.tasks.spawn(async move {
            let two_samples = async {
                // The one under way may have been taken before the memory was free.
                let _ = samples.changed().await;
                let _ = samples.changed().await;
            };
            let _ = tokio::time::timeout(SETTLE_TIMEOUT, two_samples).await;
            let _ = myself.cast(Message::Settled);
        });
    }

    fn forget(&mut self, name: &str) {
        let is_it = |hosted: &Hosted| hosted.name == name;
        let Some(index) = self.hosted.iter().position(is_it) else { return };
        let gone = self.hosted.remove(index);
        self.homes.leave(gone.number);
        self.publish();
        let is_gone =
            |(path, _): &mut (PathBuf, _)| self.hosted.iter().all(|hosted| hosted.path() != path);
        for (_, reply) in self.unloads.extract_if(.., is_gone) {
            let _ = reply.send(Ok(true));
        }
        let path = gone.path();
        if self.hosted.iter().all(|hosted| hosted.path() != path) {
            self.names.forget(path);
        }
        let Phase::Failed(error) = gone.worker.watch().borrow().phase.clone() else { return };
        let model = gone.worker.model();
        if !matches!(error, Error::Cancelled { .. } | Error::Restarting { .. }) {
            self.standing().blame(path, error.to_string());
        }
        match error {
            Error::Cancelled { .. } => (),
            _ if self.hosted.iter().any(|hosted| hosted.path() == path && hosted.serves()) => {
                warn!(model, %error, "one engine less, no other is started for a while");
                self.cooling_down.leave_alone(path, Instant::now() + POOL_PAUSE);
            }
            Error::EngineUnavailable { retry_after, .. } => {
                warn!(model, %error, "not tried again for a while");
                self.cooling_down.refuse(path, Instant::now() + retry_after, error);
            }
            _ => (),
        }
    }

    pub(super) fn begin_stop(&mut self, myself: &ActorRef<Message>, number: u64) {
        // Also one between two lives, which takes no requests.
        let is_it = |hosted: &&mut Hosted| !hosted.stopping && hosted.number == number;
        if let Some(hosted) = self.hosted.iter_mut().find(is_it) {
            hosted.stopping = true;
            let verdict = self.children.stop(&hosted.name);
            self.carry_out(myself, verdict);
        }
    }

    pub(super) fn or_default(&self, id: &str) -> String {
        if id.is_empty() { self.standing().default_model() } else { id.to_owned() }
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.arguments.handle.standing
    }

    pub(super) fn workers(&self) -> Vec<Worker> {
        self.hosted.iter().map(|hosted| hosted.worker.clone()).collect()
    }

    fn publish(&self) {
        self.arguments.handle.publish_hosted(self.workers());
    }

    pub(super) fn blocking(&mut self, work: impl FnOnce(&Inspector) + Send + 'static) {
        let inspector = Arc::clone(&self.inspector);
        self.tasks.spawn_blocking(move || work(&inspector));
    }
}
