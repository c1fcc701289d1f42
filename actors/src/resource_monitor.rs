//! Watches the machine: memory, CPU and how long tasks wait for them.
//!
//! A sample reads a handful of small files on a blocking thread; the next one is due when it is
//! done and the interval has passed, so samples never pile up.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tandem_proto::v1::{Pressure, ResourceStatus};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::info;

use crate::Node;

mod pressure;
mod probe;
mod stall;

use probe::Probe;

/// Shortest pause between two samples; shorter ones say nothing about CPU use.
const SAMPLE_INTERVAL_MIN: Duration = Duration::from_millis(200);

/// How everyone else learns about the machine. Cheap to clone; outlives the actor's restarts.
#[derive(Debug, Clone)]
pub struct ResourceMonitor {
    status: Arc<watch::Sender<ResourceStatus>>,
}

impl ResourceMonitor {
    /// A monitor that nobody has started yet; all it knows is zero.
    #[must_use]
    pub fn new() -> Self {
        Self { status: Arc::new(watch::Sender::new(ResourceStatus::default())) }
    }

    /// The latest sample. There is one as soon as the actor has started.
    #[must_use]
    pub fn current(&self) -> ResourceStatus {
        *self.status.borrow()
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

/// The actor behind a [`ResourceMonitor`].
#[derive(Debug, Clone, Copy)]
pub struct ResourceMonitorActor;

impl Actor for ResourceMonitorActor {
    type Msg = Message;
    type State = Arguments;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<Arguments, ActorProcessingErr> {
        let probe = spawn_blocking(Probe::new).await??;
        sample(&myself, &arguments, Box::new(probe)).await?;
        Ok(arguments)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        Message::Sample(probe): Message,
        arguments: &mut Arguments,
    ) -> Result<(), ActorProcessingErr> {
        sample(&myself, arguments, probe).await
    }
}

/// Samples, publishes, and makes the next sample due.
async fn sample(
    myself: &ActorRef<Message>,
    arguments: &Arguments,
    mut probe: Box<Probe>,
) -> Result<(), ActorProcessingErr> {
    let (probe, mut status) = spawn_blocking(move || {
        let status = probe.sample();
        (probe, status)
    })
    .await?;
    let before = arguments.handle.current().pressure();
    let after = pressure::next(before, &status);
    status.set_pressure(after);
    if after.max(before) > Pressure::Low && after != before {
        let available_mib = status.memory_available_bytes >> 20;
        info!(actor = arguments.node.name(), ?before, ?after, available_mib, "pressure changed");
    }
    arguments.handle.status.send_replace(status);
    let pause = arguments.sample_interval.max(SAMPLE_INTERVAL_MIN);
    drop(myself.send_after(pause, move || Message::Sample(probe)));
    Ok(())
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
        assert!(first.pressure() >= Pressure::Low);

        let mut samples = monitor.watch();
        for _ in 0..2 {
            samples.changed().await.unwrap();
            let used = samples.borrow_and_update().cpu_used;
            assert!((0.0..=1.0).contains(&used), "{used}");
        }
        actor.stop(None);
        ended.await.unwrap();
    }
}
