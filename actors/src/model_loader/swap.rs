//! Putting another model or version in the place of the one that answers, without a request being
//! dropped.
//!
//! The new one is loaded beside the old one and tried. Then the choice is written down, and only then
//! do names mean the new one, in one step of the actor; a daemon that dies before or after that finds
//! on disk what it served. Whoever has the old one finishes with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorRef, RpcReplyPort};
use tandem_config::Models;
use tandem_models::versions;
use tandem_proto::v1::Model;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::{JoinError, spawn_blocking};
use tracing::{info, warn};

use super::hosted::Hosted;
use super::hosting::{Room, find_room};
use super::inspect::Inspected;
use super::state::State;
use super::{ASK_TIMEOUT, Message, ModelLoader, checked};
use crate::inference_worker::{Phase, Tally, Worker};
use crate::{Error, Result};

mod plan;
mod trial;

pub(crate) use plan::{Plan, Step};

/// Answers after which a model that was put in use is trusted.
const PROBATION_ANSWERS: u64 = 20;
/// Health below which it is taken back until then: two deaths before the first answer.
const HEALTH_MIN: f64 = 0.35;
/// Waiting for an old one that is busy, where memory is too small for both.
pub(super) const DRAIN_PATIENCE: Duration = Duration::from_mins(2);

/// How far a swap is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UseProgress {
    /// 0 to 1.
    pub fraction: f32,
    /// What is being done, for a person.
    pub stage: String,
}

/// A model that was put in use a moment ago.
#[derive(Debug)]
pub(super) struct Probation {
    file: PathBuf,
    undo: Step,
    begin: Tally,
}

impl ModelLoader {
    /// Makes `id` the default model, or a version `ID@VERSION` what `ID` means, once it is loaded and
    /// has passed a trial. How far it is goes to `progress`. Dropping the future before the choice is
    /// written changes nothing.
    ///
    /// # Errors
    /// Why the model cannot be loaded or did not pass; then nothing has changed.
    pub async fn use_model(
        &self,
        id: &str,
        progress: &watch::Sender<UseProgress>,
    ) -> Result<Model> {
        if id.is_empty() {
            return Err(Error::invalid("id", "is empty; name a model, or a version of one"));
        }
        let id = checked(id)?;
        let step = match versions::split(&id) {
            Some((model, version)) if !model.contains('/') => {
                Step::Version(model.to_owned(), version)
            }
            _ => Step::Default(id),
        };
        self.carry_out(step, None, progress).await
    }

    /// As [`use_model`](Self::use_model), for what `id` meant before, or the default model from before
    /// when it is empty.
    ///
    /// # Errors
    /// As [`use_model`](Self::use_model), and when nothing was in use before.
    pub async fn roll_back(
        &self,
        id: &str,
        progress: &watch::Sender<UseProgress>,
    ) -> Result<Model> {
        let id = checked(id)?;
        let step = if id.is_empty() { Step::BackToDefault } else { Step::BackTo(id) };
        self.carry_out(step, None, progress).await
    }

    /// Takes a new default model of the settings, which comes to answer as with
    /// [`use_model`](Self::use_model). Until then, and if it cannot, the old one does.
    pub async fn follow_settings(&self, default: String) {
        let (progress, _) = watch::channel(UseProgress::default());
        let step = Step::Settings(default.clone());
        if let Err(error) = self.carry_out(step, None, &progress).await {
            warn!(model = default, %error, "the new default model of the settings is not used");
        }
    }

