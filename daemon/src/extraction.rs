//! Puts files that are inside this program onto the disk, each once.
//!
//! A file is written under another name, flushed, read back and compared by its hash, and only then gets
//! its own. From then on its size and its time of change vouch for it: that time is a fixed one, which
//! any write replaces. Where they do not, it is hashed, and written again if it is damaged. Blocking.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use tracing::{info, warn};

/// Time of change of a file that is whole, in seconds since 1970.
const SEAL: Duration = Duration::from_secs(1_000_000_000);
/// Bytes that are read at a time.
const STEP_BYTES: usize = 1 << 20;

/// Why a file could not be put in place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "the disk of {} is full, and {needed_mib} MiB are needed there; make room, or name a folder \
         on another disk with XDG_CACHE_HOME", folder.display()
    )]
    Full { folder: PathBuf, needed_mib: usize },
    #[error(
        "cannot write {}; see that it belongs to you, or name another folder with XDG_CACHE_HOME",
        path.display()
    )]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{} does not read back as it was written; the program is damaged, or the disk is: install \
         it anew, or name a folder on another disk with XDG_CACHE_HOME", path.display()
    )]
    Damaged { path: PathBuf },
}

/// A file inside this program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content {
    pub(crate) name: &'static str,
    /// Hexadecimal, computed when the program was built.
    pub(crate) sha256: &'static str,
    pub(crate) bytes: &'static [u8],
    /// Whether it is to be executed.
    pub(crate) is_program: bool,
}

impl Content {
    /// Where it is, or will be, below the folder `cache`.
    pub(crate) fn path(&self, cache: &Path) -> PathBuf {
        self.folder(cache).join(self.name)
    }

    fn folder(&self, cache: &Path) -> PathBuf {
        cache.join("embedded").join(self.sha256)
    }

    /// Sees to it that it is on the disk as a whole. False when it was already.
    ///
    /// Whoever else does the same meanwhile, here or in another process, waits and finds it there.
    pub(crate) fn extract(&self, cache: &Path) -> Result<bool, Error> {
        let (folder, path) = (self.folder(cache), self.path(cache));
        let part = folder.join(format!("{}.part", self.name));
        let failed = |source: io::Error| match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Error::Full { folder: folder.clone(), needed_mib: (self.bytes.len() >> 20) + 1 }
            }
            _ => Error::Io { path: path.clone(), source },
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        // Held until it is closed, however that comes about.
        let mut options = File::options();
        let lock = options.write(true).create(true).truncate(false).mode(0o600);
        let lock = lock.open(folder.join(".lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        if self.is_sealed(&path) {
            return Ok(false);
        }
        if self.is_whole(&path).map_err(failed)? {
            self.seal(&path).map_err(failed)?;
            return Ok(false);
        }
        info!(path = %path.display(), bytes = self.bytes.len(), "extracting what is inside this program");
        let written = self.write(&part, &path);
        if !matches!(written, Ok(true)) {
            // Half a file only takes room.
            drop(fs::remove_file(&part));
        }
        if written.map_err(failed)? { Ok(true) } else { Err(Error::Damaged { path }) }
    }

    /// False when it does not read back as it was written.
    fn write(&self, part: &Path, path: &Path) -> io::Result<bool> {
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(self.mode()).open(part)?;
        file.write_all(self.bytes)?;
        file.sync_all()?;
        drop(file);
        if !self.is_whole(part)? {
            return Ok(false);
        }
        self.seal(part)?;
        fs::rename(part, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
        Ok(true)
    }

    /// Whether the file can be taken for whole without reading it.
    fn is_sealed(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|file| {
            file.is_file()
                && file.len() == self.bytes.len() as u64
                && file.permissions().mode() & 0o777 == self.mode()
                && file.modified().is_ok_and(|then| then == SystemTime::UNIX_EPOCH + SEAL)
        })
    }

