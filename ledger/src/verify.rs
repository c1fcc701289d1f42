//! Checks a ledger, with nothing but its files.

use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;

use crate::chain::{self, Link};
use crate::files::{Source, files};
use crate::{Error, Head, Record};

/// Longest line that is looked at; real ones have about a thousand bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// The first thing that is wrong with a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The line where this record should be is not as it was written.
    Changed(u64),
    /// These records, first and last, are nowhere.
    Missing(u64, u64),
    /// This record is not in its place, but elsewhere.
    Moved(u64),
    /// This record is whole, but not the one that the next one, or the head, was written behind.
    Replaced(u64),
    /// The ledger ends before these records, first and last, which it once had.
    Cut(u64, u64),
}

impl Fault {
    /// Index of the first record that is concerned.
    #[must_use]
    pub fn index(&self) -> u64 {
        match *self {
            Self::Changed(index) | Self::Moved(index) | Self::Replaced(index) => index,
            Self::Missing(first, _) | Self::Cut(first, _) => first,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(index) => write!(f, "record {index} was changed"),
            Self::Missing(first, last) if first == last => write!(f, "record {first} is missing"),
            Self::Missing(first, last) => write!(f, "records {first} to {last} are missing"),
            Self::Moved(index) => write!(f, "record {index} is not in its place"),
            Self::Replaced(index) => {
                write!(f, "record {index} is not the one that was there when the next was written")
            }
            Self::Cut(first, last) if first == last => {
                write!(f, "the ledger was cut: its last record, {first}, is gone")
            }
            Self::Cut(first, last) => {
                write!(f, "the ledger was cut: its last records, {first} to {last}, are gone")
            }
        }
    }
}

/// What checking found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was read, oldest first.
    pub files: Vec<PathBuf>,
    /// Index of the first record; 0 unless only a part was read.
    pub first: u64,
    /// The end of what was read and is in order.
    pub head: Head,
    /// The last line has no end. A crash leaves such a line, and the daemon cuts it off when it starts.
    pub torn: bool,
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
    /// The end that was known from elsewhere lies within what was read, and agrees.
    pub known_agrees: bool,
}

/// Checks that each record is as it was written and follows the one before. `known` is an end that the
/// ledger once had, as noted elsewhere: without one nobody can see that records were cut off the end.
pub fn verify(source: &Source, known: Option<&Head>) -> Result<Report, Error> {
    let files = source.files()?;
    let mut report = Report {
        known_agrees: false,
        first: 0,
        head: Head::genesis(),
        torn: false,
        fault: None,
        files: files.clone(),
    };
    let mut begun = matches!(source, Source::Folder(_));
    let mut compared = None;
    let mut lines = Lines::new(files);
    while let Some(line) = lines.next()? {
        let expected = report.head.records;
        let Some(link) = line.link() else {
            if line.torn && lines.is_over()? {
                report.torn = true;
            } else {
                report.fault = Some(Fault::Changed(expected));
            }
            break;
        };
        if !begun {
            begun = true;
            report.first = link.record.index;
            report.head = Head { records: link.record.index, hash: link.prev.clone() };
        }
        if let Some(fault) = misplaced(&report.head, &link, &mut lines)? {
            report.fault = Some(fault);
            break;
        }
        report.head = Head { records: link.record.index + 1, hash: link.hash };
        if known.is_some_and(|known| known.records == report.head.records) {
            compared = Some(report.head.hash.clone());
        }
    }
    if let (None, Some(known)) = (&report.fault, known) {
        let last = known.records.saturating_sub(1);
        if known.records > report.head.records {
            report.fault = Some(Fault::Cut(report.head.records, last));
        } else if compared.is_some_and(|hash| hash != known.hash) {
            report.fault = Some(Fault::Replaced(last));
        } else {
            report.known_agrees = known.records > report.first;
        }
    }
    Ok(report)
}

/// Reads the records in order, leaving out lines that were changed.
pub fn read(source: &Source, mut each: impl FnMut(Record)) -> Result<(), Error> {
    let mut lines = Lines::new(source.files()?);
    while let Some(line) = lines.next()? {
        if let Some(link) = line.link() {
            each(link.record);
        }
    }
    Ok(())
}

/// What is wrong with the place of a record, if anything. May read all that follows.
fn misplaced(head: &Head, link: &Link, lines: &mut Lines) -> Result<Option<Fault>, Error> {
    let (expected, found) = (head.records, link.record.index);
    if found < expected {
        return Ok(Some(Fault::Moved(found)));
    }
    if found == expected {
        let follows = link.prev == head.hash;
        return Ok((!follows).then(|| Fault::Replaced(expected.saturating_sub(1))));
    }
    while let Some(line) = lines.next()? {
        if line.link().is_some_and(|link| link.record.index == expected) {
            return Ok(Some(Fault::Moved(expected)));
        }
    }
    Ok(Some(Fault::Missing(expected, found - 1)))
}

impl Source {
    fn files(&self) -> Result<Vec<PathBuf>, Error> {
        match self {
            Self::Folder(folder) => files(folder),
            Self::Files(files) => Ok(files.clone()),
        }
    }
}

struct Line {
    text: Vec<u8>,
    torn: bool,
}

impl Line {
    /// A line without its end is no record: it may lack more.
    fn link(&self) -> Option<Link> {
        if self.torn { None } else { chain::read_line(&self.text) }
    }
}

/// The lines of several files.
struct Lines {
    waiting: std::vec::IntoIter<PathBuf>,
    open: Option<(PathBuf, BufReader<File>)>,
}

impl Lines {
    fn new(files: Vec<PathBuf>) -> Self {
        Self { waiting: files.into_iter(), open: None }
    }

    fn next(&mut self) -> Result<Option<Line>, Error> {
        loop {
            let (path, file) = match &mut self.open {
                Some(open) => open,
                None => match self.waiting.next() {
                    Some(path) => {
                        let file = File::open(&path).map_err(Error::at(&path))?;
                        self.open.insert((path, BufReader::new(file)))
                    }
                    None => return Ok(None),
                },
            };
            let mut text = Vec::new();
            let read = file.take(LINE_BYTES_MAX).read_until(b'\n', &mut text);
            if read.map_err(Error::at(&*path))? == 0 {
                self.open = None;
                continue;
            }
            let torn = text.pop_if(|byte| *byte == b'\n').is_none();
            return Ok(Some(Line { text, torn }));
        }
    }

    /// Whether nothing follows.
    fn is_over(&mut self) -> Result<bool, Error> {
        Ok(self.next()?.is_none())
    }
}
