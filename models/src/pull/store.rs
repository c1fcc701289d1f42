//! A file that is on its way: the bytes that came, and a journal of them. Blocking.
//!
//! A piece is written, flushed, and only then taken down, so that whatever the journal says is on
//! disk. The file gets its name when it is whole and checked. The journal is locked by whoever works
//! on it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::statvfs;

use super::Error;
use super::journal::{Journal, Pin};
use super::plan::{self, PIECE_BYTES};

/// Space that stays free on the disk.
const RESERVE_BYTES: u64 = 64 << 20;
/// A pull that was given up a moment ago may still write its last piece.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// Longest journal that is read: 1 TiB of pieces.
const JOURNAL_BYTES_MAX: u64 = 16 << 20;

/// Where the bytes of `file` are until it is whole.
pub(super) fn data_path(folder: &Path, file: &str) -> PathBuf {
    folder.join(format!(".{file}.pull"))
}

/// What of them counts.
pub(super) fn journal_path(folder: &Path, file: &str) -> PathBuf {
    folder.join(format!(".{file}.pull.journal"))
}

/// A file on its way.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    file: String,
    size: u64,
    data: File,
    /// Open and locked.
    journal: Mutex<File>,
    done: Mutex<Vec<bool>>,
}

impl Store {
    /// Opens what came of `file` in `folder` before, if `pin` says that it is still the same, or
    /// begins anew. `None` when the file is there as a whole.
    pub(crate) fn open(folder: &Path, file: &str, pin: &Pin) -> Result<Option<Self>, Error> {
        let data_path = data_path(folder, file);
        let unwritable = |problem| Error::Unwritable { path: data_path.clone(), problem };
        fs::create_dir_all(folder).map_err(unwritable)?;
        let mut journal = lock(folder, file)?;
        if folder.join(file).is_file() {
            remove(&journal_path(folder, file)).map_err(unwritable)?;
            return Ok(None);
        }
        let data = private().open(&data_path).map_err(unwritable)?;
        let known = read(&mut journal).map_err(unwritable)?;
        let whole_data = data.metadata().map_err(unwritable)?.len() == pin.size;
        let known = known.filter(|known| whole_data && known.pin.goes_on_with(pin));
        let done = if let Some(Journal { done, length, .. }) = known {
            // What a crash left half written is no line to append to.
            journal.set_len(length).map_err(unwritable)?;
            done
        } else {
            // In this order, so that no old line ever counts for new bytes.
            journal.set_len(0).and_then(|()| journal.sync_all()).map_err(unwritable)?;
            data.set_len(0).and_then(|()| data.set_len(pin.size)).map_err(unwritable)?;
            let begin = pin.to_line().map_err(unwritable)?;
            journal.write_all(begin.as_bytes()).map_err(unwritable)?;
            vec![false; usize::try_from(plan::pieces(pin.size)).unwrap_or(usize::MAX)]
        };
        let store = Self {
            folder: folder.to_owned(),
            file: file.to_owned(),
            size: pin.size,
            data,
            journal: Mutex::new(journal),
            done: Mutex::new(done),
        };
        store.check_space()?;
        Ok(Some(store))
    }

    /// Bytes of the file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Where the bytes are.
    pub(crate) fn path(&self) -> PathBuf {
        data_path(&self.folder, &self.file)
    }

    /// What the file will be called.
    pub(super) fn target(&self) -> PathBuf {
        self.folder.join(&self.file)
    }

    /// Which pieces are on disk.
    pub(super) fn done(&self) -> Vec<bool> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this piece is on disk.
    pub(crate) fn has(&self, piece: u64) -> bool {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        usize::try_from(piece).ok().and_then(|piece| done.get(piece).copied()).unwrap_or(false)
    }

    /// Bytes that are on disk.
    pub(super) fn bytes_done(&self) -> u64 {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let pieces = (0..).zip(done.iter()).filter(|(_, done)| **done);
        pieces.map(|(piece, _)| length(piece, self.size)).sum()
    }

