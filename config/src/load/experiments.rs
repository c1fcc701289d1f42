//! What experiments ask of each other and of the other settings.

use std::collections::BTreeMap;

use super::Reader;
use crate::{Config, Experiment, Origin, Policy, Variant};

impl Reader {
    /// Refuses experiments that could tell nothing, or that could break a promise.
    pub(super) fn settle_experiments(&mut self, config: &Config) {
        let mut varied: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, experiment) in config.experiments.iter().filter(|(_, it)| it.enabled) {
            let key = format!("experiments.{name}");
            let weighed = experiment.variants.values().filter(|variant| variant.weight > 0).count();
            if weighed < 2 {
                let message = "compares nothing; write two variants or more whose weight is above 0, \
                               or enabled = false";
                self.refuse(self.made_at(&key), key, message.into());
                continue;
            }
            for setting in keys(experiment) {
                if let Some(other) = varied.insert(setting, name) {
                    let message = format!(
                        "and experiments.{other} both vary {setting}, so that neither could be told \
                         from the other; set enabled = false in one of them"
                    );
                    self.refuse(self.made_at(&key), key.clone(), message);
                }
            }
            self.settle_variants(&key, experiment, config);
        }
    }

    fn settle_variants(&mut self, key: &str, experiment: &Experiment, config: &Config) {
        for (name, variant) in &experiment.variants {
            let key = format!("{key}.variants.{name}");
            let stays = matches!(variant.policy, None | Some(Policy::Fast | Policy::Private));
            if config.router.policy == Policy::Private && !stays {
                let message = "would send questions away that router.policy = \"private\" keeps here; \
                               leave it out, or change router.policy";
                let key = format!("{key}.policy");
                self.refuse(self.made_at(&key), key, message.into());
            }
            if let Some(provider) = &variant.provider
                && !config.providers.contains_key(provider)
            {
                let known: Vec<_> = config.providers.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let message = format!("= {provider:?} is not configured; there is {known}");
                let key = format!("{key}.provider");
                self.refuse(self.made_at(&key), key, message);
            }
        }
    }

    /// Where the setting `key`, or the first one below it, was made.
    fn made_at(&self, key: &str) -> Origin {
        let mut below = self.origins.range(key.to_owned()..).filter(|(it, _)| it.starts_with(key));
        below.next().map_or(Origin::Default, |(_, origin)| origin.clone())
    }
}

/// What any variant varies.
fn keys(experiment: &Experiment) -> Vec<&'static str> {
    let mut keys: Vec<_> = experiment.variants.values().flat_map(Variant::varied).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}
