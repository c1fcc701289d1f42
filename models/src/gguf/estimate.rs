//! What loading a model takes.

use super::Header;

/// The engine program and llama.cpp's fixed buffers.
const PROCESS_BYTES: u64 = 32 << 20;
/// llama.cpp keeps each token's text, score and place in two tables.
const BYTES_PER_TOKEN: u64 = 256;
/// llama.cpp rounds the context up to this.
const CONTEXT_STEP: u64 = 256;

/// Bytes, by what they are for. An upper estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The tensors, mapped or repacked.
    pub weights: u64,
    /// Keys and values of the whole context.
    pub kv_cache: u64,
    /// Intermediate results of one batch, and the engine itself.
    pub compute: u64,
}

impl Memory {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.kv_cache).saturating_add(self.compute)
    }
}

/// How an engine is to host a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hosting {
    /// Tokens of context, shared by all sequences.
    pub context_tokens: u32,
    /// Tokens of a batch.
    pub batch_tokens: u32,
    /// Sequences that run together.
    pub sequences_max: u32,
    /// Keys and values are kept as blocks of 8-bit numbers, not as numbers of 16 bits.
    pub quantized_kv: bool,
}

/// Estimates what an engine takes that hosts the model so.
#[must_use]
pub fn memory_estimate(header: &Header, hosting: Hosting) -> Memory {
    let Hosting { context_tokens, batch_tokens, sequences_max, quantized_kv } = hosting;
    let context = if header.embeds {
        // A batch and no more, which must hold the longest text.
        batch_tokens.max(header.context_length.min(context_tokens))
    } else {
        context_tokens
    };
    let context = u64::from(context).next_multiple_of(CONTEXT_STEP);
    let batch = if header.embeds { context } else { u64::from(batch_tokens).min(context) };
    let (vocab, width) = (u64::from(header.vocab_size), u64::from(header.embedding_length));
    let heads = u64::from(header.head_count);

    // Each cell holds a key and a value of every head that keeps them, in every layer.
    let cell = u64::from(header.key_length) + u64::from(header.value_length);
    let numbers = product(&[header.block_count.into(), context, header.head_count_kv.into(), cell]);
    let kv_cache = if quantized_kv {
        // Each block of 32 has a scale of 16 bits.
        numbers.div_ceil(32).saturating_mul(34)
    } else {
        numbers.saturating_mul(2)
    };

    // ggml reuses buffers, so the largest intermediate counts: the logits of a whole batch, for
    // which llama.cpp reserves, or one layer's attention scores when flash attention is off.
    let logits = product(&[batch, vocab, 4]);
    let scores = product(&[batch, context, heads, 4]);
    // The attention mask, as f32 and as f16.
    let mask = product(&[batch, context, 6]);
    // Hidden state, residual, query, key, value, and a feed-forward of four widths with its gate.
    let activations = product(&[batch, width, 16, 4]);
    // The row of logits of each sequence, copied out for sampling.
    let outputs = product(&[sequences_max.into(), vocab, 4]);
    let vocabulary = product(&[vocab, BYTES_PER_TOKEN]);
    let compute = [logits.max(scores), mask, activations, outputs, vocabulary, PROCESS_BYTES]
        .into_iter()
        .fold(0, u64::saturating_add);
    Memory { weights: header.tensor_bytes, kv_cache, compute }
}

fn product(factors: &[u64]) -> u64 {
    factors.iter().copied().fold(1, u64::saturating_mul)
}
