//! Engines that serve nobody: started to measure a model with some settings, and ended.

use std::path::PathBuf;

use tandem_proto::engine::{FromEngine, Hello, Load, PROTOCOL_VERSION, from_engine, to_engine};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::process::{Process, ProcessEvent};
use super::recovery::COOL_DOWN;
use super::settings::{Choice, choice_key, cores, request, tuning_key};
use super::tuning::{Outcome, Settings, Tuning, candidates};
use crate::memory_store::MemoryStore;
use crate::{Error, Result};

/// Sequences that are measured together at most.
const SEQUENCES: u32 = 16;
/// Events that may wait; more than a process reports before it has to wait itself.
const EVENTS_MAX: usize = 512;

/// A model to measure.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Catalog id or path, for messages.
    pub(crate) model: String,
    /// The GGUF file.
    pub(crate) path: PathBuf,
    /// The engine binary.
    pub(crate) binary: PathBuf,
    /// Chat template that takes the place of the file's own; empty when there is none.
    pub(crate) template: String,
    /// Settings of the engine.
    pub(crate) config: tandem_config::Engine,
    /// Cores of the machine.
    pub(crate) cores: u32,
    /// Remembers what was measured.
    pub(crate) store: MemoryStore,
}

/// How far a tuning is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TuneProgress {
    /// 0 to 1.
    pub fraction: f32,
    /// What is being done, for a person.
    pub stage: String,
}

/// Tries one setting after the other and remembers how each did. Dropping the future ends the
/// engine and leaves everything as it was.
pub(crate) async fn tune(job: Job, progress: &watch::Sender<TuneProgress>) -> Result<Tuning> {
    let (engine, hello) = Engine::start(&job).await?;
    let mut started = Some(engine);
    let first = Choice::first(job.config.use_extra_bufts);
    let (path, config) = (job.path.clone(), job.config.clone());
    let key = move || choice_key(&path, &hello.build, &cores(), &config);
    let key = tokio::task::spawn_blocking(key).await.unwrap_or_default();
    let remembered = job.store.engine_choice(&key).await?;
    let choice = remembered.as_deref().and_then(Choice::decode).unwrap_or(first);
    let candidates = candidates(&choice, job.config.threads, job.cores);
    let mut tuning = Tuning::default();
    for (number, &settings) in (0_u8..).zip(&candidates) {
        let all = u8::try_from(candidates.len()).unwrap_or(u8::MAX);
        let fraction = f32::from(number) / f32::from(all);
        let stage = format!("measuring with {}", settings.describe());
        progress.send_replace(TuneProgress { fraction, stage });
        let mut engine = match started.take() {
            Some(engine) => engine,
            None => Engine::start(&job).await?.0,
        };
        let outcome = engine.load(&job, settings).await;
        engine.process.stop().await;
        tuning.add(settings, outcome);
    }
    job.store.remember_engine_choice(&tuning_key(&key), &tuning.encode()).await?;
    Ok(tuning)
}

/// A process that has not been told what to load. Dropping it kills the process.
struct Engine {
    process: Process,
    events: mpsc::Receiver<ProcessEvent>,
}

impl Engine {
    async fn start(job: &Job) -> Result<(Self, Hello)> {
        let unavailable = |reason: String| Error::EngineUnavailable {
            model: job.model.clone(),
            reason,
            retry_after: COOL_DOWN,
        };
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let report = move |event| drop(sender.try_send(event));
        let process = Process::spawn(&job.binary, report);
        let binary = job.binary.display();
        let process =
            process.map_err(|error| unavailable(format!("cannot start {binary}: {error}")))?;
        let mut engine = Self { process, events };
        match engine.next(Instant::now() + job.config.load_timeout).await {
            Ok(Some(from_engine::Message::Hello(hello)))
                if hello.protocol_version == PROTOCOL_VERSION =>
            {
                Ok((engine, hello))
            }
            Ok(_) => Err(unavailable("it does not speak this daemon's protocol".to_owned())),
            Err(problem) => Err(unavailable(problem)),
        }
    }

    async fn load(&mut self, job: &Job, settings: Settings) -> Outcome {
        let mut load = Load {
            sequences_max: job.config.sequences_max.max(SEQUENCES),
            self_test: true,
            measure: true,
            ..request(&job.config, &job.path, &job.template)
        };
        settings.apply(&mut load);
        self.process.send(to_engine::Message::Load(load));
        let mut deadline = Instant::now() + job.config.load_timeout;
        loop {
            match self.next(deadline).await {
                Ok(Some(from_engine::Message::Loaded(loaded))) => {
                    let measured = loaded.measured.map(Outcome::from);
                    return measured
                        .unwrap_or_else(|| Outcome::failed("the engine measured nothing"));
                }
                Ok(Some(from_engine::Message::LoadFailed(failed))) => {
                    return Outcome::failed(&failed.message);
                }
                // It has a heart that beats by itself.
                Ok(Some(from_engine::Message::Heartbeat(_)) | None) => (),
                Ok(Some(_)) => deadline = Instant::now() + job.config.load_timeout,
                Err(problem) => return Outcome::failed(&problem),
            }
        }
    }

    /// The next message; how the process ended when there is none.
    async fn next(
        &mut self,
        deadline: Instant,
    ) -> std::result::Result<Option<from_engine::Message>, String> {
        match timeout_at(deadline, self.events.recv()).await {
            Ok(Some(ProcessEvent::Frame(FromEngine { message }, _permit))) => Ok(message),
            Ok(Some(ProcessEvent::Exited(exit))) => Err(exit.how),
            Ok(None) => Err("the engine was lost".to_owned()),
            Err(_) => Err("the engine gave no sign of life".to_owned()),
        }
    }
}
