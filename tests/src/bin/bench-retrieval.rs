//! Measures searches of tandem against a server of Chroma and prints tables.

use std::io::{BufWriter, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use tandem_tests::bench::retrieval::{self, Retrieval};
use tandem_tests::bench::say;

/// Measure searches: a collection of tandem and a server of Chroma with the same texts and vectors.
#[derive(Debug, Parser)]
struct Arguments {
    /// The program `chroma`; without it only tandem is measured.
    #[arg(long)]
    chroma: Option<PathBuf>,
    /// Vectors as 32-bit numbers, one after the other.
    #[arg(long, required_unless_present = "pack")]
    vectors: Option<PathBuf>,
    /// A text a line for each vector.
    #[arg(long, required_unless_present = "pack")]
    texts: Option<PathBuf>,
    /// Numbers a vector.
    #[arg(long, default_value_t = 384)]
    dimensions: usize,
    /// How many of the last vectors are questions.
    #[arg(long, default_value_t = 1000)]
    questions: usize,
    /// How often all questions are asked.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Where both keep their data meanwhile.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// A file for all values.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Turn lines of JSON arrays on standard input into such vectors instead, on standard output.
    #[arg(long)]
    pack: bool,
    /// Search the collection in this folder instead, as told on standard input.
    #[arg(long, hide = true)]
    search: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("bench-retrieval: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    if arguments.pack {
        return retrieval::pack(stdin().lock(), BufWriter::new(stdout().lock()));
    }
    let plan = Retrieval {
        chroma: arguments.chroma,
        vectors: arguments.vectors.unwrap_or_default(),
        texts: arguments.texts.unwrap_or_default(),
        dimensions: arguments.dimensions,
        questions: arguments.questions,
        repeats: arguments.repeats,
        folder: arguments.folder,
    };
    if let Some(folder) = arguments.search {
        return retrieval::serve(&folder, &plan);
    }
    let report = retrieval::measure(&plan).await?;
    #[allow(clippy::print_stdout, reason = "the result of this program")]
    {
        println!("{}", report.table());
    }
    if let Some(path) = arguments.json {
        std::fs::write(&path, report.json()?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