    /// Puts a piece on disk and takes it down.
    pub(crate) fn write(&self, piece: u64, bytes: &[u8]) -> Result<(), Error> {
        let written = || -> io::Result<()> {
            self.data.write_all_at(bytes, piece.saturating_mul(PIECE_BYTES))?;
            self.data.sync_data()?;
            // One call, so that no kill leaves half a line.
            let line = format!("{piece}\n");
            self.journal.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
        };
        written().map_err(|problem| Error::Unwritable { path: self.path(), problem })?;
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = usize::try_from(piece).ok().and_then(|piece| done.get_mut(piece)) {
            *done = true;
        }
        Ok(())
    }

    /// Gives the file its name.
    pub(crate) fn finish(&self) -> Result<PathBuf, Error> {
        let target = self.target();
        let named = || -> io::Result<()> {
            self.data.sync_all()?;
            fs::rename(self.path(), &target)?;
            File::open(&self.folder)?.sync_all()?;
            remove(&journal_path(&self.folder, &self.file))
        };
        named().map_err(|problem| Error::Unwritable { path: target.clone(), problem })?;
        Ok(target)
    }

    /// Forgets all that came.
    pub(crate) fn discard(&self) -> Result<(), Error> {
        let problem = |problem| Error::Unwritable { path: self.path(), problem };
        remove(&self.path()).map_err(problem)?;
        remove(&journal_path(&self.folder, &self.file)).map_err(problem)
    }

    fn check_space(&self) -> Result<(), Error> {
        let Ok(space) = statvfs(&self.folder) else {
            // A disk that does not say how full it is says so when it is written to.
            return Ok(());
        };
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        let needed = (self.size - self.bytes_done()).saturating_add(RESERVE_BYTES);
        if free >= needed {
            return Ok(());
        }
        if self.bytes_done() == 0 {
            self.discard()?;
        }
        let folder = self.folder.clone();
        Err(Error::NoSpace { folder, needed_mib: needed.div_ceil(1 << 20), free_mib: free >> 20 })
    }
}

fn length(piece: u64, size: u64) -> u64 {
    let bytes = plan::bytes(&(piece..piece + 1), size);
    bytes.end - bytes.start
}

/// How files are opened that are nobody else's business.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

/// Opens the journal and locks it for this process.
fn lock(folder: &Path, file: &str) -> Result<File, Error> {
    let path = journal_path(folder, file);
    let unwritable = |problem| Error::Unwritable { path: path.clone(), problem };
    let begin = Instant::now();
    loop {
        let journal = private().append(true).open(&path).map_err(unwritable)?;
        match journal.try_lock() {
            // Whoever had it may have removed it meanwhile.
            Ok(()) if is_at(&journal, &path) => return Ok(journal),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if begin.elapsed() > LOCK_PATIENCE => {
                return Err(Error::Busy { file: file.to_owned() });
            }
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(problem)) => return Err(unwritable(problem)),
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (file.metadata(), fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

/// What the journal says; `None` when it says nothing that can be understood.
fn read(journal: &mut File) -> io::Result<Option<Journal>> {
    if journal.metadata()?.len() > JOURNAL_BYTES_MAX {
        return Ok(None);
    }
    let mut text = Vec::new();
    journal.read_to_end(&mut text)?;
    Ok(Journal::parse(&text))
}

/// Removes a file that need not be there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Bytes that came of `file` in a pull that was broken off.
pub(super) fn unfinished_bytes(folder: &Path, file: &str) -> u64 {
    let journal = File::open(journal_path(folder, file));
    let known = journal.and_then(|mut journal| read(&mut journal)).ok().flatten();
    known.map_or(0, |Journal { pin, done, .. }| {
        let pieces = (0..).zip(&done).filter(|(_, done)| **done);
        pieces.map(|(piece, _)| length(piece, pin.size)).sum()
    })
}

/// Removes what came of `file` in a pull that was broken off. False when there was nothing.
pub(super) fn forget(folder: &Path, file: &str) -> Result<bool, Error> {
    let (data, journal) = (data_path(folder, file), journal_path(folder, file));
    if !data.exists() && !journal.exists() {
        return Ok(false);
    }
    let _lock = lock(folder, file)?;
    for path in [data, journal] {
        remove(&path).map_err(|problem| Error::Unwritable { path: path.clone(), problem })?;
    }
    Ok(true)
}
