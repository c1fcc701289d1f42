//! The vocabulary of a BERT model, turned into what llama.cpp expects.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::Deserialize;

use super::{ImportError, read_json, read_optional};

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const BYTES_MAX: u64 = 64 << 20;

/// In front of pieces that continue a word.
const CONTINUATION: &str = "##";
/// In front of pieces that begin a word, once converted.
const WORD_MARK: char = '\u{2581}';

/// Kinds of tokens, numbered as GGUF does.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const UNUSED: i32 = 5;

/// Tokens by number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vocabulary {
    pub(super) tokens: Vec<String>,
    pub(super) kinds: Vec<i32>,
    pub(super) unknown: u32,
    pub(super) begin: u32,
    pub(super) separator: u32,
    pub(super) padding: Option<u32>,
    pub(super) mask: Option<u32>,
    pub(super) lowercase: bool,
    pub(super) strip_accents: bool,
}

#[derive(Deserialize)]
struct Tokenizer {
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<Normalizer>,
    #[serde(rename = "pre_tokenizer")]
    words: Option<Typed>,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Normalizer {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default = "yes")]
    clean_text: bool,
    #[serde(default = "yes")]
    handle_chinese_chars: bool,
    strip_accents: Option<bool>,
    #[serde(default = "yes")]
    lowercase: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    unk_token: String,
    #[serde(default)]
    continuing_subword_prefix: String,
    #[serde(default)]
    vocab: serde_json::Value,
}

/// Names of special tokens: a text, or an object that holds it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Special {
    Text(String),
    Token { content: String },
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Specials {
    #[serde(rename = "cls_token")]
    begin: Option<Special>,
    #[serde(rename = "sep_token")]
    separator: Option<Special>,
    #[serde(rename = "pad_token")]
    padding: Option<Special>,
    #[serde(rename = "mask_token")]
    mask: Option<Special>,
}

impl Vocabulary {
    pub(super) fn read(folder: &Path) -> Result<Self, ImportError> {
        let tokenizer: Tokenizer = read_json(folder, TOKENIZER, BYTES_MAX)?;
        let specials: Specials =
            read_optional(folder, TOKENIZER_CONFIG, BYTES_MAX)?.unwrap_or_default();
        let normalizer = tokenizer.check()?;
        let (lowercase, strip_accents) =
            (normalizer.lowercase, normalizer.strip_accents.unwrap_or(normalizer.lowercase));

        let vocab: BTreeMap<String, u32> = serde_json::from_value(tokenizer.model.vocab)
            .map_err(|error| ImportError::damaged(TOKENIZER, error.to_string()))?;
        let mut by_id = BTreeMap::new();
        for (token, id) in vocab {
            by_id.insert(id, (token, NORMAL));
        }
        for added in tokenizer.added_tokens {
            if !added.special {
                let what = format!("a vocabulary with the added token {:?}", added.content);
                return Err(ImportError::unsupported(what));
            }
            by_id.insert(added.id, (added.content, CONTROL));
        }
        let find = |text: &str| {
            let found = by_id.iter().find(|(_, (token, _))| token == text);
            found.map(|(id, _)| *id)
        };
        let required = |text: &str| {
            let problem = || format!("it has no token {text:?}");
            find(text).ok_or_else(|| ImportError::damaged(TOKENIZER, problem()))
        };
        let named = |special: &Option<Special>, default: &str| match special {
            Some(Special::Text(text) | Special::Token { content: text }) => text.clone(),
            None => default.to_owned(),
        };
        let unknown = required(&tokenizer.model.unk_token)?;
        let begin = required(&named(&specials.begin, "[CLS]"))?;
        let separator = required(&named(&specials.separator, "[SEP]"))?;
        let padding = find(&named(&specials.padding, "[PAD]"));
        let mask = find(&named(&specials.mask, "[MASK]"));
        let (tokens, kinds) = convert(by_id)?;
        Ok(Self {
            tokens,
            kinds,
            unknown,
            begin,
            separator,
            padding,
            mask,
            lowercase,
            strip_accents,
        })
    }

    /// Appends tokens that no text has, until there are as many as the model has vectors for.
    pub(super) fn padded(&self, size: usize) -> (Vec<String>, Vec<i32>) {
        let (mut tokens, mut kinds) = (self.tokens.clone(), self.kinds.clone());
        tokens.extend((tokens.len()..size).map(|id| format!("[PAD{id}]")));
        kinds.resize(size, UNUSED);
        (tokens, kinds)
    }
}

impl Tokenizer {
    /// That it works as BERT's does, and how it treats case and accents.
    fn check(&self) -> Result<&Normalizer, ImportError> {
        let other = |what: &str| Err(ImportError::unsupported(format!("a tokenizer with {what}")));
        let model = &self.model;
        if model.kind != "WordPiece" || model.continuing_subword_prefix != CONTINUATION {
            return other("other pieces than BERT's");
        }
        if self.words.as_ref().is_none_or(|words| words.kind != "BertPreTokenizer") {
            return other("other words than BERT's");
        }
        match &self.normalizer {
            Some(normalizer)
                if normalizer.kind == "BertNormalizer"
                    && normalizer.clean_text
                    && normalizer.handle_chinese_chars =>
            {
                Ok(normalizer)
            }
            _ => other("other preparations than BERT's"),
        }
    }
}

/// Marks word beginnings in place of continuations. llama.cpp ends the process when two tokens are
/// the same.
fn convert(by_id: BTreeMap<u32, (String, i32)>) -> Result<(Vec<String>, Vec<i32>), ImportError> {
    let mut seen = HashSet::new();
    let (mut tokens, mut kinds) = (Vec::new(), Vec::new());
    for (id, (token, kind)) in by_id {
        if id as usize != tokens.len() {
            let problem = format!("its token {} is missing", tokens.len());
            return Err(ImportError::damaged(TOKENIZER, problem));
        }
        let token = match token.strip_prefix(CONTINUATION) {
            _ if kind == CONTROL => token,
            Some(rest) if !rest.is_empty() => rest.to_owned(),
            _ => format!("{WORD_MARK}{token}"),
        };
        if token.contains('\0') || !seen.insert(token.clone()) {
            let problem = format!("its token {id} ({token:?}) cannot be told from another");
            return Err(ImportError::damaged(TOKENIZER, problem));
        }
        tokens.push(token);
        kinds.push(kind);
    }
    Ok((tokens, kinds))
}
