//! The settings, typed, with their defaults. What each may be is written in [`crate::schema`].

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

mod caches;
mod engine;
mod experiments;
mod knowledge;
mod ladder;
mod memory;
mod money;
mod profile;
mod provider;
mod pull;
mod rates;
mod router;
mod security;

pub use caches::{EmbeddingCache, ResponseCache};
pub use engine::{Engine, Gpu, KvCache, Speculation, Tune};
pub use experiments::{Experiment, Flags, Variant};
pub use knowledge::{Chroma, Knowledge, KnowledgeBackend};
pub use ladder::{Degree, Ladder, PressureThresholds, Thresholds};
pub use memory::{ContextStrategy, Memory};
pub use money::{Budget, Price, amount};
pub use profile::Profile;
pub use provider::{Ability, Provider, ProviderKind};
pub use pull::Pull;
pub use rates::Rates;
pub use router::{Choice, HedgeAfter, Policy, Router};
pub use security::{PersonalData, Redact, Security};

/// Everything that can be set. One value is made at start-up and handed out from there.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The defaults that all else was laid over.
    pub profile: Profile,
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
            profile: Profile::default(),
            models: Models {
                default: "smollm2-135m-instruct".into(),
                embedding: None,
                dir: data_dir.join("models"),
                find: true,
                keep_alive: Duration::from_mins(5),
                engines: 1,
                trusted_keys: Vec::new(),
                pinned: Vec::new(),
                pull: Pull::default(),
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

/// Which models there are and how long they stay loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models {
    /// Model of the fast track when the request names none: a catalog id, a path, or
    /// [`AUTO`](Self::AUTO). What `tandem model use` chose comes before it.
    pub default: String,
    /// Model of embeddings when the request names none: a catalog id or a path. When absent, the only
    /// embedding model there is.
    pub embedding: Option<String>,
    /// Folder of the model files.
    pub dir: PathBuf,
    /// Whether models are used that other programs keep: Hugging Face, Ollama and LM Studio.
    pub find: bool,
    /// How long an unused model stays loaded; zero means for ever.
    pub keep_alive: Duration,
    /// Most engines that host one model at a time.
    pub engines: u32,
    /// Public keys in base64. When there are any, only packages and updates that one of them signed
    /// are let in.
    pub trusted_keys: Vec<String>,
    /// Models that stay loaded once they are: catalog ids or paths.
    pub pinned: Vec<String>,
    /// How models are fetched.
    pub pull: Pull,
}

impl Models {
    /// As the default: the best model that is on this machine and fits.
    pub const AUTO: &str = "auto";
}

/// Defaults for the size of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// For 4 GB: a short context, few answers together, no second copy of the weights.
    Small,
    /// For a laptop or a workstation.
    Standard,
    /// For a server: a long context and many answers together.
    Large,
}

/// How much of the machine may be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Resources {
    /// The defaults for the size of the machine; when absent, those for its memory.
    pub preset: Option<Preset>,
    /// Bytes of memory that stay free when a model is loaded.
    pub memory_reserve_bytes: u64,
    /// Time between two looks at the machine.
    pub sample_interval: Duration,
    /// When the machine counts as pressed.
    pub pressure: PressureThresholds,
    /// What is given up then.
    pub ladder: Ladder,
    /// How often one client may call what.
    pub rates: Rates,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            preset: None,
            memory_reserve_bytes: 512 << 20,
            sample_interval: Duration::from_secs(1),
            pressure: PressureThresholds::default(),
            ladder: Ladder::default(),
            rates: Rates::default(),
        }
    }
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// What is logged, as a `tracing` filter such as `info,tandem_actors=debug`.
    pub log: String,
    /// How a log line looks.
    pub log_format: LogFormat,
    /// Where metrics can be read over HTTP; nowhere when absent.
    pub metrics: Option<SocketAddr>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: "info".into(), log_format: LogFormat::Text, metrics: None }
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
    /// Name of the profile.
    pub profile: Option<String>,
    /// What is inside the program that loads the settings, in place of the defaults.
    pub embedded: Option<Embedded>,
}

/// An engine and a model inside a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedded {
    /// Where the engine program is put when the daemon starts.
    pub engine: PathBuf,
    /// Id of the model.
    pub model: String,
}
