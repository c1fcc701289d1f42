//! Watches the machine: memory, CPU, how long tasks wait for them, heat, battery. Says how hard it is
//! pressed and what is given up for its sake.
//!
//! A sample reads a handful of small files on a blocking thread; the next one is due when it is
//! done and the interval has passed, so samples never pile up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tandem_config::Resources;
use tandem_proto::v1::{Degraded, LadderStatus, Pressure, ResourceStatus, Rung};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::info;

use crate::{Error, Node, Result};

mod engines;
mod ladder;
mod pressure;
mod probe;
mod sensors;
mod stall;

use ladder::Ladder;
use probe::Probe;

/// Shortest pause between two samples; shorter ones say nothing about CPU use.
const SAMPLE_INTERVAL_MIN: Duration = Duration::from_millis(200);
/// When to ask again for what is given up now.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// How everyone else learns about the machine. Cheap to clone; outlives the actor's restarts.
#[derive(Debug, Clone)]
pub struct ResourceMonitor {
    status: Arc<watch::Sender<ResourceStatus>>,
    /// What the user set, which the next sample is judged by.
    settings: Arc<watch::Sender<Resources>>,
}

impl ResourceMonitor {
    /// A monitor that nobody has started yet; all it knows is zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            status: Arc::new(watch::Sender::new(ResourceStatus::default())),
            settings: Arc::new(watch::Sender::new(Resources::default())),
        }
    }

    /// Judges the machine by other settings from the next sample on.
    pub fn set(&self, settings: Resources) {
        self.settings.send_replace(settings);
    }

    /// The latest sample. There is one as soon as the actor has started.
    #[must_use]
    pub fn current(&self) -> ResourceStatus {
        self.status.borrow().clone()
    }

    /// The lowest rung of the ladder that is in effect.
    #[must_use]
    pub fn rung(&self) -> Rung {
        let rung = self.status.borrow().ladder.as_ref().map(LadderStatus::rung);
        rung.unwrap_or_default().max(Rung::Full)
    }

    /// Whether what `rung` gives up is given up now. The settings can leave out a rung that lower
    /// ones would bring about.
    #[must_use]
    pub fn is_in_effect(&self, rung: Rung) -> bool {
        rung <= self.rung() && ladder::has(&self.settings.borrow().ladder, rung)
    }

    /// What is given up now, and why; `None` when nothing is.
    #[must_use]
    pub fn degraded(&self) -> Option<Degraded> {
        let ladder = self.status.borrow().ladder.clone()?;
        let reasons = ladder.reasons.clone();
        (ladder.rung() > Rung::Full).then_some(Degraded { rung: ladder.rung, reasons })
    }

    /// What a person is told of `degraded`, as a sentence.
    pub(crate) fn explain(degraded: &Degraded) -> String {
        format!("{}: {}", ladder::what(degraded.rung()), degraded.reasons.join("; "))
    }

    /// Why work had better not be done on this machine, or must not be: `rung` is in effect.
    pub(crate) fn obstacle(&self, rung: Rung) -> Option<Error> {
        let degraded = self.degraded().filter(|_| self.is_in_effect(rung))?;
        let what = format!("the machine is short, and {}", Self::explain(&degraded));
        Some(Error::Overloaded { what, retry_after: RETRY_AFTER })
    }

    /// Lets models of this machine compute something new, unless nothing is computed here now.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] with what the machine lacks.
    pub fn let_compute(&self) -> Result<()> {
        self.obstacle(Rung::Template).map_or(Ok(()), Err)
    }

    /// Publishes a rung that nothing has led to.
    #[cfg(test)]
    pub(crate) fn pretend(&self, rung: Rung) {
        let ladder = LadderStatus { rung: rung.into(), ..LadderStatus::default() };
        self.status.send_replace(ResourceStatus { ladder: Some(ladder), ..Default::default() });
    }

    /// Wakes with every sample.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<ResourceStatus> {
        self.status.subscribe()
    }
}

impl Default for ResourceMonitor {
    fn default() -> Self {
        Self::new()
    }
}

/// How to start the actor.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// Pause between two samples.
    pub sample_interval: Duration,
    /// A folder on the disk whose space is told.
    pub data_dir: PathBuf,
    /// Where the samples are published.
    pub handle: ResourceMonitor,
    /// The actor's place in the tree.
    pub node: Node,
}

/// Messages of the actor, which only it sends to itself.
#[derive(Debug)]
pub enum Message {
    /// The next sample is due.
    Sample(Box<Probe>),
}

/// What the actor knows between two samples.
#[derive(Debug)]
pub struct State {
    arguments: Arguments,
    ladder: Ladder,
    started: Instant,
}

/// The actor behind a [`ResourceMonitor`].
#[derive(Debug, Clone, Copy)]
pub struct ResourceMonitorActor;

impl Actor for ResourceMonitorActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let data_dir = arguments.data_dir.clone();
        let probe = spawn_blocking(|| Probe::new(data_dir)).await??;
        // An earlier life may have left it on a lower rung.
        let ladder = Ladder::resume(&arguments.handle.current(), Duration::ZERO);
        let mut state = State { arguments, ladder, started: Instant::now() };
        state.sample(&myself, Box::new(probe)).await?;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        Message::Sample(probe): Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.sample(&myself, probe).await
    }
}

