//! Reads what a GGUF file says about itself, without llama.cpp.
//!
//! The file may come from anywhere: nothing is believed before it is checked against the size of
//! the file, nothing is allocated that the file merely claims, and every loop is bounded. A file
//! that passes is whole and has the tensors it lists, each in a place of its own; whether llama.cpp
//! can run it is for the engine to find out.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::Path;

mod estimate;
mod reader;
mod types;
mod writer;

pub use estimate::{Hosting, Memory, memory_estimate};
pub use writer::{Kind, Writer};

use reader::Reader;
use types::{TensorType, ValueType};

const MAGIC: [u8; 4] = *b"GGUF";
const KEYS_MAX: u64 = 65_536;
const TENSORS_MAX: u64 = 65_536;
const NAME_BYTES_MAX: u64 = 256;
const TEXT_BYTES_MAX: u64 = 4096;
/// Numbers in a list that has one for each layer.
const LAYERS_MAX: u64 = 65_536;
/// Tensors begin at multiples of this many bytes, unless a file says otherwise.
pub const ALIGNMENT: u64 = 32;

/// What a GGUF file says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// As llama.cpp names it: "llama", "gemma3".
    pub architecture: String,
    /// As its makers named it; may be empty.
    pub name: String,
    /// As llama.cpp names the file type: "`Q4_1`"; "unknown" when the file does not say.
    pub quantization: String,
    /// Elements of all tensors.
    pub parameters: u64,
    /// Bytes of all tensors.
    pub tensor_bytes: u64,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// Tokens the model was trained for.
    pub context_length: u32,
    /// Layers.
    pub block_count: u32,
    /// Width of the hidden state.
    pub embedding_length: u32,
    /// Attention heads, of the layer with the most; 0 when the model has no attention.
    pub head_count: u32,
    /// Heads that keep keys and values, of the layer with the most.
    pub head_count_kv: u32,
    /// Elements of one head's key.
    pub key_length: u32,
    /// Elements of one head's value.
    pub value_length: u32,
    /// Tokens in the vocabulary.
    pub vocab_size: u32,
    /// Whether the file tells how to render a chat.
    pub has_chat_template: bool,
    /// Whether the model makes embeddings in place of text.
    pub embeds: bool,
}

/// Why a file is not a model, as a sentence for its owner.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The operating system said no.
    #[error("the file cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// A directory, a device, a pipe.
    #[error("it is not a file")]
    NotAFile,
    /// Another kind of file.
    #[error("the file is not a GGUF file (it begins with {begin})")]
    NotGguf {
        /// The first bytes, printable.
        begin: String,
    },
    /// Made for another kind of machine.
    #[error("the file is for big-endian machines; get the little-endian one")]
    BigEndian,
    /// Too old or too new.
    #[error("the file has GGUF version {0}; versions 2 and 3 can be read")]
    Version(u32),
    /// The end is missing.
    #[error(
        "the file is truncated: its header promises at least {expected} bytes, the file has \
         {actual}; download it again"
    )]
    Truncated {
        /// Bytes promised.
        expected: u64,
        /// Bytes there.
        actual: u64,
    },
    /// A number beyond anything that a real model has.
    #[error("the file is damaged or hostile: {what} is {value}, at most {limit} is sane")]
    Excessive {
        /// Which number.
        what: &'static str,
        /// What the file says.
        value: u64,
        /// What is accepted.
        limit: u64,
    },
    /// A part that contradicts the format.
    #[error("the file is damaged: {0}")]
    Malformed(String),
    /// Valid, but not the description of a language model.
    #[error("the file does not say its {0}; it is not a language model, or its conversion failed")]
    Missing(String),
    /// One part of several.
    #[error(
        "the file is one of {0} parts; join them with `llama-gguf-split --merge` and use the result"
    )]
    Split(u64),
}

/// Reads the header of the file at `path` and checks that the file is whole.
pub fn read(path: &Path) -> Result<Header, Problem> {
    // Looked at first, since opening a pipe would wait for a writer.
    if !fs::metadata(path)?.is_file() {
        return Err(Problem::NotAFile);
    }
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    read_from(file, size)
}

