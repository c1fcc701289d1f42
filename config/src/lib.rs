//! Settings: typed, checked, with a default for everything.
//!
//! A setting comes from a flag, else from the environment (`TANDEM_ROUTER__POLICY=fast`), else from
//! the settings file (`tandem.toml`, `.yaml` or `.json`), else from the profile, else from its default. All that is wrong is reported at once.

use std::path::PathBuf;

mod error;
mod filter;
pub mod hardware;
mod json_schema;
mod kind;
mod load;
mod paths;
mod preset;
mod profile;
mod reference;
mod reload;
mod schema;
mod secret;
mod settings;
mod show;
mod source;
#[cfg(test)]
mod tests;
mod warnings;

pub use error::{Error, Origin, Problem};
pub use load::SOCKET_PATH_BYTES_MAX;
use paths::Environment;
pub use secret::Secret;
pub use settings::{
    Ability, Budget, Choice, Config, ContextStrategy, Daemon, Degree, Embedded, Engine, Gpu,
    HedgeAfter, KvCache, Ladder, LogFormat, Memory, Models, Overrides, Policy, Preset,
    PressureThresholds, Price, Profile, Provider, ProviderKind, Pull, Rates, Resources, Router,
    Speculation, Telemetry, Thresholds, Tune, amount,
};
pub use settings::{Chroma, Knowledge, KnowledgeBackend};
pub use settings::{EmbeddingCache, ResponseCache};
pub use settings::{Experiment, Flags, PersonalData, Redact, Security, Variant};

/// The settings file that is read when none is named. It need not exist.
///
/// # Errors
///
/// [`Error::Several`] when there is one in more than one language.
pub fn default_config_file() -> Result<PathBuf, Error> {
    load::only(Environment::of_process().config_files())
}

/// The folder of everything that the daemon keeps. It follows from the environment alone.
pub fn default_data_dir() -> PathBuf {
    Environment::of_process().data_dir()
}

/// The folder of what can be made again: `cache` in `$TANDEM_HOME`, else `$XDG_CACHE_HOME/tandem`, else
/// `~/.cache/tandem`.
pub fn default_cache_dir() -> PathBuf {
    Environment::of_process().cache_dir()
}

/// The socket when neither flag nor settings name one: `$TANDEM_SOCKET`, else `tandem.sock` in
/// `$TANDEM_HOME`, else in `$XDG_RUNTIME_DIR/tandem`, else in the data directory.
pub fn default_socket() -> PathBuf {
    let environment = Environment::of_process();
    environment.own_path("TANDEM_SOCKET").unwrap_or_else(|| environment.socket())
}
