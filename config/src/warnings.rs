//! What is allowed in settings and probably not meant.

use std::path::Path;

use crate::Config;

impl Config {
    /// What will not work as it stands on this machine, each a sentence. Reads files and variables.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (name, provider) in &self.providers {
            if let Some(Err(error)) = provider.api_key.as_ref().map(crate::Secret::read) {
                warnings.push(format!("providers.{name}.api_key: {error}"));
            }
        }
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
}
