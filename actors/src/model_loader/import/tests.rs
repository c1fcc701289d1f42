//! Tests with a model that is small enough to be written in a test.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::choosing::Machine;
use super::super::inspect::Inspector;
use super::*;

const WIDTH: usize = 4;

/// A folder with a model, before it is written.
struct Folder {
    config: Value,
    tokenizer: Value,
    pooling: Value,
    modules: Value,
    /// Name, kind and shape; every element is its index.
    tensors: Vec<(String, &'static str, Vec<usize>)>,
}

impl Folder {
    fn new() -> Self {
        let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a", "b"];
        let vocab: serde_json::Map<_, _> =
            words.iter().zip(0..).map(|(&word, id)| (word.to_owned(), json!(id))).collect();
        let added: Vec<_> =
            (0..5).map(|id| json!({ "id": id, "content": words[id], "special": true })).collect();
        let mut folder = Self {
            config: json!({
                "architectures": ["BertModel"], "hidden_size": WIDTH, "intermediate_size": 6,
                "num_attention_heads": 2, "num_hidden_layers": 1, "max_position_embeddings": 16,
                "layer_norm_eps": 1e-12, "vocab_size": 10,
            }),
            tokenizer: json!({
                "added_tokens": added,
                "normalizer": { "type": "BertNormalizer", "lowercase": true },
                "pre_tokenizer": { "type": "BertPreTokenizer" },
                "model": {
                    "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                    "vocab": vocab,
                },
            }),
            pooling: json!({ "pooling_mode_mean_tokens": true }),
            modules: json!([{ "type": "sentence_transformers.models.Transformer" }]),
            tensors: Vec::new(),
        };
        for (name, rows) in [("word", 10), ("position", 16), ("token_type", 2)] {
            folder.add(&format!("embeddings.{name}_embeddings.weight"), &[rows, WIDTH]);
        }
        folder.add_pair("embeddings.LayerNorm", &[WIDTH]);
        for part in ["query", "key", "value"] {
            folder.add_pair(&format!("encoder.layer.0.attention.self.{part}"), &[WIDTH, WIDTH]);
        }
        folder.add_pair("encoder.layer.0.attention.output.dense", &[WIDTH, WIDTH]);
        folder.add_pair("encoder.layer.0.attention.output.LayerNorm", &[WIDTH]);
        folder.add_pair("encoder.layer.0.intermediate.dense", &[6, WIDTH]);
        folder.add_pair("encoder.layer.0.output.dense", &[WIDTH, 6]);
        folder.add_pair("encoder.layer.0.output.LayerNorm", &[WIDTH]);
        folder.add_pair("pooler.dense", &[WIDTH, WIDTH]);
        folder
    }

    fn add(&mut self, name: &str, shape: &[usize]) {
        self.tensors.push((name.to_owned(), "F32", shape.to_vec()));
    }

    fn add_pair(&mut self, name: &str, shape: &[usize]) {
        self.add(&format!("{name}.weight"), shape);
        self.add(&format!("{name}.bias"), &shape[..1]);
    }

    fn tensor(&mut self, name: &str) -> &mut (String, &'static str, Vec<usize>) {
        self.tensors.iter_mut().find(|tensor| tensor.0.ends_with(name)).unwrap()
    }

    fn weights(&self) -> Vec<u8> {
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (name, kind, shape) in &self.tensors {
            let begin = data.len();
            for element in 0..shape.iter().product::<usize>() {
                #[allow(clippy::cast_precision_loss, reason = "small")]
                let value = (element as f32).to_le_bytes();
                data.extend(if *kind == "BF16" { &value[2..] } else { &value[..] });
            }
            let entry =
                json!({ "dtype": kind, "shape": shape, "data_offsets": [begin, data.len()] });
            header.insert(name.clone(), entry);
        }
        let header = serde_json::to_vec(&header).unwrap();
        [&(header.len() as u64).to_le_bytes(), header.as_slice(), &data].concat()
    }

