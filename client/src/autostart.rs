//! Starts the daemon in the background and waits until it serves.

use std::{
    env,
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::{
        fs::{DirBuilderExt as _, OpenOptionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, timeout_at},
};

use crate::{Client, Error};

/// How long the daemon may take to serve.
const DEADLINE: Duration = Duration::from_secs(10);

/// Pause between two looks at the socket.
const PAUSE: Duration = Duration::from_millis(20);

/// A log that has grown past this many bytes is moved aside before the daemon is started.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// Exit code of a daemon whose settings cannot be used.
const EXIT_SETTINGS: i32 = 2;

/// How much of the end of the log explains why a daemon ended: bytes and lines.
const TAIL_BYTES: u64 = 8 << 10;
const TAIL_LINES: usize = 10;

/// How to start a daemon that does not run.
///
/// The program is `$TANDEMD`, else `tandemd` beside this one, else on `$PATH`. Its output goes
/// to `tandemd.log` in the data directory. Programs that start it at the same time start one.
#[derive(Debug, Clone)]
pub struct Autostart {
    /// Where the daemon shall listen.
    pub socket: PathBuf,
    /// Its settings file, when it is not the default one.
    pub config: Option<PathBuf>,
    /// Where the log and the lock are; made when it is not there.
    pub data_dir: PathBuf,
}

impl Autostart {
    /// The program of the daemon.
    ///
    /// # Errors
    ///
    /// When it is nowhere; the message says where it was looked for.
    pub fn program() -> io::Result<PathBuf> {
        let named = env::var_os("TANDEMD").filter(|path| !path.is_empty()).map(PathBuf::from);
        let this = env::current_exe().ok();
        find(named, this.as_deref(), &env::var_os("PATH").unwrap_or_default())
    }

    /// The file that receives the daemon's output.
    pub fn log_file(&self) -> PathBuf {
        self.data_dir.join("tandemd.log")
    }

    /// Returns a client of a daemon that serves, started by this call or meanwhile by another.
    ///
    /// Fails with [`Error::NotStarted`] when it ends or does not serve within 10 seconds, and with
    /// [`Error::Invalid`] when its settings cannot be used.
    pub async fn start(&self) -> Result<Client, Error> {
        let deadline = Instant::now() + DEADLINE;
        let lock = self.blocking(Self::open_lock).await?;
        let mut daemon: Option<Daemon> = None;
        loop {
            // Looked up before the socket: a daemon also ends when another one serves already.
            let ended = match &mut daemon {
                Some(daemon) => daemon.obituary().map_err(|error| self.cannot_start(&error))?,
                None => None,
            };
            match timeout_at(deadline, self.serving()).await {
                Ok(Some(client)) => return Ok(client),
                Ok(None) if Instant::now() < deadline => {}
                _ => return Err(self.failed(late(daemon))),
            }
            if let Some((status, message)) = ended {
                return Err(if status.code() == Some(EXIT_SETTINGS) {
                    Error::Invalid { reason: tandem_proto::error::SETTINGS_INVALID.into(), message }
                } else {
                    self.failed(message)
                });
            }
            if daemon.is_none() {
                match lock.try_lock() {
                    Ok(()) => daemon = Some(self.blocking(Self::spawn).await?),
                    // Somebody else is starting it.
                    Err(TryLockError::WouldBlock) => {}
                    Err(TryLockError::Error(error)) => return Err(self.cannot_start(&error)),
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn serving(&self) -> Option<Client> {
        let client = Client::connect(&self.socket).await.ok()?;
        client.is_serving().await.ok()?.then_some(client)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: fn(&Self) -> io::Result<T>,
    ) -> Result<T, Error> {
        let this = self.clone();
        spawn_blocking(move || work(&this))
            .await
            .map_err(io::Error::other)
            .flatten()
            .map_err(|error| self.cannot_start(&error))
    }

    fn open_lock(&self) -> io::Result<File> {
        let data_dir = &self.data_dir;
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(at(data_dir))?;
        let lock = data_dir.join("autostart.lock");
        private_file().open(&lock).map_err(at(&lock))
    }

    fn spawn(&self) -> io::Result<Daemon> {
        let program = Self::program()?;
        let log_file = self.log_file();
        if fs::metadata(&log_file).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
            fs::rename(&log_file, log_file.with_extension("log.old")).map_err(at(&log_file))?;
        }
        let log = private_file().read(true).open(&log_file).map_err(at(&log_file))?;
        let log_start = log.metadata()?.len();

        let mut command = Command::new(&program);
        command.arg("--socket").arg(&self.socket);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            // Ctrl-C in this terminal is not for the daemon.
            .process_group(0)
            .spawn()
            .map_err(at(&program))?;
        Ok(Daemon { child, log, log_start })
    }

    fn cannot_start(&self, error: &io::Error) -> Error {
        self.failed(format!("cannot start the daemon: {error}"))
    }

    fn failed(&self, message: String) -> Error {
        Error::NotStarted { message, log: self.log_file() }
    }
}

/// The daemon that was started, and where its part of the log begins.
struct Daemon {
    child: Child,
    log: File,
    log_start: u64,
}

impl Daemon {
    /// How and why it ended, when it has.
    fn obituary(&mut self) -> io::Result<Option<(ExitStatus, String)>> {
        let Some(status) = self.child.try_wait()? else { return Ok(None) };
        let message = format!("the daemon ended at once ({status}){}", self.log_tail());
        Ok(Some((status, message)))
    }

    /// The last lines that it wrote, each on a line of its own; empty when there are none.
    fn log_tail(&mut self) -> String {
        match self.end_of_log() {
            Ok(bytes) => last_lines(&String::from_utf8_lossy(&bytes)),
            Err(error) => format!("\n  (its log cannot be read: {error})"),
        }
    }

    fn end_of_log(&mut self) -> io::Result<Vec<u8>> {
        let tail = self.log.metadata()?.len().saturating_sub(TAIL_BYTES);
        self.log.seek(SeekFrom::Start(tail.max(self.log_start)))?;
        let mut bytes = Vec::new();
        (&self.log).take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

fn late(daemon: Option<Daemon>) -> String {
    let tail = daemon.map_or_else(String::new, |mut daemon| daemon.log_tail());
    format!("the daemon did not serve within {} s{tail}", DEADLINE.as_secs())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let first = lines.len().saturating_sub(TAIL_LINES);
    lines.iter().skip(first).fold(String::new(), |tail, line| format!("{tail}\n  {line}"))
}

/// The daemon's program: the one that was named, else one beside `this`, else one in `path`.
fn find(named: Option<PathBuf>, this: Option<&Path>, path: &OsStr) -> io::Result<PathBuf> {
    if let Some(program) = named {
        return Ok(program);
    }
    let beside = this.and_then(Path::parent).map(Path::to_owned);
    beside
        .into_iter()
        .chain(env::split_paths(path))
        .map(|directory| directory.join("tandemd"))
        .find(|program| program.is_file())
        .ok_or_else(|| {
            let message = "tandemd is neither beside tandem nor on PATH; set TANDEMD to its path";
            io::Error::new(io::ErrorKind::NotFound, message)
        })
}

/// Puts the path in front of what the system says.
fn at(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_daemon_beside_this_program_comes_before_the_one_on_the_path() {
        let beside = tempfile::tempdir().unwrap();
        let on_path = tempfile::tempdir().unwrap();
        fs::write(on_path.path().join("tandemd"), "").unwrap();
        let this = beside.path().join("tandem");
        let found = |named: Option<&str>| {
            find(named.map(PathBuf::from), Some(&this), on_path.path().as_os_str()).unwrap()
        };

        assert_eq!(found(None), on_path.path().join("tandemd"));
        fs::write(beside.path().join("tandemd"), "").unwrap();
        assert_eq!(found(None), beside.path().join("tandemd"));
        assert_eq!(found(Some("/x")), Path::new("/x"));
    }

    #[test]
    fn a_missing_daemon_is_an_error_that_says_where_it_was_looked_for() {
        let error = find(None, None, OsStr::new("")).unwrap_err().to_string();
        assert!(error.contains("PATH") && error.contains("TANDEMD"), "{error}");
    }

    #[tokio::test]
    async fn a_data_directory_that_cannot_be_made_is_named() {
        let autostart = Autostart {
            socket: "/dev/null/s".into(),
            config: None,
            data_dir: "/dev/null/data".into(),
        };
        let error = autostart.start().await.unwrap_err().to_string();
        assert!(error.starts_with("cannot start the daemon: /dev/null/data: "), "{error}");
    }

    #[test]
    fn only_the_last_lines_of_a_log_are_shown() {
        let lines: Vec<_> = (0..30).map(|line| format!("line {line}\n\n")).collect();
        let tail = last_lines(&lines.concat());
        assert!(tail.starts_with("\n  line 20\n") && tail.ends_with("\n  line 29"), "{tail}");
        assert_eq!(last_lines("\n"), "");
    }
}
