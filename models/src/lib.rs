//! Model files of tandem: which there are, where they can be had, fetching them, and what they say
//! about themselves.
//!
//! Nothing here knows of actors, engines or gRPC. The catalog and the reader of headers block;
//! fetching is asynchronous.

pub mod catalog;
pub mod confidence;
pub mod found;
pub mod gguf;
pub mod origin;
pub mod package;
pub mod pull;
pub mod repository;
pub mod selection;
mod sidecar;
mod source;
pub mod versions;

pub use source::{Hub, Source};
