//! Whole models of the llama architecture with random weights: as large and as slow as real ones,
//! and all they say is nonsense.

use std::io::{self, Write};

use super::vocabulary::Vocabulary;
use super::writer::{self, Kind, Tensor, Value};

/// `ChatML`, as many models have it.
const TEMPLATE: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' \
    + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}\
    {{ '<|im_start|>assistant\n' }}{% endif %}";

/// Tokens of context that a model claims to be trained for.
const CONTEXT: u32 = 8192;

/// The matrix with a row for each token. Tokens that are no text get no weights there: an answer never
/// ends on its own and is always UTF-8.
const OUTPUT: &str = "output.weight";

/// Bits of a scale of 2^-8, with room for 10 random bits: weights are below 0.06 either way.
const SCALE: u16 = 7 << 10;

/// The size of a model.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// For people.
    pub name: &'static str,
    /// Layers.
    pub layers: u32,
    /// Length of a token's vector; a multiple of 32 and of `heads`.
    pub width: u32,
    /// Heads of attention.
    pub heads: u32,
    /// Of these, how many have keys and values of their own.
    pub key_heads: u32,
    /// Length of the vector within a layer; a multiple of 32.
    pub inner_width: u32,
    /// Tokens of the vocabulary.
    pub vocabulary: u32,
}

impl Shape {
    /// As `TinyLlama`: 1.1 billion parameters, 0.6 GB.
    pub const ONE_BILLION: Self = Self {
        name: "synthetic-1.1b",
        layers: 22,
        width: 2048,
        heads: 32,
        key_heads: 4,
        inner_width: 5632,
        vocabulary: 32_000,
    };

    /// As Llama 3.2 with a smaller vocabulary: 3 billion parameters, 1.7 GB.
    pub const THREE_BILLION: Self = Self {
        name: "synthetic-3b",
        layers: 28,
        width: 3072,
        heads: 24,
        key_heads: 8,
        inner_width: 8192,
        vocabulary: 32_000,
    };

    /// As Mistral: 7.2 billion parameters, 4 GB.
    pub const SEVEN_BILLION: Self = Self {
        name: "synthetic-7b",
        layers: 32,
        width: 4096,
        heads: 32,
        key_heads: 8,
        inner_width: 14_336,
        vocabulary: 32_000,
    };

    fn tensors(&self) -> Vec<Tensor> {
        let width = u64::from(self.width);
        let keys = width / u64::from(self.heads) * u64::from(self.key_heads);
        let inner = u64::from(self.inner_width);
        let vocabulary = u64::from(self.vocabulary);
        let matrix =
            |name: String, from, to| Tensor { name, shape: vec![from, to], kind: Kind::Q4_0 };
        let norm = |name: String| Tensor { name, shape: vec![width], kind: Kind::F32 };
        let mut tensors = vec![matrix("token_embd.weight".to_owned(), width, vocabulary)];
        for layer in 0..self.layers {
            let named = |part| format!("blk.{layer}.{part}.weight");
            tensors.extend([
                norm(named("attn_norm")),
                matrix(named("attn_q"), width, width),
                matrix(named("attn_k"), width, keys),
                matrix(named("attn_v"), width, keys),
                matrix(named("attn_output"), width, width),
                norm(named("ffn_norm")),
                matrix(named("ffn_gate"), width, inner),
                matrix(named("ffn_up"), width, inner),
                matrix(named("ffn_down"), inner, width),
            ]);
        }
        tensors.push(norm("output_norm.weight".to_owned()));
        tensors.push(matrix(OUTPUT.to_owned(), width, vocabulary));
        tensors
    }