    /// With `instead_of` only in place of the model in that file.
    async fn carry_out(
        &self,
        step: Step,
        instead_of: Option<&Path>,
        progress: &watch::Sender<UseProgress>,
    ) -> Result<Model> {
        let turn = Arc::clone(&self.swaps).acquire_owned().await;
        let turn = turn.map_err(|_| Error::ShuttingDown)?;
        let plan = self.address.ask(ASK_TIMEOUT, |reply| Message::PlanSwap { step, reply });
        let plan = plan.await??;
        if instead_of.is_some_and(|file| plan.old.as_deref() != Some(file)) {
            return Err(Error::Cancelled { reason: "another model was put in use".to_owned() });
        }
        let new = plan.new.path.display().to_string();
        self.address.cast(Message::BeginSwap(Box::new(plan.clone())))?;
        let begun = Begun { loader: self.clone(), _turn: turn };

        let asked = tokio::time::timeout(DRAIN_PATIENCE, self.acquire(&new)).await;
        let worker = asked.map_err(|_| Error::Overloaded {
            what: format!("the model in use is busy, and {new} does not fit beside it"),
            retry_after: Duration::from_secs(30),
        })??;
        loaded(&worker, progress).await?;
        let last = "trying a few tokens".to_owned();
        progress.send_replace(UseProgress { fraction: 1.0, stage: last });
        let chats = plan.name.is_none();
        let passed = trial::try_out(&worker, chats).await;
        self.performance(&new).set_trial(passed.is_ok());
        passed?;

        let name = plan.name.clone();
        // Whoever leaves now does not keep what is on disk from being what answers.
        let put_in_use = tokio::spawn(begun.put_in_use(plan)).await;
        put_in_use.map_err(|error| internal(&error))??;
        info!(model = worker.model(), name, "in use from now on");
        self.info(&new).await
    }
}

/// A swap that began. Says at its end that it came to nothing, unless it was carried out, and lets the
/// next one begin, which starts from what this one left.
struct Begun {
    loader: ModelLoader,
    _turn: OwnedSemaphorePermit,
}

impl Begun {
    async fn put_in_use(self, plan: Plan) -> Result<()> {
        let written = spawn_blocking(move || plan.write()).await;
        written.map_err(|error| internal(&error))??;
        self.loader.address.ask(ASK_TIMEOUT, Message::Flip).await
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // An actor that is gone has forgotten it.
        let _ = self.loader.address.cast(Message::EndSwap);
    }
}

fn internal(error: &JoinError) -> Error {
    Error::Internal { problem: error.to_string() }
}

/// Waits until the worker serves, and reports how far it is.
async fn loaded(worker: &Worker, progress: &watch::Sender<UseProgress>) -> Result<()> {
    let mut report = worker.watch();
    report.mark_changed();
    // The sender lives in `worker`.
    while report.changed().await.is_ok() {
        let phase = report.borrow_and_update().phase.clone();
        let (fraction, stage) = match phase {
            Phase::Ready => return Ok(()),
            Phase::Failed(error) => return Err(error),
            Phase::Loading(fraction, stage) => (fraction, stage),
            Phase::Starting => (0.0, "starting the engine".to_owned()),
            Phase::Restarting(reason) => {
                (0.0, format!("the engine was {reason}; starting another"))
            }
        };
        progress.send_replace(UseProgress { fraction, stage });
    }
    Err(Error::ShuttingDown)
}

impl State {
    pub(super) fn plan_swap(&mut self, step: Step, reply: RpcReplyPort<Result<Plan>>) {
        let name = step.version_of().map_or_else(|| self.standing().default_model(), str::to_owned);
        // It may have been the one that is meant when it was loaded, and not be that any more.
        let serving = self.file_of(&name);
        let settings_default = self.standing().settings_default();
        self.blocking(move |inspector| {
            let _ = reply.send(Plan::new(step, inspector, &settings_default, serving));
        });
    }

    pub(super) fn begin_swap(&mut self, plan: Plan) {
        let new = plan.new.path.as_path();
        let stays = |hosted: &Hosted| hosted.path() == new && !hosted.retiring;
        self.hosts_new_anyway = self.hosted.iter().any(stays);
        self.swap = Some(plan);
    }

    /// The file to hand out in place of the one that a name means, as that one had to make room.
    pub(super) fn instead_of(&self, asked: &str) -> Option<String> {
        let plan = self.swap.as_ref()?;
        let meant = match &plan.name {
            Some(name) => self.or_default(asked).eq_ignore_ascii_case(name),
            None => asked.is_empty(),
        };
        let serves = |hosted: &Hosted| {
            Some(hosted.path()) == plan.old.as_deref() && !hosted.is_leaving() && !hosted.retiring
        };
        let displaced = self.displaced && meant && !self.hosted.iter().any(serves);
        displaced.then(|| plan.new.path.display().to_string())
    }

