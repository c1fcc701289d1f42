//! The header of a GGUF file, version 3.

/// Where a tensor may begin: at a multiple of this many bytes.
const ALIGNMENT: usize = 32;

const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

/// A fact about the model.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(&'a str),
    Texts(&'a [String]),
    F32s(&'a [f32]),
    I32s(&'a [i32]),
}

/// How the numbers of a tensor are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    /// Blocks of 32: a scale of 16 bits and a nibble each.
    Q4_0,
}

/// A tensor, which follows after the header.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) name: String,
    /// The length of a row comes first.
    pub(super) shape: Vec<u64>,
    pub(super) kind: Kind,
}

impl Tensor {
    /// Bytes of its data. A file may claim more than there can be.
    pub(super) fn bytes(&self) -> u64 {
        let elements = self.shape.iter().fold(1_u64, |product, &n| product.saturating_mul(n));
        match self.kind {
            Kind::F32 => elements.saturating_mul(4),
            Kind::Q4_0 => (elements / 32).saturating_mul(18),
        }
    }

    /// Bytes of its data and of the gap behind it.
    pub(super) fn padded_bytes(&self) -> u64 {
        self.bytes().checked_next_multiple_of(ALIGNMENT as u64).unwrap_or(u64::MAX)
    }
}

/// Everything that comes before the data of the first tensor.
pub(super) fn header(values: &[(&str, Value<'_>)], tensors: &[Tensor]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(b"GGUF");
    file.extend(3_u32.to_le_bytes());
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend((values.len() as u64).to_le_bytes());
    for (key, value) in values {
        text(&mut file, key);
        value.write(&mut file);
    }
    let mut offset = 0_u64;
    for tensor in tensors {
        text(&mut file, &tensor.name);
        file.extend((tensor.shape.len() as u32).to_le_bytes());
        for length in &tensor.shape {
            file.extend(length.to_le_bytes());
        }
        let kind: u32 = match tensor.kind {
            Kind::F32 => 0,
            Kind::Q4_0 => 2,
        };
        file.extend(kind.to_le_bytes());
        file.extend(offset.to_le_bytes());
        offset += tensor.padded_bytes();
    }
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
    file
}

impl Value<'_> {
    fn write(self, file: &mut Vec<u8>) {
        let array = |file: &mut Vec<u8>, kind: u32, length: usize| {
            file.extend(ARRAY.to_le_bytes());
            file.extend(kind.to_le_bytes());
            file.extend((length as u64).to_le_bytes());
        };
        match self {
            Self::U32(number) => {
                file.extend(U32.to_le_bytes());
                file.extend(number.to_le_bytes());
            }
            Self::F32(number) => {
                file.extend(F32.to_le_bytes());
                file.extend(number.to_le_bytes());
            }
            Self::Bool(yes) => {
                file.extend(BOOL.to_le_bytes());
                file.push(yes.into());
            }
            Self::Text(value) => {
                file.extend(TEXT.to_le_bytes());
                text(file, value);
            }
            Self::Texts(values) => {
                array(file, TEXT, values.len());
                for value in values {
                    text(file, value);
                }
            }
            Self::F32s(values) => {
                array(file, F32, values.len());
                for value in values {
                    file.extend(value.to_le_bytes());
                }
            }
            Self::I32s(values) => {
                array(file, I32, values.len());
                for value in values {
                    file.extend(value.to_le_bytes());
                }
            }
        }
    }
}

fn text(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text.as_bytes());
}
