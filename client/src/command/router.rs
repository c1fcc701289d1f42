//! `tandem router`: the scores by which questions get their track, without the daemon.

use std::{
    io,
    path::{Path, PathBuf},
    time::Instant,
};

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use tandem_client::{Error, v1};
use tandem_router::{
    Example, Features, Scorer, calibration,
    dataset::{self, Prompt, Question, Scored},
    evaluation::{Report, Selection},
};
use tokio::task::spawn_blocking;

use super::model::{BAR_STEPS, steps};
use crate::{
    context::{Context, unless_interrupted},
    failure::Failure,
    report::router as report,
    terminal::Terminal,
};

mod files;

use files::{read, read_scorer, write};

/// Decisions that are timed.
const TIMED: usize = 10_000;

const EXAMPLES: &str = "\
Examples:
  tandem router score \"Prove that the square root of 2 is irrational\"
  tandem router score --in questions.jsonl --out scores.jsonl
  tandem router eval --data graded.jsonl --by-domain
  tandem router train --data graded.jsonl --out my.weights
  tandem router calibrate --slow-share 0.3
  tandem router calibrate --budget 5/month

A score says how much a question gains from the slow track: 0 is surely fast, 1 is surely slow. From
router.slow_threshold of the settings on, a question goes to the slow track. Only `calibrate
--budget` needs the daemon, which knows what was asked and paid.

Data are lines of JSON: `id`, `prompt`, `domain`, `weak_score` and `strong_score`, the grades of the
fast and of the slow track's answer, from 0 to 1 or from 1 to 10.";

/// What to do with scores.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Router {
    /// Score one question and say why, or a file of questions
    Score(Score),
    /// Measure how good scores are on graded questions
    Eval(Eval),
    /// Learn from graded questions
    Train(Train),
    /// Find the threshold that gives the slow track a share of the questions
    Calibrate(Calibrate),
}

/// What is scored.
#[derive(Debug, Args)]
pub(crate) struct Score {
    /// The question
    #[arg(required_unless_present = "input", conflicts_with_all = ["input", "out"])]
    prompt: Vec<String>,

    /// Lines of JSON with `id` and `prompt`; `-` is standard input
    #[arg(long = "in", id = "input", value_name = "FILE")]
    input: Option<PathBuf>,

    /// Where lines with `id` and `score` go [default: standard output]
    #[arg(long, value_name = "FILE", requires = "input")]
    out: Option<PathBuf>,

    #[command(flatten)]
    weights: Weights,
}

/// Which scorer.
#[derive(Debug, Args)]
struct Weights {
    /// Weights that `tandem router train` wrote [default: those that come with tandem]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

/// What is measured.
#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// Graded questions; each file is judged for itself
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    data: Vec<PathBuf>,

    /// Scores to judge, lines with `id` and `score` [default: the scorer's own]
    #[arg(long, value_name = "FILE", conflicts_with = "weights")]
    scores: Option<PathBuf>,

    /// Show each domain
    #[arg(long)]
    by_domain: bool,

    /// Take `strong_score_regraded` where a question has it
    #[arg(long)]
    regraded: bool,

    /// Domains to leave out
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    exclude_domains: Vec<String>,

    /// Measure how long a decision takes, too
    #[arg(long)]
    time: bool,

    #[command(flatten)]
    weights: Weights,
}

/// What is learned from.
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// Graded questions
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    data: Vec<PathBuf>,

    /// Where the weights go
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Begin with what was set by hand, not with the weights that come with tandem
    #[arg(long, conflicts_with = "weights")]
    from_scratch: bool,

    #[command(flatten)]
    weights: Weights,
}

/// What is aimed at.
#[derive(Debug, Args)]
pub(crate) struct Calibrate {
    /// Share of the questions that go to the slow track, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share, required_unless_present = "budget")]
    slow_share: Option<f64>,

    /// What the slow track may cost, as in 5/month, judging by what the daemon was asked and paid so far
    #[arg(long, value_name = "AMOUNT/month", value_parser = budget)]
    #[arg(conflicts_with_all = ["slow_share", "data", "weights"])]
    budget: Option<u64>,

