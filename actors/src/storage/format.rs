//! The file that a backup is: a line that says so, and frames, each with its length and checksum. The
//! last one has a digest of all before it, so that a file which was cut or changed is known as such.
//!
//! First come the records of the store, of which later ones win, and then the files of collections, piece
//! by piece. What else is to be in backups becomes another kind of frame; older readers refuse what they
//! do not know, so a backup with collections is none to a tandem that knows only the store.

use prost::Message;
use sha2::{Digest, Sha256};

use crate::memory_store::Record;

/// First bytes of the file, with the version of its format.
const MAGIC: &[u8] = b"tandem backup 1\n";
/// Length and CRC-32.
const HEAD_BYTES: usize = 8;
/// Longest frame; a page of records or a piece of a file has 1 MiB, and a record a few KiB.
const FRAME_BYTES_MAX: usize = 16 << 20;

/// Why a file is no backup.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    #[error("is not a backup of tandem, or one of a version that this tandem does not know")]
    Magic,
    #[error("is damaged at byte {0}")]
    Frame(u64),
    #[error("is not whole: it ends after {0} bytes; copy it again")]
    CutShort(u64),
    #[error("goes on behind its end")]
    Longer,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(oneof = "Part", tags = "1, 2, 3")]
    part: Option<Part>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Part {
    #[prost(message, tag = "1")]
    Store(Records),
    #[prost(message, tag = "2")]
    End(End),
    #[prost(message, tag = "3")]
    Piece(Piece),
}

/// Bytes of a file of a collection, which follow those of the piece before.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Piece {
    #[prost(string, tag = "1")]
    pub(crate) collection: String,
    /// Relative to the collection's folder.
    #[prost(string, tag = "2")]
    pub(crate) file: String,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) bytes: Vec<u8>,
}

/// What a frame has for whoever restores.
#[derive(Debug, PartialEq)]
pub(crate) enum Content {
    /// Records of the store.
    Records(Vec<Record>),
    /// A piece of a collection.
    Piece(Piece),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Records {
    #[prost(message, repeated, tag = "1")]
    records: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    /// Unset: nothing any more.
    #[prost(bytes = "vec", optional, tag = "2")]
    value: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct End {
    #[prost(bytes = "vec", tag = "1")]
    sha256: Vec<u8>,
}

/// Writes one.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    digest: Sha256,
    begun: bool,
}

impl Writer {
    /// The bytes of these records.
    pub(crate) fn records(&mut self, records: &[Record]) -> Vec<u8> {
        let records = records
            .iter()
            .map(|(key, value)| Entry {
                key: key.to_vec(),
                value: value.as_ref().map(|value| value.to_vec()),
            })
            .collect();
        self.digested(Part::Store(Records { records }))
    }

    /// The bytes of this piece.
    pub(crate) fn piece(&mut self, piece: Piece) -> Vec<u8> {
        self.digested(Part::Piece(piece))
    }

    /// The last bytes.
    pub(crate) fn end(mut self) -> Vec<u8> {
        let mut bytes = self.records(&[]);
        let sha256 = self.digest.clone().finalize().to_vec();
        bytes.extend(self.frame(Part::End(End { sha256 })));
        bytes
    }

    fn digested(&mut self, part: Part) -> Vec<u8> {
        let bytes = self.frame(part);
        self.digest.update(&bytes);
        bytes
    }

    fn frame(&mut self, part: Part) -> Vec<u8> {
        let payload = Frame { part: Some(part) }.encode_to_vec();
        let mut bytes = if self.begun { Vec::new() } else { MAGIC.to_vec() };
        self.begun = true;
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        bytes.extend(length.to_le_bytes());
        bytes.extend(crc32fast::hash(&payload).to_le_bytes());
        bytes.extend(payload);
        bytes
    }
}

/// Reads one as it comes.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    digest: Sha256,
    /// What came and is no whole frame yet.
    rest: Vec<u8>,
    /// How many bytes were read before that.
    position: u64,
    ended: bool,
}