    fn header(&self, tensors: &[Tensor]) -> Vec<u8> {
        let vocabulary = Vocabulary::new(self.vocabulary as usize);
        let values = [
            ("general.architecture", Value::Text("llama")),
            ("general.name", Value::Text(self.name)),
            ("general.file_type", Value::U32(2)),
            ("llama.block_count", Value::U32(self.layers)),
            ("llama.context_length", Value::U32(CONTEXT)),
            ("llama.embedding_length", Value::U32(self.width)),
            ("llama.feed_forward_length", Value::U32(self.inner_width)),
            ("llama.attention.head_count", Value::U32(self.heads)),
            ("llama.attention.head_count_kv", Value::U32(self.key_heads)),
            ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
            ("llama.rope.dimension_count", Value::U32(self.width / self.heads)),
            ("llama.rope.freq_base", Value::F32(10_000.0)),
            ("llama.vocab_size", Value::U32(self.vocabulary)),
            ("tokenizer.ggml.model", Value::Text("llama")),
            ("tokenizer.ggml.tokens", Value::Texts(&vocabulary.tokens)),
            ("tokenizer.ggml.scores", Value::F32s(&vocabulary.scores)),
            ("tokenizer.ggml.token_type", Value::I32s(&vocabulary.kinds)),
            ("tokenizer.ggml.bos_token_id", Value::U32(Vocabulary::BOS)),
            ("tokenizer.ggml.eos_token_id", Value::U32(Vocabulary::END_OF_TURN)),
            ("tokenizer.ggml.unknown_token_id", Value::U32(0)),
            ("tokenizer.ggml.add_bos_token", Value::Bool(true)),
            ("tokenizer.ggml.add_eos_token", Value::Bool(false)),
            ("tokenizer.chat_template", Value::Text(TEMPLATE)),
        ];
        writer::header(&values, tensors)
    }
}

/// Writes a model, the same for the same seed; `progress` hears how many bytes of how many are out.
pub fn write_model(
    shape: &Shape,
    seed: u64,
    to: &mut impl Write,
    mut progress: impl FnMut(u64, u64),
) -> io::Result<()> {
    let tensors = shape.tensors();
    let header = shape.header(&tensors);
    to.write_all(&header)?;
    let mut random = Random(seed);
    let total = header.len() as u64 + tensors.iter().map(Tensor::padded_bytes).sum::<u64>();
    let mut written = header.len() as u64;
    for tensor in &tensors {
        match tensor.kind {
            Kind::F32 => {
                for _ in 0..tensor.bytes() / 4 {
                    to.write_all(&1_f32.to_le_bytes())?;
                }
            }
            Kind::Q4_0 => {
                let row = tensor.shape[0] / 32;
                let silent = if tensor.name == OUTPUT { row * Vocabulary::SPECIAL } else { 0 };
                for block in 0..tensor.bytes() / 18 {
                    let scale = if block < silent { 0 } else { random.scale() };
                    to.write_all(&random.block(scale))?;
                }
            }
        }
        let gap = tensor.padded_bytes() - tensor.bytes();
        to.write_all(&[0; 32][..usize::try_from(gap).map_err(io::Error::other)?])?;
        written += tensor.padded_bytes();
        progress(written, total);
    }
    to.flush()
}

/// `SplitMix64`.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Small and positive.
    fn scale(&mut self) -> u16 {
        SCALE | (self.next() as u16 & 0x3FF)
    }

    /// 32 weights in `Q4_0`.
    fn block(&mut self, scale: u16) -> [u8; 18] {
        let mut block = [0; 18];
        block[..2].copy_from_slice(&scale.to_le_bytes());
        block[2..10].copy_from_slice(&self.next().to_le_bytes());
        block[10..].copy_from_slice(&self.next().to_le_bytes());
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Shape = Shape {
        name: "small",
        layers: 2,
        width: 64,
        heads: 4,
        key_heads: 2,
        inner_width: 96,
        vocabulary: 512,
    };

    fn written(seed: u64) -> Vec<u8> {
        let mut file = Vec::new();
        write_model(&SMALL, seed, &mut file, |_, _| ()).unwrap();
        file
    }

    #[test]
    fn a_model_is_the_same_for_the_same_seed_only() {
        assert_eq!(written(1), written(1));
        assert_ne!(written(1), written(2));
    }

    #[test]
    fn a_model_is_as_long_as_its_header_says() {
        let tensors = SMALL.tensors();
        let data: u64 = tensors.iter().map(Tensor::padded_bytes).sum();
        assert_eq!(written(1).len() as u64, SMALL.header(&tensors).len() as u64 + data);
    }

    #[test]
    fn the_embedding_is_not_read_for_a_token_when_the_output_has_a_matrix_of_its_own() {
        let embedding = 64 * 512 / 32 * 18;
        let all: u64 = SMALL.tensors().iter().map(Tensor::padded_bytes).sum();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&written(1)).unwrap();
        assert_eq!(super::super::weights_per_token(file.path()).unwrap(), all - embedding);
    }

    #[test]
    fn scales_are_small_and_positive() {
        let mut random = Random(1);
        for _ in 0..1000 {
            assert_eq!(random.scale() >> 10, 7, "2^-8, and no sign");
        }
    }
}
