//! Asks a running daemon questions with known answers, and fits the rule that tells how likely an
//! answer is right.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use tandem_client::Client;
use tandem_tests::bench::say;
use tandem_tests::calibrate::{Graded, Manner, Question, Report, ask_all};

/// Calibrate the confidence of a local model's answers.
///
/// Prints how good the confidences are, and coefficients for the model's entry in a catalog.
#[derive(Debug, Parser)]
struct Arguments {
    /// Questions: lines of {"id", "prompt", "domain", "answer"}, where the answer is a letter from A to
    /// D or a number.
    #[arg(long, required_unless_present = "graded")]
    questions: Option<PathBuf>,
    /// Where the daemon listens.
    #[arg(long, env = "TANDEM_SOCKET", required_unless_present = "graded")]
    socket: Option<PathBuf>,
    /// The model, if not the daemon's default.
    #[arg(long, default_value = "")]
    model: String,
    /// Questions that are asked at the same time.
    #[arg(long, default_value_t = 8)]
    at_once: usize,
    /// A file for the graded answers.
    #[arg(long)]
    records: Option<PathBuf>,
    /// Ask nothing, and fit the rule to answers that an earlier run graded.
    #[arg(long, conflicts_with = "questions")]
    graded: Option<PathBuf>,
    /// Parts of the answers for the cross-validation.
    #[arg(long, default_value_t = 5)]
    folds: usize,
    /// Weight of the L2 penalty; some hundred answers allow no rule that goes to extremes.
    #[arg(long, default_value_t = 30.0)]
    penalty: f64,
    /// A file for the results.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match calibrate(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("calibrate: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn calibrate(arguments: Arguments) -> Result<()> {
    ensure!(arguments.folds >= 2, "--folds {} validates nothing; give 2 or more", arguments.folds);
    ensure!(arguments.penalty > 0.0, "--penalty must be greater than 0");
    ensure!(arguments.at_once > 0, "--at-once 0 asks nothing; give 1 or more");
    let graded = match &arguments.graded {
        Some(path) => {
            let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
            text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?
        }
        None => ask(&arguments).await?,
    };
    ensure!(graded.len() >= arguments.folds, "{} answers are too few", graded.len());
    if let Some(path) = &arguments.records {
        let lines: Vec<String> =
            graded.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        fs::write(path, lines.join("\n")).with_context(|| path.display().to_string())?;
    }
    let report = Report::new(&graded, arguments.folds, arguments.penalty);
    #[allow(clippy::print_stdout, reason = "the result of this program")]
    {
        print!("{}", report.text());
    }
    if let Some(path) = arguments.json {
        fs::write(&path, report.json()?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

async fn ask(arguments: &Arguments) -> Result<Vec<Graded>> {
    let path = arguments.questions.as_deref().context("no --questions")?;
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let questions = Question::read_all(&text).with_context(|| path.display().to_string())?;
    let socket = arguments.socket.as_deref().context("no --socket")?;
    let client = Client::connect(socket).await?;
    let manner = Manner { model: arguments.model.clone(), at_once: arguments.at_once };
    let all = questions.len();
    let progress = |done: usize| {
        if done.is_multiple_of(50) || done == all {
            say(&format!("{done} of {all} answered"));
        }
    };
    ask_all(&client, &questions, &manner, progress).await
}
