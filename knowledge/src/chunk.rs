//! Cutting documents into chunks that a model can embed, none longer than it reads.
//!
//! Blocks become segments, which are sentences, lines of code and rows of tables. Their tokens are counted by
//! the caller, who has the model's tokenizer. A segment that is too long is divided between words and its
//! parts are counted anew. Then segments are packed: a chunk keeps to its section where it can, no
//! heading stands at its end, and a part of a table begins with the names of the columns.

mod divide;
mod pack;
mod segments;
mod sentences;

pub use segments::Segments;

use crate::{Block, Chunk, Error, Result};

/// The smallest chunk in tokens, besides what is reserved: of this there is always a quarter for the text.
const TOKENS_LEAST: u32 = 32;

/// How large chunks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    tokens_max: u32,
    overlap: u32,
    reserved: u32,
    joint: u32,
}

impl Budget {
    /// Chunks of at most this many tokens, as the embedding model counts [`Chunk::embedded_text`], of which the
    /// first ones repeat the end of the chunk before: as many whole sentences as `overlap` tokens hold.
    pub fn new(tokens_max: u32, overlap: u32) -> Result<Self> {
        Self { tokens_max, overlap, reserved: 0, joint: 1 }.checked()
    }

    /// Keeps this many tokens free for those that the model adds to each text, such as the two of BERT. They
    /// must not be counted with the segments then.
    pub fn with_reserved(self, reserved: u32) -> Result<Self> {
        Self { reserved, ..self }.checked()
    }

    /// Says how many tokens joining two texts can add to the sum of their counts: 0 for `WordPiece`, which never
    /// looks across a space. Unless told otherwise 1, as other tokenizers can have a token for a space.
    pub fn with_joint(self, joint: u32) -> Result<Self> {
        Self { joint, ..self }.checked()
    }

    fn checked(self) -> Result<Self> {
        let least = TOKENS_LEAST.saturating_mul(self.joint + 1).saturating_add(self.reserved);
        if self.tokens_max < least {
            return Err(Error::Budget { tokens_max: self.tokens_max, least });
        }
        Ok(self)
    }

    /// Tokens for headings and text.
    fn room(self) -> u32 {
        self.tokens_max - self.reserved
    }

    /// What anything that is repeated may take of it, so that a quarter is left when all is.
    fn share(self) -> u32 {
        self.room() / 4
    }
}

/// Cuts a document into chunks with a tokenizer that is at hand. Where it is not, as it is another
/// process, [`Segments`] takes the counts when they come.
pub fn chunk<E>(
    blocks: &[Block],
    budget: Budget,
    mut count: impl FnMut(&[&str]) -> Result<Vec<u32>, E>,
) -> Result<Vec<Chunk>, E> {
    let mut segments = Segments::of(blocks);
    loop {
        let counts = count(&segments.uncounted())?;
        segments.count(&counts);
        if !segments.divide(budget) {
            return Ok(segments.pack(budget));
        }
    }
}

#[cfg(test)]
mod tests;