    /// Questions like those that will be asked, lines with `prompt` [default: those that the scorer
    /// was trained with]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    data: Vec<PathBuf>,

    #[command(flatten)]
    weights: Weights,
}

impl Router {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let terminal = context.terminal;
        if let Self::Calibrate(Calibrate { budget: Some(month_micros), .. }) = self {
            return calibrate_to_budget(context, month_micros).await;
        }
        let bar = terminal.bar(BAR_STEPS.into());
        let work = move || {
            let outcome = match self {
                Self::Score(score) => score.run(terminal, &bar),
                Self::Eval(eval) => eval.run(terminal, &bar),
                Self::Train(train) => train.run(terminal, &bar),
                Self::Calibrate(calibrate) => calibrate.run(terminal, &bar),
            };
            bar.finish_and_clear();
            outcome
        };
        unless_interrupted(async {
            spawn_blocking(work).await.map_err(io::Error::other).map_err(Failure::Output)?
        })
        .await
    }
}

impl Score {
    fn run(self, terminal: Terminal, bar: &ProgressBar) -> Result<(), Failure> {
        let scorer = read_scorer(self.weights.weights.as_deref())?;
        let Some(input) = self.input else {
            let score = scorer.score(&self.prompt.join(" "));
            return terminal.result(&report::Score::from(score), report::Score::text);
        };
        let prompts: Vec<Prompt> = read(&input, dataset::prompts)?;
        let values = values(&scorer, prompts.iter().map(|prompt| prompt.prompt.as_str()), bar);
        let lines: Vec<Scored> = prompts
            .into_iter()
            .zip(values)
            .map(|(prompt, score)| Scored { id: prompt.id, score })
            .collect();
        let text = report::lines(&lines)?;
        match self.out {
            Some(out) => {
                write(&out, text.as_bytes())?;
                let text = format!("note: {} scores are in {}", lines.len(), out.display());
                terminal.notice(&text);
                Ok(())
            }
            None => terminal.raw(&text),
        }
    }
}

impl Eval {
    fn run(self, terminal: Terminal, bar: &ProgressBar) -> Result<(), Failure> {
        let router = read_scorer(self.weights.weights.as_deref())?;
        let selection =
            Selection { regraded: self.regraded, excluded_domains: self.exclude_domains };
        let mut files = Vec::new();
        for path in &self.data {
            let questions: Vec<Question> = read(path, dataset::questions)?;
            let prompts = questions.iter().map(|question| question.prompt.as_str());
            let scores = match &self.scores {
                Some(scores) => read(scores, |text| {
                    dataset::scores(text, questions.iter().map(|question| question.id.as_str()))
                })?,
                None => values(&router, prompts.clone(), bar),
            };
            let report = Report::of(&questions, &scores, &selection);
            let report = report.ok_or_else(|| nothing_to_judge(path))?;
            let decision = self.time.then(|| report::Times::of(decisions(&router, prompts)));
            files.push(report::Judged::new(path, report, decision, self.by_domain));
        }
        if self.scores.is_none() {
            let text =
                "note: on questions that the weights learned from, these numbers are far too good";
            terminal.notice(text);
        }
        terminal.result(&report::Judgement { files }, report::Judgement::text)
    }
}

impl Train {
    fn run(self, terminal: Terminal, bar: &ProgressBar) -> Result<(), Failure> {
        let base = if self.from_scratch {
            Scorer::untrained()
        } else {
            read_scorer(self.weights.weights.as_deref())?
        };
        let files: Vec<Vec<Question>> = self
            .data
            .iter()
            .map(|path| read(path, dataset::questions))
            .collect::<Result<_, Failure>>()?;
        let examples: Vec<Vec<Example>> = files.iter().map(|file| Example::of(file)).collect();
        let trained = base.train(&examples, |part| {
            bar.set_position(steps(part));
            true
        });
        let trained = trained.map_err(|_| Failure::Cancelled)?;
        let mut held_back = trained.held_back.as_slice();
        let mut judged = Vec::new();
        for (path, questions) in self.data.iter().zip(&files) {
            let (scores, rest) = held_back.split_at(questions.len().min(held_back.len()));
            held_back = rest;
            let report = Report::of(questions, scores, &Selection::default());
            judged.extend(report.map(|report| report::Judged::new(path, report, None, false)));
        }
        let file = trained.scorer.write();
        write(&self.out, &file)?;
        let trained = report::Trained {
            weights: self.out,
            bytes: file.len(),
            kinds: report::counts(&examples),
            held_back: judged,
        };
        terminal.result(&trained, report::Trained::text)
    }
}

