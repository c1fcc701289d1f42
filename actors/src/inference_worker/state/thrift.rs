//! Following the ladder: what the engine is told, and when the next one takes its place.

use std::time::Duration;

use ractor::ActorRef;
use tandem_proto::engine::{Load, to_engine};
use tandem_proto::v1::{LadderStatus, Rung};
use tracing::{info, warn};

use super::super::ladder::{RUNGS, Shape};
use super::super::recovery::{COOL_DOWN, Stage};
use super::super::settings::{self, Choice};
use super::super::{Message, Phase};
use super::State;

/// How often it is waited for memory before the model counts as too large.
const MEMORY_TRIES: u32 = 2;

impl State {
    /// Does what the rungs in effect ask for. Starting anew waits for a moment in which nobody
    /// asks anything or is about to.
    pub(in super::super) fn follow_the_ladder(&mut self, myself: &ActorRef<Message>) {
        if !matches!(self.stage, Stage::Serving { .. }) || self.process.is_none() {
            return;
        }
        let given_up = self.given_up();
        if let Some(adjust) = self.thrift.adjust(&given_up) {
            info!(model = self.model(), ?given_up, ?adjust, "the engine gives way to the machine");
            self.send(to_engine::Message::Adjust(adjust));
        }
        let (given_up, now) = (self.given_up_at_loads(), self.epoch.elapsed());
        let Self { thrift, arguments, .. } = self;
        let due = thrift.is_due(&given_up, &arguments.config, now, arguments.dwell);
        if due && arguments.handle.requests() == 0 && arguments.lease.strong_count() <= 1 {
            self.start_anew(myself);
        }
    }

    /// Writes into a load request what only a load changes, and returns what of that is not as
    /// configured; empty when all is.
    pub(super) fn shape(&mut self, load: &mut Load) -> String {
        let config = &self.arguments.config;
        let configured = Shape::under(&[], config);
        let shape = Shape::under(&self.given_up_at_loads(), config);
        shape.apply(load);
        self.thrift.loads(load, shape);
        shape.describe(configured)
    }

    /// Why the machine has less than it should, for a person.
    pub(super) fn shortage(&self) -> String {
        let ladder = self.arguments.monitor.current().ladder.unwrap_or_default();
        let LadderStatus { reasons, .. } = ladder;
        if reasons.is_empty() {
            return "the machine is short of memory".to_owned();
        }
        reasons.join("; ")
    }

    /// The rungs in effect that concern engines.
    fn given_up(&self) -> Vec<Rung> {
        let monitor = &self.arguments.monitor;
        RUNGS.into_iter().filter(|rung| monitor.is_in_effect(*rung)).collect()
    }

    /// Those that count for contexts. Embeddings of texts of another length would be others, and
    /// without flash attention there are no keys and values in 8 bits.
    fn given_up_at_loads(&self) -> Vec<Rung> {
        if self.arguments.handle.facts().embedding_dimensions > 0 {
            return Vec::new();
        }
        let mut given_up = self.given_up();
        let plain = self.choice.settings().rung == settings::Rung::Plain;
        given_up.retain(|rung| !(plain && *rung == Rung::QuantizedKv));
        given_up
    }

    /// Ends the engine and starts the next one when its memory is back. What is asked meanwhile waits,
    /// as at every load.
    fn start_anew(&mut self, myself: &ActorRef<Message>) {
        info!(model = self.model(), "the engine is started anew, for another context");
        if !self.proven {
            // What this context led to need not hold for the next; what is remembered does.
            self.choice = Choice::first(self.arguments.config.use_extra_bufts);
            self.choice_key.clear();
        }
        self.memory_tries = MEMORY_TRIES;
        self.replace(myself, "starting the engine anew".to_owned(), Duration::ZERO);
    }

    /// Tries again in a while, as the engine that was started anew found no memory.
    pub(super) fn wait_for_memory(&mut self, myself: &ActorRef<Message>, problem: &str) {
        warn!(model = self.model(), problem, "the engine is started anew again in {COOL_DOWN:?}");
        self.replace(myself, format!("waits for memory: {problem}"), COOL_DOWN);
        self.hand_over();
    }

    /// Has the next engine started when this one is gone and the pause over.
    fn replace(&mut self, myself: &ActorRef<Message>, doing: String, pause: Duration) {
        let Some(process) = self.process.take() else { return };
        // Its end is no death.
        self.life += 1;
        self.stage = Stage::Loading;
        self.report(|report| {
            report.phase = Phase::Loading(0.0, doing);
            report.pid = 0;
        });
        let myself = myself.clone();
        self.tasks.spawn(async move {
            process.stop().await;
            tokio::time::sleep(pause).await;
            let _ = myself.cast(Message::StartEngine);
        });
    }
}
