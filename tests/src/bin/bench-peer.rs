//! Measures tandem against llama.cpp's own server and prints a table.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use tandem_tests::bench::{self, Flags, Plan, Scale, Workload, say};
use tokio::signal::unix::{SignalKind, signal};

/// Measure tandem against llama-server: both do the same work, in turn, each alone on the machine.
///
/// The programs of tandem are those in `$TANDEM_BIN_DIR`, else those beside this one.
#[derive(Debug, Parser)]
struct Arguments {
    /// The GGUF file for both.
    #[arg(long, required_unless_present = "spin")]
    model: Option<PathBuf>,
    /// The rival's program.
    #[arg(long, required_unless_present = "spin")]
    llama_server: Option<PathBuf>,
    /// What is measured, letters from a to i: short chats (a), a conversation (b), a shared context
    /// (c), a long prompt during streams (d), busy cores (e), a restart (f), a prompt that is
    /// quoted (g), tandem's own overhead (h), memory and loading (i).
    #[arg(long, value_delimiter = ',', default_value = "a,b,c,d,e,f,g,h")]
    workloads: Vec<Workload>,
    /// How often each is measured.
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// A file for all values of all runs.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Settings of llama-server to choose the best from, as NAME[@WORKLOADS]=[VARIABLE=VALUE …] FLAGS.
    /// Replaces the list that is built in; give it several times.
    #[arg(long = "rival")]
    rivals: Vec<Flags>,
    /// Measure llama-server at its defaults only.
    #[arg(long, conflicts_with = "rivals")]
    defaults_only: bool,
    /// A setting of tandem, as TABLE.KEY=VALUE; give it several times.
    #[arg(long = "tandem", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Do a fraction of the work, only to see that everything runs.
    #[arg(long)]
    quick: bool,
    /// Keep a core busy instead, until standard input ends.
    #[arg(long, hide = true)]
    spin: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.spin {
        bench::spin();
        return ExitCode::SUCCESS;
    }
    match measure(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("bench-peer: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: Arguments) -> Result<()> {
    ensure!(arguments.repeats > 0, "--repeats 0 measures nothing; give 1 or more");
    let plan = Plan {
        model: existing(&arguments.model.unwrap_or_default())?,
        llama_server: existing(&arguments.llama_server.unwrap_or_default())?,
        workloads: arguments.workloads,
        repeats: arguments.repeats,
        scale: if arguments.quick { Scale::Quick } else { Scale::Full },
        settings: arguments.settings,
        candidates: match arguments.rivals {
            _ if arguments.defaults_only => Vec::new(),
            rivals if rivals.is_empty() => Flags::candidates(),
            rivals => rivals,
        },
    };
    let mut terminate = signal(SignalKind::terminate())?;
    // Servers are killed when what waits for them is dropped.
    let report = tokio::select! {
        report = bench::run(&plan) => report?,
        interrupted = tokio::signal::ctrl_c() => { interrupted?; bail!("interrupted") }
        _ = terminate.recv() => bail!("terminated"),
    };
    #[allow(clippy::print_stdout, reason = "the result of this program")]
    {
        println!("{}", report.table());
    }
    if let Some(path) = arguments.json {
        std::fs::write(&path, report.json()?).with_context(|| path.display().to_string())?;
        say(&format!("all values are in {}", path.display()));
    }
    Ok(())
}

fn existing(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("{} is not there", path.display()))
}

/// `table.key=value` as the variable that sets it.
fn setting(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(key, _)| key.contains('.'));
    let (key, value) = parts.ok_or_else(|| format!("{text:?} is not TABLE.KEY=VALUE"))?;
    let variable = format!("TANDEM_{}", key.replace('.', "__").to_uppercase());
    Ok((variable, value.to_owned()))
}
