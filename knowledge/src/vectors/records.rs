//! Files of records of one length, each with a checksum, which are only ever added to.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::error::at;
use crate::{Error, Result};

/// Bytes of a record's checksum.
const CHECKSUM: usize = 4;
/// Records that are read at once.
const BATCH: usize = 256;

/// The file. Only what lies below the number of records that the commit names counts.
#[derive(Debug)]
pub(super) struct Records {
    path: PathBuf,
    file: File,
    /// Bytes of a record without its checksum.
    length: usize,
}

impl Records {
    /// Opens a file, or creates it, and cuts off what lies behind `count` records. One that is shorter is
    /// damaged.
    pub(super) fn open(path: PathBuf, length: usize, count: usize) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(at(&path))?;
        let records = Self { path, file, length };
        let wanted = records.offset(count);
        let there = records.file.metadata().map_err(at(&records.path))?.len();
        if there < wanted {
            let what = format!("has {there} bytes instead of {wanted}");
            return Err(Error::Damaged { path: records.path, what });
        }
        records.cut(count)?;
        Ok(records)
    }

    /// Writes records that stand in `bytes` one after the other, the first as number `first`.
    pub(super) fn write(&self, first: usize, bytes: &[u8]) -> Result<()> {
        let mut sealed = Vec::with_capacity(bytes.len() + bytes.len() / self.length * CHECKSUM);
        for record in bytes.chunks_exact(self.length) {
            sealed.extend(record);
            sealed.extend(crc32fast::hash(record).to_le_bytes());
        }
        self.file.write_all_at(&sealed, self.offset(first)).map_err(at(&self.path))
    }

    /// Returns when all that was written is on disk.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(at(&self.path))
    }

    /// Cuts off what lies behind `count` records.
    pub(super) fn cut(&self, count: usize) -> Result<()> {
        self.file.set_len(self.offset(count)).map_err(at(&self.path))
    }

    /// One record; `None` when its checksum is wrong.
    pub(super) fn read(&self, number: usize) -> io::Result<Option<Vec<u8>>> {
        let mut sealed = vec![0; self.length + CHECKSUM];
        self.file.read_exact_at(&mut sealed, self.offset(number))?;
        Ok(sound(&sealed).map(<[u8]>::to_vec))
    }

    /// Hands over the first `count` records in order, and whether the checksum of each is right.
    pub(super) fn each(&self, count: usize, mut with: impl FnMut(&[u8], bool)) -> Result<()> {
        let sealed = self.length + CHECKSUM;
        let mut bytes = vec![0; BATCH.min(count) * sealed];
        for first in (0..count).step_by(BATCH) {
            let bytes = &mut bytes[..BATCH.min(count - first) * sealed];
            self.file.read_exact_at(bytes, self.offset(first)).map_err(at(&self.path))?;
            for record in bytes.chunks_exact(sealed) {
                with(&record[..self.length], sound(record).is_some());
            }
        }
        Ok(())
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of so many records.
    pub(super) fn offset(&self, number: usize) -> u64 {
        (number * (self.length + CHECKSUM)) as u64
    }
}

/// The record before its checksum, when that is right.
fn sound(sealed: &[u8]) -> Option<&[u8]> {
    let (record, checksum) = sealed.split_last_chunk::<CHECKSUM>()?;
    (crc32fast::hash(record).to_le_bytes() == *checksum).then_some(record)
}
