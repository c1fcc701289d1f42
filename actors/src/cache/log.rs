//! The files of a cache. Entries are appended to segments and never changed; space comes back when a
//! whole segment is removed. Nothing is flushed: what a crash of the machine takes can be computed
//! again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::index::Place;
use super::seal::Id;

/// First bytes of a segment, with the version of what follows.
const MAGIC: [u8; 8] = *b"tndmchc\x01";
/// Magic and fingerprint of the key.
pub(super) const HEAD_BYTES: u64 = HEAD as u64;
const HEAD: usize = 24;
/// Length, time, id and checksum in front of each entry.
const RECORD_HEAD_BYTES: usize = 32;
const EXTENSION: &str = "cache";

/// Bytes that an entry takes of which so many are sealed.
pub(super) fn record_bytes(sealed: u64) -> u64 {
    RECORD_HEAD_BYTES as u64 + sealed
}

/// Where to append.
#[derive(Debug)]
pub(super) struct Log {
    folder: PathBuf,
    fingerprint: [u8; 16],
    segment_bytes_max: u64,
    next_number: u32,
    /// The segment that is written to and its length.
    current: Option<(u32, Arc<File>, u64)>,
}

/// A segment that was there.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u32,
    pub(super) file: Arc<File>,
    pub(super) entries: Vec<(Id, Place)>,
}

/// What was found in a folder.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) log: Log,
    /// Oldest first.
    pub(super) segments: Vec<Segment>,
    /// Segments of another key, which were removed.
    pub(super) foreign: usize,
}

/// What an appended entry came to.
#[derive(Debug)]
pub(super) struct Appended {
    pub(super) place: Place,
    /// The segment was begun for it.
    pub(super) begun: Option<Arc<File>>,
}

impl Log {
    /// Opens or makes a folder. What a crash left half written is cut off; what cannot be read, or was
    /// written with another key, is removed.
    pub(super) fn open(
        folder: PathBuf,
        fingerprint: [u8; 16],
        segment_bytes_max: u64,
    ) -> io::Result<Found> {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let mut numbers: Vec<u32> =
            fs::read_dir(&folder)?.filter_map(|entry| number_of(&entry.ok()?.path())).collect();
        numbers.sort_unstable();
        let next_number = numbers.last().map_or(1, |last| last.saturating_add(1));
        let mut log = Self { folder, fingerprint, segment_bytes_max, next_number, current: None };
        let (mut segments, mut foreign) = (Vec::new(), 0);
        for number in numbers {
            if let Some((segment, length)) = log.read(number)? {
                log.current = Some((number, Arc::clone(&segment.file), length));
                segments.push(segment);
            } else {
                foreign += 1;
                log.remove(number)?;
            }
        }
        Ok(Found { log, segments, foreign })
    }

    /// Appends what is sealed. After an error it goes on in another segment.
    pub(super) fn append(
        &mut self,
        id: &Id,
        written_ms: u64,
        sealed: &[u8],
    ) -> io::Result<Appended> {
        let too_large = || io::Error::other("an entry is too large");
        let length = u32::try_from(sealed.len()).map_err(|_| too_large())?;
        let head = record_head(length, written_ms, id);
        let record = [&head[..], sealed].concat();
        let room = |at: u64| at + record.len() as u64 <= self.segment_bytes_max;
        let (number, file, at, begun) = match self.current.take() {
            Some((number, file, at)) if room(at) => (number, file, at, None),
            _ => {
                let (number, file) = self.begin()?;
                (number, Arc::clone(&file), HEAD_BYTES, Some(file))
            }
        };
        let offset = u32::try_from(at + RECORD_HEAD_BYTES as u64).map_err(|_| too_large())?;
        file.write_all_at(&record, at)?;
        self.current = Some((number, file, at + record.len() as u64));
        let place = Place { segment: number, offset, length, written_ms };
        Ok(Appended { place, begun })
    }

    /// Removes a segment's file. Who reads it goes on reading.
    pub(super) fn remove(&mut self, number: u32) -> io::Result<()> {
        if self.current.as_ref().is_some_and(|(current, ..)| *current == number) {
            self.current = None;
        }
        match fs::remove_file(self.path(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn begin(&mut self) -> io::Result<(u32, Arc<File>)> {
        let number = self.next_number;
        self.next_number = number.checked_add(1).ok_or_else(|| {
            io::Error::other("the numbers of its files are used up; clear the cache")
        })?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(self.path(number))?;
        file.write_all_at(&[&MAGIC[..], &self.fingerprint].concat(), 0)?;
        Ok((number, Arc::new(file)))
    }

    /// A segment and its length; `None` when it is not one of ours.
    fn read(&self, number: u32) -> io::Result<Option<(Segment, u64)>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(number))?;
        let mut reader = BufReader::with_capacity(256 << 10, &file);
        let mut head = [0; HEAD];
        let whole = reader.read_exact(&mut head).is_ok();
        if !whole || head[..8] != MAGIC || head[8..] != self.fingerprint {
            return Ok(None);
        }
        let bytes = file.metadata()?.len();
        let (mut at, mut entries) = (HEAD_BYTES, Vec::new());
        let mut head = [0; RECORD_HEAD_BYTES];
        while reader.read_exact(&mut head).is_ok() {
            let Some((length, written_ms, id)) = read_record_head(&head) else { break };
            let offset = at + RECORD_HEAD_BYTES as u64;
            let end = offset + u64::from(length);
            let (Ok(offset), true) = (u32::try_from(offset), end <= bytes) else { break };
            reader.seek_relative(i64::from(length))?;
            entries.push((id, Place { segment: number, offset, length, written_ms }));
            at = end;
        }
        if at < bytes {
            file.set_len(at)?;
        }
        Ok(Some((Segment { number, file: Arc::new(file), entries }, at)))
    }

    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{number:010}.{EXTENSION}"))
    }
}

/// What is sealed at a place. Blocking, if only for as long as the disk takes.
pub(super) fn read(file: &File, place: Place) -> io::Result<Vec<u8>> {
    let mut sealed = vec![0; place.length as usize];
    file.read_exact_at(&mut sealed, place.offset.into())?;
    Ok(sealed)
}

fn number_of(path: &Path) -> Option<u32> {
    let is_segment = path.extension().is_some_and(|extension| extension == EXTENSION);
    is_segment.then(|| path.file_stem()?.to_str()?.parse().ok()).flatten()
}

fn record_head(length: u32, written_ms: u64, id: &Id) -> [u8; RECORD_HEAD_BYTES] {
    let mut head = [0; RECORD_HEAD_BYTES];
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..12].copy_from_slice(&written_ms.to_le_bytes());
    head[12..28].copy_from_slice(id);
    let checksum = crc32fast::hash(&head[..28]);
    head[28..].copy_from_slice(&checksum.to_le_bytes());
    head
}

fn read_record_head(head: &[u8; RECORD_HEAD_BYTES]) -> Option<(u32, u64, Id)> {
    let (length, rest) = head.split_first_chunk()?;
    let (written_ms, rest) = rest.split_first_chunk()?;
    let (id, rest) = rest.split_first_chunk()?;
    let (checksum, _) = rest.split_first_chunk()?;
    let intact = crc32fast::hash(&head[..28]) == u32::from_le_bytes(*checksum);
    intact.then_some((u32::from_le_bytes(*length), u64::from_le_bytes(*written_ms), *id))
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
