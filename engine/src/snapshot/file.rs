//! One snapshot in a file, numbers little-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | magic |
//! | 4 | version of this format |
//! | 4 | number of tokens |
//! | 8 | bytes of state |
//! | 32 | key |
//! | 4 each | tokens |
//! | 4 | checksum of everything before |
//! | any | state |
//! | 4 | checksum of everything before, the first checksum included |
//!
//! The first checksum makes the header good for an index without the state being read.
//!
//! CRC-32 and not SHA-256, as the checksum is there for damage. It finds every error of a few bytes
//! and all but one in four billion others, several times faster, while the scheduler waits. Who
//! could change a file on purpose, in a folder that only its owner can enter, could as well replace
//! the engine.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crc32fast::Hasher;

use super::{Key, Snapshot};

const MAGIC: [u8; 8] = *b"TANDEMKV";

const VERSION: u32 = 1;

/// Bytes before the tokens.
const FIXED_BYTES: usize = 56;

const CHECKSUM_BYTES: usize = 4;

/// Longest prefix in a file. What is worth writing to disk is an instruction, not a conversation.
pub const TOKENS_MAX: usize = 32 << 10;

/// Largest state in a file. The scheduler waits while it is read: for some 40 ms from the page
/// cache, a quarter of a second from a slow disk, against many seconds of computing.
pub const STATE_BYTES_MAX: usize = 128 << 20;

/// Why a file gives no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not what was written.
    #[error("{0}")]
    Defect(&'static str),
}

use ReadError::Defect;

/// Length of the file of a snapshot.
pub fn length(tokens: usize, state_bytes: usize) -> u64 {
    let bytes = FIXED_BYTES + 4 * tokens + CHECKSUM_BYTES + state_bytes + CHECKSUM_BYTES;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Writes a new file at `temporary` that only its owner can read, and gives it its name when all of
/// it is on disk. The file is locked until then, by which others know that its writer lives.
pub fn save(temporary: &Path, path: &Path, key: &Key, snapshot: &Snapshot) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    // Some file systems know no locks; there, others may take the file for a leftover.
    let _ = file.try_lock();
    write(&mut file, key, snapshot)?;
    file.sync_all()?;
    std::fs::rename(temporary, path)?;
    // Without this the name, but not the file, could be gone after a crash.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Reads a file of `length` bytes. Nothing is believed that was not checked, and no more memory
/// taken than the file has bytes.
pub fn read(file: impl Read, length: u64, key: &Key) -> Result<Snapshot, ReadError> {
    let mut input = Input { file, checksum: Hasher::new() };
    let header = input.header(length, key)?;
    let state = input.bytes(header.state_bytes)?;
    input.check()?;
    Ok(Snapshot { tokens: header.tokens, state })
}

/// Reads only the tokens of a file of `length` bytes.
pub fn read_tokens(file: impl Read, length: u64, key: &Key) -> Result<Vec<u32>, ReadError> {
    let mut input = Input { file, checksum: Hasher::new() };
    Ok(input.header(length, key)?.tokens)
}

fn write(out: impl Write, key: &Key, snapshot: &Snapshot) -> io::Result<()> {
    let Snapshot { tokens, state } = snapshot;
    let count = u32::try_from(tokens.len()).map_err(io::Error::other)?;
    let mut header = Vec::with_capacity(FIXED_BYTES + 4 * tokens.len());
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.extend(count.to_le_bytes());
    header.extend((state.len() as u64).to_le_bytes());
    header.extend(key.bytes());
    header.extend(tokens.iter().flat_map(|token| token.to_le_bytes()));
    let mut output = Output { file: out, checksum: Hasher::new() };
    output.bytes(&header)?;
    output.seal()?;
    output.bytes(state)?;
    output.seal()
}

struct Output<W> {
    file: W,
    checksum: Hasher,
}

impl<W: Write> Output<W> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.checksum.update(bytes);
        self.file.write_all(bytes)
    }

    fn seal(&mut self) -> io::Result<()> {
        let checksum = self.checksum.clone().finalize();
        self.bytes(&checksum.to_le_bytes())
    }
}

struct Header {
    tokens: Vec<u32>,
    state_bytes: usize,
}

struct Input<R> {
    file: R,
    checksum: Hasher,
}

