//! What is allowed in settings and probably not meant.

use std::path::Path;

use crate::{Config, KnowledgeBackend};

impl Config {
    /// What will not work as it stands on this machine, each a sentence. Reads files and variables.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (name, provider) in &self.providers {
            if let Some(Err(error)) = provider.api_key.as_ref().map(crate::Secret::read) {
                warnings.push(format!("providers.{name}.api_key: {error}"));
            }
        }
        if let Some(Err(error)) = self.security.store_key.as_ref().map(crate::Secret::read) {
            warnings.push(format!("security.store_key: {error}; until then the caches are off"));
        }
        let pull = &self.models.pull;
        for (key, secret) in [
            ("hf_token", &pull.hf_token),
            ("s3_access_key", &pull.s3_access_key),
            ("s3_secret_key", &pull.s3_secret_key),
        ] {
            if let Some(Err(error)) = secret.as_ref().map(crate::Secret::read) {
                warnings.push(format!("models.pull.{key}: {error}"));
            }
        }
        let chroma = &self.knowledge.chroma;
        if self.knowledge.backend == KnowledgeBackend::Chroma
            && let Some(Err(error)) = chroma.token.as_ref().map(crate::Secret::read)
        {
            warnings.push(format!("knowledge.chroma.token: {error}"));
        }
        self.warn_of_prices(&mut warnings);
        let model = &self.models.default;
        if model.contains('/') && !Path::new(model).exists() {
            warnings.push(format!("models.default = {model:?} does not exist"));
        }
        if let Some(binary) = self.engine.binary.as_deref().filter(|binary| !binary.exists()) {
            warnings.push(format!("engine.binary = \"{}\" does not exist", binary.display()));
        }
        let (memory, engine) = (self.memory.context_tokens, self.engine.context_tokens);
        if memory > engine {
            warnings.push(format!(
                "memory.context_tokens = {memory} is more than engine.context_tokens = {engine}; \
                 the local model gets no more than the latter"
            ));
        }
        warnings
    }

    /// A budget holds only for what has a price.
    fn warn_of_prices(&self, warnings: &mut Vec<String>) {
        let budget = &self.router.budget;
        let shared = budget.day.or(budget.month).or(budget.target).is_some();
        for (name, provider) in &self.providers {
            let price = &provider.price;
            let own = provider.budget_day.or(provider.budget_month).is_some();
            if !price.is_known() {
                if shared || own {
                    warnings.push(format!(
                        "providers.{name} has no price, so that it costs nothing in any budget; \
                         set providers.{name}.price (0 when it is free)"
                    ));
                }
                continue;
            }
            for (key, set) in [
                ("input_per_million", price.input_per_million.is_some()),
                ("output_per_million", price.output_per_million.is_some()),
            ] {
                if !set && price.per_request.is_none() {
                    warnings
                        .push(format!("providers.{name}.price.{key} is not set and counts as 0"));
                }
            }
        }
    }
}
