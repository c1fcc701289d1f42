//! Every setting: its key and what it may be. Loading and showing both walk this list.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    Config, LogFormat, Policy, Provider,
    kind::{
        AbsolutePath, Address, Flag, Fraction, Integer, Kind, OneOf, Optional, SecretPlace, Size,
        Text, Time,
    },
};

const POLICIES: OneOf<Policy> = OneOf(&[
    ("auto", Policy::Auto),
    ("fast", Policy::Fast),
    ("slow", Policy::Slow),
    ("private", Policy::Private),
]);
const LOG_FORMATS: OneOf<LogFormat> =
    OneOf(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);

const TOKENS_MAX: u32 = 1 << 20;
const DAY: Duration = Duration::from_hours(24);
const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=DAY;

/// What is done with each setting.
pub(crate) trait Visitor {
    /// Goes into the table `name`.
    fn table(&mut self, name: &str, inside: impl FnOnce(&mut Self));

    /// Does it with the setting `key`, which is kept in `slot`.
    fn setting<T>(&mut self, key: &'static str, slot: &mut T, kind: &impl Kind<T>);

    /// The same for a setting that has no default.
    fn required<T>(&mut self, key: &'static str, slot: &mut T, kind: &impl Kind<T>) {
        self.setting(key, slot, kind);
    }

    /// Goes into each table below `providers`.
    fn providers(&mut self, slots: &mut BTreeMap<String, Provider>);
}

/// Shows `visitor` every setting in `config`.
pub(crate) fn visit(config: &mut Config, visitor: &mut impl Visitor) {
    visitor.table("daemon", |v| {
        let daemon = &mut config.daemon;
        v.setting("socket", &mut daemon.socket, &AbsolutePath);
        v.setting("drain_timeout", &mut daemon.drain_timeout, &Time(Duration::ZERO..=DAY));
        v.setting("prompt_bytes_max", &mut daemon.prompt_bytes_max, &Size(1 << 10..=8 << 20));
    });
    visitor.table("engine", |v| {
        let engine = &mut config.engine;
        v.setting("binary", &mut engine.binary, &Optional(AbsolutePath));
        v.setting("context_tokens", &mut engine.context_tokens, &Integer(256..=TOKENS_MAX));
        v.setting("sequences_max", &mut engine.sequences_max, &Integer(1..=64));
        v.setting("batch_tokens", &mut engine.batch_tokens, &Integer(32..=4096));
        v.setting("threads", &mut engine.threads, &Integer(0..=512));
        v.setting("max_tokens", &mut engine.max_tokens, &Integer(1..=TOKENS_MAX));
        v.setting("load_timeout", &mut engine.load_timeout, &Time(TIMEOUT));
        v.setting("step_timeout", &mut engine.step_timeout, &Time(TIMEOUT));
        v.setting("restarts_max", &mut engine.restarts_max, &Integer(0..=1000));
        v.setting("restart_window", &mut engine.restart_window, &Time(TIMEOUT));
        v.setting("use_extra_bufts", &mut engine.use_extra_bufts, &Flag);
    });
    visitor.table("models", |v| {
        let models = &mut config.models;
        v.setting("default", &mut models.default, &Text(1..=4096));
        v.setting("dir", &mut models.dir, &AbsolutePath);
        v.setting("keep_alive", &mut models.keep_alive, &Time(Duration::ZERO..=365 * DAY));
    });
    visitor.table("router", |v| {
        let router = &mut config.router;
        v.setting("policy", &mut router.policy, &POLICIES);
        v.setting("running_max", &mut router.running_max, &Integer(1..=1024));
        v.setting("waiting_max", &mut router.waiting_max, &Integer(0..=65_536));
        v.setting("deadline", &mut router.deadline, &Time(TIMEOUT));
        v.setting("slow_threshold", &mut router.slow_threshold, &Fraction);
    });
    visitor.table("memory", |v| {
        let memory = &mut config.memory;
        v.setting("context_tokens", &mut memory.context_tokens, &Integer(256..=TOKENS_MAX));
        v.setting("system_prompt", &mut memory.system_prompt, &Text(0..=64 << 10));
        v.setting("turns_max", &mut memory.turns_max, &Integer(0..=10_000));
    });
    visitor.table("resources", |v| {
        let resources = &mut config.resources;
        v.setting("memory_reserve_bytes", &mut resources.memory_reserve_bytes, &Size(0..=1 << 50));
        v.setting(
            "sample_interval",
            &mut resources.sample_interval,
            &Time(Duration::from_millis(100)..=Duration::from_hours(1)),
        );
    });
    visitor.table("telemetry", |v| {
        let telemetry = &mut config.telemetry;
        v.setting("log", &mut telemetry.log, &Text(1..=1024));
        v.setting("log_format", &mut telemetry.log_format, &LOG_FORMATS);
    });
    visitor.providers(&mut config.providers);
}

/// Shows `visitor` every setting of one provider.
pub(crate) fn visit_provider(provider: &mut Provider, v: &mut impl Visitor) {
    v.required("base_url", &mut provider.base_url, &Address);
    v.required("model", &mut provider.model, &Text(1..=256));
    v.setting("api_key", &mut provider.api_key, &Optional(SecretPlace));
    v.setting("connect_timeout", &mut provider.connect_timeout, &Time(TIMEOUT));
    v.setting("first_token_timeout", &mut provider.first_token_timeout, &Time(TIMEOUT));
    v.setting("idle_timeout", &mut provider.idle_timeout, &Time(TIMEOUT));
    v.setting("total_timeout", &mut provider.total_timeout, &Time(TIMEOUT));
    v.setting("context_tokens", &mut provider.context_tokens, &Integer(256..=TOKENS_MAX));
    v.setting("max_tokens", &mut provider.max_tokens, &Integer(1..=TOKENS_MAX));
    v.setting("concurrency_max", &mut provider.concurrency_max, &Integer(1..=1024));
}
