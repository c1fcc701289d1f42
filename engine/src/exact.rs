//! Whether a model computes exactly: the logits behind a token are the same to the last bit whatever
//! is computed beside it. llama.cpp does not promise that. Which kernel it takes depends on CPU,
//! model and number of rows, so the promise is tried before it is given.

use std::ops::Range;

use crate::llama::{Batch, Context, DecodeError};

/// Tokens of the text that is computed in several ways: enough for the blocks of 64 rows in which
/// attention computes, where it can.
const PROMPT: u32 = 72;

/// Tokens behind it, which are computed one by one, as an answer is, or together, as a guess.
const ANSWER: u32 = 4;

/// Sequences beside it.
const OTHERS: u32 = 15;

/// Tokens of each of those: with them there are over 512 cells, from where on attention of a single
/// row is split, where it can be.
const OTHER_TOKENS: u32 = 30;

/// What must not make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The prompt in parts of so many tokens.
    Parts(u32),
    /// Other sequences in every step.
    Beside,
    /// Behind a beginning that another sequence has computed.
    Shared,
    /// The answer's tokens in one step, as guesses are checked.
    Guessed,
    /// In cells that were moved.
    Moved,
    /// In another sequence, from saved state.
    Restored,
    /// With one thread.
    Alone,
}

/// All that are tried.
const WAYS: [Way; 9] = [
    Way::Parts(7),
    Way::Parts(33),
    Way::Parts(64),
    Way::Beside,
    Way::Shared,
    Way::Guessed,
    Way::Moved,
    Way::Restored,
    Way::Alone,
];

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Parts(tokens) => write!(f, "a prompt read {tokens} tokens at a time"),
            Self::Beside => write!(f, "{OTHERS} other answers beside it"),
            Self::Shared => write!(f, "a beginning that another request computed"),
            Self::Guessed => write!(f, "guessed tokens checked together"),
            Self::Moved => write!(f, "cells that were moved"),
            Self::Restored => write!(f, "a saved beginning"),
            Self::Alone => write!(f, "one thread"),
        }
    }
}

/// Why exact answers cannot be promised.
#[derive(Debug, thiserror::Error)]
pub enum Inexact {
    /// The way in which the context is made.
    #[error(
        "exact answers need a model with attention for all tokens, flash attention, and a context \
         of at least {0} tokens and {1} per step; change engine.context_tokens and \
         engine.batch_tokens, load another model, or set engine.exact = false"
    )]
    Context(u32, u32),
    /// The model, on this CPU.
    #[error(
        "on this CPU the model's answers are not exact: they change with {0}; load the model in \
         another quantisation, or set engine.exact = false"
    )]
    Model(Way),
    /// There are no numbers to compare.
    #[error("whether the model's answers are exact cannot be told: {0}")]
    Decode(#[from] DecodeError),
}

/// Whether the context is one that could be exact, and has room to show it.
pub fn require(context: &Context) -> Result<(), Inexact> {
    let cells = OTHERS * (OTHER_TOKENS + ANSWER + 1) + PROMPT + ANSWER;
    let rows = OTHERS + PROMPT;
    if !context.in_order() || context.tokens() < cells || context.batch_max() < rows {
        return Err(Inexact::Context(cells, rows));
    }
    Ok(())
}

/// Computes a short text in several ways on a context that nobody uses yet, and leaves it empty. It
/// takes as long as a prompt of 1,300 tokens, 100 of them one by one.
pub fn check(context: &mut Context, vocabulary: u32, threads: u32) -> Result<(), Inexact> {
    compare(&mut Trial { context, vocabulary, threads, batch: Batch::default() })
}

fn compare(trial: &mut Trial<'_>) -> Result<(), Inexact> {
    let expected = trial.behind_parts(1)?;
    for way in WAYS {
        if trial.compute(way)? != expected {
            return Err(Inexact::Model(way));
        }
    }
    trial.context.clear();
    Ok(())
}

/// Bits of the logits behind the prompt and behind the answer.
type Logits = Vec<u32>;

struct Trial<'a> {
    context: &'a mut Context,
    vocabulary: u32,
    threads: u32,
    batch: Batch,
}

