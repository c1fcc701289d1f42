//! Settings of experiments and flags.

use super::Visitor;
use super::router::POLICIES;
use crate::{
    Experiment, Flags, Variant,
    kind::{Flag, Fraction, Integer, Optional, Share, Temperature, Text},
};

pub(super) fn visit_experiment(experiment: &mut Experiment, v: &mut impl Visitor) {
    v.setting("enabled", "whether it is under way", &mut experiment.enabled, &Flag);
    v.setting(
        "share",
        "share of conversations that take part, 0 to 1",
        &mut experiment.share,
        &Fraction,
    );
    v.setting(
        "salt",
        "another text deals the conversations out anew",
        &mut experiment.salt,
        &Text(0..=64),
    );
    v.tables("variants", &mut experiment.variants, visit_variant);
}

fn visit_variant<V: Visitor>(variant: &mut Variant, v: &mut V) {
    v.setting(
        "weight",
        "size of its part, compared with the others",
        &mut variant.weight,
        &Integer(0..=1_000_000),
    );
    v.setting(
        "model",
        "model of the fast track: an id or a path",
        &mut variant.model,
        &Optional(Text(1..=4096), "\"another\""),
    );
    v.setting(
        "provider",
        "provider of the slow track",
        &mut variant.provider,
        &Optional(Text(1..=64), "\"another\""),
    );
    v.setting(
        "policy",
        "policy of a question that names none",
        &mut variant.policy,
        &Optional(POLICIES, "\"auto\""),
    );
    v.setting(
        "system_prompt",
        "first message of every context",
        &mut variant.system_prompt,
        &Optional(Text(0..=64 << 10), "\"You are brief.\""),
    );
    v.setting(
        "slow_threshold",
        "score from which a question goes to the slow track, 0 to 1",
        &mut variant.slow_threshold,
        &Optional(Fraction, "0.5"),
    );
    v.setting(
        "temperature",
        "sampling temperature of a question that names none",
        &mut variant.temperature,
        &Optional(Temperature, "0.7"),
    );
}

pub(super) fn visit_flags(flags: &mut Flags, v: &mut impl Visitor) {
    v.setting(
        "cascade",
        "slow track takes over from an unsure local model: true, false or a share",
        &mut flags.cascade,
        &Share,
    );
    v.setting(
        "hedge",
        "a second provider is asked when the first is late: true, false or a share",
        &mut flags.hedge,
        &Share,
    );
}
