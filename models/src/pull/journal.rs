//! What a journal says: which file it is about, and which pieces of it are on disk. Pure.

use std::io;

use serde::{Deserialize, Serialize};

use super::plan;

/// Version of the format; others begin anew.
const FORMAT: u32 = 1;
/// Longest file that is fetched: 1 TiB.
pub(super) const SIZE_MAX: u64 = 1 << 40;

/// What tells one state of a file at its source from the next. What the source does not say is
/// absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// `ETag` of the answer with the bytes.
    pub(super) etag: Option<String>,
    /// `ETag` by the repository, which may be a hash.
    pub(super) linked: Option<String>,
    /// When it was changed last.
    pub(super) modified: Option<String>,
}

impl Mark {
    /// Whether the two surely mean different states.
    pub(super) fn differs(&self, other: &Self) -> bool {
        let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
        differ(&self.etag, &other.etag)
            || differ(&self.linked, &other.linked)
            || differ(&self.modified, &other.modified)
    }

    /// Whether the two mean the same state, as far as both say something.
    fn agrees(&self, other: &Self) -> bool {
        let both = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some();
        let any = both(&self.etag, &other.etag)
            || both(&self.linked, &other.linked)
            || both(&self.modified, &other.modified);
        any && !self.differs(other)
    }

    /// What `If-Range` asks with, if that is possible: no weak tag, which allows differences.
    pub(super) fn condition(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|etag| !etag.starts_with("W/"));
        strong.or(self.modified.as_deref())
    }
}

/// Which file it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pin {
    format: u32,
    /// The source, as it is written.
    pub(super) from: String,
    /// That the file must have, if that is known.
    pub(super) sha256: Option<String>,
    pub(super) size: u64,
    pub(super) mark: Mark,
}

impl Pin {
    pub(crate) fn new(from: String, sha256: Option<String>, size: u64, mark: Mark) -> Self {
        Self { format: FORMAT, from, sha256, size, mark }
    }

    /// Whether what came for this one counts for `now`: what has the same hash does, and what the same
    /// source says is the same.
    pub(super) fn goes_on_with(&self, now: &Self) -> bool {
        let same = (self.sha256.is_some() && self.sha256 == now.sha256)
            || (self.from == now.from && self.mark.agrees(&now.mark));
        same && self.format == now.format && self.size == now.size
    }

    pub(super) fn to_line(&self) -> io::Result<String> {
        serde_json::to_string(self).map(|line| line + "\n").map_err(io::Error::other)
    }
}

/// A journal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Journal {
    pub(super) pin: Pin,
    /// Which pieces are on disk.
    pub(super) done: Vec<bool>,
    /// Bytes of it up to the last whole line.
    pub(super) length: u64,
}

impl Journal {
    /// Reads it up to what a crash left of its last line, or of more.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut lines = text.split_inclusive(|byte| *byte == b'\n');
        let begin = lines.next().filter(|line| line.ends_with(b"\n"))?;
        let pin: Pin = serde_json::from_slice(begin).ok()?;
        if pin.format != FORMAT || pin.size > SIZE_MAX {
            return None;
        }
        let mut done = vec![false; usize::try_from(plan::pieces(pin.size)).ok()?];
        let mut length = begin.len() as u64;
        for line in lines {
            let number = line.strip_suffix(b"\n").and_then(|line| str::from_utf8(line).ok());
            let piece = number.and_then(|number| number.parse::<usize>().ok());
            let Some(done) = piece.and_then(|piece| done.get_mut(piece)) else { break };
            *done = true;
            length += line.len() as u64;
        }
        Some(Self { pin, done, length })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::pull::plan::PIECE_BYTES;

    fn mark(etag: &str) -> Mark {
        Mark { etag: Some(etag.into()), ..Mark::default() }
    }

    fn pin() -> Pin {
        Pin::new("hf:o/r/m.gguf".into(), None, 3 * PIECE_BYTES + 1, mark("\"a\""))
    }

    #[test]
    fn a_journal_is_read_up_to_the_line_that_a_crash_left() {
        let begin = pin().to_line().unwrap();
        let whole = format!("{begin}0\n3\n");
        for (tail, what) in [("", "nothing"), ("1", "half a line"), ("\0\0\0", "zeros")] {
            let journal = Journal::parse(format!("{whole}{tail}").as_bytes()).unwrap();
            assert_eq!(journal.pin, pin());
            assert_eq!(journal.done, [true, false, false, true], "{what}");
            assert_eq!(journal.length, whole.len() as u64, "{what}");
        }
        let stray = Journal::parse(format!("{begin}1\n4\n2\n").as_bytes()).unwrap();
        assert_eq!(stray.done, [false, true, false, false], "nothing counts behind a stray line");
    }

    #[test]
    fn what_is_no_journal_says_nothing() {
        let begin = pin().to_line().unwrap();
        let other = begin.replace("\"format\":1", "\"format\":2");
        let huge = begin.replace(&pin().size.to_string(), &u64::MAX.to_string());
        assert_ne!((&other, &huge), (&begin, &begin));
        for text in ["", "\n", "{}\n", begin.trim_end(), &other, &huge, "0\n1\n"] {
            assert_eq!(Journal::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn only_the_same_file_goes_on() {
        let known = pin();
        assert!(known.goes_on_with(&known));
        assert!(!known.goes_on_with(&Pin { mark: mark("\"b\""), ..pin() }));
        assert!(!known.goes_on_with(&Pin { size: 1, ..pin() }));
        assert!(!known.goes_on_with(&Pin { mark: Mark::default(), ..pin() }), "it says nothing");
        let elsewhere = |sha256: Option<&str>| Pin {
            from: "https://mirror/m.gguf".into(),
            sha256: sha256.map(str::to_owned),
            mark: mark("\"other\""),
            ..pin()
        };
        assert!(!known.goes_on_with(&elsewhere(None)));
        let hashed = Pin { sha256: Some("ab".into()), ..pin() };
        assert!(hashed.goes_on_with(&elsewhere(Some("ab"))));
        assert!(!hashed.goes_on_with(&elsewhere(Some("cd"))));
    }

    #[test]
    fn a_weak_tag_is_no_condition() {
        assert_eq!(mark("\"a\"").condition(), Some("\"a\""));
        let weak = Mark { modified: Some("then".into()), ..mark("W/\"a\"") };
        assert_eq!(weak.condition(), Some("then"));
        assert_eq!(Mark::default().condition(), None);
    }
}
