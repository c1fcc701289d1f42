//! Loading: what the engine is told, and what is remembered when it could do it.

use tandem_proto::engine::{Loaded, to_engine};
use tandem_proto::v1::Health;
use tracing::{info, warn};

use super::super::recovery::Stage;
use super::super::settings::{Choice, allow_prefixes, allow_speculation, also, request};
use super::super::tuning::Tuning;
use super::super::{Arguments, Phase};
use super::State;

impl State {
    pub(in super::super) fn on_remembered(
        &mut self,
        key: String,
        remembered: Option<Choice>,
        tuning: Option<Tuning>,
    ) {
        self.choice_key = key;
        if let Some(choice) = remembered {
            self.choice = choice;
            self.proven = true;
        }
        if let Some(tuning) = tuning {
            if let Some(choice) = tuning.choice(&self.choice) {
                self.choice = choice;
                self.proven = true;
            }
            self.arguments.handle.performance().set_tuning(tuning);
        }
        self.load();
    }

    pub(super) fn load(&mut self) {
        let Arguments { config, path, template, draft, .. } = &self.arguments;
        let mut load = request(config, path, template);
        self.choice.settings().apply(&mut load);
        let available = self.arguments.monitor.current().memory_available_bytes;
        let free = available.saturating_sub(self.arguments.handle.facts().memory_estimate_bytes);
        allow_speculation(&mut load, config, draft.as_deref());
        allow_prefixes(&mut load, config, &self.arguments.prefix_dir, free);
        let given_up = self.shape(&mut load);
        // Other kernels see to keys and values of another kind, so they are tried each time.
        load.self_test = !self.proven || !given_up.is_empty();
        self.arguments.node.set_health(Health::Starting);
        let Choice { reason, source, .. } = self.choice.clone();
        let (settings, reason) =
            also(self.choice.settings().describe(), reason, &given_up, || self.shortage());
        self.report(|report| {
            report.settings = settings;
            report.settings_reason = reason;
            report.settings_source = source.into();
        });
        self.send(to_engine::Message::Load(load));
    }

    pub(super) fn on_loaded(&mut self, loaded: Loaded) {
        let settings = self.arguments.handle.report.borrow().settings.clone();
        info!(model = self.model(), settings, gpu_layers = loaded.gpu_layers, "model loaded");
        for notice in &loaded.notices {
            warn!(model = self.model(), notice, "the engine is not as it was asked for");
        }
        self.stage = Stage::Serving { productive: false };
        self.thrift.has_loaded(loaded.threads);
        self.memory_tries = 0;
        self.arguments.node.started();
        self.remember();
        self.report(|report| {
            report.phase = Phase::Ready;
            report.loaded = Some(loaded);
        });
    }

    /// Stores the settings that the self test has just proven. What works in another shape than the
    /// configured one says nothing of that.
    fn remember(&mut self) {
        if self.proven || !self.thrift.is_as_configured(&self.arguments.config) {
            return;
        }
        self.proven = true;
        let (store, key) = (self.arguments.store.clone(), self.choice_key.clone());
        let choice = self.choice.encode();
        self.tasks.spawn(async move {
            if let Err(error) = store.remember_engine_choice(&key, &choice).await {
                warn!(%error, "engine settings are not remembered; the next load tests them again");
            }
        });
    }
}
