//! GGUF files small enough to be written in a test. No engine can answer from them.

/// Elements in the one row that the file really has.
const ROW: u64 = 32;

/// A valid file.
pub fn tiny() -> Vec<u8> {
    claiming(1)
}

/// A file whose header says that its tensor has this many rows; there is one.
pub fn claiming(rows: u64) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(b"GGUF");
    file.extend(3_u32.to_le_bytes());
    file.extend(1_u64.to_le_bytes());
    let numbers = [
        ("llama.block_count", 1_u32),
        ("llama.context_length", 8192),
        ("llama.embedding_length", 32),
        ("llama.attention.head_count", 1),
    ];
    file.extend((numbers.len() as u64 + 2).to_le_bytes());
    text(&mut file, "general.architecture");
    file.extend(TEXT.to_le_bytes());
    text(&mut file, "llama");
    for (key, number) in numbers {
        text(&mut file, key);
        file.extend(U32.to_le_bytes());
        file.extend(number.to_le_bytes());
    }
    text(&mut file, "tokenizer.ggml.tokens");
    file.extend(ARRAY.to_le_bytes());
    file.extend(TEXT.to_le_bytes());
    file.extend(2_u64.to_le_bytes());
    text(&mut file, "a");
    text(&mut file, "b");

    text(&mut file, "token_embd.weight");
    file.extend(2_u32.to_le_bytes());
    file.extend(ROW.to_le_bytes());
    file.extend(rows.to_le_bytes());
    file.extend(F32.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    file.resize(file.len().next_multiple_of(32), 0);
    for _ in 0..ROW {
        file.extend(1_f32.to_le_bytes());
    }
    file
}

const F32: u32 = 0;
const U32: u32 = 4;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

fn text(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text.as_bytes());
}
