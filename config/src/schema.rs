//! Every setting: its key, what it does and what it may be. Loading and showing both walk this list.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    Ability, Choice, Config, Daemon, Engine, LogFormat, Memory, Models, Policy, Provider,
    ProviderKind, Resources, Router, Speculation, Telemetry, Tune,
    filter::Filter,
    kind::{
        AbsolutePath, Address, Amount, AnyOf, AutoOrTime, Each, Flag, Fraction, Integer, Kind,
        LogProbability, OneOf, Optional, SecretPlace, Size, Text, Time,
    },
};

mod experiments;
mod money;
mod security;

use money::{visit_budget, visit_price};

const POLICIES: OneOf<Policy> = OneOf(&[
    ("auto", Policy::Auto),
    ("fast", Policy::Fast),
    ("slow", Policy::Slow),
    ("duo", Policy::Duo),
    ("private", Policy::Private),
]);
const SPECULATION: OneOf<Speculation> =
    OneOf(&[("auto", Speculation::Auto), ("off", Speculation::Off)]);
const TUNE: OneOf<Tune> =
    OneOf(&[("idle", Tune::Idle), ("eager", Tune::Eager), ("off", Tune::Off)]);
const CHOICES: OneOf<Choice> =
    OneOf(&[("ordered", Choice::Ordered), ("weighted", Choice::Weighted)]);
const LOG_FORMATS: OneOf<LogFormat> =
    OneOf(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);

const PROVIDER_KINDS: OneOf<ProviderKind> = OneOf(&[
    ("openai", ProviderKind::OpenAi),
    ("anthropic", ProviderKind::Anthropic),
    ("huggingface", ProviderKind::HuggingFace),
    ("ollama", ProviderKind::Ollama),
]);
const ABILITIES: AnyOf<Ability> =
    AnyOf(&[("vision", Ability::Vision), ("tools", Ability::Tools), ("json", Ability::Json)]);

const TOKENS_MAX: u32 = 1 << 20;
const MIB_MAX: u32 = 1 << 20;
const DAY: Duration = Duration::from_hours(24);
const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=DAY;

/// What is done with each setting.
pub(crate) trait Visitor {
    /// Goes into the table `name`.
    fn table(&mut self, name: &str, inside: impl FnOnce(&mut Self));

    /// Does it with the setting `key`, which is kept in `slot`; `what` says what it does.
    fn setting<T>(
        &mut self,
        key: &'static str,
        what: &'static str,
        slot: &mut T,
        kind: &impl Kind<T>,
    );

    /// The same for a setting that has no default.
    fn required<T>(
        &mut self,
        key: &'static str,
        what: &'static str,
        slot: &mut T,
        kind: &impl Kind<T>,
    ) {
        self.setting(key, what, slot, kind);
    }

    /// Goes into each table below the table `name`, whatever it is called.
    fn tables<T: Default>(
        &mut self,
        name: &str,
        slots: &mut BTreeMap<String, T>,
        inside: impl Fn(&mut T, &mut Self),
    );

    /// Goes into each table below `providers`.
    fn providers(&mut self, slots: &mut BTreeMap<String, Provider>);
}

/// Shows `visitor` every setting in `config`.
pub(crate) fn visit(config: &mut Config, visitor: &mut impl Visitor) {
    visitor.table("daemon", |v| visit_daemon(&mut config.daemon, v));
    visitor.table("engine", |v| visit_engine(&mut config.engine, v));
    visitor.table("models", |v| visit_models(&mut config.models, v));
    visitor.table("router", |v| visit_router(&mut config.router, v));
    visitor.table("memory", |v| visit_memory(&mut config.memory, v));
    visitor.table("resources", |v| visit_resources(&mut config.resources, v));
    visitor.table("security", |v| security::visit_security(&mut config.security, v));
    visitor.table("flags", |v| experiments::visit_flags(&mut config.flags, v));
    visitor.tables("experiments", &mut config.experiments, experiments::visit_experiment);
    visitor.table("telemetry", |v| visit_telemetry(&mut config.telemetry, v));
    visitor.providers(&mut config.providers);
}

fn visit_daemon(daemon: &mut Daemon, v: &mut impl Visitor) {
    v.setting("socket", "unix socket that clients connect to", &mut daemon.socket, &AbsolutePath);
    v.setting(
        "drain_timeout",
        "how long accepted work may go on after the order to stop",
        &mut daemon.drain_timeout,
        &Time(Duration::ZERO..=DAY),
    );
    v.setting(
        "prompt_bytes_max",
        "longest question, in bytes",
        &mut daemon.prompt_bytes_max,
        &Size(1 << 10..=8 << 20),
    );
}

