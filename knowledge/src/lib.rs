//! Documents of tandem: reading them, cutting them into chunks, finding chunks again by their words and
//! by their meaning, and judging how well they are found.
//!
//! Nothing here knows of networks, models or actors: embeddings and token counts are passed in.
//! Everything blocks.

mod diversity;
mod document;
mod error;
mod vectors;

pub mod chunk;
pub mod evaluate;
pub mod read;
pub mod template;

pub mod collection;
pub mod fusion;
pub mod search;

pub use collection::{Collection, Embedded, EmbeddingSpace};
pub use document::{Block, Chunk, Cut, Document, Kind, Label, Place};
pub use error::{Error, Result};
pub use search::{Candidate, Filter, Hit, Mode, Point, Query, Searcher};
