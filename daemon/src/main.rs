//! `tandemd`: runs in the foreground, logs to stderr, answers on a unix socket.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use tandem_config::{Config, Overrides};
use tandem_knowledge::read::{READER, serve};

#[cfg(feature = "embedded")]
mod embedded;
#[cfg(any(feature = "embedded", test))]
mod extraction;
mod grpc;
mod logging;
mod metrics;
mod reload;
mod run;
mod socket;

/// An actor failed too often; a service manager should start the daemon again.
const EXIT_GIVEN_UP: u8 = 70;
/// Longest wait for blocking work when everything else has ended.
const RUNTIME_TIMEOUT: Duration = Duration::from_secs(1);
/// The configuration or the command line is wrong; starting again will not help.
const EXIT_USAGE: u8 = 2;

/// The tandem daemon: local and remote language models behind one unix socket.
///
/// Runs in the foreground until SIGTERM or Ctrl-C, then finishes accepted work and ends.
/// A second signal ends it at once. SIGHUP, and a change of the settings file, make it read its settings again. `TANDEM_HOME` moves settings, data and socket, `TANDEM_SOCKET`
/// the socket alone; `TANDEM_TABLE__KEY` overrides a setting. Exit codes: 0 done, 1 failed, 2 wrong configuration,
/// 70 gave up on an actor that fails too often.
#[derive(Debug, Parser)]
#[command(name = "tandemd", version)]
struct Arguments {
    /// Settings file, in TOML, YAML or JSON [default: `tandem.toml`, `.yaml` or `.json` in
    /// `$XDG_CONFIG_HOME/tandem`, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Socket to listen on.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Defaults to begin with: standard, dev, staging, production or education.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
}

/// What the daemon starts itself as, to read a document whose reader may hang or crash.
fn read_document() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::complain(error);
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    let started = Instant::now();
    if std::env::args_os().nth(1).is_some_and(|argument| argument == READER) {
        return read_document();
    }
    let Arguments { config, socket, profile } = Arguments::parse();
    let overrides = Overrides { config_file: config, socket, profile, embedded: None };
    #[cfg(feature = "embedded")]
    let overrides = Overrides { embedded: Some(embedded::defaults()), ..overrides };
    let config = match Config::load(&overrides) {
        Ok(config) => config,
        Err(error) => {
            logging::complain(&error);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let filter = match logging::start(&config.telemetry) {
        Ok(filter) => filter,
        Err(error) => {
            logging::complain(&error);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .and_then(|runtime| {
            let ended = runtime.block_on(run::run(config, overrides, filter, started));
            // A file on a disk that does not answer must not hold the end up.
            runtime.shutdown_timeout(RUNTIME_TIMEOUT);
            ended
        });
    match ended {
        Ok(run::End::Asked) => ExitCode::SUCCESS,
        Ok(run::End::GivenUp) => ExitCode::from(EXIT_GIVEN_UP),
        Err(error) => {
            logging::complain(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
