//! The locks that a daemon holds as long as it lives: one beside its socket, one on its data.

use std::{
    fs::{File, TryLockError},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// Far more than a process number and the path of a socket.
const BYTES_MAX: u64 = 4096;

/// Whether a daemon lives that serves, or served, this socket. It holds the lock until the end of
/// its process, when its store is closed, too.
pub(crate) fn is_served(socket: &Path) -> bool {
    let mut lock = socket.as_os_str().to_owned();
    lock.push(".lock");
    File::open(lock).is_ok_and(|lock| is_held(&lock))
}

/// The socket of the daemon that holds the data directory, when one does and says so.
pub(crate) fn socket_of(data_dir: &Path) -> Option<PathBuf> {
    let lock = File::open(data_dir.join("daemon.lock")).ok().filter(is_held)?;
    let text = io::read_to_string(lock.take(BYTES_MAX)).ok()?;
    let socket = text.lines().nth(1).filter(|socket| !socket.is_empty())?;
    Some(socket.into())
}

fn is_held(lock: &File) -> bool {
    matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;

    use super::*;

    #[test]
    fn only_a_lock_that_is_held_names_a_socket() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(socket_of(home.path()), None);
        let path = home.path().join("daemon.lock");
        fs::write(&path, "7\n/run/other.sock\n").unwrap();
        assert_eq!(socket_of(home.path()), None, "its daemon is gone");

        let lock = File::open(&path).unwrap();
        lock.lock().unwrap();
        assert_eq!(socket_of(home.path()), Some("/run/other.sock".into()));
        fs::write(&path, "7\n").unwrap();
        assert_eq!(socket_of(home.path()), None, "its daemon does not say");
    }
}
