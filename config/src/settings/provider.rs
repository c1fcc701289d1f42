//! The settings of one provider.

use std::time::Duration;

use super::Price;
use crate::Secret;

/// What a remote API speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderKind {
    /// The chat completions of `OpenAI`, which many others speak as well.
    OpenAi,
    /// The messages of Anthropic.
    Anthropic,
    /// The router of Hugging Face: chat completions, with errors of its own.
    HuggingFace,
    /// The chat of Ollama.
    Ollama,
}

impl ProviderKind {
    /// Where it is found when no address is set; for Ollama, on this machine.
    pub fn public_address(self) -> &'static str {
        match self {
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Anthropic => "https://api.anthropic.com",
            Self::HuggingFace => "https://router.huggingface.co/v1",
            Self::Ollama => "http://127.0.0.1:11434",
        }
    }

    /// What its models can usually do. Those of Hugging Face and Ollama are as different as can be.
    pub fn abilities(self) -> &'static [Ability] {
        match self {
            Self::OpenAi | Self::Anthropic => &[Ability::Vision, Ability::Tools, Ability::Json],
            Self::HuggingFace | Self::Ollama => &[Ability::Tools, Ability::Json],
        }
    }
}

/// What a model can do beside answering with text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// Look at pictures.
    Vision,
    /// Ask for tools and read their results.
    Tools,
    /// Answer with JSON, and obey a schema.
    Json,
}

/// One remote API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// What it speaks.
    pub kind: ProviderKind,
    /// Address below which the functions of the API are found, such as `https://host/v1`; no slash at
    /// the end.
    pub base_url: String,
    /// The model's name at that API.
    pub model: String,
    /// Where the key is kept; absent when the API needs none.
    pub api_key: Option<Secret>,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// Longest time from the request to the first token.
    pub first_token_timeout: Duration,
    /// Longest time between two tokens.
    pub idle_timeout: Duration,
    /// Longest time for one answer.
    pub total_timeout: Duration,
    /// Context of the remote model in tokens.
    pub context_tokens: u32,
    /// Longest answer in tokens.
    pub max_tokens: u32,
    /// Requests under way together.
    pub concurrency_max: u32,
    /// Its place among the providers where these are ordered: the lowest is asked first.
    pub priority: u32,
    /// How often it is asked first where the choice is weighted, compared to the others; 0 only
    /// when no other can answer.
    pub weight: u32,
    /// How long it is left alone when it fails. Doubles while it goes on failing, up to ten times
    /// as long.
    pub breaker_pause: Duration,
    /// What the remote model can do; when absent, what is usual for the kind.
    pub abilities: Option<Vec<Ability>>,
    /// How long Ollama keeps the model loaded; when absent, as Ollama likes. No other kind knows it.
    pub keep_alive: Option<Duration>,
    /// Most that it may cost in a day, in millionths of the currency.
    pub budget_day: Option<u64>,
    /// Most that it may cost in a month, in millionths of the currency.
    pub budget_month: Option<u64>,
    /// What it charges.
    pub price: Price,
}

impl Provider {
    /// Every default for the model `model` of the API at `base_url`.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            kind: ProviderKind::OpenAi,
            base_url: base_url.into(),
            model: model.into(),
            api_key: None,
            connect_timeout: Duration::from_secs(5),
            first_token_timeout: Duration::from_mins(1),
            idle_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_mins(5),
            context_tokens: 8192,
            max_tokens: 2048,
            concurrency_max: 8,
            priority: 10,
            weight: 1,
            breaker_pause: Duration::from_secs(30),
            abilities: None,
            keep_alive: None,
            budget_day: None,
            budget_month: None,
            price: Price::default(),
        }
    }

    /// Whether the remote model can do this.
    pub fn has(&self, ability: Ability) -> bool {
        self.abilities.as_deref().unwrap_or(self.kind.abilities()).contains(&ability)
    }
}
