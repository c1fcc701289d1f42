//! Documents of tandem: reading them, cutting them into chunks, finding chunks again by their words and
//! by their meaning, and judging how well they are found.
//!
//! Nothing here knows of networks, models or actors: embeddings and token counts are passed in.
//! Everything blocks.

mod document;
mod error;

pub mod chunk;
pub mod evaluate;
pub mod read;
pub mod template;

pub use document::{Block, Chunk, Document, Kind, Label, Place};
pub use error::{Error, Result};
