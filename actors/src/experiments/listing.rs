//! Experiments as they are shown: what the settings say, and what came of it.

use std::collections::BTreeMap;

use tandem_config as config;
use tandem_proto::v1::{Experiment, Outcomes, Variant, VariantName};

use super::Experiments;

/// All experiments, those that only have outcomes included.
#[must_use]
pub fn report(
    experiments: &Experiments,
    outcomes: Vec<(VariantName, Outcomes)>,
) -> Vec<Experiment> {
    let mut all: BTreeMap<String, (Experiment, BTreeMap<String, Variant>)> = BTreeMap::new();
    for (name, settings) in experiments.iter() {
        let (enabled, share) = (settings.enabled, settings.share);
        let shown = Experiment { name: name.to_owned(), enabled, share, variants: Vec::new() };
        let variants = settings.variants.iter().map(|(name, variant)| {
            let shown = Variant {
                name: name.clone(),
                weight: variant.weight,
                settings: different(variant),
                outcomes: None,
            };
            (name.clone(), shown)
        });
        all.insert(name.to_owned(), (shown, variants.collect()));
    }
    for (VariantName { experiment, variant }, outcomes) in outcomes {
        let (_, variants) = all.entry(experiment).or_insert_with_key(|name| {
            (Experiment { name: name.clone(), ..Experiment::default() }, BTreeMap::new())
        });
        let shown = variants
            .entry(variant)
            .or_insert_with_key(|name| Variant { name: name.clone(), ..Variant::default() });
        shown.outcomes = Some(outcomes);
    }
    let shown = all.into_values().map(|(experiment, variants)| Experiment {
        variants: variants.into_values().collect(),
        ..experiment
    });
    shown.collect()
}

fn different(variant: &config::Variant) -> Vec<String> {
    let config::Variant {
        weight: _,
        model,
        provider,
        policy,
        system_prompt,
        slow_threshold,
        temperature,
    } = variant;
    let text = |key: &str, value: Option<&String>| value.map(|it| format!("{key} = {it:?}"));
    let number = |key: &str, value: Option<f64>| value.map(|it| format!("{key} = {it}"));
    let policy = policy.map(|policy| format!("{policy:?}").to_lowercase());
    [
        text("model", model.as_ref()),
        text("provider", provider.as_ref()),
        text("policy", policy.as_ref()),
        text("system_prompt", system_prompt.as_ref()),
        number("slow_threshold", *slow_threshold),
        number("temperature", *temperature),
    ]
    .into_iter()
    .flatten()
    .collect()
}
