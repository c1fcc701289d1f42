//! One engine process: starting it, the two directions of its socket, and how it ended.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use prost::Message as _;
use prost::bytes::Bytes;
use tandem_proto::engine::{FRAME_BYTES_MAX, FromEngine, ToEngine, to_engine};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

const SIGILL: i32 = 4;
const SIGABRT: i32 = 6;
const SIGBUS: i32 = if cfg!(target_os = "macos") { 10 } else { 7 };
const SIGFPE: i32 = 8;
const SIGKILL: i32 = 9;
const SIGSEGV: i32 = 11;
const SIGTERM: i32 = 15;

/// What an engine may know of the daemon's environment, in which others keep their secrets.
const ENVIRONMENT: [&str; 7] =
    ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "TANDEM_HOME"];
/// The beginning of names that it may know, too.
const ENVIRONMENT_PREFIX: &str = "GGML_";

/// Frames that may wait for the worker to look at them; then the engine has to wait.
const INBOX_MAX: usize = 256;
/// Messages that may wait for the engine to read them; more means that it does not.
const OUTBOX_MAX: usize = 1024;
/// Lines of the engine's log kept to explain its death.
const LOG_LINES_MAX: usize = 8;
const LOG_LINE_BYTES_MAX: usize = 1000;
/// From the end of its socket to the end of the process.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);
/// From the end of the process to the end of its log.
const LOG_TIMEOUT: Duration = Duration::from_millis(200);

/// What a process reports: frames in order, then its exit.
#[derive(Debug)]
pub(crate) enum ProcessEvent {
    /// The permit is given up when the frame was looked at.
    Frame(FromEngine, OwnedSemaphorePermit),
    Exited(Exit),
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exit {
    /// The signal that killed it.
    pub(super) signal: Option<i32>,
    /// For a person: "killed by SIGILL", "sent a frame that is not valid".
    pub(super) how: String,
}

impl Exit {
    /// Whether the CPU or llama.cpp itself ended it, as opposed to someone who killed it.
    pub(super) fn is_fault(&self) -> bool {
        matches!(self.signal, Some(SIGILL | SIGABRT | SIGBUS | SIGFPE | SIGSEGV))
    }

    /// Whether an instruction was met that this CPU cannot execute.
    pub(super) fn is_illegal_instruction(&self) -> bool {
        self.signal == Some(SIGILL)
    }

    fn new(status: &io::Result<ExitStatus>, cause: Option<String>, log: &VecDeque<String>) -> Self {
        let signal = status.as_ref().ok().and_then(ExitStatus::signal);
        let mut how = cause.unwrap_or_else(|| match (status, signal) {
            (_, Some(signal)) => format!("killed by {}", signal_name(signal)),
            (Ok(status), None) => format!("ended with {status}"),
            (Err(error), None) => format!("lost: {error}"),
        });
        if let Some(line) = log.back().filter(|_| signal != Some(SIGKILL)) {
            how = format!("{how}; its last words: {line}");
        }
        Self { signal, how }
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        SIGILL => "SIGILL (an instruction that this CPU does not have)",
        SIGABRT => "SIGABRT",
        SIGBUS => "SIGBUS (the model file changed or shrank while it was mapped)",
        SIGFPE => "SIGFPE",
        SIGKILL => "SIGKILL",
        SIGSEGV => "SIGSEGV",
        SIGTERM => "SIGTERM",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

/// A running engine. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    outbox: mpsc::Sender<ToEngine>,
    /// Dropped or used: the process is killed.
    kill: Option<oneshot::Sender<String>>,
    tasks: JoinSet<()>,
}

impl Process {
    /// Starts `binary` with one end of a socket pair as its stdin. `report` is called for every
    /// frame, and once with the exit, by which time all frames were reported.
    pub(super) fn spawn(
        binary: &Path,
        report: impl Fn(ProcessEvent) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (incoming, outgoing) = UnixStream::from_std(ours)?.into_split();
        let mut child = Command::new(binary)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| may_know(name)))
            // llama.cpp would start a debugger to print a backtrace.
            .env("GGML_NO_BACKTRACE", "1")
            // Ctrl-C on a daemon in the foreground must drain, not kill the engine.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().unwrap_or_default();
        let stderr = child.stderr.take();