    /// Whether the file has the hash that it should have. One that is not there does not.
    fn is_whole(&self, path: &Path) -> io::Result<bool> {
        match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Ok(file) if file.len() != self.bytes.len() as u64 => {
                warn!(path = %path.display(), "it was cut or changed and is replaced");
                return Ok(false);
            }
            file => file.map(|_| ())?,
        }
        let is_whole = sha256(path)? == self.sha256;
        if !is_whole {
            warn!(path = %path.display(), "it was changed and is replaced");
        }
        Ok(is_whole)
    }

    fn seal(&self, path: &Path) -> io::Result<()> {
        fs::set_permissions(path, Permissions::from_mode(self.mode()))?;
        File::open(path)?.set_modified(SystemTime::UNIX_EPOCH + SEAL)
    }

    fn mode(&self) -> u32 {
        if self.is_program { 0o700 } else { 0o600 }
    }
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut step = vec![0; STEP_BYTES];
    loop {
        match file.read(&mut step) {
            Ok(0) => break,
            Ok(count) => digest.update(step.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut hexadecimal = String::new();
    for byte in digest.finalize() {
        let _ = write!(hexadecimal, "{byte:02x}");
    }
    Ok(hexadecimal)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use std::os::unix::fs::symlink;
    use std::thread;

    use super::*;

    const CONTENT: Content = Content {
        name: "m.gguf",
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        bytes: b"abc",
        is_program: false,
    };

    #[test]
    fn a_file_is_written_once_and_is_as_it_should_be() {
        let cache = tempfile::tempdir().unwrap();
        for content in [CONTENT, Content { name: "program", is_program: true, ..CONTENT }] {
            assert!(content.extract(cache.path()).unwrap());
            assert!(!content.extract(cache.path()).unwrap());
            let path = content.path(cache.path());
            assert_eq!(fs::read(&path).unwrap(), b"abc");
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, content.mode());
            assert!(!path.with_extension("gguf.part").exists());
        }
    }

    #[test]
    fn many_at_once_write_it_once() {
        let cache = tempfile::tempdir().unwrap();
        let written = thread::scope(|scope| {
            let extract = || CONTENT.extract(cache.path()).unwrap();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(extract)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|new| *new).count()
        });
        assert_eq!(written, 1);
    }

    #[test]
    fn a_file_that_was_changed_is_written_again_and_one_that_was_touched_is_not() {
        let cache = tempfile::tempdir().unwrap();
        CONTENT.extract(cache.path()).unwrap();
        let path = CONTENT.path(cache.path());
        for damaged in ["abd", "ab", "abcd", ""] {
            fs::write(&path, damaged).unwrap();
            assert!(CONTENT.extract(cache.path()).unwrap(), "{damaged:?}");
            assert_eq!(fs::read(&path).unwrap(), b"abc");
        }
        fs::write(&path, "abc").unwrap();
        assert!(!CONTENT.is_sealed(&path));
        assert!(!CONTENT.extract(cache.path()).unwrap());
        assert!(CONTENT.is_sealed(&path));
        fs::remove_file(&path).unwrap();
        // What a process that died has left.
        fs::write(path.with_extension("gguf.part"), "a longer one").unwrap();
        assert!(CONTENT.extract(cache.path()).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"abc");
    }

    #[test]
    fn a_full_disk_is_told_with_what_is_needed_and_leaves_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let path = CONTENT.path(cache.path());
        let part = path.with_extension("gguf.part");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink("/dev/full", &part).unwrap();
        let error = CONTENT.extract(cache.path()).unwrap_err();
        assert!(matches!(error, Error::Full { needed_mib: 1, .. }), "{error}");
        assert!(!path.exists() && fs::symlink_metadata(&part).is_err());
        assert!(CONTENT.extract(cache.path()).unwrap());
    }

    #[test]
    fn what_does_not_read_back_gets_no_name() {
        let cache = tempfile::tempdir().unwrap();
        let damaged = Content { bytes: b"abd", ..CONTENT };
        let error = damaged.extract(cache.path()).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert!(!damaged.path(cache.path()).exists());
        fs::write(damaged.path(cache.path()).with_extension("gguf.part"), "").unwrap();
        let folder = cache.path().join("embedded");
        fs::remove_dir_all(&folder).unwrap();
        fs::write(folder, "a file").unwrap();
        assert!(matches!(CONTENT.extract(cache.path()), Err(Error::Io { .. })));
    }
}
