//! What the end-to-end tests are made of: a daemon in a home of its own, its answers as values,
//! and an engine that follows a script.
//!
//! Nothing here sleeps to synchronise. What a test waits for is announced by the daemon, or looked
//! for until a generous deadline.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a harness fails its test by panicking")]
#![allow(clippy::missing_panics_doc, reason = "everything here panics when it does not work")]

use std::time::Duration;

mod answer;
pub mod bench;
pub mod calibrate;
mod chroma_server;
mod control_group;
mod daemon;
mod failure;
mod fault_proxy;
pub mod file_server;
pub mod gguf;
mod hog;
mod home;
mod llama_server;
mod processes;
mod programs;
pub mod protocols;
mod recording_api;
mod s3_server;
pub mod script;

pub use answer::{Answer, Asking, question};
pub use chroma_server::ChromaServer;
pub use control_group::ControlGroup;
pub use daemon::{Daemon, Setup};
pub use failure::Failure;
pub use fault_proxy::{Fault, FaultProxy, Sent};
pub use hog::Hog;
pub use home::Home;
pub use llama_server::LlamaServer;
pub use processes::{kill, resident_bytes, with_home};
pub use programs::program;
pub use recording_api::{Manner, RecordingApi};
pub use s3_server::S3Server;

/// Far more than anything here takes, on any machine.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// Pause between two looks at something that announces nothing.
pub const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Real models take turns: several at once would only slow each other down.
static REAL: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(1);

async fn wait_for_a_turn() -> tokio::sync::SemaphorePermit<'static> {
    REAL.acquire().await.unwrap()
}

/// Waits for `work`; the test fails when it is not done in time.
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(DEADLINE, work).await;
    done.unwrap_or_else(|_| panic!("waited {DEADLINE:?} for {what}"))
}
