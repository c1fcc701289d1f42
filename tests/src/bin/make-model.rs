//! Writes a model with random weights, for measurements of size and speed.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use tandem_tests::bench::say;
use tandem_tests::gguf::{Shape, write_model};

/// Write a llama model with random weights in `Q4_0`. It answers nonsense, as fast as a real one.
#[derive(Debug, Parser)]
struct Arguments {
    /// How large it is.
    #[arg(value_enum)]
    size: Size,
    /// The file, which is replaced.
    path: PathBuf,
    /// The same seed makes the same file.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Size {
    /// 1.1 billion parameters, 0.6 GB.
    #[value(name = "1.1b")]
    Small,
    /// 3 billion parameters, 1.7 GB.
    #[value(name = "3b")]
    Middle,
    /// 7.2 billion parameters, 4 GB.
    #[value(name = "7b")]
    Large,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let shape = match arguments.size {
        Size::Small => Shape::ONE_BILLION,
        Size::Middle => Shape::THREE_BILLION,
        Size::Large => Shape::SEVEN_BILLION,
    };
    // A file that is cut short must not look like a model.
    let unfinished = arguments.path.with_extension("unfinished");
    let file = File::create(&unfinished).with_context(|| unfinished.display().to_string())?;
    let mut said = 0;
    write_model(
        &shape,
        arguments.seed,
        &mut BufWriter::with_capacity(1 << 20, file),
        |done, all| {
            let percent = done * 100 / all;
            if percent >= said + 10 || done == all {
                said = percent;
                say(&format!("{}: {percent} % of {} MB", shape.name, all / 1_000_000));
            }
        },
    )?;
    fs::rename(&unfinished, &arguments.path)?;
    Ok(())
}
