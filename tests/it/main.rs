//! End-to-end tests: real daemons, real processes, real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod command;
mod conversation;
mod dialects;
mod durability;
mod embedding;
mod faults;
mod input;
mod life;
mod load;
mod pool;
mod queue;
mod real;
mod slow;
mod template;
mod tuning;
mod two_tracks;