impl Reader {
    /// What came, as far as it is whole.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Content>, Damage> {
        self.rest.extend_from_slice(bytes);
        let mut contents = Vec::new();
        if self.position == 0 {
            let seen = self.rest.len().min(MAGIC.len());
            if self.rest[..seen] != MAGIC[..seen] {
                return Err(Damage::Magic);
            }
            if seen < MAGIC.len() {
                return Ok(contents);
            }
            self.take(MAGIC.len());
        }
        while let Some(head) = self.rest.first_chunk::<HEAD_BYTES>() {
            if self.ended {
                return Err(Damage::Longer);
            }
            let [a, b, c, d, checksum @ ..] = *head;
            let length = u32::from_le_bytes([a, b, c, d]) as usize;
            if length > FRAME_BYTES_MAX {
                return Err(Damage::Frame(self.position));
            }
            let Some(payload) = self.rest.get(HEAD_BYTES..HEAD_BYTES + length) else { break };
            if crc32fast::hash(payload) != u32::from_le_bytes(checksum) {
                return Err(Damage::Frame(self.position));
            }
            let frame = Frame::decode(payload).ok().and_then(|frame| frame.part);
            match frame.ok_or(Damage::Frame(self.position))? {
                Part::Store(part) => {
                    let record = |it: Entry| (it.key.into(), it.value.map(Into::into));
                    let records = part.records.into_iter().map(record).collect();
                    contents.push(Content::Records(records));
                }
                Part::Piece(piece) => contents.push(Content::Piece(piece)),
                Part::End(End { sha256 }) => {
                    if self.digest.clone().finalize().as_slice() != sha256 {
                        return Err(Damage::Frame(self.position));
                    }
                    self.ended = true;
                }
            }
            self.take(HEAD_BYTES + length);
        }
        Ok(contents)
    }

    /// The file has ended.
    pub(crate) fn finish(self) -> Result<(), Damage> {
        match (self.ended, self.rest.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(Damage::Longer),
            (false, _) => Err(Damage::CutShort(self.position + self.rest.len() as u64)),
        }
    }

    fn take(&mut self, bytes: usize) {
        let taken: Vec<u8> = self.rest.drain(..bytes).collect();
        self.digest.update(&taken);
        self.position += taken.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn records() -> Vec<Record> {
        (0..20_u8).map(|n| (vec![n; 9].into(), (n != 3).then(|| vec![n; 100].into()))).collect()
    }

    fn piece(bytes: &[u8]) -> Piece {
        Piece { collection: "notes".into(), file: "words/a.idx".into(), bytes: bytes.to_vec() }
    }

    fn file() -> Vec<u8> {
        let mut writer = Writer::default();
        let mut file = writer.records(&records()[..12]);
        file.extend(writer.records(&records()[12..]));
        file.extend(writer.piece(piece(b"first")));
        file.extend(writer.piece(piece(b"")));
        file.extend(writer.end());
        file
    }

    fn read(file: &[u8], step: usize) -> Result<(Vec<Record>, Vec<Piece>), Damage> {
        let mut reader = Reader::default();
        let (mut records, mut pieces) = (Vec::new(), Vec::new());
        for bytes in file.chunks(step) {
            for content in reader.push(bytes)? {
                match content {
                    Content::Records(some) => records.extend(some),
                    Content::Piece(piece) => pieces.push(piece),
                }
            }
        }
        reader.finish().map(|()| (records, pieces))
    }

    #[test]
    fn a_backup_reads_as_it_was_written_however_it_comes() {
        for step in [1, 7, 1000, usize::MAX] {
            let pieces = vec![piece(b"first"), piece(b"")];
            assert_eq!(read(&file(), step).unwrap(), (records(), pieces));
        }
        assert_eq!(read(&Writer::default().end(), 5).unwrap(), (vec![], vec![]));
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_noticed() {
        let file = file();
        for length in 0..file.len() {
            assert!(read(&file[..length], 4096).is_err(), "cut to {length}");
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            assert!(read(&damaged, 4096).is_err(), "byte {at}");
        }
        let longer = [file.as_slice(), b"more bytes"].concat();
        assert_eq!(read(&longer, 4096), Err(Damage::Longer));
        assert_eq!(read(b"something else altogether", 4096), Err(Damage::Magic));
    }
}