    fn write(&self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
        let json = |value: &Value| serde_json::to_vec(value).unwrap();
        fs::create_dir(dir.path().join("1_Pooling")).unwrap();
        write("config.json", &json(&self.config));
        write("tokenizer.json", &json(&self.tokenizer));
        write("tokenizer_config.json", b"{}");
        write("modules.json", &json(&self.modules));
        write("1_Pooling/config.json", &json(&self.pooling));
        write("sentence_bert_config.json", br#"{ "max_seq_length": 12 }"#);
        write("model.safetensors", &self.weights());
        dir
    }

    /// Imports it into an empty folder, which is left empty by a failure.
    fn import(&self) -> Result<(TempDir, gguf::Header), ImportError> {
        import_from(self.write().path())
    }
}

fn import_from(source: &Path) -> Result<(TempDir, gguf::Header), ImportError> {
    let models = tempfile::tempdir().unwrap();
    let imported = import(source, "mini", models.path(), &mut |_| true);
    let left = fs::read_dir(models.path()).unwrap().count();
    assert_eq!(left, usize::from(imported.is_ok()), "{imported:?}");
    assert_eq!(imported?, "mini");
    let header = gguf::read(&models.path().join("mini.gguf")).unwrap();
    Ok((models, header))
}

fn unsupported(folder: &Folder, what: &str) {
    match folder.import() {
        Err(error @ ImportError::Unsupported { .. }) => {
            let message = error.to_string();
            assert!(message.contains(what) && message.contains(SUPPORTED), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

fn damaged(folder: &Folder, what: &str) {
    match folder.import() {
        Err(error @ ImportError::Damaged { .. }) => {
            assert!(error.to_string().contains(what), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_imported_model_says_what_it_is() {
    let (_models, header) = Folder::new().import().unwrap();
    assert_eq!((header.architecture.as_str(), header.name.as_str()), ("bert", "mini"));
    assert_eq!(header.quantization, "F16");
    assert!(header.embeds);
    assert_eq!((header.context_length, header.embedding_length, header.vocab_size), (16, 4, 10));
    assert_eq!(header.parameters, (10 + 16 + 2) * 4 + 2 * 4 + 4 * 20 + 4 * 4 + 30 + 28);
}

#[test]
fn weights_are_halved_and_the_rest_keeps_its_precision() {
    let (models, header) = Folder::new().import().unwrap();
    let file = fs::read(models.path().join("mini.gguf")).unwrap();
    let embeddings = 10 * 4 * 2;
    let weights = (4 * 16 + 2 * 24) * 2;
    let rest = (16 + 2) * 4 + 2 * 4 + 4 * 4 + 6 + 4 + 4 * 4;
    assert_eq!(header.tensor_bytes, embeddings + weights + rest * 4);
    // The first tensor holds 0, 1, 2 … in half precision.
    let begin = [0x00, 0x00, 0x00, 0x3C, 0x00, 0x40, 0x00, 0x42, 0x00, 0x44];
    assert!(file.windows(begin.len()).any(|bytes| bytes == begin));
}

#[test]
fn the_vocabulary_marks_word_beginnings_and_is_as_long_as_the_table() {
    let dir = Folder::new().write();
    let vocabulary = Vocabulary::read(dir.path()).unwrap();
    let (tokens, kinds) = vocabulary.padded(10);
    let expected = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁a", "a", "▁b"];
    assert_eq!(tokens[..8], expected);
    assert_eq!(tokens[8..], ["[PAD8]", "[PAD9]"]);
    assert_eq!(kinds, [3, 3, 3, 3, 3, 1, 1, 1, 5, 5]);
    assert_eq!((vocabulary.unknown, vocabulary.begin, vocabulary.separator), (1, 2, 3));
    assert_eq!((vocabulary.padding, vocabulary.mask), (Some(0), Some(4)));
    assert!(vocabulary.lowercase && vocabulary.strip_accents);
}

#[test]
fn other_kinds_of_elements_are_converted() {
    let mut folder = Folder::new();
    folder.tensor("word_embeddings.weight").1 = "BF16";
    folder.import().unwrap();
}

#[test]
fn names_with_the_prefix_of_the_model_are_found() {
    let mut folder = Folder::new();
    for tensor in &mut folder.tensors {
        tensor.0 = format!("bert.{}", tensor.0);
    }
    folder.tensor("embeddings.LayerNorm.weight").0 = "bert.embeddings.LayerNorm.gamma".to_owned();
    folder.import().unwrap();
}

#[test]
fn other_models_are_refused_by_name() {
    let with = |change: &dyn Fn(&mut Folder)| {
        let mut folder = Folder::new();
        change(&mut folder);
        folder
    };
    let llama = json!({ "architectures": ["LlamaForCausalLM"] });
    unsupported(&with(&|f| f.config = llama.clone()), "LlamaForCausalLM");
    unsupported(&with(&|f| f.config["architectures"] = json!([])), "without an architecture");
    unsupported(&with(&|f| f.config["hidden_act"] = json!("relu")), "relu");
    let relative = json!("relative_key");
    unsupported(&with(&|f| f.config["position_embedding_type"] = relative.clone()), "relative_key");
    unsupported(&with(&|f| f.tokenizer["model"]["type"] = json!("BPE")), "pieces");
    unsupported(&with(&|f| f.tokenizer["normalizer"] = json!({ "type": "NFC" })), "preparations");
    unsupported(&with(&|f| f.tokenizer["pre_tokenizer"] = json!(null)), "words");
    unsupported(&with(&|f| f.pooling = json!({ "pooling_mode_max_tokens": true })), "pooling");
    let dense = json!([{ "type": "sentence_transformers.models.Dense" }]);
    unsupported(&with(&|f| f.modules = dense.clone()), "Dense");
    let integers = |f: &mut Folder| f.tensor("word_embeddings.weight").1 = "I32";
    unsupported(&with(&integers), "word_embeddings");
}

#[test]
fn a_model_that_does_not_say_how_it_pools_is_refused() {
    let dir = Folder::new().write();
    fs::remove_file(dir.path().join("1_Pooling/config.json")).unwrap();
    let refused = import_from(dir.path()).unwrap_err();
    assert!(matches!(refused, ImportError::Unsupported { .. }), "{refused:?}");
    assert!(refused.to_string().contains("1_Pooling/config.json"), "{refused}");
}

#[test]
fn a_model_without_names_for_its_special_tokens_has_the_usual_ones() {
    let dir = Folder::new().write();
    let named = Vocabulary::read(dir.path()).unwrap();
    fs::remove_file(dir.path().join("tokenizer_config.json")).unwrap();
    assert_eq!(Vocabulary::read(dir.path()).unwrap(), named);
    import_from(dir.path()).unwrap();
}

#[test]
fn the_only_embedding_model_is_looked_for_again_only_when_files_came_or_went() {
    let (models, _) = Folder::new().import().unwrap();
    let dir = models.path().to_owned();
    let only = dir.join("mini.gguf");
    let models = tandem_config::Models {
        dir: dir.clone(),
        ..tandem_config::Config::defaults(dir.clone(), dir.join("socket")).models
    };
    let engine = tandem_config::Engine::default();
    let (roots, standing) = Default::default();
    let inspector = Inspector::new(models, engine, roots, standing, Machine::default());
    let found = inspector.embedding_model().unwrap();
    assert_eq!(found, only.display().to_string());
    let whole = fs::read(&only).unwrap();
    fs::write(&only, "not read").unwrap();
    assert_eq!(inspector.embedding_model().unwrap(), found);

    fs::write(&only, &whole).unwrap();
    fs::write(dir.join("other.gguf"), whole).unwrap();
    // However coarse the clock of the file system is.
    let changed = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    fs::File::open(&dir).unwrap().set_modified(changed).unwrap();
    let several = inspector.embedding_model().unwrap_err();
    assert!(matches!(several, Error::EmbeddingModelNotChosen { .. }), "{several}");
}

#[test]
fn damaged_models_are_refused_with_what_is_wrong() {
    let with = |change: &dyn Fn(&mut Folder)| {
        let mut folder = Folder::new();
        change(&mut folder);
        folder
    };
    damaged(&with(&|f| f.config["hidden_size"] = json!(0)), "hidden_size");
    damaged(&with(&|f| f.config["hidden_size"] = json!(5)), "multiple");
    damaged(&with(&|f| f.config["vocab_size"] = json!(7)), "8 tokens");
    damaged(&with(&|f| f.config["layer_norm_eps"] = json!(-1.0)), "layer_norm_eps");
    damaged(&with(&|f| f.config["num_hidden_layers"] = json!(2)), "encoder.layer.1");
    damaged(&with(&|f| f.tensor("query.weight").2 = vec![2, 8]), "query");
    damaged(&with(&|f| f.tokenizer["model"]["vocab"]["c"] = json!(9)), "token 8");
    damaged(&with(&|f| f.tokenizer["model"]["vocab"]["##▁b"] = json!(8)), "cannot be told");
    damaged(&with(&|f| f.tokenizer["model"]["unk_token"] = json!("?")), "\"?\"");
}

#[test]
fn a_file_that_was_cut_or_claims_too_much_is_refused() {
    let folder = Folder::new();
    let whole = folder.weights();
    let dir = folder.write();
    let path = dir.path().join("model.safetensors");
    for end in [0, 7, 8, 100, whole.len() - 1] {
        fs::write(&path, &whole[..end]).unwrap();
        assert!(import_from(dir.path()).is_err(), "cut at {end}");
    }
    let mut lying = whole.clone();
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(&path, lying).unwrap();
    assert!(matches!(import_from(dir.path()), Err(ImportError::Damaged { .. })));
    fs::remove_file(&path).unwrap();
    assert!(matches!(import_from(dir.path()), Err(ImportError::Unreadable { .. })));
}

#[test]
fn an_import_that_nobody_waits_for_leaves_nothing_behind() {
    let (dir, models) = (Folder::new().write(), tempfile::tempdir().unwrap());
    for steps in [0, 1, 5] {
        let mut left = steps;
        let imported = import(dir.path(), "mini", models.path(), &mut |_| {
            left -= 1;
            left >= 0
        });
        assert!(matches!(imported, Err(ImportError::Cancelled)), "{imported:?}");
        assert_eq!(fs::read_dir(models.path()).unwrap().count(), 0);
    }
}

#[test]
fn progress_never_goes_back_and_ends_at_one() {
    let (dir, models) = (Folder::new().write(), tempfile::tempdir().unwrap());
    let mut reported = Vec::new();
    let report = &mut |now: Progress| {
        reported.push(now.fraction);
        true
    };
    import(dir.path(), "mini", models.path(), report).unwrap();
    assert!(reported.is_sorted(), "{reported:?}");
    assert!((reported.last().unwrap() - 1.0).abs() < 1e-6, "{reported:?}");
}

#[test]
fn a_name_that_is_taken_or_leads_elsewhere_is_refused() {
    let (dir, models) = (Folder::new().write(), tempfile::tempdir().unwrap());
    let named = |id: &str| import(dir.path(), id, models.path(), &mut |_| true);
    for id in ["../x", "a/b", ".hidden", "", "ü", "a b", &"x".repeat(101)] {
        let refused = match id {
            "" => import(Path::new("/"), id, models.path(), &mut |_| true),
            id => named(id),
        };
        assert!(matches!(refused, Err(ImportError::Name(_))), "{id:?} {refused:?}");
    }
    assert!(matches!(named("smollm2-135m-instruct"), Err(ImportError::Taken { .. })));
    assert_eq!(named("all-minilm-l6-v2").unwrap(), "all-minilm-l6-v2");
    assert!(models.path().join("all-MiniLM-L6-v2.gguf").exists(), "as the catalog calls it");
    assert!(matches!(named("all-minilm-l6-v2"), Err(ImportError::Taken { .. })));
    assert_eq!(named("mini.gguf").unwrap(), "mini");
    assert!(matches!(named("mini"), Err(ImportError::Taken { .. })));
}
