//! Writes the header of a GGUF file.

use super::types::ValueType;
use super::{ALIGNMENT, MAGIC};

const VERSION: u32 = 3;

/// How a tensor's elements are stored, of those that are written here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
}

impl Kind {
    /// Bytes of one element.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// As ggml numbers it.
    fn number(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
        }
    }
}

/// A header that is being put together. Tensors must follow it in the order in which they were
/// added, each at a multiple of [`ALIGNMENT`] bytes.
#[derive(Debug, Default)]
pub struct Writer {
    keys: Vec<u8>,
    key_count: u64,
    tensors: Vec<u8>,
    tensor_count: u64,
    /// Where the next tensor begins.
    offset: u64,
}

impl Writer {
    /// Adds a text.
    pub fn text(&mut self, key: &str, value: &str) {
        self.key(key, ValueType::Text);
        append_text(&mut self.keys, value);
    }

    /// Adds a number.
    pub fn number(&mut self, key: &str, value: u32) {
        self.key(key, ValueType::U32);
        self.keys.extend(value.to_le_bytes());
    }

    /// Adds a floating-point number.
    pub fn float(&mut self, key: &str, value: f32) {
        self.key(key, ValueType::F32);
        self.keys.extend(value.to_le_bytes());
    }

    /// Adds a truth.
    pub fn flag(&mut self, key: &str, value: bool) {
        self.key(key, ValueType::Bool);
        self.keys.push(value.into());
    }

    /// Adds a list of texts.
    pub fn texts(&mut self, key: &str, values: &[String]) {
        self.array(key, ValueType::Text, values.len());
        for value in values {
            append_text(&mut self.keys, value);
        }
    }

    /// Adds a list of integers.
    pub fn integers(&mut self, key: &str, values: &[i32]) {
        self.array(key, ValueType::I32, values.len());
        self.keys.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    /// Announces a tensor of `bytes`; `dimensions` has the fastest first.
    pub fn tensor(&mut self, name: &str, dimensions: &[u64], kind: Kind, bytes: u64) {
        append_text(&mut self.tensors, name);
        let count = u32::try_from(dimensions.len()).unwrap_or(u32::MAX);
        self.tensors.extend(count.to_le_bytes());
        self.tensors.extend(dimensions.iter().flat_map(|length| length.to_le_bytes()));
        self.tensors.extend(kind.number().to_le_bytes());
        self.tensors.extend(self.offset.to_le_bytes());
        self.tensor_count += 1;
        self.offset = (self.offset + bytes).next_multiple_of(ALIGNMENT);
    }

    /// The header, up to where the first tensor begins.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend(self.tensor_count.to_le_bytes());
        header.extend(self.key_count.to_le_bytes());
        header.extend(self.keys);
        header.extend(self.tensors);
        let alignment = usize::try_from(ALIGNMENT).unwrap_or(1);
        header.resize(header.len().next_multiple_of(alignment), 0);
        header
    }

    fn key(&mut self, key: &str, of: ValueType) {
        append_text(&mut self.keys, key);
        self.keys.extend((of as u32).to_le_bytes());
        self.key_count += 1;
    }

    fn array(&mut self, key: &str, of: ValueType, length: usize) {
        self.key(key, ValueType::Array);
        self.keys.extend((of as u32).to_le_bytes());
        self.keys.extend((length as u64).to_le_bytes());
    }
}

fn append_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
