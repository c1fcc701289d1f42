//! What of new settings can take effect in a daemon that runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Config, Engine, Knowledge, Memory, Models, Provider, Resources, Router, Security, Telemetry,
    kind::Kind,
    schema::{self, Visitor},
};

impl Config {
    /// These settings with those of `new` that take effect while a daemon runs: what a question is
    /// answered by. The others are built into what runs.
    #[must_use]
    pub fn reloaded(&self, new: &Self) -> Self {
        // Those that ask a provider who is not there yet would only fail.
        let mut named = new.experiments.values().flat_map(|it| it.variants.values());
        let known = named
            .all(|it| it.provider.as_ref().is_none_or(|name| self.providers.contains_key(name)));
        let experiments = if known { &new.experiments } else { &self.experiments };
        let (router, memory, knowledge) =
            (new.router.clone(), new.memory.clone(), new.knowledge.clone());
        Self {
            engine: Engine { max_tokens: new.engine.max_tokens, ..self.engine.clone() },
            models: Models { default: new.models.default.clone(), ..self.models.clone() },
            router: Router {
                running_max: self.router.running_max,
                waiting_max: self.router.waiting_max,
                providers: self.router.providers,
                hedge_after: self.router.hedge_after,
                budget: self.router.budget.clone(),
                ..router
            },
            memory: Memory {
                context_tokens: memory.context_tokens,
                system_prompt: memory.system_prompt,
                turns_max: memory.turns_max,
                context_strategy: memory.context_strategy,
                retrieval_percent: memory.retrieval_percent,
                summary_percent: memory.summary_percent,
                facts: memory.facts,
                facts_max: memory.facts_max,
                tell_facts: memory.tell_facts,
                ..self.memory.clone()
            },
            knowledge: Knowledge {
                passages: knowledge.passages,
                relevance: knowledge.relevance,
                diversity: knowledge.diversity,
                template: knowledge.template,
                templates: knowledge.templates,
                ..self.knowledge.clone()
            },
            resources: Resources {
                pressure: new.resources.pressure.clone(),
                ladder: new.resources.ladder.clone(),
                rates: new.resources.rates.clone(),
                ..self.resources.clone()
            },
            security: Security {
                store_key: self.security.store_key.clone(),
                ..new.security.clone()
            },
            flags: new.flags.clone(),
            experiments: experiments.clone(),
            telemetry: Telemetry {
                log: new.telemetry.log.clone(),
                log_format: self.telemetry.log_format,
                metrics: self.telemetry.metrics,
            },
            ..self.clone()
        }
    }

    /// The keys of the settings that are not the same in both.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let (ours, theirs) = (values(self), values(other));
        let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        let differs = |key: &&String| ours.get(*key) != theirs.get(*key);
        keys.into_iter().filter(differs).cloned().collect()
    }
}

/// Every setting as it would be written, by its key.
fn values(config: &Config) -> BTreeMap<String, String> {
    let mut reader = Reader::default();
    schema::visit(&mut config.clone(), &mut reader);
    reader.values
}

#[derive(Default)]
struct Reader {
    values: BTreeMap<String, String>,
    /// The table that is read, with a dot at its end.
    path: String,
}

impl Visitor for Reader {
    fn table(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        let outside = self.path.clone();
        self.path = format!("{outside}{name}.");
        inside(self);
        self.path = outside;
    }

    fn setting<T>(
        &mut self,
        key: &'static str,
        _: &'static str,
        slot: &mut T,
        kind: &impl Kind<T>,
    ) {
        if let Some(value) = kind.write(slot) {
            self.values.insert(format!("{}{key}", self.path), value);
        }
    }

    fn tables<T: Default>(
        &mut self,
        name: &str,
        slots: &mut BTreeMap<String, T>,
        inside: impl Fn(&mut T, &mut Self),
    ) {
        for (key, slot) in slots {
            self.table(&format!("{name}.{key}"), |reader| inside(slot, reader));
        }
    }

    fn providers(&mut self, slots: &mut BTreeMap<String, Provider>) {
        for (name, provider) in slots {
            self.table(&format!("providers.{name}"), |reader| {
                schema::visit_provider(provider, reader);
            });
        }
    }
}
