//! The loader's state and what each message does to it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{ActorRef, RpcReplyPort, SupervisionEvent};
use tandem_proto::v1::Model;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::catalog::Located;
use super::hosting::{Idle, Room, find_room};
use super::inspect::{Inspected, Inspector};
use super::{Arguments, Message, describe};
use crate::inference_worker::{self, InferenceWorker, Phase, Worker};
use crate::supervisor::ledger::Intensity;
use crate::supervisor::{ChildSpec, Children, Verdict};
use crate::{Error, Result};

/// Longest wait for memory to be measured anew.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);

pub(crate) struct State {
    arguments: Arguments,
    inspector: Arc<Inspector>,
    hosted: Vec<Hosted>,
    children: Children,
    /// Models to be decided about once workers that are on their way out are gone, and their
    /// memory is measured to be free.
    waiting: Vec<(Inspected, RpcReplyPort<Result<Worker>>)>,
    /// A worker ended a moment ago; its memory may not be measured to be free yet.
    settling: bool,
    /// Models whose engines were given up a moment ago, and until when they are not tried.
    cooling_down: HashMap<String, (Instant, Error)>,
    tasks: JoinSet<()>,
}

struct Hosted {
    worker: Worker,
    /// Given to everyone who acquires the worker.
    lease: Arc<()>,
    path: PathBuf,
    last_used: Instant,
    /// Asked to stop.
    stopping: bool,
    /// Who wants to know when it is gone.
    unloads: Vec<RpcReplyPort<Result<bool>>>,
}

impl Hosted {
    /// Whether its end is only a matter of time.
    fn is_leaving(&self) -> bool {
        self.stopping || matches!(self.worker.watch().borrow().phase, Phase::Failed(_))
    }

    /// Whether it takes memory that it does not have yet.
    fn is_loading(&self) -> bool {
        self.worker.watch().borrow().phase != Phase::Ready
    }

    /// Whether nobody uses it or is about to.
    fn is_idle(&self) -> bool {
        self.worker.is_idle() && Arc::strong_count(&self.lease) == 1
    }

    fn hand_out(&mut self) -> Worker {
        self.last_used = Instant::now();
        self.worker.leased(&self.lease)
    }
}

