//! The supervision tree of tandem. Each actor is a file with its messages and thin handlers,
//! and a folder with logic that needs no runtime.

mod address;
pub mod api_escalator;
pub mod bookkeeper;
pub mod cache;
mod error;
pub mod experiments;
mod http;
mod image;
pub mod inference_worker;
pub mod knowledge_base;
pub mod memory_search;
pub mod memory_store;
pub mod model_loader;
mod needs;
pub mod provider;
pub mod redaction;
pub mod resource_monitor;
pub mod router;
pub mod sampling;
pub mod settings;
pub mod storage;
pub mod supervisor;
mod tandem;
mod tools;
mod track;
mod tree;
mod turn;

pub use address::Address;
pub use error::{Error, Result};
pub use needs::{Needs, needs};
pub use router::Answer;
pub use settings::Settings;
pub use tandem::Tandem;
pub use tools::{Choice, Tools};
pub use track::{Completion, Prompt, TrackEvent, TrackEvents, TrackRequest};
pub use tree::{Node, Tree};
pub use turn::{Memory, Passage};
