//! Up to how many rows llama.cpp computes each of a batch as it would alone.
//!
//! Its kernels for many rows add up in another order than those for few, and from which number on
//! they are taken depends on model and CPU. A guess is to change no answer, so that it is found out.

use crate::llama::{Batch, Context, DecodeError};

/// Most rows of a step with guesses: from one more on, attention goes another way with any model.
pub const ROWS_MAX: u32 = 63;

/// Numbers of rows that are tried: one less than those at which kernels change.
const TRIED: [u32; 4] = [ROWS_MAX, 31, 15, 7];

/// The greatest of some numbers of rows that are computed bit by bit as each alone; 1 when none is.
/// Takes a context that nobody uses yet, as long as a prompt of some 60 to 120 tokens, and leaves
/// it empty.
pub fn rows_alike(context: &mut Context, vocabulary: u32) -> Result<u32, DecodeError> {
    let most = context.batch_max().min(context.tokens());
    for rows in TRIED.into_iter().filter(|&rows| rows <= most) {
        if are_alike(context, rows, vocabulary)? {
            return Ok(rows);
        }
    }
    Ok(1)
}

/// Compares the first, the middle and the last of `rows`, which kernels may treat apart.
fn are_alike(context: &mut Context, rows: u32, vocabulary: u32) -> Result<bool, DecodeError> {
    let looked_at = [rows - 1, rows / 2, 0];
    let mut batch = Batch::default();
    for at in 0..rows {
        batch.push(token(at, vocabulary), at, 0, looked_at.contains(&at));
    }
    context.decode(&mut batch)?;
    let together = looked_at.map(|at| bits(context, at as usize));
    let mut alike = true;
    // From the last to the first, so that those before each are still there.
    for (at, together) in looked_at.into_iter().zip(together) {
        context.truncate(0, at as usize);
        batch.clear();
        batch.push(token(at, vocabulary), at, 0, true);
        context.decode(&mut batch)?;
        alike &= together == bits(context, 0);
    }
    context.clear();
    Ok(alike)
}

fn bits(context: &Context, row: usize) -> Vec<u32> {
    context.logits(row).unwrap_or_default().iter().map(|logit| logit.to_bits()).collect()
}

/// Tokens from all over the vocabulary.
fn token(n: u32, vocabulary: u32) -> u32 {
    n.wrapping_mul(97) % vocabulary.max(1)
}
