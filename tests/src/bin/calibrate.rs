//! Asks a running daemon questions with known answers, and fits the rule that tells how likely an
//! answer is right.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use tandem_client::Client;
use tandem_tests::bench::say;
use tandem_tests::calibrate::{Cascade, Graded, Manner, Question, Report, ask_all, out_of_fold};

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
    /// What the slow track made of the questions: lines of `{"id", "strong_score"}`. Compares what is
    /// gained when it takes over by confidence with what its choice by prompts gains.
    #[arg(long, requires = "scores")]
    slow: Vec<PathBuf>,
    /// Scores of the prompts, as `tandem router score` writes them, by weights that did not learn from
    /// these questions.
    #[arg(long, requires = "slow")]
    scores: Option<PathBuf>,
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
        if let Some(scores) = &arguments.scores {
            let confidences = out_of_fold(&graded, arguments.folds, arguments.penalty);
            let slow = numbers(&arguments.slow, "strong_score")?;
            let scores = numbers(std::slice::from_ref(scores), "score")?;
            print!("\n{}", Cascade::new(&graded, &confidences, &slow, &scores).text());
        }
    }
    if let Some(path) = arguments.json {
        fs::write(&path, report.json()?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The numbers under `key`, by the ids of their lines.
fn numbers(files: &[PathBuf], key: &str) -> Result<HashMap<String, f64>> {
    let mut numbers = HashMap::new();
    for path in files {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        for (at, line) in text.lines().enumerate() {
            let place = || format!("{}, line {}", path.display(), at + 1);
            let value: serde_json::Value = serde_json::from_str(line).with_context(place)?;
            let id = value["id"].as_str().context("no id").with_context(place)?;
            let number = value[key].as_f64().with_context(|| format!("no {key}"));
            numbers.insert(id.to_owned(), number.with_context(place)?);
        }
    }
    Ok(numbers)
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
