//! Tests of the reader against files built by hand, cut, changed, and against a real model.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use std::io::Cursor;
use std::path::PathBuf;

use super::*;

mod mutants;

const U32: u32 = 4;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;
const U64: u32 = 10;
const F32: u32 = 0;
const Q4_1: u32 = 3;

/// Builds a file; what is set last wins.
#[derive(Clone)]
struct Builder {
    version: u32,
    keys: Vec<(String, Vec<u8>)>,
    /// Name, dimensions, type, offset.
    tensors: Vec<(String, Vec<u64>, u32, u64)>,
    data_bytes: usize,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn number(value: u32) -> Vec<u8> {
    [U32.to_le_bytes(), value.to_le_bytes()].concat()
}

fn texts(values: &[&str]) -> Vec<u8> {
    let mut bytes = [ARRAY.to_le_bytes(), TEXT.to_le_bytes()].concat();
    bytes.extend((values.len() as u64).to_le_bytes());
    for value in values {
        bytes.extend(text(value));
    }
    bytes
}

fn numbers(values: &[u32]) -> Vec<u8> {
    let mut bytes = [ARRAY.to_le_bytes(), U32.to_le_bytes()].concat();
    bytes.extend((values.len() as u64).to_le_bytes());
    for value in values {
        bytes.extend(value.to_le_bytes());
    }
    bytes
}

impl Builder {
    /// A tiny model: 64 f32 weights and 128 in `Q4_1`.
    fn model() -> Self {
        let named = |name: &str| [TEXT.to_le_bytes().to_vec(), text(name)].concat();
        Self {
            version: 3,
            keys: Vec::new(),
            tensors: vec![
                ("norm".to_owned(), vec![64], F32, 0),
                ("layer".to_owned(), vec![64, 2], Q4_1, 256),
            ],
            data_bytes: 256 + 4 * 20,
        }
        .key("general.architecture", named("llama"))
        .key("general.name", named("Tiny"))
        .key("general.file_type", number(3))
        .key("llama.context_length", number(2048))
        .key("llama.block_count", number(2))
        .key("llama.embedding_length", number(64))
        .key("llama.attention.head_count", number(4))
        .key("llama.attention.head_count_kv", numbers(&[1, 2]))
        .key("tokenizer.ggml.tokens", texts(&["a", "b", "<eos>"]))
        .key("tokenizer.chat_template", named("{{ x }}"))
    }

    fn key(mut self, name: &str, value: Vec<u8>) -> Self {
        self.keys.retain(|(known, _)| known != name);
        self.keys.push((name.to_owned(), value));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.keys.retain(|(known, _)| known != name);
        self
    }

    fn tensor(mut self, dimensions: &[u64], kind: u32, offset: u64) -> Self {
        self.tensors = vec![("t".to_owned(), dimensions.to_vec(), kind, offset)];
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.keys.len() as u64).to_le_bytes());
        for (name, value) in &self.keys {
            bytes.extend(text(name));
            bytes.extend(value);
        }
        for (name, dimensions, kind, offset) in &self.tensors {
            bytes.extend(text(name));
            bytes.extend(u32::try_from(dimensions.len()).unwrap().to_le_bytes());
            for length in dimensions {
                bytes.extend(length.to_le_bytes());
            }
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(32) + self.data_bytes, 7);
        bytes
    }

    fn read(&self) -> Result<Header, Problem> {
        read_bytes(&self.bytes())
    }

    fn problem(&self) -> String {
        self.read().unwrap_err().to_string()
    }
}

fn read_bytes(bytes: &[u8]) -> Result<Header, Problem> {
    read_from(Cursor::new(bytes), bytes.len() as u64)
}

#[test]
fn a_sound_file_is_described() {
    for version in [2, 3] {
        let model = Builder { version, ..Builder::model() };
        let expected = Header {
            architecture: "llama".to_owned(),
            name: "Tiny".to_owned(),
            quantization: "Q4_1".to_owned(),
            parameters: 64 + 128,
            tensor_bytes: 256 + 80,
            size_bytes: model.bytes().len() as u64,
            context_length: 2048,
            block_count: 2,
            embedding_length: 64,
            head_count: 4,
            head_count_kv: 2,
            key_length: 16,
            value_length: 16,
            vocab_size: 3,
            has_chat_template: true,
            embeds: false,
        };
        assert_eq!(model.read().unwrap(), expected);
    }
}