fn visit_engine(engine: &mut Engine, v: &mut impl Visitor) {
    v.setting(
        "binary",
        "the engine program; else tandem-engine beside tandemd",
        &mut engine.binary,
        &Optional(AbsolutePath, "\"/path/to/tandem-engine\""),
    );
    v.setting(
        "templates",
        "folder of the chat templates, NAME.jinja, that a catalog entry can name",
        &mut engine.templates,
        &AbsolutePath,
    );
    v.setting(
        "context_tokens",
        "tokens of context that all answers of a model share",
        &mut engine.context_tokens,
        &Integer(256..=TOKENS_MAX),
    );
    v.setting(
        "sequences_max",
        "answers that one engine works on together",
        &mut engine.sequences_max,
        &Integer(1..=64),
    );
    v.setting(
        "batch_tokens",
        "tokens computed in one step",
        &mut engine.batch_tokens,
        &Integer(32..=4096),
    );
    v.setting(
        "threads",
        "threads that compute; 0 lets the engine decide",
        &mut engine.threads,
        &Integer(0..=512),
    );
    v.setting(
        "max_tokens",
        "longest answer in tokens, when the request does not say",
        &mut engine.max_tokens,
        &Integer(1..=TOKENS_MAX),
    );
    v.setting(
        "load_timeout",
        "longest time without progress while a model loads",
        &mut engine.load_timeout,
        &Time(TIMEOUT),
    );
    v.setting(
        "step_timeout",
        "longest time without a heartbeat while an engine works",
        &mut engine.step_timeout,
        &Time(TIMEOUT),
    );
    v.setting(
        "restarts_max",
        "restarts within restart_window until an engine is given up",
        &mut engine.restarts_max,
        &Integer(0..=1000),
    );
    v.setting(
        "restart_window",
        "time over which restarts are counted",
        &mut engine.restart_window,
        &Time(TIMEOUT),
    );
    v.setting(
        "use_extra_bufts",
        "repack weights for this CPU: faster, for more memory",
        &mut engine.use_extra_bufts,
        &Flag,
    );
    v.setting(
        "prefix_disk_mib",
        "disk for computed beginnings of prompts, in MiB; 0 saves none",
        &mut engine.prefix_disk_mib,
        &Integer(0..=MIB_MAX),
    );
    v.setting(
        "prefix_memory_mib",
        "memory of an engine for the same, in MiB; else up to 512",
        &mut engine.prefix_memory_mib,
        &Optional(Integer(0..=MIB_MAX), "512"),
    );
    visit_speed(engine, v);
}

fn visit_speed(engine: &mut Engine, v: &mut impl Visitor) {
    v.setting(
        "speculation",
        "guess what an answer repeats and check it in one step, where that is faster",
        &mut engine.speculation,
        &SPECULATION,
    );
    v.setting(
        "draft_model",
        "model that guesses where nothing is repeated, if speculation is \"auto\": an id or a path",
        &mut engine.draft_model,
        &Optional(Text(1..=4096), "\"a-smaller-one-with-the-same-vocabulary\""),
    );
    v.setting(
        "tune",
        "find the fastest settings of a model when the machine, or only the daemon, is idle",
        &mut engine.tune,
        &TUNE,
    );
    v.setting(
        "exact",
        "the same answer whatever runs beside it, or no model; slower with long prompts",
        &mut engine.exact,
        &Flag,
    );
}

fn visit_models(models: &mut Models, v: &mut impl Visitor) {
    v.setting(
        "default",
        "model of the fast track: an id or a path",
        &mut models.default,
        &Text(1..=4096),
    );
    v.setting(
        "embedding",
        "model of embeddings: an id or a path; else the only one there is",
        &mut models.embedding,
        &Optional(Text(1..=4096), "\"all-minilm-l6-v2\""),
    );
    v.setting("dir", "folder of the model files", &mut models.dir, &AbsolutePath);
    v.setting(
        "keep_alive",
        "how long an unused model stays loaded; 0 is for ever",
        &mut models.keep_alive,
        &Time(Duration::ZERO..=365 * DAY),
    );
    v.setting(
        "engines",
        "most engines of one model; another starts while all are busy",
        &mut models.engines,
        &Integer(1..=16),
    );
}

