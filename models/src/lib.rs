//! Model files of tandem: which there are, where they can be had, fetching them, and what they say
//! about themselves.
//!
//! Nothing here knows of actors, engines or gRPC. The catalog and the reader of headers block;
//! fetching is asynchronous.

pub mod catalog;
pub mod confidence;
pub mod gguf;
pub mod origin;
pub mod pull;
mod source;

pub use source::{Hub, Source};
