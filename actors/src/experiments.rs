//! Which variant of each experiment a conversation gets, and which features.
//!
//! A conversation keeps its variants for as long as it lasts, across restarts, as they follow from
//! its id alone. Experiments are dealt out independently of each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use tandem_config::{Config, Experiment, Flags, Policy, Variant};
use tandem_proto::v1::{AskRequest, VariantName};

mod deal;
pub mod feedback;
mod listing;
mod outcome;
mod recent;

use deal::Hand;
pub use listing::report;
pub use outcome::{Outcome, OutcomeAnswer};
pub(crate) use outcome::{add, verdict};
pub use recent::{Answered, Recent};

/// The experiments and flags of the settings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Experiments {
    experiments: Arc<BTreeMap<String, Experiment>>,
    flags: Flags,
}

/// A feature that only a part of the conversations gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// The slow track takes over when the local model is not sure.
    Cascade,
    /// A second provider is asked when the first is late.
    Hedge,
}

/// The variants of one turn, and what they change.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Assignment {
    /// One for each experiment that the turn is part of.
    pub variants: Vec<VariantName>,
    /// What is different. No two experiments vary the same.
    pub overrides: Overrides,
}

/// Settings that hold for one turn in place of the configured ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// Model of the fast track.
    pub model: Option<String>,
    /// Provider that the slow track prefers. The caller did not name it: others may cover for it.
    pub provider: Option<String>,
    /// Policy, where neither request nor conversation has one.
    pub policy: Option<Policy>,
    /// First message of the context.
    pub system_prompt: Option<String>,
    /// Score from which the question goes to the slow track.
    pub slow_threshold: Option<f64>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
}

impl Experiments {
    /// Those of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { experiments: Arc::new(config.experiments.clone()), flags: config.flags.clone() }
    }

    /// The variants for `key`, the id of a conversation, or of a turn of its own.
    ///
    /// A request that itself says what an experiment varies is not part of that experiment.
    #[must_use]
    pub fn assign(&self, key: &str, request: &AskRequest) -> Assignment {
        let mut assignment = Assignment::default();
        for (name, experiment) in self.experiments.iter().filter(|(_, it)| it.enabled) {
            let mut varied = experiment.variants.values().flat_map(Variant::varied);
            if varied.any(|setting| says(request, setting)) {
                continue;
            }
            let hand = Hand::new(name, &experiment.salt, key);
            let weights = experiment.variants.iter().map(|(name, variant)| (name, variant.weight));
            if !hand.is_in(experiment.share) {
                continue;
            }
            if let Some(variant) = hand.pick(weights) {
                let id = VariantName { experiment: name.clone(), variant: variant.clone() };
                assignment.variants.push(id);
                if let Some(variant) = experiment.variants.get(variant) {
                    assignment.overrides.take(variant);
                }
            }
        }
        assignment
    }

    /// Whether the conversation or turn `key` gets `feature`, provided that the settings turn it on.
    #[must_use]
    pub fn gets(&self, feature: Feature, key: &str) -> bool {
        let (name, share) = match feature {
            Feature::Cascade => ("flags.cascade", self.flags.cascade),
            Feature::Hedge => ("flags.hedge", self.flags.hedge),
        };
        Hand::new(name, "", key).is_in(share)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Experiment)> {
        self.experiments.iter().map(|(name, experiment)| (name.as_str(), experiment))
    }
}

impl Overrides {
    fn take(&mut self, variant: &Variant) {
        fn over<T: Clone>(slot: &mut Option<T>, value: Option<&T>) {
            if let Some(value) = value {
                *slot = Some(value.clone());
            }
        }
        over(&mut self.model, variant.model.as_ref());
        over(&mut self.provider, variant.provider.as_ref());
        over(&mut self.policy, variant.policy.as_ref());
        over(&mut self.system_prompt, variant.system_prompt.as_ref());
        over(&mut self.slow_threshold, variant.slow_threshold.as_ref());
        over(&mut self.temperature, variant.temperature.as_ref());
    }
}

/// Whether the request itself says what `setting` is.
fn says(request: &AskRequest, setting: &str) -> bool {
    let sampling = request.sampling.as_ref();
    match setting {
        "model" => !request.model.is_empty(),
        "provider" => !request.provider.is_empty(),
        // Where the policy is given, so is how the track is found.
        "policy" | "slow_threshold" => request.policy != 0 || !request.provider.is_empty(),
        "system_prompt" => request.system.is_some(),
        "temperature" => sampling.is_some_and(|sampling| sampling.temperature.is_some()),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
