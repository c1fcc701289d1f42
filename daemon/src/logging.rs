//! Logs go to stderr, as text for people or as JSON for programs.

use std::fmt::{self, Display};
use std::io::{IsTerminal, Write as _};
use std::sync::Arc;

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

/// What is logged, which can be changed.
#[derive(Clone)]
pub(crate) struct Filter(Arc<Set>);

type Set = dyn Fn(EnvFilter) + Send + Sync;

impl Filter {
    /// Logs what `filter` lets through from now on.
    pub(crate) fn set(&self, filter: &str) -> Result<(), BadFilter> {
        (self.0)(parse(filter)?);
        Ok(())
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter")
    }
}

/// Starts logging.
pub(crate) fn start(telemetry: &Telemetry) -> Result<Filter, BadFilter> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parse(&telemetry.log)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // It fails only when the subscriber is gone, and then nothing is logged anyway.
    let set: Arc<Set> = match telemetry.log_format {
        LogFormat::Text => {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            Arc::new(move |filter| drop(handle.reload(filter)))
        }
        LogFormat::Json => {
            let builder = builder.json().with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            Arc::new(move |filter| drop(handle.reload(filter)))
        }
    };
    Ok(Filter(set))
}

fn parse(filter: &str) -> Result<EnvFilter, BadFilter> {
    EnvFilter::try_new(filter)
        .map_err(|problem| BadFilter { filter: filter.to_owned(), problem: problem.to_string() })
}

/// Says on stderr why the daemon ends. Nobody is told when stderr is closed.
pub(crate) fn complain(error: impl Display) {
    let _ = writeln!(std::io::stderr(), "tandemd: {error}");
}
