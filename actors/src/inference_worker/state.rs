//! The worker's state and what each message does to it.

use std::io::ErrorKind;
use std::time::Instant;

use ractor::ActorRef;
use tandem_proto::engine::{
    FromEngine, Hello, LoadFailed, LoadFailure, PROTOCOL_VERSION, from_engine, to_engine,
};
use tandem_proto::v1::Health;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::in_flight::InFlight;
use super::ladder::Thrift;
use super::process::{Exit, Process};
use super::query::Queries;
use super::recovery::{self, COOL_DOWN, Next, Stage};
use super::settings::{Choice, Rung, choice_key, cores, tuning_key};
use super::tuning::Tuning;
use super::{Arguments, Message, Phase, Report};
use crate::Error;
use crate::supervisor::ledger::{Intensity, Ledger};

mod loading;
mod requests;
mod thrift;

pub(crate) struct State {
    arguments: Arguments,
    in_flight: InFlight,
    queries: Queries,
    process: Option<Process>,
    /// Counts processes; events of earlier ones are ignored.
    life: u32,
    stage: Stage,
    choice: Choice,
    /// `choice` is known to work; no self test is needed.
    proven: bool,
    /// Key under which `choice` is remembered, once the engine has introduced itself.
    choice_key: String,
    thrift: Thrift,
    /// How often the engine that takes the place of one that served may still find no memory.
    memory_tries: u32,
    ledger: Ledger,
    epoch: Instant,
    /// When the process last made progress.
    last_sign: Instant,
    /// Waits for callers that go away, and stores choices.
    tasks: JoinSet<()>,
}

impl Drop for State {
    /// Whoever waits for the model must not wait for a worker that was killed.
    fn drop(&mut self) {
        let part = "the inference worker".to_owned();
        self.end_report(Error::Restarting { part });
    }
}

impl State {
    pub(super) fn new(arguments: Arguments) -> Self {
        arguments.handle.report.send_replace(Report::default());
        let ledger = Ledger::new(Intensity {
            restarts_max: arguments.config.restarts_max,
            window: arguments.config.restart_window,
            ..Intensity::default()
        });
        let choice = Choice::first(arguments.config.use_extra_bufts);
        Self {
            in_flight: InFlight::new(arguments.confidence),
            arguments,
            queries: Queries::new(),
            process: None,
            life: 0,
            stage: Stage::Loading,
            choice,
            proven: false,
            choice_key: String::new(),
            thrift: Thrift::default(),
            memory_tries: 0,
            ledger,
            epoch: Instant::now(),
            last_sign: Instant::now(),
            tasks: JoinSet::new(),
        }
    }

    pub(super) fn life(&self) -> u32 {
        self.life
    }

    pub(super) fn start_engine(&mut self, myself: &ActorRef<Message>) {
        self.life += 1;
        let (life, listener) = (self.life, myself.clone());
        let report = move |event| {
            // The worker ends its processes before it ends.
            let _ = listener.cast(Message::Process { life, event });
        };
        self.stage = Stage::Loading;
        self.last_sign = Instant::now();
        match Process::spawn(&self.arguments.binary, report) {
            Ok(process) => {
                info!(model = self.model(), pid = process.pid, "engine started");
                self.report(|report| report.pid = process.pid);
                self.process = Some(process);
            }
            Err(problem) => {
                let advice = match problem.kind() {
                    ErrorKind::NotFound => {
                        "; install tandem-engine beside tandemd or set engine.binary"
                    }
                    _ => "",
                };
                let binary = self.arguments.binary.display();
                let reason = format!("cannot start {binary}: {problem}{advice}");
                self.fail(
                    myself,
                    Error::EngineUnavailable {
                        model: self.model().to_owned(),
                        reason,
                        retry_after: COOL_DOWN,
                    },
                );
            }
        }
    }

