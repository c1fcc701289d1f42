//! Every setting: its key, what it does and what it may be. Loading and showing both walk this list.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    Config, Daemon, Engine, Gpu, KvCache, LogFormat, Models, Provider, Resources, Speculation,
    Telemetry, Tune,
    filter::Filter,
    kind::{AbsolutePath, Flag, Integer, Kind, Listen, OneOf, Optional, Size, Text, Texts, Time},
    preset::PRESETS,
    profile::PROFILES,
};

mod caches;
mod experiments;
mod knowledge;
mod ladder;
mod memory;
mod money;
mod provider;
mod pull;
mod rates;
mod router;
mod security;

pub(crate) use provider::visit_provider;
use router::visit_router;

const SPECULATION: OneOf<Speculation> =
    OneOf(&[("auto", Speculation::Auto), ("off", Speculation::Off)]);
const TUNE: OneOf<Tune> =
    OneOf(&[("idle", Tune::Idle), ("eager", Tune::Eager), ("off", Tune::Off)]);
const KV_CACHE: OneOf<KvCache> = OneOf(&[("f16", KvCache::F16), ("q8_0", KvCache::Q8_0)]);
const GPU: OneOf<Gpu> = OneOf(&[("auto", Gpu::Auto), ("off", Gpu::Off)]);
const LOG_FORMATS: OneOf<LogFormat> =
    OneOf(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);

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
    visitor.setting(
        "profile",
        "defaults to begin with, for a purpose",
        &mut config.profile,
        &PROFILES,
    );
    visitor.table("daemon", |v| visit_daemon(&mut config.daemon, v));
    visitor.table("engine", |v| visit_engine(&mut config.engine, v));
    visitor.table("models", |v| visit_models(&mut config.models, v));
    visitor.table("router", |v| visit_router(&mut config.router, v));
    visitor.table("knowledge", |v| knowledge::visit_knowledge(&mut config.knowledge, v));
    visitor.table("memory", |v| memory::visit_memory(&mut config.memory, v));
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
    v.setting(
        "kv_cache",
        "how a context's keys and values are kept: in 16 bits, or in 8 for half of the memory",
        &mut engine.kv_cache,
        &KV_CACHE,
    );
    v.setting(
        "gpu",
        "compute on graphics processors, where there are some and the engine was built for them",
        &mut engine.gpu,
        &GPU,
    );
    v.setting(
        "gpu_layers",
        "layers of a model that they compute, the output as one more; else as many as fit",
        &mut engine.gpu_layers,
        &Optional(Integer(0..=10_000), "20"),
    );
}

fn visit_models(models: &mut Models, v: &mut impl Visitor) {
    v.setting(
        "default",
        "model of the fast track: an id, a path, or auto for the best that is here and fits",
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
        "find",
        "use models that Hugging Face, Ollama and LM Studio keep on this machine",
        &mut models.find,
        &Flag,
    );
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
    v.setting(
        "trusted_keys",
        "public keys of `tandem model keygen`; when there are any, only packages and updates that \
         one of them signed are let in",
        &mut models.trusted_keys,
        &Texts { count_max: 16, bytes: 44..=44 },
    );
    v.setting(
        "pinned",
        "models that stay loaded once they are, whatever keep_alive says: ids or paths",
        &mut models.pinned,
        &Texts { count_max: 16, bytes: 1..=4096 },
    );
    v.table("pull", |v| pull::visit_pull(&mut models.pull, v));
}

fn visit_resources(resources: &mut Resources, v: &mut impl Visitor) {
    v.setting(
        "preset",
        "defaults for the size of the machine; auto goes by its memory",
        &mut resources.preset,
        &PRESETS,
    );
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
    v.table("pressure", |v| ladder::visit_pressure(&mut resources.pressure, v));
    v.table("ladder", |v| ladder::visit_ladder(&mut resources.ladder, v));
    v.table("rates", |v| rates::visit_rates(&mut resources.rates, v));
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
    v.setting(
        "metrics",
        "where Prometheus reads metrics over HTTP; whoever reaches it reads them",
        &mut telemetry.metrics,
        &Optional(Listen, "\"127.0.0.1:9464\""),
    );
}
