//! A BERT model small enough to be written in a test. Its weights mean nothing.

use std::path::{Path, PathBuf};

const WIDTH: u64 = 32;
const INNER: u64 = 64;
const LAYERS: u64 = 2;
/// Longest sequence in tokens.
pub const TOKENS: u32 = 24;
/// Numbers in an embedding.
pub const DIMENSIONS: usize = 32;
const WORDS: [&str; 9] =
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁red", "▁green", "▁blue", "▁a", "ish"];

const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

/// Writes the model into `folder`.
pub fn bert(folder: &Path) -> PathBuf {
    let path = folder.join("tiny-bert.gguf");
    std::fs::write(&path, file()).unwrap();
    path
}

fn file() -> Vec<u8> {
    let (key_count, keys) = keys();
    let tensors = tensors();
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend(key_count.to_le_bytes());
    file.extend(keys);
    let mut offset = 0_u64;
    for (name, dimensions) in &tensors {
        text(&mut file, name);
        file.extend(u32::try_from(dimensions.len()).unwrap().to_le_bytes());
        file.extend(dimensions.iter().flat_map(|length| length.to_le_bytes()));
        file.extend(0_u32.to_le_bytes());
        file.extend(offset.to_le_bytes());
        offset += (dimensions.iter().product::<u64>() * 4).next_multiple_of(32);
    }
    file.resize(file.len().next_multiple_of(32), 0);
    // Numbers without a pattern, from -0.5 to 0.5.
    let mut state = 1_u32;
    for (_, dimensions) in &tensors {
        for _ in 0..dimensions.iter().product::<u64>() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let number = f32::from(u16::try_from(state >> 16).unwrap()) / 65_536.0 - 0.5;
            file.extend(number.to_le_bytes());
        }
        file.resize(file.len().next_multiple_of(32), 0);
    }
    file
}

fn keys() -> (u64, Vec<u8>) {
    let mut keys = Vec::new();
    let numbers = [
        ("bert.block_count", u32::try_from(LAYERS).unwrap()),
        ("bert.context_length", TOKENS),
        ("bert.embedding_length", u32::try_from(WIDTH).unwrap()),
        ("bert.feed_forward_length", u32::try_from(INNER).unwrap()),
        ("bert.attention.head_count", 2),
        ("bert.pooling_type", 1),
        ("tokenizer.ggml.token_type_count", 1),
        ("tokenizer.ggml.unknown_token_id", 1),
        ("tokenizer.ggml.bos_token_id", 2),
        ("tokenizer.ggml.seperator_token_id", 3),
    ];
    for (key, number) in numbers {
        text(&mut keys, key);
        keys.extend(U32.to_le_bytes());
        keys.extend(number.to_le_bytes());
    }
    for (key, value) in [("general.architecture", "bert"), ("tokenizer.ggml.model", "bert")] {
        text(&mut keys, key);
        keys.extend(TEXT.to_le_bytes());
        text(&mut keys, value);
    }
    text(&mut keys, "bert.attention.layer_norm_epsilon");
    keys.extend(F32.to_le_bytes());
    keys.extend(1e-12_f32.to_le_bytes());
    text(&mut keys, "bert.attention.causal");
    keys.extend(BOOL.to_le_bytes());
    keys.push(0);
    text(&mut keys, "tokenizer.ggml.tokens");
    array(&mut keys, TEXT);
    for word in WORDS {
        text(&mut keys, word);
    }
    text(&mut keys, "tokenizer.ggml.token_type");
    array(&mut keys, I32);
    let kinds = (0..WORDS.len()).map(|id| if id < 4 { 3_i32 } else { 1 });
    keys.extend(kinds.flat_map(i32::to_le_bytes));
    (numbers.len() as u64 + 6, keys)
}

fn tensors() -> Vec<(String, Vec<u64>)> {
    let mut tensors = vec![
        ("token_embd.weight".to_owned(), vec![WIDTH, WORDS.len() as u64]),
        ("position_embd.weight".to_owned(), vec![WIDTH, TOKENS.into()]),
        ("token_types.weight".to_owned(), vec![WIDTH, 1]),
        ("token_embd_norm.weight".to_owned(), vec![WIDTH]),
        ("token_embd_norm.bias".to_owned(), vec![WIDTH]),
    ];
    for layer in 0..LAYERS {
        let dense = [
            ("attn_q", WIDTH, WIDTH),
            ("attn_k", WIDTH, WIDTH),
            ("attn_v", WIDTH, WIDTH),
            ("attn_output", WIDTH, WIDTH),
            ("ffn_up", WIDTH, INNER),
            ("ffn_down", INNER, WIDTH),
        ];
        for (name, from, to) in dense {
            tensors.push((format!("blk.{layer}.{name}.weight"), vec![from, to]));
            tensors.push((format!("blk.{layer}.{name}.bias"), vec![to]));
        }
        for name in ["attn_output_norm", "layer_output_norm"] {
            tensors.push((format!("blk.{layer}.{name}.weight"), vec![WIDTH]));
            tensors.push((format!("blk.{layer}.{name}.bias"), vec![WIDTH]));
        }
    }
    tensors
}

fn array(keys: &mut Vec<u8>, of: u32) {
    keys.extend(ARRAY.to_le_bytes());
    keys.extend(of.to_le_bytes());
    keys.extend((WORDS.len() as u64).to_le_bytes());
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
