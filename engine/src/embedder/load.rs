//! From a loaded model to a context that is known to make embeddings.

use std::sync::Arc;
use std::time::Instant;

use tandem_proto::engine::Load;

use crate::connection::Writer;
use crate::llama::{self, Batch, Context, EmbeddingSettings, Model};
use crate::load::{Engine, LoadError, describe, stage, threads};
use crate::vocabulary::Vocabulary;

/// Texts in one batch at most. llama.cpp computes attention over the whole batch, so that many
/// short texts gain nothing from a larger one.
const TEXTS_MAX: u32 = 64;

/// Makes a context for `model`, which embeds.
pub fn load(
    model: Arc<Model>,
    request: &Load,
    writer: &Writer,
    started: Instant,
) -> Result<Engine, LoadError> {
    stage(writer, "context");
    // A text is as long as the model allows, unless that takes more memory than the daemon grants.
    let text_tokens = match model.text_tokens_max() {
        0 => request.context_tokens.min(request.batch_tokens),
        tokens => tokens.min(request.context_tokens),
    };
    let batch = request.batch_tokens.max(text_tokens);
    let settings = EmbeddingSettings {
        batch,
        sequences: TEXTS_MAX.min(llama::sequences_max()).min(batch),
        threads: threads(request.threads),
        flash_attention: request.flash_attention,
    };
    let context = Context::for_embeddings(Arc::clone(&model), settings);
    let mut context = context.map_err(|error| LoadError::Memory(error.to_string()))?;
    if request.self_test {
        stage(writer, "self test");
        self_test(&mut context, model.size(), text_tokens)?;
    }
    let loaded = describe(request, &model, &context, settings.sequences, settings.threads, started);
    Ok(Engine {
        model,
        context,
        sequences: settings.sequences,
        sequence_tokens: text_tokens,
        rows_alike: 1,
        draft: None,
        snapshots: None,
        loaded,
    })
}

/// Computes a short and a longer text together.
fn self_test(context: &mut Context, vocabulary: u32, text_tokens: u32) -> Result<(), LoadError> {
    let lengths = [(text_tokens / 4).clamp(1, 3), (text_tokens / 2).clamp(1, 64)];
    let mut batch = Batch::default();
    for (sequence, length) in (0..).zip(lengths) {
        for position in 0..length {
            // Tokens from all over the vocabulary.
            batch.push(position.wrapping_mul(97) % vocabulary, position, sequence, true);
        }
    }
    context.decode(&mut batch).map_err(|error| LoadError::SelfTest(error.to_string()))?;
    for (sequence, _) in (0..).zip(lengths) {
        let values = context.embedding(sequence).unwrap_or_default();
        if values.is_empty() || !values.iter().all(|value| value.is_finite()) {
            let message = "the model computes embeddings that are not numbers";
            return Err(LoadError::SelfTest(message.to_owned()));
        }
    }
    if context.has_memory() {
        context.clear();
    }
    Ok(())
}
