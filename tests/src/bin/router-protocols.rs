//! Measures the router's score under every protocol of docs/routing.md, and prints the tables.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tandem_tests::bench::say;
use tandem_tests::protocols::{Benchmarks, perturbed, protocols};

/// Measure the router's score on graded questions that were held back.
///
/// No number mixes questions that were learned from with questions that are judged.
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder with `public_gsm8k.jsonl`, `public_mmlu.jsonl` and `public_mtbench.jsonl`.
    data: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let benchmarks = Benchmarks::read(&arguments.data)?;
    say(&protocols(&benchmarks)?);
    say(&perturbed(&benchmarks)?);
    Ok(())
}
