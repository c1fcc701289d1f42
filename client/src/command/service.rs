//! `tandem service`: starting and stopping the daemon.

use std::{path::Path, process::ExitCode, time::Duration};

use clap::Subcommand;
use serde::Serialize;
use tandem_client::{Client, Error, v1};
use tokio::time::{sleep, timeout};

use crate::{
    claim,
    context::{self, Context},
    failure::Failure,
};

/// How long the daemon may take to finish what it accepted. Its own `daemon.drain_timeout` is
/// shorter unless somebody raised it.
const STOP_DEADLINE: Duration = Duration::from_mins(1);

/// Pause between two looks at the socket.
const PAUSE: Duration = Duration::from_millis(50);

/// What to do with the daemon.
#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    /// Start the daemon in the background and wait until it serves
    Start,
    /// Let the daemon finish what it accepted, and wait until it has ended
    ///
    /// What is not finished after `daemon.drain_timeout` of the settings is cut off. Does not start
    /// the daemon.
    Stop,
    /// Say whether the daemon runs; the exit code is 3 when it does not
    ///
    /// Does not start the daemon.
    Status,
}

/// The daemon after the command.
#[derive(Serialize)]
struct State {
    running: bool,
    /// Whether this command started or stopped it.
    changed: bool,
    socket: String,
    pid: Option<u32>,
    version: Option<String>,
    uptime_ms: Option<u64>,
}

impl Service {
    pub(crate) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let (socket, outcome) = match self {
            // What is started listens where the settings say.
            Self::Start => {
                let socket = context.socket()?;
                let outcome = Client::connect(&socket).await;
                (socket, outcome)
            }
            Self::Stop | Self::Status => context.find().await?,
        };
        let running = match outcome {
            Ok(client) => Some(client),
            Err(Error::NotReachable { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let (client, changed) = match (&self, running) {
            (Self::Start, None) => (Some(context.start().await?), true),
            (Self::Stop, Some(client)) => {
                stop(context, Some(&client), &socket).await?;
                (None, true)
            }
            (Self::Stop, None) if claim::is_served(&socket) => {
                // It is ending already.
                stop(context, None, &socket).await?;
                (None, true)
            }
            (_, running) => (running, false),
        };
        let status = match &client {
            Some(client) => Some(context::status(client).await?),
            None => None,
        };
        let state = State {
            running: status.is_some(),
            changed,
            socket: socket.display().to_string(),
            pid: status.as_ref().map(|status| status.pid),
            uptime_ms: status.as_ref().map(|status| status.uptime_ms),
            version: status.map(|status| status.version),
        };
        context.terminal.result(&state, State::text)?;
        let asked_and_not_running = matches!(self, Self::Status) && !state.running;
        Ok(if asked_and_not_running { ExitCode::from(3) } else { ExitCode::SUCCESS })
    }
}

impl State {
    fn text(&self) -> String {
        let Self { socket, changed, .. } = self;
        match (self.pid, changed) {
            (Some(pid), true) => format!("tandemd started, pid {pid}, at {socket}\n"),
            (Some(pid), false) => format!("tandemd runs, pid {pid}, at {socket}\n"),
            (None, true) => format!("tandemd stopped, nobody listens at {socket}\n"),
            (None, false) => format!("tandemd does not run, nobody listens at {socket}\n"),
        }
    }
}

/// Asks the daemon to end, if it can be asked, and waits until it has.
async fn stop(context: &Context, client: Option<&Client>, socket: &Path) -> Result<(), Failure> {
    let waiting = context.terminal.spinner("waiting for the daemon to finish its work");
    let outcome = timeout(STOP_DEADLINE, async {
        if let Some(client) = client {
            match client.admin().drain(v1::DrainRequest {}).await.map_err(Error::from) {
                // A daemon may be gone before its answer is here.
                Ok(_) | Err(Error::NotReachable { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        while claim::is_served(socket)
            || !matches!(Client::connect(socket).await, Err(Error::NotReachable { .. }))
        {
            sleep(PAUSE).await;
        }
        Ok(())
    });
    let outcome = outcome.await;
    waiting.finish_and_clear();
    let message = format!("the daemon did not end within {} s", STOP_DEADLINE.as_secs());
    Ok(outcome.unwrap_or(Err(Error::TimedOut { message }))?)
}
