//! The daemon's socket and its claim to socket and data: one daemon for each, and what a
//! killed one left behind is taken over.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Why the daemon may not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "another tandemd (pid {pid}) uses {what}; stop it with `tandem --socket {socket} service \
         stop`, or give this one a TANDEM_HOME of its own"
    )]
    Taken { what: String, pid: String, socket: String },
    #[error("{0} is in use by another program; give another --socket")]
    InUse(String),
    #[error("{0} exists and is not a socket; remove it or give another --socket")]
    NotASocket(String),
    #[error("cannot {action} {path}")]
    Io { action: &'static str, path: String, source: io::Error },
}

/// Longest content of a lock file that is read.
const HOLDER_BYTES_MAX: u64 = 4096;

const LOCK_RETRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Held as long as the daemon runs. The kernel releases it however the daemon ends.
#[derive(Debug)]
pub(crate) struct Claim {
    _file: File,
}

impl Claim {
    /// Claims `what` by a lock on the file `path`, which tells others who holds it: the number
    /// of this process on the first line, and its socket on the second.
    pub(crate) fn take(path: &Path, what: &Path, socket: &Path) -> Result<Self, Error> {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(io_error("open", path))?;
        match lock_patiently(&file) {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // It only makes the message better.
                let _ = file.take(HOLDER_BYTES_MAX).read_to_string(&mut holder);
                let mut lines = holder.lines().map(str::to_owned);
                return Err(Error::Taken {
                    what: what.display().to_string(),
                    pid: lines.next().unwrap_or_default(),
                    socket: lines.next().unwrap_or_default(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io_error("lock", path)(source)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}\n{}", std::process::id(), socket.display()))
            .map_err(io_error("write", path))?;
        Ok(Self { _file: file })
    }
}

/// Locks a file. `tandem service` looks at locks by taking them for a moment, so one that is
/// taken is tried a few times more.
fn lock_patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_RETRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            outcome => return outcome,
        }
    }
    file.try_lock()
}

/// A bound socket that only its owner can connect to; removed when dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    _claim: Claim,
}

impl Socket {
    /// Binds `path`. A socket that nobody listens on is replaced.
    pub(crate) fn bind(path: &Path) -> Result<(Self, UnixListener), Error> {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        if let Some(dir) = path.parent() {
            create_private_dir(dir, false)?;
        }
        let claim = Claim::take(Path::new(&lock), path, path)?;
        match fs::symlink_metadata(path) {
            Ok(facts) if !facts.file_type().is_socket() => {
                return Err(Error::NotASocket(path.display().to_string()));
            }
            Ok(_) => match UnixStream::connect(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(io_error("remove stale socket", path))?;
                }
                // Somebody listens, or it is not ours to find out.
                _ => return Err(Error::InUse(path.display().to_string())),
            },
            Err(_) => (),
        }
        // Nobody who knows the name can connect before the mode is right.
        let hidden = path.with_file_name(format!(".{}", std::process::id()));
        let _ = fs::remove_file(&hidden);
        let listener = UnixListener::bind(&hidden).map_err(io_error("bind", path))?;
        fs::set_permissions(&hidden, fs::Permissions::from_mode(0o600))
            .and_then(|()| fs::rename(&hidden, path))
            .map_err(io_error("publish", path))?;
        Ok((Self { path: path.to_owned(), _claim: claim }, listener))
    }

    /// Where it is bound.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Still ours, as the claim is held; a leftover would be taken over anyway.
        let _ = fs::remove_file(&self.path);
    }
}

/// Creates a directory that only its owner can enter, with `parents` also those above it.
/// Existing ones are left as they are.
pub(crate) fn create_private_dir(dir: &Path, parents: bool) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    let created = fs::DirBuilder::new().recursive(parents).mode(0o700).create(dir);
    created.map_err(io_error("create directory", dir))
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_with_the_pid_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/tandem.sock");
        let (socket, _listener) = Socket::bind(&path).unwrap();
        match Socket::bind(&path) {
            Err(Error::Taken { pid, socket, .. }) => {
                assert_eq!(pid, std::process::id().to_string());
                assert_eq!(socket, path.display().to_string());
            }
            other => panic!("{other:?}"),
        }
        drop(socket);
        assert!(!path.exists());
        Socket::bind(&path).unwrap();
    }

    #[test]
    fn a_socket_that_nobody_listens_on_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tandem.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let (_socket, _listener) = Socket::bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_belongs_to_others_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("notes.txt");
        fs::write(&file, "mine").unwrap();
        assert!(matches!(Socket::bind(&file), Err(Error::NotASocket(_))));
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");

        let other = dir.path().join("other.sock");
        let _listener = UnixListener::bind(&other).unwrap();
        assert!(matches!(Socket::bind(&other), Err(Error::InUse(_))));
        assert!(other.exists());
    }
}
