//! Taking the bytes of a file that may change meanwhile.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use super::Refusal;
use crate::{Error, Result};

/// Tries to read a file that changes.
const TRIES: usize = 2;

/// What a file had in it at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// All of its bytes.
    pub bytes: Vec<u8>,
    /// SHA-256 of them, in lower-case hexadecimal.
    pub sha256: String,
    /// When the file was last changed, in microseconds since 1970.
    pub modified: u64,
}

impl Taken {
    /// Of bytes that are in no file.
    pub fn of(bytes: Vec<u8>) -> Self {
        let sha256 = hexadecimal(&Sha256::digest(&bytes));
        Self { bytes, sha256, modified: 0 }
    }
}

/// Reads a file through one descriptor. One that changes while it is read is read again, and given up
/// when it changes again; one that is no file, or longer than the limit, is refused.
pub fn take(path: &Path, bytes_max: usize) -> Result<Taken> {
    let failed = |error| Error::Io { path: path.to_owned(), error };
    let refused = |refusal| Error::Refused { path: path.to_owned(), refusal };
    for _ in 0..TRIES {
        // A pipe must not hold the reader up.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        let mut file =
            OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
        let before = file.metadata().map_err(failed)?;
        if !before.is_file() {
            return Err(refused(Refusal::NotText));
        }
        if before.len() > bytes_max as u64 {
            return Err(refused(Refusal::TooManyBytes { bytes_max }));
        }
        let bytes = read_up_to(&mut file, before.len()).map_err(failed)?;
        let after = file.metadata().map_err(failed)?;
        if bytes.len() as u64 == before.len() && same(&before, &after).map_err(failed)? {
            let modified =
                before.modified().map_err(failed)?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let sha256 = hexadecimal(&Sha256::digest(&bytes));
            return Ok(Taken {
                bytes,
                sha256,
                modified: u64::try_from(modified.as_micros()).unwrap_or(u64::MAX),
            });
        }
    }
    Err(Error::Changing { path: path.to_owned() })
}

/// Reads what the file had when it was looked at, and one byte more if it has grown.
fn read_up_to(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(length + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn same(before: &Metadata, after: &Metadata) -> io::Result<bool> {
    Ok(before.len() == after.len() && before.modified()? == after.modified()?)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
