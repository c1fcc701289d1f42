//! A file that is there as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::ImportError;

/// A file under another name, removed unless it is finished.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
    finished: bool,
}

impl Unfinished {
    /// Begins a file that shall become `target`. What an earlier daemon left unfinished is replaced.
    pub(super) fn create(target: &Path) -> Result<Self, ImportError> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.part"));
        let create = || {
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder)?;
            }
            File::create(&path)
        };
        match create() {
            Ok(file) => Ok(Self { path, file: BufWriter::new(file), length: 0, finished: false }),
            Err(problem) => Err(ImportError::Unwritable { path, problem }),
        }
    }

    /// Where it is meanwhile.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), ImportError> {
        self.file.write_all(bytes).map_err(|problem| self.unwritable(problem))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Appends zeros up to a multiple of `alignment` bytes, and lets the file be read up to there.
    pub(super) fn align(&mut self, alignment: u64) -> Result<(), ImportError> {
        let missing = self.length.next_multiple_of(alignment) - self.length;
        self.append(&vec![0; usize::try_from(missing).unwrap_or(0)])?;
        self.file.flush().map_err(|problem| self.unwritable(problem))
    }

    /// Gives the file its name, once it is on disk.
    pub(super) fn finish(mut self, target: &Path) -> Result<(), ImportError> {
        let on_disk = |file: &mut BufWriter<File>| -> io::Result<()> {
            file.flush()?;
            file.get_ref().sync_all()
        };
        on_disk(&mut self.file)
            .and_then(|()| fs::rename(&self.path, target))
            .map_err(|problem| self.unwritable(problem))?;
        self.finished = true;
        Ok(())
    }

    fn unwritable(&self, problem: io::Error) -> ImportError {
        ImportError::Unwritable { path: self.path.clone(), problem }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            // It is in nobody's way, and the next import of this name replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}
