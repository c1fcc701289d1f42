//! The settings of engines.

use std::{path::PathBuf, time::Duration};

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
    /// How keys and values of the context are kept.
    pub kv_cache: KvCache,
    /// Whether graphics processors compute, where the engine was built for them.
    pub gpu: Gpu,
    /// Layers of a model that they compute, the output counting as one more. When absent, as many as
    /// fit into their free memory.
    pub gpu_layers: Option<u32>,
}

/// How keys and values of the context are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvCache {
    /// As numbers of 16 bits.
    F16,
    /// As blocks of 8-bit numbers, for about half of the memory.
    Q8_0,
}

/// Whether graphics processors compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gpu {
    /// Where there are some and the engine was built for them.
    Auto,
    /// The CPU computes everything.
    Off,
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
            kv_cache: KvCache::F16,
            gpu: Gpu::Auto,
            gpu_layers: None,
        }
    }
}
