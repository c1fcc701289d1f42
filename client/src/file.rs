//! Files that are there whole or not at all, and files and pipes that are read in parts.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::failure::Failure;

/// Bytes of a part.
const PART_BYTES: u64 = 256 << 10;
/// Parts that wait for who takes them.
const PARTS_MAX: usize = 4;

/// A file that gets its name once it is whole and on disk. Only its owner can read it. Dropping it
/// unfinished leaves nothing.
#[derive(Debug)]
pub(crate) struct WholeFile {
    /// `None` while a part is written, and once finished.
    file: Option<File>,
    path: PathBuf,
    draft: PathBuf,
    bytes: u64,
}

impl WholeFile {
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let mut draft = OsString::from(path);
        draft.push(".partial");
        let draft = PathBuf::from(draft);
        // One that an earlier command left behind.
        drop(fs::remove_file(&draft));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft);
        let file = file.map_err(|error| failure("write", &draft, &error))?;
        Ok(Self { file: Some(file), path: path.to_owned(), draft, bytes: 0 })
    }

    /// How many bytes it has.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) async fn write(&mut self, part: Vec<u8>) -> Result<(), Failure> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        self.bytes += part.len() as u64;
        let written = spawn_blocking(move || file.write_all(&part).map(|()| file)).await;
        let written = written.map_err(io::Error::other).flatten();
        self.file = Some(written.map_err(|error| failure("write", &self.draft, &error))?);
        Ok(())
    }

    /// Gives it its name. How many bytes it has.
    pub(crate) async fn finish(mut self) -> Result<u64, Failure> {
        let (file, draft, path) = (self.file.take(), self.draft.clone(), self.path.clone());
        let finish = move || {
            if let Some(file) = file {
                file.sync_all()?;
            }
            fs::rename(&draft, &path)?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        let finished = spawn_blocking(finish).await.map_err(io::Error::other).flatten();
        finished.map_err(|error| failure("write", &self.path, &error))?;
        Ok(self.bytes)
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        // Once it has its name, there is nothing here.
        drop(fs::remove_file(&self.draft));
    }
}

/// What is in a file, part by part.
pub(crate) fn read(path: &Path) -> Result<mpsc::Receiver<Result<Vec<u8>, Failure>>, Failure> {
    let file = File::open(path).map_err(|error| failure("read", path, &error))?;
    Ok(parts(file, path.to_owned()))
}

/// What comes through standard input, part by part.
pub(crate) fn read_stdin() -> mpsc::Receiver<Result<Vec<u8>, Failure>> {
    parts(io::stdin(), PathBuf::from("standard input"))
}

fn parts(
    mut source: impl Read + Send + 'static,
    name: PathBuf,
) -> mpsc::Receiver<Result<Vec<u8>, Failure>> {
    let (sender, parts) = mpsc::channel(PARTS_MAX);
    spawn_blocking(move || {
        loop {
            let mut part = Vec::new();
            let read = source.by_ref().take(PART_BYTES).read_to_end(&mut part);
            let part = read.map(|_| part).map_err(|error| failure("read", &name, &error));
            let ends = part.as_ref().is_ok_and(Vec::is_empty);
            let failed = part.is_err();
            if ends || sender.blocking_send(part).is_err() || failed {
                return;
            }
        }
    });
    parts
}

fn failure(action: &str, path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot {action} {}: {error}", path.display());
    Failure::Output(io::Error::new(error.kind(), message))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_file_is_whole_and_its_owners_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut file = WholeFile::create(&path).unwrap();
        file.write(b"half".to_vec()).await.unwrap();
        drop(file);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

        let mut file = WholeFile::create(&path).unwrap();
        file.write(b"all ".to_vec()).await.unwrap();
        file.write(b"of it".to_vec()).await.unwrap();
        assert_eq!(file.finish().await.unwrap(), 9);
        assert_eq!(fs::read(&path).unwrap(), b"all of it");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn what_is_read_in_parts_is_all_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let content: Vec<u8> = (0..=255).cycle().take(600_000).collect();
        fs::write(&path, &content).unwrap();
        let mut parts = read(&path).unwrap();
        let mut all = Vec::new();
        while let Some(part) = parts.recv().await {
            all.extend(part.unwrap());
        }
        assert_eq!(all, content);
        assert!(read(&dir.path().join("absent")).is_err());
    }
}
