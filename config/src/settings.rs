//! The settings, typed, with their defaults. What each may be is written in [`crate::schema`].

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::Secret;

mod caches;
mod experiments;
mod knowledge;
mod memory;
mod money;
mod security;

pub use caches::{EmbeddingCache, ResponseCache};
pub use experiments::{Experiment, Flags, Variant};
pub use knowledge::Knowledge;
pub use memory::{ContextStrategy, Memory};
pub use money::{Budget, Price, amount};
pub use security::{PersonalData, Redact, Security};

/// Everything that can be set. One value is made at start-up and handed out from there.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The process `tandemd`.
    pub daemon: Daemon,
    /// The processes `tandem-engine`, one per loaded model.
    pub engine: Engine,
    /// Which models there are and how long they stay loaded.
    pub models: Models,
    /// How a question finds its track.
    pub router: Router,
    /// The slow track: remote APIs by the name that the user gave them.
    pub providers: BTreeMap<String, Provider>,
    /// What a model is told of the conversation so far.
    pub memory: Memory,
    /// How documents are cut and found.
    pub knowledge: Knowledge,
    /// How much of the machine may be used.
    pub resources: Resources,
    /// What happens to personal data before a question leaves the machine.
    pub security: Security,
    /// Features that only a part of the conversations gets.
    pub flags: Flags,
    /// Variants of settings that are compared, by the name of the comparison.
    pub experiments: BTreeMap<String, Experiment>,
    /// Logs.
    pub telemetry: Telemetry,
}

impl Config {
    /// Every default, for a daemon that keeps its data in `data_dir` and listens on `socket`.
    pub fn defaults(data_dir: PathBuf, socket: PathBuf) -> Self {
        let templates = data_dir.join("templates");
        let prompts = data_dir.join("prompts");
        Self {
            models: Models {
                default: "smollm2-135m-instruct".into(),
                embedding: None,
                dir: data_dir.join("models"),
                keep_alive: Duration::from_mins(5),
                engines: 1,
            },
            daemon: Daemon {
                socket,
                data_dir,
                drain_timeout: Duration::from_secs(8),
                prompt_bytes_max: 1 << 20,
            },
            engine: Engine { templates, ..Engine::default() },
            router: Router::default(),
            providers: BTreeMap::new(),
            memory: Memory::default(),
            knowledge: Knowledge { templates: prompts, ..Knowledge::default() },
            resources: Resources::default(),
            security: Security::default(),
            flags: Flags::default(),
            experiments: BTreeMap::new(),
            telemetry: Telemetry::default(),
        }
    }
}

/// The process `tandemd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Unix socket that clients connect to.
    pub socket: PathBuf,
    /// Folder of everything the daemon keeps. It follows from the environment, not from the file.
    pub data_dir: PathBuf,
    /// How long accepted work may go on after the order to stop.
    pub drain_timeout: Duration,
    /// Longest question in bytes.
    pub prompt_bytes_max: usize,
}

/// The processes that host llama.cpp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// The program; when absent, `tandem-engine` beside `tandemd`.
    pub binary: Option<PathBuf>,
    /// Folder of the chat templates that the catalog names: `NAME.jinja`.
    pub templates: PathBuf,
    /// Tokens of context that all sequences of an engine share.
    pub context_tokens: u32,
    /// Sequences that one engine works on together.
    pub sequences_max: u32,
    /// Tokens computed in one step.
    pub batch_tokens: u32,
    /// Threads that compute; 0 lets the engine decide.
    pub threads: u32,
    /// Length of an answer in tokens when the request does not say.
    pub max_tokens: u32,
    /// Longest time without progress while a model loads.
    pub load_timeout: Duration,
    /// Longest time without a heartbeat while an engine works.
    pub step_timeout: Duration,
    /// Restarts within `restart_window` after which an engine is given up.
    pub restarts_max: u32,
    /// The time over which restarts are counted.
    pub restart_window: Duration,
    /// Whether llama.cpp may repack weights for this CPU: faster, for more memory.
    pub use_extra_bufts: bool,
    /// Disk in MiB for the beginnings of prompts that were computed before, of all models together;
    /// 0 saves none.
    pub prefix_disk_mib: u32,
    /// Memory in MiB for the same, of one engine; 0 keeps none. It counts as memory that the model
    /// needs. When absent, a quarter of what is free beside the model, but no more than 512 MiB.
    pub prefix_memory_mib: Option<u32>,
    /// Whether engines guess what an answer repeats, to be done sooner.
    pub speculation: Speculation,
    /// Model that guesses for those that generate, where nothing is repeated and `speculation` is
    /// on: a catalog id or a path.
    pub draft_model: Option<String>,
    /// When settings that depend on model and machine are measured.
    pub tune: Tune,
    /// Whether a greedy answer is the same to the byte whatever runs beside it. Costs speed, and
    /// models that cannot do it on this CPU do not load.
    pub exact: bool,
}

/// Whether an engine guesses tokens and checks several in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speculation {
    /// Where its measurements say that it is faster.
    Auto,
    /// One token a step.
    Off,
}

