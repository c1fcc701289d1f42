//! New settings for a daemon that runs: when the settings file changes, at SIGHUP, and when a caller
//! asks for them.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tandem_actors::{Error, Result, Settings, Tandem};
use tandem_config::{Config, Overrides, default_config_file};
use tandem_proto::v1::{ReloadResponse, SettingsStatus};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::logging::Filter;

/// How long to wait after a change for what else is written with it.
const QUIET: Duration = Duration::from_millis(200);

/// The settings of a daemon, and where new ones come from.
#[derive(Debug, Clone)]
pub(crate) struct Reloader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    overrides: Overrides,
    tandem: Arc<Tandem>,
    filter: Filter,
    /// Held while settings are read, on threads that may block: one reload at a time.
    reloading: Mutex<()>,
    /// Held for no longer than it takes to copy it.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The settings in effect.
    config: Config,
    status: SettingsStatus,
}

impl Reloader {
    /// Reloads what `overrides` name; `config` is in effect.
    pub(crate) fn new(
        config: Config,
        overrides: Overrides,
        tandem: Arc<Tandem>,
        filter: Filter,
    ) -> Self {
        let state = Mutex::new(State { config, status: SettingsStatus::default() });
        Self(Arc::new(Inner { overrides, tandem, filter, reloading: Mutex::new(()), state }))
    }

    /// Reads the settings and lets those take effect that can. Settings with any mistake change
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`Error::SettingsInvalid`] with everything that is wrong.
    pub(crate) async fn reload(&self) -> Result<ReloadResponse> {
        let inner = Arc::clone(&self.0);
        let done = spawn_blocking(move || inner.reload());
        done.await.unwrap_or_else(|error| Err(Error::Internal { problem: error.to_string() }))
    }

    /// How the last time went.
    pub(crate) fn status(&self) -> SettingsStatus {
        self.0.state().status.clone()
    }

    /// Reloads at SIGHUP and when the file changes, from now on and until the handle is dropped.
    pub(crate) fn follow(&self) -> AbortOnDropHandle<()> {
        let changed = Arc::new(Notify::new());
        let watcher = self.0.watch(&changed);
        let seen = self.0.contents();
        let hangups = signal(SignalKind::hangup())
            .inspect_err(|error| warn!(%error, "cannot listen for SIGHUP"));
        let following = self.clone().obey(hangups.ok(), changed, seen);
        AbortOnDropHandle::new(tokio::spawn(async move {
            following.await;
            drop(watcher);
        }))
    }

    async fn obey(self, mut hangups: Option<Signal>, changed: Arc<Notify>, seen: Option<Vec<u8>>) {
        let mut seen = seen;
        let inner = Arc::clone(&self.0);
        if spawn_blocking(move || inner.is_stale()).await.unwrap_or_default() {
            let _ = self.reload().await;
        }
        loop {
            let hangup = async {
                match &mut hangups {
                    Some(hangups) => hangups.recv().await,
                    None => pending().await,
                }
            };
            let hung_up = tokio::select! {
                _ = hangup => true,
                () = changed.notified() => false,
            };
            let mut now = self.contents().await;
            if !hung_up {
                // Who writes a file empties it first, and may take his time.
                loop {
                    sleep(QUIET).await;
                    let again = self.contents().await;
                    if again == now {
                        break;
                    }
                    now = again;
                }
                // A folder's watch tells of more than changes of the file.
                if now == seen {
                    continue;
                }
                if now.as_deref().is_none_or(|text| text.trim_ascii().is_empty()) {
                    warn!("the settings file is empty or gone; settings stay until SIGHUP");
                    continue;
                }
            }
            seen = now;
            // Said in the log; there is nobody else to tell.
            let _ = self.reload().await;
        }
    }

    async fn contents(&self) -> Option<Vec<u8>> {
        let inner = Arc::clone(&self.0);
        spawn_blocking(move || inner.contents()).await.unwrap_or_default()
    }
}

impl Inner {
    fn reload(&self) -> Result<ReloadResponse> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let running = self.state().config.clone();
        match self.read(&running) {
            Ok((config, new)) => {
                let changed = running.differences(&config);
                let needs_restart = config.differences(&new);
                info!(?changed, ?needs_restart, "settings were reloaded");
                let mut state = self.state();
                state.status.reloads += 1;
                state.status.problem.clear();
                state.status.needs_restart.clone_from(&needs_restart);
                state.config = config;
                Ok(ReloadResponse { changed, needs_restart })
            }
            Err(error) => {
                warn!(%error, "settings stay as they are");
                self.state().status.problem = error.to_string();
                Err(error)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings that are in effect from now on, and what was written.
    fn read(&self, running: &Config) -> Result<(Config, Config)> {
        let invalid = |problem: String| Error::SettingsInvalid { problem };
        let new = Config::load(&self.overrides).map_err(|error| invalid(error.to_string()))?;
        let config = running.reloaded(&new);
        let settings = Settings::new(&config).map_err(|error| invalid(error.to_string()))?;
        self.filter.set(&config.telemetry.log).map_err(|error| invalid(error.to_string()))?;
        self.tandem.set(settings);
        if config.models.default != running.models.default {
            self.follow(config.models.default.clone());
        }
        Ok((config, new))
    }

    /// Lets the old default model answer until the new one can.
    fn follow(&self, default: String) {
        let loader = self.tandem.loader.clone();
        // Ends with the daemon; how it went is in the log.
        tokio::spawn(async move { loader.follow_settings(default).await });
    }

    /// Whether the file was changed before it was watched.
    fn is_stale(&self) -> bool {
        Config::load(&self.overrides).map_or(true, |new| new != self.state().config)
    }

    fn file(&self) -> Option<PathBuf> {
        let file = match &self.overrides.config_file {
            Some(file) => file.clone(),
            None => default_config_file().ok()?,
        };
        std::path::absolute(file).ok()
    }

    /// What is in the settings file.
    fn contents(&self) -> Option<Vec<u8>> {
        std::fs::read(self.file()?).ok()
    }

    /// Watches the folder of the file, which is replaced by most programs that change it.
    fn watch(&self, changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
        let file = self.file()?;
        let Some(folder) = file.parent().filter(|folder| folder.is_dir()) else {
            info!(file = %file.display(), "its folder does not exist and is not watched; use SIGHUP");
            return None;
        };
        let changed = Arc::clone(changed);
        let notified = move |event: notify::Result<notify::Event>| {
            // Reading the file is an event, too.
            let is_read = event.is_ok_and(|event| {
                matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
            });
            if !is_read {
                changed.notify_one();
            }
        };
        let begin = |folder: &Path| {
            let mut watcher = notify::recommended_watcher(notified)?;
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
            Ok::<_, notify::Error>(watcher)
        };
        begin(folder)
            .inspect_err(|error| warn!(%error, "the settings file cannot be watched; use SIGHUP"))
            .ok()
    }
}
