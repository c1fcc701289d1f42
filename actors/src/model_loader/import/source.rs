//! What the folder says about the model, besides weights and vocabulary.

use std::path::Path;

use serde::Deserialize;

use super::{ImportError, read_json, read_optional};

const CONFIG: &str = "config.json";
const MODULES: &str = "modules.json";
const POOLING: &str = "1_Pooling/config.json";
const SENTENCES: &str = "sentence_bert_config.json";
const BYTES_MAX: u64 = 1 << 20;

/// Largest numbers that a real model has, with room to spare.
const WIDTH_MAX: u32 = 1 << 16;
const LAYERS_MAX: u32 = 1 << 10;
const TOKENS_MAX: u32 = 1 << 24;

/// The shape of a BERT model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Config {
    #[serde(default)]
    architectures: Vec<String>,
    pub(super) hidden_size: u32,
    pub(super) intermediate_size: u32,
    pub(super) num_attention_heads: u32,
    pub(super) num_hidden_layers: u32,
    pub(super) max_position_embeddings: u32,
    pub(super) layer_norm_eps: f32,
    #[serde(default = "two")]
    pub(super) type_vocab_size: u32,
    pub(super) vocab_size: u32,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
    #[serde(default)]
    is_decoder: bool,
}

fn two() -> u32 {
    2
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn absolute() -> String {
    "absolute".to_owned()
}

/// How one vector is made of those of all tokens, numbered as llama.cpp does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pooling {
    Mean = 1,
    Cls = 2,
}

/// A folder that can be imported.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Source {
    pub(super) config: Config,
    pub(super) pooling: Pooling,
    /// Tokens of a text that the makers want read, special ones included.
    pub(super) text_tokens_max: u32,
}

impl Source {
    pub(super) fn read(folder: &Path) -> Result<Self, ImportError> {
        let config: Config = read_architecture(folder)?;
        config.check()?;
        let text_tokens_max = match read_optional::<Sentences>(folder, SENTENCES, BYTES_MAX)? {
            Some(Sentences { max_seq_length: Some(length @ 3..) }) => length,
            _ => config.max_position_embeddings,
        };
        Ok(Self {
            pooling: read_pooling(folder)?,
            text_tokens_max: text_tokens_max.min(config.max_position_embeddings),
            config,
        })
    }
}

/// Reads the configuration; of another architecture it need not have the same keys.
fn read_architecture(folder: &Path) -> Result<Config, ImportError> {
    let value: serde_json::Value = read_json(folder, CONFIG, BYTES_MAX)?;
    let named = value.get("architectures").and_then(|names| names.get(0)?.as_str());
    if named.is_some_and(|name| name != "BertModel") {
        let what = format!("architecture {}", named.unwrap_or_default());
        return Err(ImportError::unsupported(what));
    }
    serde_json::from_value(value).map_err(|error| ImportError::damaged(CONFIG, error.to_string()))
}

impl Config {
    fn check(&self) -> Result<(), ImportError> {
        if self.architectures.is_empty() {
            return Err(ImportError::unsupported("a model without an architecture"));
        }
        if self.is_decoder {
            return Err(ImportError::unsupported("a BERT model that generates"));
        }
        if self.hidden_act != "gelu" {
            let what = format!("a BERT model with the activation {}", self.hidden_act);
            return Err(ImportError::unsupported(what));
        }
        if self.position_embedding_type != "absolute" {
            let what = format!("a BERT model with {} positions", self.position_embedding_type);
            return Err(ImportError::unsupported(what));
        }
        let ranges = [
            ("hidden_size", self.hidden_size, WIDTH_MAX),
            ("intermediate_size", self.intermediate_size, WIDTH_MAX),
            ("num_attention_heads", self.num_attention_heads, self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers, LAYERS_MAX),
            ("max_position_embeddings", self.max_position_embeddings, TOKENS_MAX),
            ("type_vocab_size", self.type_vocab_size, WIDTH_MAX),
            ("vocab_size", self.vocab_size, TOKENS_MAX),
        ];
        for (key, value, most) in ranges {
            if value == 0 || value > most {
                let problem = format!("{key} is {value}; 1 to {most} is sane");
                return Err(ImportError::damaged(CONFIG, problem));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let problem = "hidden_size is no multiple of num_attention_heads";
            return Err(ImportError::damaged(CONFIG, problem));
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            let problem = format!("layer_norm_eps is {}", self.layer_norm_eps);
            return Err(ImportError::damaged(CONFIG, problem));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Sentences {
    max_seq_length: Option<u32>,
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools, reason = "as the file has them")]
struct PoolingModes {
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
}

/// The pooling, after a look at what else the makers do with the vectors.
fn read_pooling(folder: &Path) -> Result<Pooling, ImportError> {
    let known = ["Transformer", "Pooling", "Normalize"];
    for module in read_optional::<Vec<Module>>(folder, MODULES, BYTES_MAX)?.unwrap_or_default() {
        let name = module.kind.rsplit('.').next().unwrap_or_default();
        if !known.contains(&name) {
            return Err(ImportError::unsupported(format!("a model with the module {name}")));
        }
    }
    let Some(modes) = read_optional::<PoolingModes>(folder, POOLING, BYTES_MAX)? else {
        // A guess would make vectors that look well and mean nothing.
        let what = format!("a model that does not say how it pools, as {POOLING} is missing,");
        return Err(ImportError::unsupported(what));
    };
    let others = modes.pooling_mode_max_tokens
        || modes.pooling_mode_mean_sqrt_len_tokens
        || modes.pooling_mode_weightedmean_tokens
        || modes.pooling_mode_lasttoken;
    match (modes.pooling_mode_mean_tokens, modes.pooling_mode_cls_token, others) {
        (true, false, false) => Ok(Pooling::Mean),
        (false, true, false) => Ok(Pooling::Cls),
        _ => Err(ImportError::unsupported("a model with another pooling")),
    }
}
