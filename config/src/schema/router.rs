//! Settings of the router.

use std::time::Duration;

use super::money::visit_budget;
use super::{DAY, TIMEOUT, Visitor};
use crate::{
    Choice, Policy, Router,
    kind::{
        AbsolutePath, AutoOrTime, Each, Flag, Fraction, Integer, LogProbability, OneOf, Optional,
        Time,
    },
};

pub(super) const POLICIES: OneOf<Policy> = OneOf(&[
    ("auto", Policy::Auto),
    ("fast", Policy::Fast),
    ("slow", Policy::Slow),
    ("duo", Policy::Duo),
    ("private", Policy::Private),
]);
const CHOICES: OneOf<Choice> =
    OneOf(&[("ordered", Choice::Ordered), ("weighted", Choice::Weighted)]);

pub(super) fn visit_router(router: &mut Router, v: &mut impl Visitor) {
    v.setting(
        "policy",
        "who answers a question that does not say: auto, fast, slow, duo or private",
        &mut router.policy,
        &POLICIES,
    );
    v.setting(
        "clients",
        "the same for the questions of some clients, by their names",
        &mut router.clients,
        &Each(POLICIES, "{ backup-script = \"private\" }"),
    );
    v.setting("offline", "leave the slow track alone", &mut router.offline, &Flag);
    v.setting(
        "running_max",
        "questions answered together",
        &mut router.running_max,
        &Integer(1..=1024),
    );
    v.setting(
        "waiting_max",
        "questions that wait behind them; the next one is refused",
        &mut router.waiting_max,
        &Integer(0..=65_536),
    );
    v.setting(
        "deadline",
        "longest time from question to answer",
        &mut router.deadline,
        &Time(TIMEOUT),
    );
    v.setting(
        "slow_threshold",
        "score from which a question goes to the slow track, 0 to 1",
        &mut router.slow_threshold,
        &Fraction,
    );
    v.setting(
        "providers",
        "provider asked first: the first by priority or, weighted, one at random by weight",
        &mut router.providers,
        &CHOICES,
    );
    v.setting(
        "hedge_after",
        "ask the next provider too when the first token takes so long; auto learns how long",
        &mut router.hedge_after,
        &Optional(AutoOrTime(TIMEOUT), "\"auto\""),
    );
    v.setting(
        "weights",
        "weights of the score, made by `tandem router train`; else those that come with tandem",
        &mut router.weights,
        &Optional(AbsolutePath, "\"/path/to/my.weights\""),
    );
    visit_cascade(router, v);
    v.table("budget", |v| visit_budget(&mut router.budget, v));
}

fn visit_cascade(router: &mut Router, v: &mut impl Visitor) {
    v.setting(
        "confidence_threshold",
        "confidence below which the slow track answers as well, 0 to 1; else what suits the model",
        &mut router.confidence_threshold,
        &Optional(Fraction, "0.5"),
    );
    v.setting(
        "handoff_tokens",
        "tokens held back, to be dropped when the slow track takes over within an answer; 0 is never",
        &mut router.handoff_tokens,
        &Integer(0..=256),
    );
    v.setting(
        "handoff_logprob",
        "mean log-probability of those tokens below which it takes over",
        &mut router.handoff_logprob,
        &LogProbability,
    );
    v.setting(
        "cold_start_patience",
        "how long a question waits for its model to load before the slow track answers; 0 is for ever",
        &mut router.cold_start_patience,
        &Time(Duration::ZERO..=DAY),
    );
}
