//! From a configuration to a serving daemon, and its orderly end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tandem_actors::Tandem;
use tandem_actors::model_loader::Roots;
use tandem_config::{Config, Overrides};
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::grpc::{self, Daemon};
use crate::logging::Filter;
use crate::metrics;
use crate::reload::Reloader;
use crate::socket::{Claim, Socket, create_private_dir};

/// Longest wait for connections to close once their answers are sent.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// A signal or a caller asked for it.
    Asked,
    /// An actor failed too often.
    GivenUp,
}

/// Serves until asked to end, then finishes accepted work.
pub(crate) async fn run(
    config: Config,
    overrides: Overrides,
    filter: Filter,
    started: Instant,
) -> anyhow::Result<End> {
    // Before anyone can know that the daemon is there.
    let mut signals = StopSignals::listen()?;
    let data_dir = config.daemon.data_dir.clone();
    create_private_dir(&data_dir, true)?;
    create_private_dir(&config.models.dir, true)?;
    let lock = data_dir.join("daemon.lock");
    let _data = Claim::take(&lock, &data_dir, &config.daemon.socket)?;
    let (socket, listener) = Socket::bind(&config.daemon.socket)?;
    listener.set_nonblocking(true).context("cannot prepare the socket")?;
    let listener = UnixListener::from_std(listener).context("cannot prepare the socket")?;

    let roots = roots(&config);
    #[cfg(feature = "embedded")]
    let roots = Roots { embedded: extract(&config).await?, ..roots };
    let actors = Tandem::start(&config, engine_binary(&config)?, roots);
    let (tandem, mut root) = actors.await.context("cannot start the actors")?;
    let tandem = Arc::new(tandem);
    // Cancelled to begin the end; `closing` follows when the accepted work is done.
    let draining = CancellationToken::new();
    let closing = CancellationToken::new();
    let reloader = Reloader::new(config.clone(), overrides, Arc::clone(&tandem), filter);
    let _following = reloader.follow();
    let daemon = Daemon {
        tandem: Arc::clone(&tandem),
        reloader,
        config: Arc::new(config),
        draining: draining.clone(),
        started,
        startup: started.elapsed(),
    };
    let _metrics = match daemon.config.telemetry.metrics {
        Some(address) => Some(metrics::serve(address, Arc::clone(&tandem))?),
        None => None,
    };
    let drain_timeout = daemon.config.daemon.drain_timeout;
    let mut server = tokio::spawn(grpc::serve(daemon.clone(), listener, closing.clone()));
    info!(socket = %socket.path().display(), startup = ?started.elapsed(), "ready");

    let end = tokio::select! {
        signal = signals.next() => {
            info!(signal, "asked to stop");
            End::Asked
        }
        () = draining.cancelled() => {
            info!("asked to stop by a caller");
            End::Asked
        }
        _ = &mut root => {
            error!("the root supervisor gave up");
            return Ok(End::GivenUp);
        }
        ended = &mut server => {
            ended.context("the server panicked")?.context("the server failed")?;
            anyhow::bail!("the server ended on its own");
        }
    };
    daemon.begin_drain();
    let orderly = async {
        tandem.router.drain(drain_timeout).await;
        closing.cancel();
        if tokio::time::timeout(CLOSE_TIMEOUT, &mut server).await.is_err() {
            server.abort();
        }
        tandem.stop();
        let _ = root.await;
    };
    tokio::select! {
        () = orderly => info!("stopped"),
        signal = signals.next() => warn!(signal, "stopping at once"),
    }
    Ok(end)
}

/// The signals that ask for an end. None is lost once they are listened for.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Puts what is inside this program on the disk, and returns where the model is.
#[cfg(feature = "embedded")]
async fn extract(config: &Config) -> anyhow::Result<Option<PathBuf>> {
    let config = config.clone();
    let extracted = tokio::task::spawn_blocking(move || crate::embedded::extract(&config)).await;
    extracted.context("the extraction panicked")?.context("cannot use what is inside this program")
}

/// Where other programs keep models, unless nobody wants to know.
fn roots(config: &Config) -> Roots {
    if !config.models.find {
        return Roots::default();
    }
    Roots::usual(std::env::home_dir().as_deref(), |name| std::env::var_os(name))
}

/// The engine named in the settings, or the one beside this program.
fn engine_binary(config: &Config) -> anyhow::Result<PathBuf> {
    if let Some(binary) = &config.engine.binary {
        return Ok(binary.clone());
    }
    let daemon = std::env::current_exe().context("cannot find out where tandemd lies")?;
    Ok(daemon.with_file_name("tandem-engine"))
}
