//! Measuring models: on demand, and by itself when the machine is idle.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use ractor::RpcReplyPort;
use tandem_config::Tune;
use tandem_proto::v1::{ModelStats, Tuning};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::{debug, info};

use super::hosted::Hosted;
use super::quiet::{Look, Quiet};
use super::state::State;
use super::{ASK_TIMEOUT, Message, ModelLoader, checked};
use crate::inference_worker::{TuneProgress, TuningJob, tune};
use crate::{Error, Result};

/// How often a model is measured when that is broken off, or fails.
const ATTEMPTS_MAX: u32 = 3;

impl ModelLoader {
    /// How a model runs; all that are loaded when `id` is empty.
    pub async fn stats(&self, id: &str) -> Result<Vec<ModelStats>> {
        let models = if id.is_empty() { self.loaded().await } else { vec![self.info(id).await?] };
        let of = |model: tandem_proto::v1::Model| {
            let known = self.known_performance(&model.path);
            ModelStats {
                answers: known.as_ref().map(|known| known.answers()),
                tuning: known.and_then(|known| known.tuning()).map(|tuning| tuning.describe()),
                model: Some(model),
            }
        };
        Ok(models.into_iter().map(of).collect())
    }

    /// Measures a model with several settings, beside the engines that serve, and keeps the fastest
    /// for the next load. An empty id means the default model. How far it is goes to `progress`.
    /// Dropping the future ends it and changes nothing.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when a model is being measured already, [`Error::ModelTooLarge`] when
    /// there is no room for another engine.
    pub async fn tune(&self, id: &str, progress: &watch::Sender<TuneProgress>) -> Result<Tuning> {
        let _turn = self.tunings.try_acquire().map_err(|_| Error::Overloaded {
            what: "a model is being measured already".to_owned(),
            retry_after: Duration::from_secs(10),
        })?;
        let (id, permit) = (checked(id)?, self.permit()?);
        let job = self.address.ask(ASK_TIMEOUT, |reply| Message::Tunable { id, reply }).await??;
        drop(permit);
        let (model, path) = (job.model.clone(), job.path.display().to_string());
        let tuning = tune(job, progress).await?;
        let described = tuning.describe();
        let chosen = described.trials.iter().find(|trial| trial.chosen);
        info!(model, settings = chosen.map(|trial| &trial.settings), "model measured");
        self.performance(&path).set_tuning(tuning);
        Ok(described)
    }
}

/// Measuring without being asked.
#[derive(Debug, Default)]
pub(super) struct Idleness {
    quiet: Quiet,
    running: Option<AbortHandle>,
    attempts: HashMap<PathBuf, u32>,
}

impl Idleness {
    /// Someone asks something, and gets the whole machine.
    pub(super) fn disturb(&mut self) {
        self.quiet.disturb();
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }
}

impl State {
    /// Whether and how a model can be measured.
    pub(super) fn tunable(&mut self, id: &str, reply: RpcReplyPort<Result<TuningJob>>) {
        let id = self.or_default(id);
        let (available, arguments) = (self.available_bytes(), self.arguments.clone());
        self.blocking(move |inspector| {
            let job = inspector.inspect(&id).and_then(|inspected| {
                let (id, needed) = (inspected.located.id, inspected.model.memory_estimate_bytes);
                if inspected.model.embedding_dimensions > 0 {
                    let problem = format!("model {id:?} makes embeddings, which are not measured");
                    return Err(Error::ModelUnsuitable { problem });
                }
                if needed > available {
                    let (needed_mib, available_mib) = (needed >> 20, available >> 20);
                    return Err(Error::ModelTooLarge { id, needed_mib, available_mib });
                }
                Ok(TuningJob {
                    model: id,
                    path: inspected.located.path,
                    binary: arguments.binary,
                    template: inspected.template,
                    config: arguments.engine,
                    cores: arguments.monitor.current().cores,
                    store: arguments.store,
                })
            });
            let _ = reply.send(job);
        });
    }

    /// Begins to measure a model that is loaded and was not measured yet, when it is quiet.
    pub(super) fn tune_when_idle(&mut self) {
        if self.arguments.engine.tune != Tune::Idle {
            return;
        }
        if self.idleness.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        let machine = self.arguments.monitor.current();
        let busy = |hosted: &Hosted| !hosted.is_idle() || hosted.is_loading();
        let look = Look {
            busy: self.hosted.iter().any(busy),
            cpu_used: machine.cpu_used,
            pressure: machine.pressure(),
        };
        if !self.idleness.quiet.look(look, self.epoch.elapsed()) {
            return;
        }
        let Some(path) = self.unmeasured() else { return };
        let id = path.to_string_lossy().into_owned();
        *self.idleness.attempts.entry(path).or_default() += 1;
        let loader = self.arguments.handle.clone();
        let running = self.tasks.spawn(async move {
            debug!(model = id, "nobody needs the machine, measuring");
            let (progress, _) = watch::channel(TuneProgress::default());
            if let Err(error) = loader.tune(&id, &progress).await {
                debug!(model = id, %error, "not measured");
            }
        });
        self.idleness.running = Some(running);
    }

    /// The file of a loaded model that generates text and was not measured, or tried too often.
    fn unmeasured(&self) -> Option<PathBuf> {
        let is_it = |hosted: &&Hosted| {
            let path = &hosted.inspected.located.path;
            let tried = self.idleness.attempts.get(path).copied().unwrap_or(0);
            let generates = hosted.inspected.model.embedding_dimensions == 0;
            !hosted.is_leaving()
                && generates
                && tried < ATTEMPTS_MAX
                && hosted.worker.performance().tuning().is_none()
        };
        self.hosted.iter().find(is_it).map(|hosted| hosted.inspected.located.path.clone())
    }
}