impl Trial<'_> {
    fn compute(&mut self, way: Way) -> Result<Logits, DecodeError> {
        match way {
            Way::Parts(tokens) => self.behind_parts(tokens),
            Way::Beside => self.beside_others(),
            Way::Shared => self.behind_shared(),
            Way::Guessed => self.guessed(),
            Way::Moved => self.moved(),
            Way::Restored => self.restored(),
            Way::Alone => {
                self.context.set_threads(1);
                let found = self.behind_parts(PROMPT);
                self.context.set_threads(self.threads);
                found
            }
        }
    }

    /// The prompt in parts, then the answer token by token.
    fn behind_parts(&mut self, tokens: u32) -> Result<Logits, DecodeError> {
        self.context.clear();
        let mut logits = self.read(0, 0..PROMPT, tokens)?;
        logits.extend(self.read(0, PROMPT..PROMPT + ANSWER, 1)?);
        Ok(logits)
    }

    fn beside_others(&mut self) -> Result<Logits, DecodeError> {
        self.context.clear();
        for other in 1..=self.others() {
            self.read(other, 0..OTHER_TOKENS, OTHER_TOKENS)?;
        }
        let mut logits = self.read_beside(0..PROMPT, OTHER_TOKENS)?;
        for at in 0..ANSWER {
            let token = PROMPT + at..PROMPT + at + 1;
            let behind = self.read_beside(token, OTHER_TOKENS + 1 + at)?;
            if at + 1 == ANSWER {
                logits.extend(behind);
            }
        }
        Ok(logits)
    }

    fn behind_shared(&mut self) -> Result<Logits, DecodeError> {
        self.context.clear();
        let shared = PROMPT - 9;
        self.read(1, 0..PROMPT, PROMPT)?;
        self.context.share(1, 0, 0, shared as usize);
        let mut logits = self.read(0, shared..PROMPT, PROMPT)?;
        logits.extend(self.read(0, PROMPT..PROMPT + ANSWER, 1)?);
        Ok(logits)
    }

    fn guessed(&mut self) -> Result<Logits, DecodeError> {
        self.context.clear();
        let mut logits = self.read(0, 0..PROMPT, PROMPT)?;
        logits.extend(self.read(0, PROMPT..PROMPT + ANSWER, ANSWER)?);
        Ok(logits)
    }

    /// Cells of another lie before those of the prompt, and between them, and are given up.
    fn moved(&mut self) -> Result<Logits, DecodeError> {
        self.context.clear();
        self.read(1, 0..9, 9)?;
        self.read(0, 0..40, 40)?;
        self.read(1, 9..20, 11)?;
        let mut logits = self.read(0, 40..PROMPT, PROMPT)?;
        self.context.fill(1, 0..20);
        self.context.truncate(1, 0);
        self.context.close_holes(&[(0, 0..PROMPT as usize)]);
        logits.extend(self.read(0, PROMPT..PROMPT + ANSWER, 1)?);
        Ok(logits)
    }

    fn restored(&mut self) -> Result<Logits, DecodeError> {
        self.context.clear();
        self.read(1, 0..9, 9)?;
        let mut logits = self.read(0, 0..PROMPT, PROMPT)?;
        let state = self.context.save_sequence(0).unwrap_or_default();
        self.context.clear();
        // What is not restored leaves the answer without its prompt, and it differs.
        let _ = self.context.restore_sequence(1, PROMPT, &state);
        logits.extend(self.read(1, PROMPT..PROMPT + ANSWER, 1)?);
        Ok(logits)
    }

    fn others(&self) -> u32 {
        OTHERS.min(self.context.sequences().saturating_sub(1))
    }

    /// Reads tokens of the text in parts; the logits behind the last.
    fn read(
        &mut self,
        sequence: u32,
        tokens: Range<u32>,
        part: u32,
    ) -> Result<Logits, DecodeError> {
        let mut row = 0;
        let mut start = tokens.start;
        while start < tokens.end {
            let end = tokens.end.min(start + part);
            self.batch.clear();
            for at in start..end {
                row = self.batch.push(self.token(at), at, sequence, at + 1 == tokens.end);
            }
            self.context.decode(&mut self.batch)?;
            start = end;
        }
        Ok(self.bits(row))
    }

    /// Reads tokens of the text with one token of each other sequence before them.
    fn read_beside(&mut self, tokens: Range<u32>, behind: u32) -> Result<Logits, DecodeError> {
        self.batch.clear();
        for other in 1..=self.others() {
            self.batch.push(self.token(other * 31 + behind), behind, other, true);
        }
        let mut row = 0;
        for at in tokens.clone() {
            row = self.batch.push(self.token(at), at, 0, at + 1 == tokens.end);
        }
        self.context.decode(&mut self.batch)?;
        Ok(self.bits(row))
    }

    fn bits(&self, row: usize) -> Logits {
        let logits = self.context.logits(row).unwrap_or_default();
        logits.iter().map(|logit| logit.to_bits()).collect()
    }

    /// Tokens from all over the vocabulary.
    fn token(&self, n: u32) -> u32 {
        n.wrapping_mul(7919).wrapping_add(13) % self.vocabulary
    }
}

#[cfg(test)]
mod tests;
