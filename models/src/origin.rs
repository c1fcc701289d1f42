//! What a model's file is, by its hash, and where it came from.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::sidecar;

/// Bytes that are read at a time.
const STEP_BYTES: usize = 1 << 20;
const ORIGIN_BYTES_MAX: u64 = 64 << 10;

/// Hash of the file at `path` in hexadecimal. `go_on` hears of the bytes read so far after each MiB;
/// `None` when it says no. Blocking.
pub fn sha256(path: &Path, go_on: &mut dyn FnMut(u64) -> bool) -> io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let (mut digest, mut read) = (Sha256::new(), 0);
    let mut step = vec![0; STEP_BYTES];
    loop {
        let bytes = match file.read(&mut step) {
            Ok(0) => break,
            Ok(count) => step.get(..count).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        digest.update(bytes);
        read += bytes.len() as u64;
        if !go_on(read) {
            return Ok(None);
        }
    }
    let mut hexadecimal = String::new();
    for byte in digest.finalize() {
        let _ = write!(hexadecimal, "{byte:02x}");
    }
    Ok(Some(hexadecimal))
}

/// Beside a file that was fetched: what it was when it came. Where the catalog does not know a hash,
/// this is what the file is compared with from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The source, as it is written.
    pub source: String,
    /// Of the file, hexadecimal.
    pub sha256: String,
    /// Of the file.
    pub size_bytes: u64,
}

impl Origin {
    /// That of the model in `file`; `None` when it was not fetched, or nobody can tell.
    #[must_use]
    pub fn of(file: &Path) -> Option<Self> {
        let bytes = sidecar::read(&beside(file), ORIGIN_BYTES_MAX)?;
        toml::from_slice(&bytes).ok()
    }

    /// Writes it down for the model in `file`. It is on disk afterwards.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        sidecar::write(&beside(file), text.as_bytes())
    }

    /// Forgets that of the model in `file`.
    pub fn forget(file: &Path) -> io::Result<()> {
        sidecar::forget(&beside(file))
    }
}

fn beside(file: &Path) -> PathBuf {
    sidecar::beside(file, ".origin.toml")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use super::*;

    #[test]
    fn a_hash_is_that_of_the_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&file, &mut |_| true).unwrap().as_deref(), Some(abc));
        fs::write(&file, vec![0; STEP_BYTES * 2 + 1]).unwrap();
        let mut heard = Vec::new();
        sha256(&file, &mut |read| {
            heard.push(read);
            true
        })
        .unwrap();
        assert_eq!(heard.last(), Some(&(STEP_BYTES as u64 * 2 + 1)));
        assert_eq!(sha256(&file, &mut |read| read <= 1).unwrap(), None, "it was told to stop");
        assert!(sha256(&dir.path().join("absent"), &mut |_| true).is_err());
    }

    #[test]
    fn what_was_written_down_is_found_and_what_is_damaged_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("m.gguf");
        let origin =
            Origin { source: "hf:o/r/m.gguf".into(), sha256: "ab".repeat(32), size_bytes: 7 };
        assert_eq!(Origin::of(&file), None);
        origin.write(&file).unwrap();
        assert_eq!(Origin::of(&file), Some(origin));
        fs::write(beside(&file), "source = ").unwrap();
        assert_eq!(Origin::of(&file), None);
        Origin::forget(&file).unwrap();
        Origin::forget(&file).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