/// As [`read`], for a file of `size` bytes that `input` reads from its beginning.
pub fn read_from(input: impl Read + Seek, size: u64) -> Result<Header, Problem> {
    let mut reader = Reader::new(input, size);
    let begin = reader.begin()?;
    if begin != MAGIC {
        return Err(Problem::NotGguf { begin: format!("\"{}\"", begin.escape_ascii()) });
    }
    match reader.u32()? {
        2 | 3 => {}
        swapped if matches!(swapped.swap_bytes(), 1..=3) => return Err(Problem::BigEndian),
        version => return Err(Problem::Version(version)),
    }
    let tensor_count = reader.count("the number of tensors", TENSORS_MAX)?;
    let key_count = reader.count("the number of keys", KEYS_MAX)?;
    let mut facts = Facts::default();
    for _ in 0..key_count {
        facts.read_one(&mut reader)?;
    }
    let tensors = Tensors::read(&mut reader, tensor_count, facts.alignment()?)?;
    facts.into_header(&tensors, size)
}

/// What the keys say, as far as it matters here.
#[derive(Debug, Default)]
struct Facts {
    /// All that came so far.
    keys: HashSet<String>,
    /// Integers, and of those that each layer has its own of the largest.
    numbers: BTreeMap<String, u64>,
    architecture: Option<String>,
    name: String,
    vocab_size: Option<u64>,
    has_chat_template: bool,
}

/// Keys of numbers that matter; those with a dot in front follow the architecture's name.
const NUMBERS: [&str; 12] = [
    "general.alignment",
    "general.file_type",
    "split.count",
    ".context_length",
    ".block_count",
    ".embedding_length",
    ".attention.head_count",
    ".attention.head_count_kv",
    ".attention.key_length",
    ".attention.value_length",
    ".vocab_size",
    ".pooling_type",
];

impl Facts {
    fn read_one(&mut self, reader: &mut Reader<impl Read + Seek>) -> Result<(), Problem> {
        let key = reader.text("the length of a key", NAME_BYTES_MAX)?;
        // Readers differ in which of two they believe.
        if !self.keys.insert(key.clone()) {
            return Err(Problem::Malformed(format!("two keys are called {key:?}")));
        }
        let wanted = NUMBERS.iter().any(|number| match number.strip_prefix('.') {
            Some(_) => key.ends_with(number),
            None => key == *number,
        });
        match reader.value_type()? {
            ValueType::Text => match key.as_str() {
                "general.architecture" => {
                    let what = "the length of the architecture's name";
                    self.architecture = Some(reader.text(what, NAME_BYTES_MAX)?);
                }
                "general.name" => {
                    self.name = reader.text("the length of the name", TEXT_BYTES_MAX)?;
                }
                "tokenizer.chat_template" => self.has_chat_template = reader.skip_text()? > 0,
                _ => drop(reader.skip_text()?),
            },
            ValueType::Array => {
                let (of, length) = reader.array_head()?;
                if key == "tokenizer.ggml.tokens" {
                    self.vocab_size = Some(length);
                }
                // One number a layer.
                let listed = wanted && key.contains(".attention.");
                if listed && of.is_integer() && length <= LAYERS_MAX {
                    let mut largest = 0;
                    for _ in 0..length {
                        largest = largest.max(reader.integer(of)?);
                    }
                    self.numbers.insert(key, largest);
                } else {
                    reader.skip_array(of, length)?;
                }
            }
            of if wanted && of.is_integer() => {
                let number = reader.integer(of)?;
                self.numbers.insert(key, number);
            }
            of => reader.skip(of.bytes())?,
        }
        Ok(())
    }

    fn alignment(&self) -> Result<u64, Problem> {
        let alignment = self.numbers.get("general.alignment").copied();
        match alignment.unwrap_or(ALIGNMENT) {
            alignment if alignment.is_power_of_two() && alignment <= 1 << 20 => Ok(alignment),
            other => Err(Problem::Malformed(format!("an alignment of {other} bytes"))),
        }
    }

