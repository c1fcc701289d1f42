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
mod found;
mod input;
mod kills;
mod knowledge;
mod ladder;
mod life;
mod load;
mod memories;
mod metrics;
mod money;
mod overload;
mod pool;
#[cfg(target_os = "linux")]
mod private;
mod provider_faults;
mod pull;
mod queue;
mod rates;
mod real;
mod redaction;
mod reload;
mod s3;
mod slow;
#[cfg(target_os = "linux")]
mod small_machine;
mod storage;
mod swap;
mod template;
mod thrift;
mod tuning;
mod two_tracks;