/// When settings that depend on model and machine are measured, once for each model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tune {
    /// When nobody needs the machine.
    Idle,
    /// When nobody asks anything, however busy the machine is with other programs.
    Eager,
    /// Only when told to.
    Off,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            binary: None,
            templates: PathBuf::from("/etc/tandem/templates"),
            context_tokens: 8192,
            sequences_max: 8,
            batch_tokens: 512,
            threads: 0,
            max_tokens: 1024,
            load_timeout: Duration::from_mins(5),
            step_timeout: Duration::from_secs(30),
            restarts_max: 5,
            restart_window: Duration::from_mins(1),
            use_extra_bufts: true,
            prefix_disk_mib: 512,
            prefix_memory_mib: None,
            speculation: Speculation::Off,
            draft_model: None,
            tune: Tune::Off,
            exact: false,
        }
    }
}

/// Which models there are and how long they stay loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models {
    /// Model of the fast track when the request names none: a catalog id or a path.
    pub default: String,
    /// Model of embeddings when the request names none: a catalog id or a path. When absent, the only
    /// embedding model there is.
    pub embedding: Option<String>,
    /// Folder of the model files.
    pub dir: PathBuf,
    /// How long an unused model stays loaded; zero means for ever.
    pub keep_alive: Duration,
    /// Most engines that host one model at a time.
    pub engines: u32,
}

/// How a question finds its track, and how many may be under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Router {
    /// Policy of a question that names none.
    pub policy: Policy,
    /// Policies of questions that name none, by the client that asks.
    pub clients: BTreeMap<String, Policy>,
    /// Whether the slow track is left alone, as without a network.
    pub offline: bool,
    /// Turns that run together.
    pub running_max: u32,
    /// Turns that wait behind them; the next one is refused.
    pub waiting_max: u32,
    /// Longest time from question to answer when the request has no deadline.
    pub deadline: Duration,
    /// Score from which a question goes to the slow track, 0 to 1.
    pub slow_threshold: f64,
    /// Weights of the score, made by `tandem router train`; when absent, those that come with tandem.
    pub weights: Option<PathBuf>,
    /// Answers of the local model whose confidence is below this are made by the slow track as well,
    /// 0 to 1. When absent, what the catalog says of the model, if anything.
    pub confidence_threshold: Option<f64>,
    /// Tokens of the local model that are held back, to be dropped when the slow track takes over in
    /// the middle of an answer; 0 never hands over.
    pub handoff_tokens: u32,
    /// Mean natural-log probability of those tokens below which it takes over.
    pub handoff_logprob: f64,
    /// How long a question waits for its local model to load before the slow track answers it; zero
    /// means for ever.
    pub cold_start_patience: Duration,
    /// Which of several providers is asked first.
    pub providers: Choice,
    /// When the next provider is asked as well because the first token is late; never, if absent.
    pub hedge_after: Option<HedgeAfter>,
    /// What the slow track may cost.
    pub budget: Budget,
}

/// Which of several providers is asked first. The others are asked when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The one with the lowest `priority`; among equals, the one that has done best lately.
    Ordered,
    /// One at random, as often as its `weight` says.
    Weighted,
}

/// How long the first token may take before another provider is asked for the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HedgeAfter {
    /// As long as 95 of 100 of the latest first tokens of that provider took; for ever, while fewer
    /// than 20 are known.
    Auto,
    /// So long, whoever is asked.
    Time(Duration),
}

impl Default for Router {
    fn default() -> Self {
        Self {
            policy: Policy::Auto,
            clients: BTreeMap::new(),
            offline: false,
            running_max: 8,
            waiting_max: 64,
            deadline: Duration::from_mins(5),
            slow_threshold: 0.6,
            weights: None,
            confidence_threshold: None,
            handoff_tokens: 0,
            handoff_logprob: -2.0,
            cold_start_patience: Duration::from_secs(2),
            providers: Choice::Ordered,
            hedge_after: None,
            budget: Budget::default(),
        }
    }
}

/// How a turn picks its track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The router scores the question.
    Auto,
    /// The local model only. Unlike with `Private`, later turns of the conversation may leave the
    /// machine with this one.
    Fast,
    /// The remote API only.
    Slow,
    /// Both at once: the local answer first, until the remote one takes its place.
    Duo,
    /// The local model only: nothing leaves the machine.
    Private,
}

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

/// How much of the machine may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources {
    /// Bytes of memory that stay free when a model is loaded.
    pub memory_reserve_bytes: u64,
    /// Time between two looks at the machine.
    pub sample_interval: Duration,
}

impl Default for Resources {
    fn default() -> Self {
        Self { memory_reserve_bytes: 512 << 20, sample_interval: Duration::from_secs(1) }
    }
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// What is logged, as a `tracing` filter such as `info,tandem_actors=debug`.
    pub log: String,
    /// How a log line looks.
    pub log_format: LogFormat,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: "info".into(), log_format: LogFormat::Text }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What the command line sets; it wins over everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The settings file. It must exist; the default one need not.
    pub config_file: Option<PathBuf>,
    /// Unix socket that clients connect to.
    pub socket: Option<PathBuf>,
}