    pub(super) fn on_frame(&mut self, myself: &ActorRef<Message>, frame: FromEngine) {
        let is_heartbeat = matches!(frame.message, Some(from_engine::Message::Heartbeat(_)));
        // An engine that loads has a heart that beats by itself; only progress counts.
        if !(is_heartbeat && self.stage == Stage::Loading) {
            self.last_sign = Instant::now();
        }
        match frame.message {
            Some(from_engine::Message::Hello(hello)) => self.on_hello(myself, hello),
            Some(from_engine::Message::LoadProgress(progress)) => self.report(|report| {
                report.phase = Phase::Loading(progress.fraction, progress.stage);
            }),
            Some(from_engine::Message::Loaded(loaded)) => {
                self.on_loaded(loaded);
                self.follow_the_ladder(myself);
                self.submit();
            }
            Some(from_engine::Message::LoadFailed(failed)) => self.on_load_failed(myself, failed),
            Some(from_engine::Message::Step(step)) => {
                for sequence in step.sequences {
                    if let Some(completion) = self.in_flight.on_step(sequence) {
                        self.stage = Stage::Serving { productive: true };
                        self.arguments.handle.performance().count(&completion);
                    }
                }
                self.show_queue();
            }
            Some(from_engine::Message::Rejected(rejected)) => {
                if !self.queries.on_rejected(&rejected) {
                    self.in_flight.on_rejected(rejected);
                }
                self.show_queue();
            }
            Some(from_engine::Message::Heartbeat(heartbeat)) => {
                // Not worth waking anyone for.
                self.arguments.handle.report.send_if_modified(|report| {
                    report.heartbeat = heartbeat;
                    false
                });
            }
            Some(from_engine::Message::Tokens(answer)) => {
                self.queries.on_answer(answer.id, from_engine::Message::Tokens(answer));
            }
            Some(from_engine::Message::Text(answer)) => {
                self.queries.on_answer(answer.id, from_engine::Message::Text(answer));
            }
            Some(from_engine::Message::Count(answer)) => {
                self.queries.on_answer(answer.id, from_engine::Message::Count(answer));
            }
            Some(from_engine::Message::Embedded(answer)) => {
                self.stage = Stage::Serving { productive: true };
                self.queries.on_answer(answer.id, from_engine::Message::Embedded(answer));
                self.show_queue();
            }
            // A later engine may say more than this daemon knows.
            Some(from_engine::Message::Started(_)) | None => (),
        }
    }

    fn on_hello(&mut self, myself: &ActorRef<Message>, hello: Hello) {
        if hello.protocol_version != PROTOCOL_VERSION {
            let reason = format!(
                "{} speaks protocol {} and this daemon {PROTOCOL_VERSION}; install both from the \
                 same release",
                self.arguments.binary.display(),
                hello.protocol_version
            );
            let model = self.model().to_owned();
            self.fail(myself, Error::EngineUnavailable { model, reason, retry_after: COOL_DOWN });
            return;
        }
        let (path, build) = (self.arguments.path.clone(), hello.build.clone());
        let store = self.arguments.store.clone();
        let (life, myself) = (self.life, myself.clone());
        self.report(|report| report.hello = Some(hello));
        if !self.choice_key.is_empty() {
            // An earlier engine has looked already.
            return self.load();
        }
        let config = self.arguments.config.clone();
        self.tasks.spawn(async move {
            let key = move || choice_key(&path, &build, &cores(), &config);
            let key = tokio::task::spawn_blocking(key);
            let key = key.await.unwrap_or_default();
            // Without a store nothing is remembered, and the self test decides.
            let choice = store.engine_choice(&key).await.ok().flatten();
            let choice = choice.as_deref().and_then(Choice::decode);
            let tuning = store.engine_choice(&tuning_key(&key)).await.ok().flatten();
            let tuning = tuning.as_deref().and_then(Tuning::decode);
            let _ = myself.cast(Message::Remembered { life, key, choice, tuning });
        });
    }

    fn on_load_failed(&mut self, myself: &ActorRef<Message>, failed: LoadFailed) {
        let (model, failure) = (self.model().to_owned(), failed.failure());
        let error = match failure {
            LoadFailure::SelfTest => {
                // As good as a crash: the next rung may compute right.
                let exit = Exit { signal: Some(4), how: format!("wrong: {}", failed.message) };
                return self.on_exit(myself, &exit);
            }
            LoadFailure::NotExact if self.choice.rung == Rung::Defaults => {
                // Without repacked weights one row is computed as many are, on more CPUs.
                let exit = Exit { signal: Some(4), how: format!("not exact: {}", failed.message) };
                return self.on_exit(myself, &exit);
            }
            // Others took the memory meanwhile, and those who wait must not pay for that.
            LoadFailure::Memory if self.memory_tries > 0 => {
                self.memory_tries -= 1;
                return self.wait_for_memory(myself, &failed.message);
            }
            LoadFailure::Memory => Error::EngineUnavailable {
                model,
                reason: format!(
                    "{}; close other programs or lower engine.context_tokens",
                    failed.message
                ),
                retry_after: COOL_DOWN,
            },
            LoadFailure::Model
            | LoadFailure::Template
            | LoadFailure::Draft
            | LoadFailure::NotExact
            | LoadFailure::Unspecified => {
                Error::ModelInvalid { id: model, problem: failed.message }
            }
            LoadFailure::Request => Error::Internal { problem: failed.message },
        };
        self.fail(myself, error);
    }