impl State {
    /// Samples, publishes, and makes the next sample due.
    async fn sample(
        &mut self,
        myself: &ActorRef<Message>,
        mut probe: Box<Probe>,
    ) -> Result<(), ActorProcessingErr> {
        let (probe, sample) = spawn_blocking(move || {
            let sample = probe.sample();
            (probe, sample)
        })
        .await?;
        self.publish(sample);
        let pause = self.arguments.sample_interval.max(SAMPLE_INTERVAL_MIN);
        drop(myself.send_after(pause, move || Message::Sample(probe)));
        Ok(())
    }

    fn publish(&mut self, mut sample: ResourceStatus) {
        let Arguments { handle, node, .. } = &self.arguments;
        let (actor, now) = (node.name(), self.started.elapsed());
        let moved = self.ladder.look(now, &sample, &handle.settings.borrow());
        let (before, after) = (handle.current().pressure(), self.ladder.pressure());
        if after.max(before) > Pressure::Low && after != before {
            let available_mib = sample.memory_available_bytes >> 20;
            info!(actor, ?before, ?after, available_mib, "pressure changed");
        }
        let status = self.ladder.status(now);
        if let Some(ladder::Move { from, to }) = moved {
            info!(actor, ?from, ?to, reasons = ?status.reasons, "{}", ladder::what(to));
        }
        sample.set_pressure(after);
        sample.ladder = Some(status);
        handle.status.send_replace(sample);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::Tree;

    #[tokio::test]
    async fn the_first_sample_is_there_after_the_start_and_others_follow() {
        let monitor = ResourceMonitor::new();
        let (actor, ended) = Actor::spawn(
            None,
            ResourceMonitorActor,
            Arguments {
                sample_interval: Duration::ZERO,
                data_dir: std::env::temp_dir(),
                handle: monitor.clone(),
                node: Tree::new().root("resource_monitor"),
            },
        )
        .await
        .unwrap();

        let first = monitor.current();
        assert!(first.cores > 0 && first.daemon_memory_bytes > 0);
        assert!(first.memory_available_bytes > 0);
        assert!(first.memory_available_bytes <= first.memory_total_bytes);
        assert!(first.disk_free_bytes.is_some_and(|bytes| bytes > 0));
        assert!(first.pressure() >= Pressure::Low);
        assert!(first.ladder.unwrap().rung() >= Rung::Full);

        let mut samples = monitor.watch();
        for _ in 0..2 {
            samples.changed().await.unwrap();
            let used = samples.borrow_and_update().cpu_used;
            assert!((0.0..=1.0).contains(&used), "{used}");
        }
        actor.stop(None);
        ended.await.unwrap();
    }

    /// An actor that judges any machine as critical.
    async fn pressed(
        monitor: &ResourceMonitor,
    ) -> (ActorRef<Message>, tokio::task::JoinHandle<()>) {
        let mut settings = Resources::default();
        settings.pressure.memory_available = [1.0, 1.0, 1.0, 0.0];
        monitor.set(settings);
        let arguments = Arguments {
            sample_interval: Duration::ZERO,
            data_dir: std::env::temp_dir(),
            handle: monitor.clone(),
            node: Tree::new().root("resource_monitor"),
        };
        Actor::spawn(None, ResourceMonitorActor, arguments).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_given_up_is_told_with_its_reason_until_other_settings_bring_it_back() {
        let monitor = ResourceMonitor::new();
        assert_eq!(monitor.degraded(), None);
        let (actor, ended) = pressed(&monitor).await;
        assert_eq!(monitor.rung(), Rung::Remote);
        let degraded = monitor.degraded().unwrap();
        assert!(degraded.reasons[0].contains("memory are available (less than"), "{degraded:?}");
        let error = monitor.obstacle(Rung::Remote).unwrap();
        assert!(matches!(error, Error::Overloaded { .. }), "{error}");
        assert_eq!(monitor.let_compute(), Ok(()));

        let mut settings = Resources::default();
        settings.pressure.memory_available = [0.0; 4];
        settings.pressure.cpu_stalled = [1.0; 4];
        settings.pressure.io_stalled = [1.0; 4];
        settings.pressure.memory_stalled = [1.0; 4];
        settings.ladder.dwell = Duration::ZERO;
        settings.ladder.calm = Duration::ZERO;
        monitor.set(settings);
        let full = |status: &ResourceStatus| {
            status.ladder.as_ref().is_some_and(|ladder| ladder.rung() == Rung::Full)
        };
        monitor.watch().wait_for(full).await.unwrap();
        assert_eq!(monitor.degraded(), None);
        actor.stop(None);
        ended.await.unwrap();
    }

    #[tokio::test]
    async fn a_monitor_that_is_restarted_stays_on_its_rung_and_one_left_out_is_not_in_effect() {
        let monitor = ResourceMonitor::new();
        let (actor, ended) = pressed(&monitor).await;
        actor.stop(None);
        ended.await.unwrap();
        let mut settings = Resources::default();
        settings.ladder.rungs[0] = None;
        monitor.set(settings);
        let (actor, ended) = Actor::spawn(
            None,
            ResourceMonitorActor,
            Arguments {
                sample_interval: Duration::ZERO,
                data_dir: std::env::temp_dir(),
                handle: monitor.clone(),
                node: Tree::new().root("resource_monitor"),
            },
        )
        .await
        .unwrap();
        assert_eq!(monitor.rung(), Rung::Remote);
        assert!(monitor.is_in_effect(Rung::ShorterContext));
        assert!(!monitor.is_in_effect(Rung::FewerThreads));
        assert!(!monitor.is_in_effect(Rung::Template));
        actor.stop(None);
        ended.await.unwrap();
    }
}
