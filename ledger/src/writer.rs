//! Appends to the ledger. Everything here blocks.

use std::fs::{self, DirBuilder, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::files::{self, CURRENT};
use crate::head::HeadFile;
use crate::{Entry, Error, Head, Record, chain};

/// A file that has grown past this is put aside.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The only one that appends to the ledger in its folder.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    file: File,
    /// Of the file, up to the last record that is on disk.
    length: u64,
    /// Of the file's first record: its index, and its year and month.
    first: Option<(u64, (i16, i8))>,
    head: Head,
    head_file: HeadFile,
    findings: Vec<Entry>,
    file_bytes_max: u64,
}

impl Writer {
    /// Opens or begins the ledger in `folder`, for this writer alone: waits until no other one has it
    /// open. An incomplete last line, which a crash leaves behind, is cut off, and a ledger that
    /// ends before its head says is recorded as such.
    ///
    /// `known` is the end of the ledger as it is remembered elsewhere, if it is.
    pub fn open(folder: &Path, known: Option<&Head>, now: Timestamp) -> Result<Self, Error> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Error::at(folder))?;
        let head_file = HeadFile::lock(folder)?;
        let noted = Head::noted(folder);
        let (file, mut text) = open_current(folder)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let torn = text.len() - whole;
        if torn > 0 {
            file.set_len(whole as u64).map_err(Error::at(folder.join(CURRENT)))?;
            text.truncate(whole);
        }
        let head = match end_of(&text) {
            Some(head) => head,
            None => end_of_older(folder)?,
        };
        let mut writer = Self {
            file,
            length: whole as u64,
            first: lines(&text).find_map(chain::read_line).map(|link| beginning(&link.record)),
            head_file,
            findings: Vec::new(),
            folder: folder.to_owned(),
            head,
            file_bytes_max: FILE_BYTES_MAX,
        };
        let mut findings = Vec::new();
        if torn > 0 {
            findings.push(Entry::Repaired { bytes: torn as u64 });
        }
        let known = [noted.as_ref(), known].into_iter().flatten().max_by_key(|head| head.records);
        if let Some(known) = known.filter(|known| !is_in(known, &text, &writer.head)) {
            findings.push(Entry::Missing { expected: known.records, found: writer.head.records });
        }
        if !findings.is_empty() {
            writer.append(now, findings.iter().cloned())?;
            writer.findings = findings;
        }
        Ok(writer)
    }

    /// What was found to be wrong when the ledger was opened, and is recorded in it.
    #[must_use]
    pub fn findings(&self) -> &[Entry] {
        &self.findings
    }

    /// The end of what is on disk.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Appends records and waits until they are on disk. Returns the index of the first. When this
    /// fails, none of them is in the ledger, and the next call may succeed.
    pub fn append(
        &mut self,
        now: Timestamp,
        entries: impl IntoIterator<Item = Entry>,
    ) -> Result<u64, Error> {
        self.rotate(now)?;
        let first = self.head.records;
        let mut head = self.head.clone();
        let mut text = String::new();
        for entry in entries {
            let record = Record { index: head.records, time: now, entry };
            let (line, hash) = chain::line(&record, &head.hash)?;
            text.push_str(&line);
            head = Head { records: head.records + 1, hash };
        }
        let path = self.folder.join(CURRENT);
        // Something half written may be left of an earlier failure.
        self.file.set_len(self.length).map_err(Error::at(&path))?;
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            let _ = self.file.set_len(self.length);
            return Err(Error::at(path)(error));
        }
        self.length += text.len() as u64;
        self.first.get_or_insert((first, month(now)));
        self.head_file.note(&head);
        self.head = head;
        Ok(first)
    }

    /// Puts the file aside when it is long or of another month. The chain goes on in the next one.
    fn rotate(&mut self, now: Timestamp) -> Result<(), Error> {
        let Some((first, begun)) = self.first else { return Ok(()) };
        if self.length < self.file_bytes_max && begun == month(now) {
            return Ok(());
        }
        let path = self.folder.join(CURRENT);
        // It is not there when this went half way before.
        if path.exists() {
            let older = self.folder.join(files::older_name(first));
            fs::rename(&path, older).map_err(Error::at(&path))?;
        }
        (self.file, _) = open_current(&self.folder)?;
        (self.length, self.first) = (0, None);
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn limit(&mut self, bytes: u64) {
        self.file_bytes_max = bytes;
    }

    /// Puts another file in the place of the one that is written.
    #[cfg(test)]
    pub(crate) fn swap(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }
}

/// The file that grows, and what is in it. Its name is on disk.
fn open_current(folder: &Path) -> Result<(File, Vec<u8>), Error> {
    let path = folder.join(CURRENT);
    if path.exists() && !path.is_file() {
        return Err(Error::NotAFile(path));
    }
    let mut options = File::options();
    options.create(true).append(true).read(true).mode(0o600);
    let mut file = options.open(&path).map_err(Error::at(&path))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(Error::at(&path))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::at(folder))?;
    Ok((file, text))
}

/// Where the chain goes on behind these lines. Lines that were changed count as records, so that the
/// next one does not take their place; checking names them.
fn end_of(text: &[u8]) -> Option<Head> {
    let damaged = lines(text).rev().take_while(|line| chain::read_line(line).is_none()).count();
    let link = chain::read_line(lines(text).rev().nth(damaged)?)?;
    Some(Head { records: link.record.index + 1 + damaged as u64, hash: link.hash })
}

fn end_of_older(folder: &Path) -> Result<Head, Error> {
    let older = files::files(folder)?.into_iter().rev().find(|path| !path.ends_with(CURRENT));
    let Some(path) = older else { return Ok(Head::genesis()) };
    let text = fs::read(&path).map_err(Error::at(path))?;
    Ok(end_of(&text).unwrap_or_else(Head::genesis))
}

/// Whether the ledger, of whose last file this is the text, had this end once.
fn is_in(known: &Head, text: &[u8], head: &Head) -> bool {
    if known.records >= head.records {
        return known == head;
    }
    // An end in an older file is left to checking.
    let mut links = lines(text).filter_map(chain::read_line);
    links.find(|link| link.record.index + 1 == known.records).is_none_or(|l| l.hash == known.hash)
}

fn beginning(record: &Record) -> (u64, (i16, i8)) {
    (record.index, month(record.time))
}

fn month(time: Timestamp) -> (i16, i8) {
    let date = time.to_zoned(TimeZone::UTC).date();
    (date.year(), date.month())
}

/// The lines of a text that ends with a line's end.
fn lines(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    text.strip_suffix(b"\n").into_iter().flat_map(|text| text.split(|&byte| byte == b'\n'))
}