impl Calibrate {
    fn run(self, terminal: Terminal, bar: &ProgressBar) -> Result<(), Failure> {
        let router = read_scorer(self.weights.weights.as_deref())?;
        let slow_share = self.slow_share.unwrap_or_default();
        let mut scores = Vec::new();
        for path in &self.data {
            let prompts = read(path, dataset::prompts)?;
            scores.extend(values(
                &router,
                prompts.iter().map(|prompt| prompt.prompt.as_str()),
                bar,
            ));
        }
        let threshold = if scores.is_empty() {
            router.threshold(slow_share).ok_or_else(|| {
                Failure::usage("the weights hold no typical scores", "name questions with --data")
            })?
        } else {
            calibration::threshold(&scores, slow_share)
        };
        // Four digits are exact enough for a setting that a person reads.
        let slow_threshold = (threshold * 1e4).round() / 1e4;
        let reached =
            (!scores.is_empty()).then(|| calibration::slow_share(&scores, slow_threshold));
        let found = report::Calibrated {
            slow_share,
            slow_threshold,
            questions: scores.len(),
            reached_share: reached,
        };
        terminal.result(&found, report::Calibrated::text)
    }
}

/// Asks the daemon, which knows what was asked and what it cost.
async fn calibrate_to_budget(context: &Context, month_micros: u64) -> Result<(), Failure> {
    let client = context.connect().await?;
    let request = v1::UsageRequest {
        calibrate_month_micros: Some(month_micros),
        ..v1::UsageRequest::default()
    };
    let calibration = client.admin().usage(request).await?.into_inner().calibration;
    let Some(v1::BudgetCalibration { threshold, reason, questions }) = calibration else {
        let message = "the daemon does not calibrate; restart it with the version of this command";
        return Err(Error::NotReachable { message: message.into() }.into());
    };
    let found = report::Budgeted { slow_threshold: threshold, reason, questions };
    context.terminal.result(&found, report::Budgeted::text)
}

/// An amount a month, in millionths.
fn budget(text: &str) -> Result<u64, String> {
    let amount = text.strip_suffix("/month").and_then(|amount| amount.trim().parse().ok());
    #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "in this range")]
    amount
        .filter(|amount| (0.0..=1e9).contains(amount))
        .map(|amount: f64| (amount * 1e6).round() as u64)
        .ok_or_else(|| "write an amount of 0 or more and /month, such as 5/month".to_owned())
}

/// The scores of some questions.
fn values<'a>(
    scorer: &Scorer,
    prompts: impl ExactSizeIterator<Item = &'a str>,
    bar: &ProgressBar,
) -> Vec<f64> {
    let all = prompts.len().max(1) as u64;
    (0..)
        .zip(prompts)
        .map(|(number, prompt)| {
            bar.set_position(number * u64::from(BAR_STEPS) / all);
            scorer.value(&Features::of(prompt))
        })
        .collect()
}

/// How long decisions take, with their reasons, in microseconds.
fn decisions<'a>(scorer: &Scorer, prompts: impl Iterator<Item = &'a str> + Clone) -> Vec<f64> {
    let decide = |prompt| {
        let start = Instant::now();
        std::hint::black_box(scorer.score(prompt));
        start.elapsed().as_secs_f64() * 1e6
    };
    prompts.cycle().take(TIMED).map(decide).collect()
}

fn nothing_to_judge(path: &Path) -> Failure {
    let path = path.display();
    let message =
        format!("{path}: the slow track is not better on average, so that APGR is undefined");
    Failure::usage(message, "take other questions, or leave out fewer domains")
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "write a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err("write a number from 0 to 1".to_owned())
    }
}
