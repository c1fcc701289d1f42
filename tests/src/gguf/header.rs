//! As much of a model's file as tells how many bytes a token costs to compute.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

/// Longest text that is read; longer ones mean that the file is not one of ours.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Bytes of weights that are read for each token of one sequence: all tensors, except for an
/// embedding of which only a row is read, as the output has a matrix of its own. An expert that is
/// not used counts too.
pub fn weights_per_token(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut reader = Reader(BufReader::new(file));
    if reader.array::<4>()? != *b"GGUF" {
        return Err(io::Error::other(format!("{} is not a GGUF file", path.display())));
    }
    reader.u32()?;
    let tensors = reader.u64()?;
    let values = reader.u64()?;
    for _ in 0..values {
        reader.skip_text()?;
        let kind = reader.u32()?;
        reader.skip_value(kind)?;
    }
    let mut offsets = Vec::new();
    for _ in 0..tensors {
        let name = reader.text()?;
        for _ in 0..reader.u32()? {
            reader.u64()?;
        }
        reader.u32()?;
        offsets.push((reader.u64()?, name));
    }
    let data = reader.0.stream_position()?.next_multiple_of(32);
    let all = length.saturating_sub(data);
    offsets.sort();
    let has_output = offsets.iter().any(|(_, name)| name == "output.weight");
    let embedding = offsets.iter().position(|(_, name)| name == "token_embd.weight");
    Ok(match embedding {
        Some(at) if has_output => {
            let end = offsets.get(at + 1).map_or(all, |(offset, _)| *offset);
            all - (end - offsets[at].0)
        }
        _ => all,
    })
}

struct Reader(BufReader<File>);

impl Reader {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> io::Result<String> {
        let length = self.u64()?;
        if length > TEXT_BYTES_MAX {
            return Err(io::Error::other(format!("a text of {length} bytes in a GGUF header")));
        }
        let mut text = String::new();
        self.0.by_ref().take(length).read_to_string(&mut text)?;
        Ok(text)
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.0.seek_relative(i64::try_from(bytes).map_err(io::Error::other)?)
    }

    fn skip_text(&mut self) -> io::Result<()> {
        let length = self.u64()?;
        self.skip(length)
    }

    fn skip_value(&mut self, kind: u32) -> io::Result<()> {
        match kind {
            0 | 1 | 7 => self.skip(1),
            2 | 3 => self.skip(2),
            4..=6 => self.skip(4),
            10..=12 => self.skip(8),
            8 => self.skip_text(),
            9 => {
                let kind = self.u32()?;
                for _ in 0..self.u64()? {
                    self.skip_value(kind)?;
                }
                Ok(())
            }
            _ => Err(io::Error::other(format!("a value of the unknown kind {kind}"))),
        }
    }
}
