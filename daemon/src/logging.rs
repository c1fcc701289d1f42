//! Logs go to stderr, as text for people or as JSON for programs.

use std::fmt::Display;
use std::io::{IsTerminal, Write as _};

use tandem_config::{LogFormat, Telemetry};
use tracing_subscriber::EnvFilter;

/// A filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "telemetry.log: {filter:?} is not a filter ({problem}); write for example \"info\" or \
         \"info,tandem_actors=debug\""
)]
pub(crate) struct BadFilter {
    filter: String,
    problem: String,
}

/// Starts logging.
pub(crate) fn start(telemetry: &Telemetry) -> Result<(), BadFilter> {
    let filter = EnvFilter::try_new(&telemetry.log).map_err(|problem| BadFilter {
        filter: telemetry.log.clone(),
        problem: problem.to_string(),
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match telemetry.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

/// Says on stderr why the daemon ends. Nobody is told when stderr is closed.
pub(crate) fn complain(error: impl Display) {
    let _ = writeln!(std::io::stderr(), "tandemd: {error}");
}