    pub(super) fn on_exit(&mut self, myself: &ActorRef<Message>, exit: &Exit) {
        warn!(model = self.model(), how = exit.how, stage = ?self.stage, "engine died");
        self.process = None;
        // Whatever the process still says is of no interest.
        self.life += 1;
        let model = self.model().to_owned();
        let died = || Error::EngineCrashed { model: model.clone(), reason: exit.how.clone() };
        let requests = self.in_flight.len();
        self.in_flight.on_death(&exit.how, died);
        let failed = requests - self.in_flight.len();
        self.arguments.handle.performance().count_death(failed);
        self.queries.fail(&died(), false);
        self.show_queue();

        let now = self.epoch.elapsed();
        match recovery::after(exit, self.stage, &self.choice, &mut self.ledger, now, &model) {
            Next::Start { pause, choice } => {
                self.proven &= choice == self.choice;
                self.choice = choice;
                self.arguments.node.ended(&exit.how, true);
                self.report(|report| {
                    report.phase = Phase::Restarting(exit.how.clone());
                    report.pid = 0;
                    report.restarts += 1;
                });
                self.hand_over();
                drop(myself.send_after(pause, || Message::StartEngine));
            }
            Next::GiveUp(error) => {
                self.arguments.handle.performance().count_failed(self.in_flight.len());
                self.give_up(myself, error);
            }
        }
    }

    /// Kills an engine that has not given a sign of life for too long.
    pub(super) fn watch_for_hangs(&mut self) {
        let limit = match self.stage {
            Stage::Loading => self.arguments.config.load_timeout,
            Stage::Serving { .. } => self.arguments.config.step_timeout,
        };
        if self.last_sign.elapsed() > limit {
            self.kill_engine(format!("killed, as it gave no sign of life for {limit:?}"));
        }
    }

    /// Ends everything; called once, when the actor stops.
    pub(super) async fn stop(&mut self) {
        let error =
            Error::Cancelled { reason: format!("model {:?} was unloaded", self.arguments.model) };
        self.in_flight.end_all(&error);
        self.queries.fail(&error, true);
        self.tasks.shutdown().await;
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
        self.end_report(error);
    }

    /// As [`give_up`](Self::give_up), of an engine that has not died.
    fn fail(&mut self, myself: &ActorRef<Message>, error: Error) {
        self.arguments.handle.performance().count_death(self.in_flight.len());
        self.give_up(myself, error);
    }

    /// There will be no engine: everyone is told, and the worker ends.
    fn give_up(&mut self, myself: &ActorRef<Message>, error: Error) {
        error!(model = self.model(), %error, "engine given up");
        self.hand_over();
        self.in_flight.end_all(&error);
        self.queries.fail(&error, true);
        self.arguments.node.set_health(Health::Down);
        self.report(|report| report.phase = Phase::Failed(error));
        myself.stop(None);
    }

    fn send(&mut self, message: to_engine::Message) {
        let sent = self.process.as_ref().is_none_or(|process| process.send(message));
        if !sent {
            self.kill_engine("killed, as it stopped reading its socket".to_owned());
        }
    }

    fn kill_engine(&mut self, cause: String) {
        if let Some(process) = &mut self.process {
            process.kill(cause);
        }
    }

    fn report(&self, change: impl FnOnce(&mut Report)) {
        self.arguments.handle.report.send_modify(change);
    }

    /// The last report; the first one to say why wins.
    fn end_report(&self, error: Error) {
        self.report(|report| {
            report.pid = 0;
            if !matches!(report.phase, Phase::Failed(_)) {
                report.phase = Phase::Failed(error);
            }
        });
    }

    fn model(&self) -> &str {
        &self.arguments.model
    }
}