fn visit_router(router: &mut Router, v: &mut impl Visitor) {
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

fn visit_memory(memory: &mut Memory, v: &mut impl Visitor) {
    v.setting(
        "context_tokens",
        "most tokens of the context built for a question in a conversation",
        &mut memory.context_tokens,
        &Integer(256..=TOKENS_MAX),
    );
    v.setting(
        "system_prompt",
        "first message of every context",
        &mut memory.system_prompt,
        &Text(0..=64 << 10),
    );
    v.setting(
        "turns_max",
        "most recent turns considered for a context",
        &mut memory.turns_max,
        &Integer(0..=10_000),
    );
}

fn visit_resources(resources: &mut Resources, v: &mut impl Visitor) {
    v.setting(
        "memory_reserve_bytes",
        "memory that stays free when a model is loaded, in bytes",
        &mut resources.memory_reserve_bytes,
        &Size(0..=1 << 50),
    );
    v.setting(
        "sample_interval",
        "time between two looks at the machine",
        &mut resources.sample_interval,
        &Time(Duration::from_millis(100)..=Duration::from_hours(1)),
    );
}

fn visit_telemetry(telemetry: &mut Telemetry, v: &mut impl Visitor) {
    v.setting(
        "log",
        "what is logged, such as info,tandem_actors=debug",
        &mut telemetry.log,
        &Filter,
    );
    v.setting(
        "log_format",
        "text for people or json for programs",
        &mut telemetry.log_format,
        &LOG_FORMATS,
    );
}

/// Shows `visitor` every setting of one provider.
pub(crate) fn visit_provider(provider: &mut Provider, v: &mut impl Visitor) {
    v.setting(
        "kind",
        "what the API speaks: openai, anthropic, huggingface or ollama",
        &mut provider.kind,
        &PROVIDER_KINDS,
    );
    v.setting(
        "base_url",
        "address of the API; when kind is set, the kind's own may be left out",
        &mut provider.base_url,
        &Address,
    );
    v.required("model", "name of the model at that API", &mut provider.model, &Text(1..=256));
    v.setting(
        "api_key",
        "where the key is kept: { env = … } or { file = … }",
        &mut provider.api_key,
        &Optional(SecretPlace, "{ env = \"NAME\" }"),
    );
    v.setting(
        "connect_timeout",
        "longest time to connect",
        &mut provider.connect_timeout,
        &Time(TIMEOUT),
    );
    v.setting(
        "first_token_timeout",
        "longest time from the request to the first token",
        &mut provider.first_token_timeout,
        &Time(TIMEOUT),
    );
    v.setting(
        "idle_timeout",
        "longest time between two tokens",
        &mut provider.idle_timeout,
        &Time(TIMEOUT),
    );
    v.setting(
        "total_timeout",
        "longest time for one answer",
        &mut provider.total_timeout,
        &Time(TIMEOUT),
    );
    v.setting(
        "context_tokens",
        "context of the remote model, in tokens",
        &mut provider.context_tokens,
        &Integer(256..=TOKENS_MAX),
    );
    v.setting(
        "max_tokens",
        "longest answer, in tokens",
        &mut provider.max_tokens,
        &Integer(1..=TOKENS_MAX),
    );
    v.setting(
        "concurrency_max",
        "requests under way together",
        &mut provider.concurrency_max,
        &Integer(1..=1024),
    );
    v.setting(
        "priority",
        "its place if router.providers is \"ordered\"; the lowest is asked first",
        &mut provider.priority,
        &Integer(0..=1000),
    );
    v.setting(
        "weight",
        "how often it is asked first if that is \"weighted\"; 0 only in need",
        &mut provider.weight,
        &Integer(0..=1000),
    );
    v.setting(
        "breaker_pause",
        "how long it is left alone when it fails; up to ten times that if it goes on",
        &mut provider.breaker_pause,
        &Time(TIMEOUT),
    );
    v.setting(
        "abilities",
        "what the model can do: vision, tools, json",
        &mut provider.abilities,
        &Optional(ABILITIES, "[\"vision\", \"tools\", \"json\"]"),
    );
    v.setting(
        "keep_alive",
        "how long Ollama keeps the model loaded; for kind ollama only",
        &mut provider.keep_alive,
        &Optional(Time(Duration::ZERO..=365 * DAY), "\"5m\""),
    );
    v.setting(
        "budget_day",
        "most that it may cost in a day (UTC)",
        &mut provider.budget_day,
        &Optional(Amount, "1"),
    );
    v.setting(
        "budget_month",
        "most that it may cost in a month (UTC)",
        &mut provider.budget_month,
        &Optional(Amount, "10"),
    );
    v.table("price", |v| visit_price(&mut provider.price, v));
}
