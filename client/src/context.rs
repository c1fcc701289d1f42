//! What every command needs: the terminal, the settings and the way to the daemon.

use std::{
    cell::Cell,
    env,
    path::{PathBuf, absolute},
    time::Duration,
};

use clap::Args;
use tandem_client::{Autostart, Client, Error, v1};
use tandem_config::{Config, Overrides, SOCKET_PATH_BYTES_MAX};
use tokio::{select, signal, time::timeout};

use crate::{claim, failure::Failure, terminal::Terminal};

/// How long the daemon may take to say how it is; it does no work for that.
const STATUS_DEADLINE: Duration = Duration::from_secs(10);

/// Flags that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Socket of the daemon [env: `TANDEM_SOCKET`]
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub(crate) socket: Option<PathBuf>,

    /// Settings file [default: tandem.toml in the user's configuration directory]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub(crate) config: Option<PathBuf>,

    /// Do not start the daemon when it does not run
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) no_autostart: bool,

    /// Print JSON, errors included
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,

    /// Print no notes, spinners or summaries; results and errors stay
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) quiet: bool,
}

/// The surroundings of one command.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) terminal: Terminal,
    pub(crate) overrides: Overrides,
    settings: Result<Config, tandem_config::Error>,
    warned: Cell<bool>,
    autostart: bool,
}

impl Context {
    pub(crate) fn new(global: &Global, terminal: Terminal) -> Self {
        let overrides = Overrides {
            config_file: global.config.clone(),
            socket: global.socket.clone(),
            profile: None,
            embedded: None,
        };
        Self {
            terminal,
            settings: Config::load(&overrides),
            overrides,
            warned: Cell::new(false),
            autostart: !global.no_autostart,
        }
    }

    /// Where the daemon listens.
    pub(crate) fn socket(&self) -> Result<PathBuf, Failure> {
        match &self.settings {
            Ok(config) => Ok(config.daemon.socket.clone()),
            Err(error) if self.overrides.config_file.is_some() => Err(unusable(error)),
            // A daemon that runs already can be reached although its file was broken since.
            Err(error) => {
                let socket = self.socket_without_settings();
                let too_long = socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX;
                if too_long { Err(unusable(error)) } else { Ok(socket) }
            }
        }
    }

    /// The socket that was named outside the settings, else that of the daemon that has the data,
    /// else the default one.
    fn socket_without_settings(&self) -> PathBuf {
        let in_environment = env::var_os("TANDEM_SOCKET").is_some_and(|path| !path.is_empty());
        match &self.overrides.socket {
            Some(socket) => absolute(socket).unwrap_or_else(|_| socket.clone()),
            None if in_environment => tandem_config::default_socket(),
            None => {
                claim::socket_of(&self.data_dir()).unwrap_or_else(tandem_config::default_socket)
            }
        }
    }

    /// Where tandem keeps its files.
    pub(crate) fn data_dir(&self) -> PathBuf {
        match &self.settings {
            Ok(config) => config.daemon.data_dir.clone(),
            Err(_) => tandem_config::default_data_dir(),
        }
    }

    /// Says once that the settings cannot be used.
    fn warn(&self) {
        if let Err(error) = &self.settings
            && !self.warned.replace(true)
        {
            self.terminal.notice(&format!("warning: {error}"));
        }
    }

    /// Looks for a daemon that runs: where the settings say, else where the one listens that has the
    /// data. Says on standard error what is not as expected. Returns the socket, too.
    pub(crate) async fn find(&self) -> Result<(PathBuf, Result<Client, Error>), Failure> {
        let socket = self.socket()?;
        self.warn();
        let outcome = Client::connect(&socket).await;
        // A socket that was named means that daemon and no other.
        let named = self.overrides.socket.is_some()
            || env::var_os("TANDEM_SOCKET").is_some_and(|socket| !socket.is_empty());
        if named || !matches!(outcome, Err(Error::NotReachable { .. })) {
            return Ok((socket, outcome));
        }
        let data_dir = self.data_dir();
        let Some(other) = claim::socket_of(&data_dir).filter(|other| *other != socket) else {
            return Ok((socket, outcome));
        };
        self.terminal.notice(&format!(
            "note: nobody listens at {}; the daemon that uses {} listens at {}",
            socket.display(),
            data_dir.display(),
            other.display(),
        ));
        let outcome = Client::connect(&other).await;
        Ok((other, outcome))
    }

    /// A connection to the daemon, which is started when it does not run.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        match Client::connect(&self.socket()?).await {
            Err(Error::NotReachable { .. }) if self.autostart => self.start().await,
            outcome => {
                self.warn();
                Ok(outcome?)
            }
        }
    }

    /// Starts the daemon and waits until it serves.
    pub(crate) async fn start(&self) -> Result<Client, Failure> {
        let config = self.settings.as_ref().map_err(unusable)?;
        let waiting = self.terminal.spinner("starting the daemon");
        let autostart = Autostart {
            socket: config.daemon.socket.clone(),
            config: self.overrides.config_file.clone(),
            data_dir: config.daemon.data_dir.clone(),
        };
        let outcome = autostart.start().await;
        waiting.finish_and_clear();
        Ok(outcome?)
    }
}

/// How the daemon is. One that hangs is reported instead of waited for.
pub(crate) async fn status(client: &Client) -> Result<v1::StatusResponse, Failure> {
    let mut admin = client.admin();
    let answer = timeout(STATUS_DEADLINE, admin.status(v1::StatusRequest {})).await;
    let answer = answer.map_err(|_| {
        let seconds = STATUS_DEADLINE.as_secs();
        let message = format!("the daemon accepts calls and did not answer within {seconds} s");
        Error::TimedOut { message }
    })?;
    Ok(answer?.into_inner())
}

/// Does the work, or drops it at Ctrl-C.
pub(crate) async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    select! {
        biased;
        Ok(()) = signal::ctrl_c() => Err(Failure::Cancelled),
        outcome = work => outcome,
    }
}

/// Settings that cannot be used, in words.
pub(crate) fn unusable(error: &tandem_config::Error) -> Failure {
    Failure::Settings(error.to_string())
}