#[test]
fn what_a_file_leaves_out_has_its_usual_value() {
    let header = Builder::model()
        .without("llama.attention.head_count_kv")
        .without("general.file_type")
        .without("tokenizer.chat_template")
        .without("tokenizer.ggml.tokens")
        .key("llama.vocab_size", number(99))
        .key("llama.attention.key_length", number(32))
        .read()
        .unwrap();
    assert_eq!((header.head_count_kv, header.key_length, header.value_length), (4, 32, 16));
    assert_eq!((header.vocab_size, header.has_chat_template), (99, false));
    assert_eq!(header.quantization, "unknown");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = Builder::model().bytes();
    for length in 0..bytes.len() {
        assert!(read_bytes(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
    }
    read_bytes(&bytes).unwrap();
}

#[test]
fn a_cut_file_says_how_much_is_missing() {
    let bytes = Builder::model().bytes();
    let problem = read_bytes(&bytes[..bytes.len() - 10]).unwrap_err();
    let (size, all) = (bytes.len() as u64 - 10, bytes.len() as u64);
    assert!(
        matches!(problem, Problem::Truncated { expected, actual } if (expected, actual) == (all, size))
    );
    assert!(problem.to_string().contains("download it again"), "{problem}");
}

#[test]
fn no_changed_byte_makes_it_panic() {
    let sound = Builder::model().bytes();
    let mut state = 42_u64;
    let mut random = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap()
    };
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut bytes = sound.clone();
        for _ in 0..=random() % 3 {
            let place = random() % (sound.len() - Builder::model().data_bytes);
            bytes[place] =
                [0, 1, 0x7f, 0x80, 0xff, u8::try_from(random() % 256).unwrap()][random() % 6];
        }
        match read_bytes(&bytes) {
            Ok(header) => assert_eq!(header.size_bytes, sound.len() as u64),
            Err(problem) => {
                assert!(!problem.to_string().is_empty());
                refused += 1;
            }
        }
    }
    assert!(refused > 5_000, "only {refused} were refused");
}

#[test]
fn other_files_are_recognised_by_their_begin() {
    let problem = read_bytes(b"PK\x03\x04 and so on").unwrap_err().to_string();
    assert!(problem.contains(r#"is not a GGUF file (it begins with "PK\x03\x04")"#), "{problem}");
    assert!(matches!(read_bytes(b""), Err(Problem::NotGguf { .. })));
    let old = Builder { version: 1, ..Builder::model() };
    assert!(old.problem().contains("version 1"));
    let swapped = Builder { version: 3_u32.swap_bytes(), ..Builder::model() };
    assert!(matches!(swapped.read(), Err(Problem::BigEndian)));
}

#[test]
fn claimed_counts_and_lengths_are_not_believed() {
    let sound = Builder::model().bytes();
    for (place, what) in [(8, "number of tensors"), (16, "number of keys"), (24, "length of a key")]
    {
        let mut bytes = sound.clone();
        bytes[place..place + 8].fill(0xff);
        let problem = read_bytes(&bytes).unwrap_err().to_string();
        assert!(problem.contains(what), "{problem}");
    }
    for of in [0_u32, TEXT, U64] {
        for length in [1_u64 << 20, u64::MAX / 8, u64::MAX] {
            let head = [ARRAY.to_le_bytes(), of.to_le_bytes()].concat();
            let array = [head, length.to_le_bytes().to_vec()].concat();
            let model = Builder::model().key("x.scores", array);
            assert!(matches!(model.read(), Err(Problem::Truncated { .. })), "{of} {length}");
        }
    }
    let long = [TEXT.to_le_bytes().to_vec(), u64::MAX.to_le_bytes().to_vec()].concat();
    let model = Builder::model().key("x.text", long);
    assert!(matches!(model.read(), Err(Problem::Truncated { .. })));
}

#[test]
fn broken_values_are_refused_by_name() {
    let nested = [ARRAY.to_le_bytes(), ARRAY.to_le_bytes(), [1; 4], [0; 4]].concat();
    assert!(Builder::model().key("x", nested).problem().contains("array of arrays"));
    let unknown = 13_u32.to_le_bytes().to_vec();
    assert!(Builder::model().key("x", unknown).problem().contains("unknown type 13"));
    for alignment in [0, 3, 1 << 21] {
        let model = Builder::model().key("general.alignment", number(alignment));
        assert!(model.problem().contains("alignment"));
    }
    let huge = [U64.to_le_bytes().to_vec(), u64::MAX.to_le_bytes().to_vec()].concat();
    assert!(Builder::model().key("llama.block_count", huge).problem().contains("block_count"));
}

#[test]
fn required_keys_are_required() {
    let keys = ["context_length", "block_count", "embedding_length"];
    for key in keys.map(|key| format!("llama.{key}")) {
        assert!(Builder::model().without(&key).problem().contains(&key));
    }
    assert!(Builder::model().without("general.architecture").problem().contains("architecture"));
    assert!(Builder::model().without("tokenizer.ggml.tokens").problem().contains("vocabulary"));
    let empty = Builder { tensors: Vec::new(), ..Builder::model() };
    assert!(empty.problem().contains("tensors"));
    let split = Builder::model().key("split.count", number(3));
    assert!(split.problem().contains("one of 3 parts"));
}

#[test]
fn impossible_tensors_are_refused() {
    let refused = |dimensions: &[u64], kind, offset, why: &str| {
        let problem = Builder::model().tensor(dimensions, kind, offset).problem();
        assert!(problem.contains(why), "{problem}");
    };
    refused(&[1, 1, 1, 1, 1], F32, 0, "dimensions");
    refused(&[0], F32, 0, "length 0");
    refused(&[u64::MAX, 2], F32, 0, "larger than any machine");
    refused(&[1 << 62], F32, 0, "larger than any machine");
    refused(&[32], F32, u64::MAX - 31, "larger than any machine");
    refused(&[33], Q4_1, 0, "its type cannot hold");
    refused(&[32], 4, 0, "unknown type 4");
    refused(&[32], F32, 8, "not aligned");
    refused(&[1 << 30], F32, 0, "truncated");
}

#[test]
fn tensors_have_names_and_places_of_their_own() {
    let two = |second: &str, offset| {
        let tensors =
            vec![("a".to_owned(), vec![32], F32, 0), (second.to_owned(), vec![16], F32, offset)];
        Builder { tensors, ..Builder::model() }
    };
    two("b", 128).read().unwrap();
    assert!(two("b", 96).problem().contains("two tensors have the same place"));
    assert!(two("b", 0).problem().contains("two tensors have the same place"));
    assert!(two("a", 128).problem().contains("two tensors are called \"a\""));
}

#[test]
fn a_key_that_is_set_twice_is_refused() {
    let mut model = Builder::model();
    let (name, value) = model.keys[0].clone();
    for again in [value, number(7)] {
        model.keys.push((name.clone(), again));
        assert!(model.problem().contains("two keys are called \"general.architecture\""));
        model.keys.pop();
    }
    model.read().unwrap();
}

#[test]
fn only_files_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(read(dir.path()), Err(Problem::NotAFile)));
    assert!(matches!(read(&dir.path().join("none")), Err(Problem::Io(_))));
    assert!(matches!(read(Path::new("/dev/zero")), Err(Problem::NotAFile)));
}