impl<R: Read> Input<R> {
    fn header(&mut self, file_bytes: u64, key: &Key) -> Result<Header, ReadError> {
        if self.array()? != MAGIC {
            return Err(Defect("it is no snapshot"));
        }
        if u32::from_le_bytes(self.array()?) != VERSION {
            return Err(Defect("it has the format of another version"));
        }
        let tokens = usize::try_from(u32::from_le_bytes(self.array()?)).unwrap_or(usize::MAX);
        let state_bytes = usize::try_from(u64::from_le_bytes(self.array()?)).unwrap_or(usize::MAX);
        if tokens == 0 || tokens > TOKENS_MAX || state_bytes > STATE_BYTES_MAX {
            return Err(Defect("it is larger or smaller than snapshots are"));
        }
        if length(tokens, state_bytes) != file_bytes {
            return Err(Defect("it is cut or has grown"));
        }
        if self.array()? != *key.bytes() {
            return Err(Defect("it was made with another model, build or setting"));
        }
        let tokens = self.bytes(4 * tokens)?;
        self.check()?;
        let (tokens, _) = tokens.as_chunks();
        let tokens = tokens.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect();
        Ok(Header { tokens, state_bytes })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        self.checksum.update(&bytes);
        Ok(bytes)
    }

    fn bytes(&mut self, count: usize) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(count).map_err(|_| Defect("it does not fit in memory"))?;
        self.file.by_ref().take(count as u64).read_to_end(&mut bytes)?;
        if bytes.len() != count {
            return Err(Defect("it ends early"));
        }
        self.checksum.update(&bytes);
        Ok(bytes)
    }

    /// Compares the next four bytes with the checksum of all before them.
    fn check(&mut self) -> Result<(), ReadError> {
        let expected = self.checksum.clone().finalize();
        if u32::from_le_bytes(self.array()?) == expected {
            Ok(())
        } else {
            Err(Defect("it is damaged"))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn key() -> Key {
        Key::of("ours")
    }

    fn snapshot() -> Snapshot {
        Snapshot { tokens: vec![1, 70_000, u32::MAX], state: (0..=255).collect() }
    }

    fn written(snapshot: &Snapshot) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, &key(), snapshot).unwrap();
        bytes
    }

    fn read_back(bytes: &[u8], key: &Key) -> Result<Snapshot, ReadError> {
        read(bytes, bytes.len() as u64, key)
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = written(&snapshot());
        assert_eq!(bytes.len() as u64, length(3, 256));
        assert_eq!(read_back(&bytes, &key()).unwrap(), snapshot());
        let tokens = read_tokens(&bytes[..], bytes.len() as u64, &key()).unwrap();
        assert_eq!(tokens, snapshot().tokens);
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let bytes = written(&snapshot());
        for length in 0..bytes.len() {
            assert!(read_back(&bytes[..length], &key()).is_err(), "cut at {length}");
            // Cut after its length was asked for.
            assert!(
                read(&bytes[..length], bytes.len() as u64, &key()).is_err(),
                "{length} in time"
            );
        }
    }

    #[test]
    fn a_file_that_has_grown_is_refused() {
        let mut bytes = written(&snapshot());
        bytes.push(0);
        assert!(read_back(&bytes, &key()).is_err());
    }

    #[test]
    fn a_change_of_any_byte_is_found() {
        let mut bytes = written(&snapshot());
        for place in 0..bytes.len() {
            for change in [1, 0x80, 0xff] {
                bytes[place] ^= change;
                assert!(read_back(&bytes, &key()).is_err(), "byte {place} changed by {change}");
                bytes[place] ^= change;
            }
        }
        assert!(read_back(&bytes, &key()).is_ok());
    }

    #[test]
    fn a_change_of_any_byte_of_the_header_is_found_without_the_state() {
        let mut bytes = written(&snapshot());
        let length = bytes.len() as u64;
        for place in 0..FIXED_BYTES + 3 * 4 + CHECKSUM_BYTES {
            bytes[place] ^= 1;
            assert!(read_tokens(&bytes[..], length, &key()).is_err(), "byte {place}");
            bytes[place] ^= 1;
        }
    }

    #[test]
    fn a_file_of_another_key_is_refused() {
        let error = read_back(&written(&snapshot()), &Key::of("theirs")).unwrap_err();
        assert!(error.to_string().contains("another model"), "{error}");
    }

    #[test]
    fn lengths_beyond_the_limits_are_refused_before_memory_is_taken() {
        for (tokens, state) in
            [(0, 1), (u32::try_from(TOKENS_MAX).unwrap() + 1, 1), (1, u64::MAX), (u32::MAX, 1)]
        {
            let mut bytes = written(&snapshot());
            bytes[12..16].copy_from_slice(&tokens.to_le_bytes());
            bytes[16..24].copy_from_slice(&state.to_le_bytes());
            let error = read(&bytes[..], u64::MAX, &key()).unwrap_err();
            assert!(error.to_string().contains("larger or smaller"), "{tokens} {state}: {error}");
        }
    }

    #[test]
    fn a_saved_file_is_private_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let (temporary, path) = (dir.path().join("a.tmp"), dir.path().join("a"));
        save(&temporary, &path, &key(), &snapshot()).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!((mode & 0o777, temporary.exists()), (0o600, false));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(read_back(&bytes, &key()).unwrap(), snapshot());
    }
}
