//! End-to-end tests: real daemons, real processes, real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod caches;
mod chroma;
mod collections;
mod command;
mod context;
mod conversation;
mod dialects;
mod durability;
mod embedding;
mod experiments;
mod faults;
mod input;
mod kills;
mod knowledge;
mod life;
mod load;
mod memories;
mod money;
mod pool;
#[cfg(target_os = "linux")]
mod private;
mod provider_faults;
mod pull;
mod queue;
mod real;
mod redaction;
mod reload;
mod slow;
mod storage;
mod template;
mod tuning;
mod two_tracks;