    /// Lets the old one end when its requests do, if there is room for the new one only then.
    pub(super) fn drains_for(&mut self, inspected: &Inspected) -> bool {
        let Some(plan) = self.swap.as_ref().filter(|plan| plan.new.path == inspected.located.path)
        else {
            return false;
        };
        let is_old = |hosted: &Hosted| {
            Some(hosted.path()) == plan.old.as_deref()
                && hosted.path() != plan.new.path
                && !hosted.is_leaving()
        };
        let old = self.hosted.iter().filter(|hosted| is_old(hosted));
        let bytes: u64 = old.map(|hosted| hosted.worker.facts().memory_estimate_bytes).sum();
        let available = self.available_bytes().saturating_add(bytes);
        let needed = inspected.model.memory_estimate_bytes;
        if bytes == 0 || find_room(needed, available, &[]) != Room::Enough {
            return false;
        }
        for hosted in self.hosted.iter_mut().filter(|hosted| is_old(hosted)) {
            hosted.retiring = true;
        }
        self.displaced = true;
        true
    }

    /// From here on, names mean the new one.
    pub(super) fn flip(&mut self, myself: &ActorRef<Message>, reply: RpcReplyPort<()>) {
        let Some(plan) = self.swap.take() else { return };
        (self.displaced, self.swaps) = (false, self.swaps + 1);
        let standing = Arc::clone(&self.arguments.handle.standing);
        if plan.name.is_none() {
            if let Step::Settings(default) = &plan.step {
                standing.follow_settings(default.clone());
            }
            standing.choose(plan.default.clone());
            standing.found_default(&plan.new.path);
            self.names.learn(&standing.default_model(), &plan.new.path);
        }
        let new = plan.new.path.as_path();
        let old = plan.old.as_deref().filter(|old| *old != new);
        if let Some(old) = old
            && standing.unpin(old)
        {
            standing.pin(new);
        }
        if let Some(name) = &plan.name {
            self.names.learn(name, new);
            if standing.default_model().eq_ignore_ascii_case(name) {
                standing.found_default(new);
            }
        }
        for hosted in &mut self.hosted {
            if hosted.path() == new {
                hosted.retiring = false;
            } else if Some(hosted.path()) == old {
                hosted.retiring = true;
            }
        }
        self.probation = plan.undo().filter(|_| old.is_some()).map(|undo| Probation {
            begin: self.arguments.handle.performance(&new.display().to_string()).tally(),
            file: new.to_owned(),
            undo,
        });
        let _ = reply.send(());
        self.stop_idle(myself);
    }

    /// A swap has come to nothing; who waits for the new one gets the old one.
    pub(super) fn end_swap(&mut self, myself: &ActorRef<Message>) {
        let Some(plan) = self.swap.take() else { return };
        (self.displaced, self.swaps) = (false, self.swaps + 1);
        let standing = Arc::clone(&self.arguments.handle.standing);
        for hosted in &mut self.hosted {
            if Some(hosted.path()) == plan.old.as_deref() {
                hosted.retiring = false;
            } else if hosted.path() == plan.new.path
                && !self.hosts_new_anyway
                && !standing.is_pinned(hosted.path())
            {
                hosted.retiring = true;
            }
        }
        self.decide_again(myself);
    }

    /// Takes back what was put in use a moment ago and does not do well.
    pub(super) fn watch_over(&mut self) {
        let Some(probation) = &self.probation else { return };
        let performance = self.arguments.handle.performance(&path_text(&probation.file));
        let tally = performance.tally().since(&probation.begin);
        if tally.answers >= PROBATION_ANSWERS {
            self.probation = None;
            return;
        }
        let health = tally.health();
        if health >= HEALTH_MIN {
            return;
        }
        let Some(Probation { file, undo, .. }) = self.probation.take() else { return };
        warn!(
            file = path_text(&file),
            health, "the model that was put in use does not do well, taking it back"
        );
        let loader = self.arguments.handle.clone();
        self.tasks.spawn(async move {
            let (progress, _) = watch::channel(UseProgress::default());
            match loader.carry_out(undo, Some(&file), &progress).await {
                Ok(model) => loader.standing.announce(format!(
                    "model {} was taken back, as its engine died again and again: model {:?} answers",
                    file.display(),
                    model.id
                )),
                Err(error) => warn!(%error, "it cannot be taken back"),
            }
        });
    }
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// Whether a name stands for whichever model is the best.
pub(super) fn is_automatic(name: &str) -> bool {
    name == Models::AUTO
}
