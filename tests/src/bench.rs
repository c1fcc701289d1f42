//! The benchmark: tandem and llama.cpp's own server do the same work, in turn, and each alone.
//!
//! Both are started as programs and reached through their public interfaces by the same client. They
//! get the same model file, the same messages and greedy sampling without an end of the answer, so
//! that both produce the number of tokens that was asked for; rates use the tokens that came.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and times of a benchmark, far from the limits of their types"
)]

mod bandwidth;
mod chat;
mod contender;
mod plan;
mod process;
mod prose;
mod report;
pub mod retrieval;
mod rival;
mod sse;
mod statistics;
mod tandem;
mod tournament;
mod workload;

pub use plan::{Flags, Plan, Scale};
pub use process::spin;
pub use report::Report;
pub use tournament::run;
pub use workload::Workload;

/// Tells whoever waits what is being done.
pub fn say(what: &str) {
    #[allow(clippy::print_stderr, reason = "progress is for people, results go to stdout")]
    {
        eprintln!("{what}");
    }
}