    fn into_header(self, tensors: &Tensors, size_bytes: u64) -> Result<Header, Problem> {
        if let Some(parts @ 2..) = self.numbers.get("split.count") {
            return Err(Problem::Split(*parts));
        }
        let missing = |what: &str| Problem::Missing(what.to_owned());
        let Some(architecture) = &self.architecture else {
            return Err(missing("architecture (general.architecture)"));
        };
        let optional = |name: &'static str| -> Result<Option<u32>, Problem> {
            let value = self.numbers.get(&format!("{architecture}.{name}"));
            value.map(|value| small(name, *value)).transpose()
        };
        let required = |name: &'static str| {
            optional(name)?.ok_or_else(|| Problem::Missing(format!("{architecture}.{name}")))
        };
        let embedding_length = required("embedding_length")?;
        let head_count = optional("attention.head_count")?.unwrap_or(0);
        let head_length = embedding_length.checked_div(head_count).unwrap_or(0);
        let vocab_size = match self.vocab_size {
            Some(tokens) => small("the size of the vocabulary", tokens)?,
            None => optional("vocab_size")?.ok_or_else(|| missing("vocabulary"))?,
        };
        let file_type = self.numbers.get("general.file_type");
        // As the engine decides: mean, CLS or last token; of BERT also when the file does not say.
        let embeds = match optional("pooling_type")? {
            Some(pooling) => (1..=3).contains(&pooling),
            None => architecture.contains("bert"),
        };
        Ok(Header {
            quantization: types::file_type_name(file_type.copied()).to_owned(),
            parameters: tensors.elements,
            tensor_bytes: tensors.bytes,
            size_bytes,
            context_length: required("context_length")?,
            block_count: required("block_count")?,
            embedding_length,
            head_count,
            head_count_kv: optional("attention.head_count_kv")?.unwrap_or(head_count),
            key_length: optional("attention.key_length")?.unwrap_or(head_length),
            value_length: optional("attention.value_length")?.unwrap_or(head_length),
            vocab_size,
            has_chat_template: self.has_chat_template,
            embeds,
            name: self.name.clone(),
            architecture: architecture.clone(),
        })
    }
}

fn small(what: &'static str, value: u64) -> Result<u32, Problem> {
    let limit = u32::MAX.into();
    u32::try_from(value).map_err(|_| Problem::Excessive { what, value, limit })
}

/// Sums over all tensors.
#[derive(Debug, Default)]
struct Tensors {
    elements: u64,
    bytes: u64,
}

impl Tensors {
    fn read(
        reader: &mut Reader<impl Read + Seek>,
        count: u64,
        alignment: u64,
    ) -> Result<Self, Problem> {
        if count == 0 {
            return Err(Problem::Missing("tensors".to_owned()));
        }
        let mut sum = Self::default();
        let mut names = HashSet::new();
        let mut places = Vec::new();
        for _ in 0..count {
            let name = reader.text("the length of a tensor's name", NAME_BYTES_MAX)?;
            let malformed = |what: &str| Problem::Malformed(format!("tensor {name:?} {what}"));
            let too_large = || malformed("is larger than any machine");

            let dimensions = reader.small_count("the number of a tensor's dimensions", 4)?;
            let mut row = 1;
            let mut elements = 1_u64;
            for dimension in 0..dimensions {
                let length = reader.u64()?;
                if length == 0 {
                    return Err(malformed("has a dimension of length 0"));
                }
                if dimension == 0 {
                    row = length;
                }
                elements = elements.checked_mul(length).ok_or_else(too_large)?;
            }
            let number = reader.u32()?;
            let kind = TensorType::of(number)
                .ok_or_else(|| malformed(&format!("has the unknown type {number}")))?;
            if row % kind.block_elements != 0 {
                return Err(malformed("has rows that its type cannot hold"));
            }
            let blocks = elements / kind.block_elements;
            let bytes = blocks.checked_mul(kind.block_bytes).ok_or_else(too_large)?;
            let offset = reader.u64()?;
            if offset % alignment != 0 {
                return Err(malformed("is not aligned"));
            }
            places.push((offset, offset.checked_add(bytes).ok_or_else(too_large)?));
            sum.elements = sum.elements.saturating_add(elements);
            sum.bytes = sum.bytes.saturating_add(bytes);
            if let Some(twice) = names.replace(name) {
                return Err(Problem::Malformed(format!("two tensors are called {twice:?}")));
            }
        }
        places.sort_unstable();
        let data_begin = reader.position().next_multiple_of(alignment);
        let data_end = places.iter().map(|(_, end)| *end).max().unwrap_or(0);
        reader.expect(data_begin.saturating_add(data_end))?;
        if !places.is_sorted_by(|(_, end), (begin, _)| end <= begin) {
            return Err(Problem::Malformed("two tensors have the same place".to_owned()));
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests;
