//! The built engine with a real model, over its socket.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod adjust;
mod confidence;
mod constrained;
mod draft;
mod embed;
mod exact;
mod generate;
mod harness;
mod lifecycle;
mod requests;
mod resume;
mod sharing;
mod speculation;
mod storm;
mod template;
mod tiny;
mod tokens;
mod transcript;
mod urgency;