const HOSTING: Hosting =
    Hosting { context_tokens: 4096, batch_tokens: 512, sequences_max: 8, quantized_kv: false };

#[test]
fn the_estimate_follows_context_batch_and_sequences() {
    let header = Builder::model().read().unwrap();
    let estimate = |hosting| memory_estimate(&header, hosting);
    let base = estimate(HOSTING);
    assert_eq!(base.weights, header.tensor_bytes);
    // 2 layers, 4096 cells, 2 heads, 16 + 16 elements, 2 bytes each.
    assert_eq!(base.kv_cache, 2 * 4096 * 2 * 32 * 2);
    let longer = estimate(Hosting { context_tokens: 8192, ..HOSTING });
    assert_eq!(longer.kv_cache, 2 * base.kv_cache);
    // 34 bytes for 32 numbers.
    let quantized = estimate(Hosting { quantized_kv: true, ..HOSTING });
    assert_eq!(quantized.kv_cache, base.kv_cache / 2 / 32 * 34);
    assert!(estimate(Hosting { batch_tokens: 1024, ..HOSTING }).compute > base.compute);
    assert!(estimate(Hosting { sequences_max: 9, ..HOSTING }).compute > base.compute);
    assert_eq!(base.total(), base.weights + base.kv_cache + base.compute);
}

const ABSURD: Hosting = Hosting {
    context_tokens: u32::MAX,
    batch_tokens: u32::MAX,
    sequences_max: u32::MAX,
    quantized_kv: false,
};

#[test]
fn an_absurd_header_has_an_absurd_estimate_and_no_overflow() {
    let mut header = Builder::model().read().unwrap();
    header.block_count = u32::MAX;
    header.head_count = u32::MAX;
    header.head_count_kv = u32::MAX;
    header.key_length = u32::MAX;
    header.vocab_size = u32::MAX;
    for quantized_kv in [false, true] {
        let memory = memory_estimate(&header, Hosting { quantized_kv, ..ABSURD });
        assert_eq!(memory.total(), u64::MAX);
    }
}

#[test]
fn a_real_model_is_described() {
    let Some(path) = std::env::var_os("TANDEM_TEST_MODEL").map(PathBuf::from) else {
        panic!("TANDEM_TEST_MODEL names no model; `make test` sets it");
    };
    let header = read(&path).unwrap();
    assert_eq!((header.architecture.as_str(), header.quantization.as_str()), ("llama", "Q4_1"));
    assert_eq!((header.block_count, header.embedding_length), (30, 576));
    assert_eq!((header.head_count, header.head_count_kv, header.key_length), (9, 3, 64));
    assert_eq!((header.context_length, header.vocab_size), (8192, 49_152));
    assert!((134_000_000..135_000_000).contains(&header.parameters), "{}", header.parameters);
    assert!(header.has_chat_template && header.tensor_bytes < header.size_bytes);
    let memory = memory_estimate(&header, Hosting { context_tokens: 8192, ..HOSTING });
    assert_eq!(memory.kv_cache, 30 * 8192 * 3 * 128 * 2);
    assert!((400 << 20..800 << 20).contains(&memory.total()), "{memory:?}");
}