        let (outbox, to_send) = mpsc::channel(OUTBOX_MAX);
        let (kill, killed) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(write_frames(outgoing, to_send));
        tasks.spawn(async move {
            let log = AbortOnDropHandle::new(tokio::spawn(keep_log(stderr, pid)));
            let cause = tokio::select! {
                cause = read_frames(incoming, &report) => cause,
                // The sender is dropped only together with this task.
                Ok(cause) = killed => Some(cause),
            };
            let status = end(&mut child, cause.is_some()).await;
            // The log ends with the process, unless that left a child of its own behind.
            let log = timeout(LOG_TIMEOUT, log).await.ok().and_then(Result::ok);
            report(ProcessEvent::Exited(Exit::new(&status, cause, &log.unwrap_or_default())));
        });
        Ok(Self { pid, outbox, kill: Some(kill), tasks })
    }

    /// Queues a message. False when the engine has stopped reading.
    pub(super) fn send(&self, message: to_engine::Message) -> bool {
        self.outbox.try_send(ToEngine { message: Some(message) }).is_ok()
    }

    /// Kills the process; its exit is reported with this cause.
    pub(super) fn kill(&mut self, cause: impl Into<String>) {
        if let Some(kill) = self.kill.take() {
            let _ = kill.send(cause.into());
        }
    }

    /// Kills the process and waits until it is gone.
    pub(super) async fn stop(mut self) {
        self.kill("stopped");
        drop(self.outbox);
        while self.tasks.join_next().await.is_some() {}
    }
}

fn may_know(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    ENVIRONMENT.contains(&&*name) || name.starts_with(ENVIRONMENT_PREFIX)
}

fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .little_endian()
        .length_field_type::<u32>()
        .max_frame_length(FRAME_BYTES_MAX)
        .new_codec()
}

/// Reads until the socket ends. Returns why the process must be killed, if it must.
async fn read_frames(
    socket: impl AsyncRead + Unpin,
    report: &impl Fn(ProcessEvent),
) -> Option<String> {
    let inbox = Arc::new(Semaphore::new(INBOX_MAX));
    let mut frames = FramedRead::new(socket, codec());
    while let Some(frame) = frames.next().await {
        let message = match frame {
            Ok(bytes) => FromEngine::decode(bytes).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(error.to_string()),
            // A reset connection is the end of the process; its status says more.
            Err(_) => return None,
        };
        match message {
            Ok(message) => {
                // The semaphore is never closed.
                let Ok(permit) = Arc::clone(&inbox).acquire_owned().await else { return None };
                report(ProcessEvent::Frame(message, permit));
            }
            Err(error) => return Some(format!("sent a frame that is not valid ({error})")),
        }
    }
    None
}

async fn write_frames(
    socket: tokio::net::unix::OwnedWriteHalf,
    mut outbox: mpsc::Receiver<ToEngine>,
) {
    let mut frames = FramedWrite::new(socket, codec());
    while let Some(message) = outbox.recv().await {
        // The reader notices the end of the process; there is nothing to say about it here.
        if frames.send(Bytes::from(message.encode_to_vec())).await.is_err() {
            return;
        }
    }
}

/// Passes the engine's log on until it ends, and keeps its last lines.
async fn keep_log(stderr: Option<ChildStderr>, pid: u32) -> VecDeque<String> {
    let mut log = VecDeque::new();
    let Some(stderr) = stderr else { return log };
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while let Ok(chunk) = stderr.fill_buf().await {
        if chunk.is_empty() {
            break;
        }
        for &byte in chunk {
            if byte != b'\n' {
                if line.len() < LOG_LINE_BYTES_MAX {
                    line.push(byte);
                }
                continue;
            }
            let text = String::from_utf8_lossy(&line).trim().to_owned();
            line.clear();
            if text.is_empty() {
                continue;
            }
            debug!(target: "tandem_engine", pid, "{text}");
            if log.len() == LOG_LINES_MAX {
                log.pop_front();
            }
            log.push_back(text);
        }
        let read = chunk.len();
        stderr.consume(read);
    }
    log
}

async fn end(child: &mut Child, kill: bool) -> io::Result<ExitStatus> {
    if kill {
        child.start_kill()?;
    }
    if let Ok(status) = timeout(EXIT_TIMEOUT, child.wait()).await {
        return status;
    }
    warn!(pid = child.id(), "engine closed its socket and lives on, killing it");
    child.start_kill()?;
    child.wait().await
}
