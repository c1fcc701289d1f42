//! GGUF files that are made here: tiny ones from which no engine can answer, and whole models with
//! random weights.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "sizes of models and random bits"
)]

mod header;
mod synthetic;
mod vocabulary;
mod writer;

pub use header::weights_per_token;
pub use synthetic::{Shape, write_model};

use writer::{Kind, Tensor, Value};

/// Elements in the one row that a tiny file really has.
const ROW: u64 = 32;

/// A valid file.
pub fn tiny() -> Vec<u8> {
    claiming(1)
}

/// A valid file of a little more than so many bytes. Each seed gives another one.
pub fn with_bytes(bytes: usize, seed: u64) -> Vec<u8> {
    let rows = bytes.div_ceil(4 * ROW as usize);
    let mut file = header(rows as u64);
    let mut state = seed;
    for _ in 0..rows * ROW as usize {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        file.extend(&state.to_be_bytes()[..4]);
    }
    file
}

/// A file whose header says that its tensor has this many rows; there is one.
pub fn claiming(rows: u64) -> Vec<u8> {
    let mut file = header(rows);
    for _ in 0..ROW {
        file.extend(1_f32.to_le_bytes());
    }
    file
}

fn header(rows: u64) -> Vec<u8> {
    let tokens = ["a".to_owned(), "b".to_owned()];
    let values = [
        ("general.architecture", Value::Text("llama")),
        ("llama.block_count", Value::U32(1)),
        ("llama.context_length", Value::U32(8192)),
        ("llama.embedding_length", Value::U32(32)),
        ("llama.attention.head_count", Value::U32(1)),
        ("tokenizer.ggml.tokens", Value::Texts(&tokens)),
    ];
    let embedding =
        Tensor { name: "token_embd.weight".to_owned(), shape: vec![ROW, rows], kind: Kind::F32 };
    writer::header(&values, &[embedding])
}
