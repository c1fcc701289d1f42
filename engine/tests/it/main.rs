//! The built engine with a real model, over its socket.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::panic, reason = "tests")]

mod embed;
mod generate;
mod harness;
mod lifecycle;
mod requests;
mod resume;
mod tiny;
mod tokens;
