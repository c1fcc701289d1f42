//! Reads the primitives of GGUF and never past the end of the file or of the sane.

use std::io::{BufReader, ErrorKind, Read, Seek};

use super::Problem;
use super::types::ValueType;

/// A header of a real model has a few MiB, nearly all of it vocabulary. This many bytes of the shortest
/// strings are walked through in less than a second.
const HEADER_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug)]
pub(super) struct Reader<R> {
    input: BufReader<R>,
    position: u64,
    size: u64,
}

impl<R: Read + Seek> Reader<R> {
    /// Reads from `input`, which has `size` bytes.
    pub(super) fn new(input: R, size: u64) -> Self {
        Self { input: BufReader::with_capacity(64 << 10, input), position: 0, size }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The first four bytes, or as many as there are.
    pub(super) fn begin(&mut self) -> Result<Vec<u8>, Problem> {
        let mut begin = vec![0; usize::try_from(self.size.min(4)).unwrap_or(4)];
        self.fill(&mut begin)?;
        Ok(begin)
    }

    /// That the file has at least `size` bytes.
    pub(super) fn expect(&self, size: u64) -> Result<(), Problem> {
        if size > self.size {
            return Err(Problem::Truncated { expected: size, actual: self.size });
        }
        Ok(())
    }

    pub(super) fn u32(&mut self) -> Result<u32, Problem> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Problem> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    /// A 64-bit count of at most `limit`.
    pub(super) fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, Problem> {
        let value = self.u64()?;
        at_most(what, value, limit)
    }

    /// A 32-bit count of at most `limit`.
    pub(super) fn small_count(&mut self, what: &'static str, limit: u64) -> Result<u64, Problem> {
        let value = self.u32()?;
        at_most(what, value.into(), limit)
    }

    /// A string of at most `limit` bytes.
    pub(super) fn text(&mut self, what: &'static str, limit: u64) -> Result<String, Problem> {
        let length = self.count(what, limit)?;
        self.may_take(length)?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.fill(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Skips a string and returns its length.
    pub(super) fn skip_text(&mut self) -> Result<u64, Problem> {
        let length = self.u64()?;
        self.skip(length)?;
        Ok(length)
    }

    pub(super) fn value_type(&mut self) -> Result<ValueType, Problem> {
        let number = self.u32()?;
        ValueType::of(number)
            .ok_or_else(|| Problem::Malformed(format!("a key has the unknown type {number}")))
    }

    /// The integer of a value; a negative one reads as 0.
    pub(super) fn integer(&mut self, of: ValueType) -> Result<u64, Problem> {
        let signed = |value: i64| u64::try_from(value).unwrap_or(0);
        Ok(match of {
            ValueType::U8 => u8::from_le_bytes(self.bytes()?).into(),
            ValueType::I8 => signed(i8::from_le_bytes(self.bytes()?).into()),
            ValueType::U16 => u16::from_le_bytes(self.bytes()?).into(),
            ValueType::I16 => signed(i16::from_le_bytes(self.bytes()?).into()),
            ValueType::U32 => self.u32()?.into(),
            ValueType::I32 => signed(i32::from_le_bytes(self.bytes()?).into()),
            ValueType::U64 => self.u64()?,
            ValueType::I64 => signed(i64::from_le_bytes(self.bytes()?)),
            other => return Err(Problem::Malformed(format!("{other:?} where a number belongs"))),
        })
    }

    /// Type and number of an array's elements.
    pub(super) fn array_head(&mut self) -> Result<(ValueType, u64), Problem> {
        let of = self.value_type()?;
        if of == ValueType::Array {
            return Err(Problem::Malformed("an array of arrays".to_owned()));
        }
        let length = self.u64()?;
        // So that a lie ends here and not after a long walk.
        self.may_take(length.saturating_mul(of.bytes()))?;
        Ok((of, length))
    }

    pub(super) fn skip_array(&mut self, of: ValueType, length: u64) -> Result<(), Problem> {
        if of != ValueType::Text {
            return self.skip(length.saturating_mul(of.bytes()));
        }
        for _ in 0..length {
            self.skip_text()?;
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, count: u64) -> Result<(), Problem> {
        self.may_take(count)?;
        self.position += count;
        Ok(self.input.seek_relative(i64::try_from(count).unwrap_or(i64::MAX))?)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let mut bytes = [0; N];
        self.may_take(N as u64)?;
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Problem> {
        self.position += bytes.len() as u64;
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            // It became shorter while it was read.
            ErrorKind::UnexpectedEof => {
                Problem::Truncated { expected: self.position, actual: self.size }
            }
            _ => error.into(),
        })
    }

    fn may_take(&self, count: u64) -> Result<(), Problem> {
        let end = self.position.saturating_add(count);
        self.expect(end)?;
        at_most("the length of the header", end, HEADER_BYTES_MAX).map(drop)
    }
}

fn at_most(what: &'static str, value: u64, limit: u64) -> Result<u64, Problem> {
    if value > limit {
        return Err(Problem::Excessive { what, value, limit });
    }
    Ok(value)
}
