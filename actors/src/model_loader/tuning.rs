//! Measuring models: on demand, and by itself when the machine is idle.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorRef, RpcReplyPort};
use tandem_config::Tune;
use tandem_proto::v1::{ModelStats, Pressure, Tuning};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::{debug, info};

use super::hosted::Hosted;
use super::hosting::Promise;
use super::quiet::{Look, Quiet};
use super::state::State;
use super::{ASK_TIMEOUT, Message, ModelLoader, checked};
use crate::inference_worker::{TuneProgress, TuningJob, tune};
use crate::{Error, Result};

/// A model whose engine could not be started this often to be measured is left alone.
const FAILURES_MAX: u32 = 3;

impl ModelLoader {
    /// How a model runs; all that are loaded when `id` is empty.
    pub async fn stats(&self, id: &str) -> Result<Vec<ModelStats>> {
        let models = if id.is_empty() { self.loaded().await } else { vec![self.info(id).await?] };
        let of = |model: tandem_proto::v1::Model| {
            let known = self.known_performance(&model.path);
            ModelStats {
                answers: known.as_ref().map(|known| known.answers()),
                health: known.as_ref().map(|known| known.health()),
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
        let tunable = self.address.ask(ASK_TIMEOUT, |reply| Message::Tunable { id, reply });
        let (job, _promise) = tunable.await??;
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
    /// How often engines failed by themselves, by the model's file.
    failures: HashMap<PathBuf, u32>,
}

impl Idleness {
    /// Someone asks something, and gets the whole machine. Whether a trial is broken off for that.
    pub(super) fn disturb(&mut self) -> bool {
        self.quiet.disturb();
        let running = self.running.take().filter(|running| !running.is_finished());
        if let Some(running) = &running {
            running.abort();
        }
        running.is_some()
    }

    /// The model in this file was measured, or not; then it has to be quiet again before the next
    /// attempt.
    pub(super) fn ended(&mut self, path: PathBuf, outcome: &Result<()>) {
        self.running = None;
        let Err(error) = outcome else { return };
        self.quiet.disturb();
        // Whatever else went wrong, such as too little memory at the moment, may be over next time.
        if matches!(error, Error::EngineUnavailable { .. }) {
            *self.failures.entry(path).or_default() += 1;
        }
    }

    fn has_failed_too_often(&self, path: &Path) -> bool {
        self.failures.get(path).is_some_and(|failures| *failures >= FAILURES_MAX)
    }
}

impl State {
    /// Whether and how a model can be measured.
    pub(super) fn tunable(&mut self, id: &str, reply: RpcReplyPort<Result<(TuningJob, Promise)>>) {
        let id = self.or_default(id);
        let (available, arguments) = (self.available_bytes(), self.arguments.clone());
        let promised = Arc::clone(&self.promised);
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
                let job = TuningJob {
                    model: id,
                    path: inspected.located.path,
                    binary: arguments.binary,
                    template: inspected.template,
                    config: arguments.engine,
                    cores: arguments.monitor.current().cores,
                    store: arguments.store,
                };
                Ok((job, Promise::new(&promised, needed)))
            });
            let _ = reply.send(job);
        });
    }

    /// Begins to measure a model that is loaded and was not measured yet, when it is quiet.
    pub(super) fn tune_when_idle(&mut self, myself: &ActorRef<Message>) {
        let machine = self.arguments.monitor.current();
        let (cpu_used, pressure) = match self.arguments.engine.tune {
            Tune::Off => return,
            Tune::Idle => (machine.cpu_used, machine.pressure()),
            // What other programs do does not matter.
            Tune::Eager => (0.0, Pressure::Low),
        };
        if self.idleness.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        let is_busy = |hosted: &Hosted| !hosted.is_idle() || hosted.is_loading();
        let look = Look { busy: self.hosted.iter().any(is_busy), cpu_used, pressure };
        if !self.idleness.quiet.look(look, self.epoch.elapsed()) {
            return;
        }
        let Some(path) = self.unmeasured() else { return };
        let (loader, myself) = (self.arguments.handle.clone(), myself.clone());
        let running = self.tasks.spawn(async move {
            let id = path.to_string_lossy().into_owned();
            debug!(model = id, "nobody needs the machine, measuring");
            let (progress, _) = watch::channel(TuneProgress::default());
            let outcome = loader.tune(&id, &progress).await.map(drop);
            if let Err(error) = &outcome {
                debug!(model = id, %error, "not measured");
            }
            let _ = myself.cast(Message::IdleTuningEnded { path, outcome });
        });
        self.idleness.running = Some(running);
    }

    /// The file of a loaded model that generates text and was not measured.
    fn unmeasured(&self) -> Option<PathBuf> {
        let is_it = |hosted: &&Hosted| {
            let generates = hosted.inspected.model.embedding_dimensions == 0;
            !hosted.is_leaving()
                && generates
                && hosted.worker.performance().tuning().is_none()
                && !self.idleness.has_failed_too_often(hosted.path())
        };
        self.hosted.iter().find(is_it).map(|hosted| hosted.path().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_engines_that_fail_by_themselves_use_up_the_attempts_at_a_model() {
        let mut idleness = Idleness::default();
        let path = || PathBuf::from("a.gguf");
        let unavailable = || Error::EngineUnavailable {
            model: "a".to_owned(),
            reason: "cannot start".to_owned(),
            retry_after: Duration::ZERO,
        };
        let too_large =
            || Error::ModelTooLarge { id: "a".to_owned(), needed_mib: 2, available_mib: 1 };
        for _ in 0..FAILURES_MAX {
            idleness.ended(path(), &Err(too_large()));
            assert!(!idleness.disturb(), "nothing was broken off");
            assert!(!idleness.has_failed_too_often(&path()));
        }
        for _ in 0..FAILURES_MAX {
            assert!(!idleness.has_failed_too_often(&path()));
            idleness.ended(path(), &Err(unavailable()));
        }
        assert!(idleness.has_failed_too_often(&path()));
        assert!(!idleness.has_failed_too_often(Path::new("b.gguf")));
    }

    #[test]
    fn it_has_to_be_quiet_again_after_a_failure() {
        let mut idleness = Idleness::default();
        let calm = Look { busy: false, cpu_used: 0.0, pressure: Pressure::Low };
        let seconds = Duration::from_secs;
        idleness.quiet.look(calm, seconds(0));
        assert!(idleness.quiet.look(calm, seconds(60)));
        idleness.ended(PathBuf::from("a.gguf"), &Err(Error::ShuttingDown));
        assert!(!idleness.quiet.look(calm, seconds(61)));
        assert!(idleness.quiet.look(calm, seconds(121)));
    }
}
