//! The self test: a few tokens, so that a kernel that this CPU cannot run, or that computes nonsense, is
//! noticed before anybody relies on it.

use super::LoadError;
use crate::llama::{Batch, Context, ContextSettings, DecodeError};

/// Prompt of the self test: more than the widest block of rows that a kernel treats apart.
const SELF_TEST_PROMPT: u32 = 64;

/// Sequences that the self test decodes together.
const SELF_TEST_SEQUENCES: u32 = 4;

/// Computes a prompt, single tokens and several sequences at once: each takes other kernels.
pub fn self_test(
    context: &mut Context,
    vocabulary: u32,
    settings: ContextSettings,
) -> Result<(), LoadError> {
    let prompt = SELF_TEST_PROMPT.min(settings.batch).min(settings.tokens / 2).max(1);
    // Tokens from all over the vocabulary.
    let token = |n: u32| n.wrapping_mul(97) % vocabulary;
    let mut batch = Batch::default();
    let last = (0..prompt).map(|n| batch.push(token(n), n, 0, n + 1 == prompt)).last();
    compute(context, &mut batch, last)?;
    if settings.tokens >= prompt + SELF_TEST_SEQUENCES + 2 {
        batch.clear();
        let row = batch.push(token(prompt), prompt, 0, true);
        compute(context, &mut batch, Some(row))?;
        batch.clear();
        let mut rows = vec![batch.push(token(1), prompt + 1, 0, true)];
        let others = 1..SELF_TEST_SEQUENCES.min(settings.sequences);
        rows.extend(others.map(|sequence| batch.push(token(2), 0, sequence, true)));
        compute(context, &mut batch, rows)?;
    }
    context.clear();
    Ok(())
}

fn compute(
    context: &mut Context,
    batch: &mut Batch,
    rows: impl IntoIterator<Item = usize>,
) -> Result<(), LoadError> {
    context.decode(batch).map_err(|error: DecodeError| LoadError::SelfTest(error.to_string()))?;
    for row in rows {
        let logits = context.logits(row).unwrap_or_default();
        if logits.is_empty() || !logits.iter().all(|logit| logit.is_finite()) {
            let message = "the model computes logits that are not numbers";
            return Err(LoadError::SelfTest(message.to_owned()));
        }
    }
    Ok(())
}
