//! Variants of settings that are compared with each other, and features that only a part gets.

use std::collections::BTreeMap;

use crate::Policy;

/// Variants of settings, each for a part of the conversations.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// Whether it is under way.
    pub enabled: bool,
    /// Share of all conversations that take part, 0 to 1.
    pub share: f64,
    /// Another text here deals the conversations out anew.
    pub salt: String,
    /// What is compared, by name.
    pub variants: BTreeMap<String, Variant>,
}

impl Default for Experiment {
    fn default() -> Self {
        Self { enabled: true, share: 1.0, salt: String::new(), variants: BTreeMap::new() }
    }
}

/// What is different for a part of an experiment. What is absent is as it is without.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Size of its part, compared with those of the others.
    pub weight: u32,
    /// Model of the fast track: a catalog id or a path.
    pub model: Option<String>,
    /// Provider of the slow track.
    pub provider: Option<String>,
    /// Policy of a question that names none.
    pub policy: Option<Policy>,
    /// First message of every context.
    pub system_prompt: Option<String>,
    /// Score from which a question goes to the slow track, 0 to 1.
    pub slow_threshold: Option<f64>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
}

impl Default for Variant {
    fn default() -> Self {
        Self {
            weight: 1,
            model: None,
            provider: None,
            policy: None,
            system_prompt: None,
            slow_threshold: None,
            temperature: None,
        }
    }
}

impl Variant {
    /// Keys of what is different.
    pub fn varied(&self) -> Vec<&'static str> {
        let varied = [
            ("model", self.model.is_some()),
            ("provider", self.provider.is_some()),
            ("policy", self.policy.is_some()),
            ("system_prompt", self.system_prompt.is_some()),
            ("slow_threshold", self.slow_threshold.is_some()),
            ("temperature", self.temperature.is_some()),
        ];
        varied.into_iter().filter(|(_, varied)| *varied).map(|(key, _)| key).collect()
    }
}

/// Features that the settings turn on, for the share of conversations that gets them, 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Flags {
    /// The slow track takes over when the local model is not sure of its answer.
    pub cascade: f64,
    /// A second provider is asked when the first is late.
    pub hedge: f64,
}

impl Default for Flags {
    fn default() -> Self {
        Self { cascade: 1.0, hedge: 1.0 }
    }
}
