//! What the settings of one provider ask of each other.

use super::Reader;
use crate::{
    Provider, ProviderKind,
    kind::{Address, Kind as _},
};

/// Functions of the APIs, which belong to no address.
const FUNCTIONS: [&str; 3] = ["/chat/completions", "/messages", "/api/chat"];

impl Reader {
    /// Finds the address, and refuses what does not fit the kind. Called within the provider's table.
    pub(super) fn settle_provider(&mut self, provider: &mut Provider) {
        let key = self.key("base_url");
        let kind = provider.kind;
        if let Some(origin) = self.origins.get(&key).cloned() {
            match address(kind, &provider.base_url) {
                Ok(address) => provider.base_url = address,
                Err(problem) => self.refuse(origin, key, problem),
            }
        } else if self.origins.contains_key(&self.key("kind")) {
            kind.public_address().clone_into(&mut provider.base_url);
        } else if !self.problems.iter().any(|problem| problem.key == key) {
            // Where no kind was chosen, nothing may be sent to one that nobody thought of.
            let message = format!(
                "is missing; write {}, or leave it out beside a kind, whose own is then meant",
                Address.allowed()
            );
            self.refuse(self.table.origin.clone(), key, message);
        }

        let key = self.key("keep_alive");
        if let Some(origin) = self.origins.get(&key).cloned()
            && kind != ProviderKind::Ollama
        {
            let message = "is for kind = \"ollama\" only; leave it out".to_owned();
            self.refuse(origin, key, message);
        }
    }
}

/// The address below which the functions of the kind are found.
fn address(kind: ProviderKind, written: &str) -> Result<String, String> {
    if let Some(function) = FUNCTIONS.iter().find(|function| written.ends_with(*function)) {
        return Err(format!("= {written:?} ends in a function of the API; leave {function} out"));
    }
    let address = match kind {
        ProviderKind::OpenAi | ProviderKind::HuggingFace => Some(written),
        // Both forms are in use.
        ProviderKind::Anthropic => Some(written.strip_suffix("/v1").unwrap_or(written)),
        ProviderKind::Ollama if written.ends_with("/v1") => None,
        ProviderKind::Ollama => Some(written.strip_suffix("/api").unwrap_or(written)),
    };
    address.map(str::to_owned).ok_or_else(|| {
        format!(
            "= {written:?} is where Ollama speaks as OpenAI does; leave /v1 out, or write \
             kind = \"openai\""
        )
    })
}