impl State {
    pub(super) fn new(arguments: Arguments) -> Self {
        let inspector =
            Inspector { models: arguments.models.clone(), engine: arguments.engine.clone() };
        Self {
            children: Children::new(arguments.node.clone(), Intensity::default()),
            arguments,
            inspector: Arc::new(inspector),
            hosted: Vec::new(),
            waiting: Vec::new(),
            settling: false,
            cooling_down: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    pub(super) fn acquire(
        &mut self,
        myself: &ActorRef<Message>,
        id: &str,
        reply: RpcReplyPort<Result<Worker>>,
    ) {
        let id = self.or_default(id);
        if let Some(hosted) = self.hosted_mut(|hosted| hosted.worker.model() == id) {
            let _ = reply.send(Ok(hosted.hand_out()));
            return;
        }
        let myself = myself.clone();
        self.blocking(move |inspector| {
            let inspected = Box::new(inspector.inspect(&id));
            let _ = myself.cast(Message::Inspected { inspected, reply });
        });
    }

    /// Starts a worker for a model that was looked at, unless there is one by now.
    pub(super) async fn host(
        &mut self,
        myself: &ActorRef<Message>,
        inspected: Result<Inspected>,
        reply: RpcReplyPort<Result<Worker>>,
    ) {
        let inspected = match inspected {
            Ok(inspected) => inspected,
            Err(error) => return drop(reply.send(Err(error))),
        };
        if let Some(hosted) = self.hosted_mut(|hosted| hosted.path == inspected.located.path) {
            let _ = reply.send(Ok(hosted.hand_out()));
            return;
        }
        let id = inspected.located.id.clone();
        if let Some(error) = self.cooling_down(&id) {
            let _ = reply.send(Err(error));
            return;
        }
        if self.hosted.iter().any(Hosted::is_leaving) {
            self.waiting.push((inspected, reply));
            return;
        }
        let needed = inspected.model.memory_estimate_bytes;
        let available = self.available_bytes();
        match find_room(needed, available, &self.idle()) {
            Room::AfterUnloading(_) | Room::TooLittle if self.settling => {
                self.waiting.push((inspected, reply));
            }
            Room::Enough => {
                let worker = self.start_worker(myself, inspected).await;
                let _ = reply.send(Ok(worker));
            }
            Room::AfterUnloading(ids) => {
                for id in ids {
                    info!(model = id, "unloading an idle model to make room");
                    self.begin_stop(myself, &id);
                }
                self.waiting.push((inspected, reply));
            }
            Room::TooLittle => {
                let error = Error::ModelTooLarge {
                    id,
                    needed_mib: needed >> 20,
                    available_mib: available >> 20,
                };
                let _ = reply.send(Err(error));
            }
        }
    }

    async fn start_worker(&mut self, myself: &ActorRef<Message>, inspected: Inspected) -> Worker {
        let Inspected { located, model, sampling, template } = inspected;
        let worker = Worker::new(model, sampling);
        let lease = Arc::new(());
        let leased = worker.leased(&lease);
        let name = child_name(&located.id);
        let arguments = inference_worker::Arguments {
            model: located.id,
            path: located.path.clone(),
            binary: self.arguments.binary.clone(),
            template,
            config: self.arguments.engine.clone(),
            prefix_dir: self.arguments.prefix_dir.clone(),
            monitor: self.arguments.monitor.clone(),
            store: self.arguments.store.clone(),
            handle: worker.clone(),
            node: self.arguments.node.child(&name),
        };
        self.hosted.push(Hosted {
            worker,
            lease,
            path: located.path,
            last_used: Instant::now(),
            stopping: false,
            unloads: Vec::new(),
        });
        self.publish();
        let spec = ChildSpec::new(name, InferenceWorker, arguments);
        let verdict = self.children.start(spec, myself.get_cell()).await;
        self.carry_out(myself, verdict);
        leased
    }

    pub(super) fn list(&mut self, reply: RpcReplyPort<Vec<Model>>) {
        let workers: Vec<_> = self.hosted.iter().map(|hosted| hosted.worker.clone()).collect();
        self.blocking(move |inspector| {
            let mut models = inspector.list();
            for hosted in workers.iter().map(describe::of_worker) {
                match models.iter_mut().find(|model| model.id == hosted.id) {
                    Some(model) => *model = hosted,
                    None => models.push(hosted),
                }
            }
            let _ = reply.send(models);
        });
    }

    pub(super) fn embedding_model(&mut self, reply: RpcReplyPort<Result<String>>) {
        self.blocking(move |inspector| {
            let _ = reply.send(inspector.embedding_model());
        });
    }

    pub(super) fn info(&mut self, id: &str, reply: RpcReplyPort<Result<Model>>) {
        let id = self.or_default(id);
        let workers: Vec<_> = self.hosted.iter().map(|hosted| hosted.worker.clone()).collect();
        self.blocking(move |inspector| {
            let model = inspector.info(&id).map(|model| {
                let hosted = workers.iter().find(|worker| worker.facts().path == model.path);
                hosted.map_or(model, describe::of_worker)
            });
            let _ = reply.send(model);
        });
    }

    pub(super) fn unload(
        &mut self,
        myself: &ActorRef<Message>,
        id: &str,
        reply: RpcReplyPort<Result<bool>>,
    ) {
        let (id, myself) = (self.or_default(id), myself.clone());
        let hosted = self.hosted.iter().find(|hosted| hosted.worker.model() == id);
        if let Some(path) = hosted.map(|hosted| hosted.path.clone()) {
            return self.unload_file(&myself, &path, reply);
        }
        self.blocking(move |inspector| match inspector.locate(&id) {
            Ok(Located { path, .. }) => {
                let _ = myself.cast(Message::UnloadFile { path, reply });
            }
            Err(Error::ModelAbsent { .. }) => drop(reply.send(Ok(false))),
            Err(error) => drop(reply.send(Err(error))),
        });
    }

    /// Stops the worker of this file, and replies when its memory is back.
    pub(super) fn unload_file(
        &mut self,
        myself: &ActorRef<Message>,
        path: &Path,
        reply: RpcReplyPort<Result<bool>>,
    ) {
        let Some(hosted) = self.hosted.iter_mut().find(|hosted| hosted.path == path) else {
            return drop(reply.send(Ok(false)));
        };
        hosted.unloads.push(reply);
        let id = hosted.worker.model().to_owned();
        self.begin_stop(myself, &id);
    }

    /// Stops the workers that nobody has used for `models.keep_alive`.
    pub(super) fn stop_idle(&mut self, myself: &ActorRef<Message>) {
        while self.tasks.try_join_next().is_some() {}
        let keep_alive = self.arguments.models.keep_alive;
        let mut expired = Vec::new();
        for hosted in &mut self.hosted {
            if !hosted.is_idle() || hosted.is_loading() {
                hosted.last_used = Instant::now();
            } else if keep_alive > Duration::ZERO && hosted.last_used.elapsed() > keep_alive {
                expired.push(hosted.worker.model().to_owned());
            }
        }
        for id in expired {
            info!(model = id, "unloading, as nobody uses it");
            self.begin_stop(myself, &id);
        }
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

    fn decide_again(&mut self, myself: &ActorRef<Message>) {
        for (inspected, reply) in std::mem::take(&mut self.waiting) {
            let inspected = Box::new(Ok(inspected));
            let _ = myself.cast(Message::Inspected { inspected, reply });
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
        let is_it = |hosted: &Hosted| child_name(hosted.worker.model()) == name;
        let Some(index) = self.hosted.iter().position(is_it) else { return };
        let Hosted { worker, unloads, .. } = self.hosted.remove(index);
        self.publish();
        for reply in unloads {
            let _ = reply.send(Ok(true));
        }
        let phase = worker.watch().borrow().phase.clone();
        if let Phase::Failed(error @ Error::EngineUnavailable { retry_after, .. }) = phase {
            warn!(model = worker.model(), %error, "not tried again for a while");
            let until = Instant::now() + retry_after;
            self.cooling_down.insert(worker.model().to_owned(), (until, error));
        }
    }

    fn cooling_down(&mut self, id: &str) -> Option<Error> {
        let now = Instant::now();
        self.cooling_down.retain(|_, (until, _)| *until > now);
        self.cooling_down.get(id).map(|(_, error)| error.clone())
    }

    fn begin_stop(&mut self, myself: &ActorRef<Message>, id: &str) {
        // Also one between two lives, which takes no requests.
        let is_it = |hosted: &&mut Hosted| !hosted.stopping && hosted.worker.model() == id;
        if let Some(hosted) = self.hosted.iter_mut().find(is_it) {
            hosted.stopping = true;
            let verdict = self.children.stop(&child_name(id));
            self.carry_out(myself, verdict);
        }
    }

    /// Memory that another model may take.
    fn available_bytes(&self) -> u64 {
        let promised: u64 = self
            .hosted
            .iter()
            .filter(|hosted| hosted.is_loading())
            .map(|hosted| hosted.worker.facts().memory_estimate_bytes)
            .sum();
        let available = self.arguments.monitor.current().memory_available_bytes;
        available.saturating_sub(self.arguments.memory_reserve_bytes).saturating_sub(promised)
    }

    /// Models that could be given up, least recently used first.
    fn idle(&self) -> Vec<Idle> {
        let mut idle: Vec<_> =
            self.hosted.iter().filter(|hosted| hosted.is_idle() && !hosted.is_loading()).collect();
        idle.sort_by_key(|hosted| hosted.last_used);
        let describe = |hosted: &Hosted| Idle {
            id: hosted.worker.model().to_owned(),
            bytes: hosted.worker.facts().memory_estimate_bytes,
        };
        idle.into_iter().map(describe).collect()
    }

    /// A worker that takes requests.
    fn hosted_mut(&mut self, is_it: impl Fn(&Hosted) -> bool) -> Option<&mut Hosted> {
        self.hosted.iter_mut().find(|hosted| !hosted.is_leaving() && is_it(hosted))
    }

    fn or_default(&self, id: &str) -> String {
        if id.is_empty() { self.arguments.models.default.clone() } else { id.to_owned() }
    }

    fn publish(&self) {
        let workers = self.hosted.iter().map(|hosted| hosted.worker.clone()).collect();
        self.arguments.handle.publish_hosted(workers);
    }

    fn blocking(&mut self, work: impl FnOnce(&Inspector) + Send + 'static) {
        let inspector = Arc::clone(&self.inspector);
        self.tasks.spawn_blocking(move || work(&inspector));
    }
}

fn child_name(id: &str) -> String {
    format!("inference_worker {id}")
}
