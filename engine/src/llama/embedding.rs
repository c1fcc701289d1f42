//! Models that turn a text into one vector.

use std::collections::HashMap;
use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use super::context::{Context, ContextError};
use super::model::Model;
use crate::vocabulary::Vocabulary;
use crate::wordpiece::WordPiece;

/// How to create a [`Context`] for embeddings.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddingSettings {
    /// Most tokens in one [`Context::decode`]; all go through the network at once.
    pub batch: u32,
    /// Sequences `0..sequences` can be used.
    pub sequences: u32,
    /// Threads that compute.
    pub threads: u32,
    /// Use flash attention where the model allows it.
    pub flash_attention: bool,
}

impl Model {
    /// Whether the model makes embeddings and does not generate.
    pub fn embeds(&self) -> bool {
        match self.pooling().as_deref() {
            Some("1" | "2" | "3") => true,
            Some(_) => false,
            None => self.is_bert(),
        }
    }

    /// Numbers in one embedding.
    pub fn embedding_dimensions(&self) -> u32 {
        // SAFETY: the handle is live.
        let dimensions = unsafe { sys::llama_model_n_embd_out(self.handle.as_ptr()) };
        u32::try_from(dimensions).unwrap_or(0)
    }

    /// Most tokens of one text, special ones included: what the model was made for, which its
    /// makers may have set lower than what it can hold. 0 when the file says neither.
    pub fn text_tokens_max(&self) -> u32 {
        let trained = self.context_trained();
        let chosen: Option<u32> = self.metadata(c"tandem.text_tokens_max").parse().ok();
        match chosen.filter(|&chosen| chosen > 0) {
            Some(chosen) if trained > 0 => chosen.min(trained),
            Some(chosen) => chosen,
            None => trained,
        }
    }

    /// The token behind every text, when the model wants one.
    pub fn closing_token(&self) -> Option<u32> {
        let vocabulary = self.vocabulary.as_ptr();
        // SAFETY: the vocabulary is live.
        let token = unsafe {
            if sys::llama_vocab_get_add_sep(vocabulary) {
                sys::llama_vocab_sep(vocabulary)
            } else if sys::llama_vocab_get_add_eos(vocabulary) {
                sys::llama_vocab_eos(vocabulary)
            } else {
                return None;
            }
        };
        u32::try_from(token).ok()
    }

    /// As [`Model::tokenize`], but at least the first `limit` tokens are enough.
    pub fn tokenize_at_most(&self, text: &str, limit: usize) -> Option<Vec<u32>> {
        match &self.wordpiece {
            Some(wordpiece) => Some(wordpiece.tokenize(text, true, limit)),
            None => self.tokenize(text, true),
        }
    }

    /// BERT's tokenizer for a vocabulary that is made for it.
    pub(super) fn read_wordpiece(&self) -> Option<WordPiece> {
        // SAFETY: the vocabulary is live.
        let kind = unsafe { sys::llama_vocab_type(self.vocabulary.as_ptr()) };
        if kind != sys::LLAMA_VOCAB_TYPE_WPM {
            return None;
        }
        let mut pieces = HashMap::new();
        let mut special = Vec::new();
        for token in 0..self.size() {
            let text = self.token_text(token);
            if !self.is_control(token) {
                pieces.insert(text, token);
            } else if !text.is_empty() {
                special.push((text, token));
            }
        }
        // The defaults are those of llama.cpp.
        let unknown = self.metadata(c"tokenizer.ggml.unknown_token_id").parse().unwrap_or(100);
        let lowercase = self.metadata(c"tokenizer.ggml.normalizer.lowercase") != "false";
        let strip = self.metadata(c"tokenizer.ggml.normalizer.strip_accents");
        let strip_accents = if strip.is_empty() { lowercase } else { strip == "true" };
        Some(WordPiece::new(pieces, special, unknown, lowercase, strip_accents))
    }

    /// How the file says that one vector is made of those of all tokens.
    fn pooling(&self) -> Option<String> {
        let key = CString::new(format!("{}.pooling_type", self.architecture())).ok()?;
        Some(self.metadata(&key)).filter(|pooling| !pooling.is_empty())
    }

    fn is_bert(&self) -> bool {
        self.architecture().contains("bert")
    }
}

impl Context {
    /// Creates a context that makes one embedding a sequence.
    pub fn for_embeddings(
        model: Arc<Model>,
        settings: EmbeddingSettings,
    ) -> Result<Self, ContextError> {
        let threads = i32::try_from(settings.threads).unwrap_or(i32::MAX);
        // SAFETY: returns a plain structure.
        let mut parameters = unsafe { sys::llama_context_default_params() };
        parameters.embeddings = true;
        if model.pooling().is_none() {
            parameters.pooling_type = sys::LLAMA_POOLING_TYPE_MEAN;
        }
        // Attention looks both ways, so that a batch cannot be split: llama.cpp aborts if it must.
        parameters.n_ctx = settings.batch;
        parameters.n_batch = settings.batch;
        parameters.n_ubatch = settings.batch;
        parameters.n_outputs_max = settings.batch;
        parameters.n_seq_max = settings.sequences;
        parameters.n_threads = threads;
        parameters.n_threads_batch = threads;
        parameters.flash_attn_type = if settings.flash_attention {
            sys::LLAMA_FLASH_ATTN_TYPE_AUTO
        } else {
            sys::LLAMA_FLASH_ATTN_TYPE_DISABLED
        };
        parameters.kv_unified = true;
        parameters.no_perf = true;
        Self::create(model, parameters)
    }

    /// The embedding of a sequence of the last batch.
    pub fn embedding(&self, sequence: u32) -> Option<&[f32]> {
        let sequence = i32::try_from(sequence).ok()?;
        // SAFETY: the handle is live; a sequence that was not in the batch gives null.
        let values = unsafe { sys::llama_get_embeddings_seq(self.handle.as_ptr(), sequence) };
        let values = NonNull::new(values)?;
        let dimensions = self.model.embedding_dimensions() as usize;
        // SAFETY: a pooled embedding has as many numbers as the model's output is wide, and stays
        // unchanged until the next decode, which needs `&mut self`.
        Some(unsafe { std::slice::from_raw_parts(values.as_ptr(), dimensions) })
    }
}
