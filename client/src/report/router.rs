//! What `tandem router` prints.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tandem_router::{Example, Kind, dataset::Scored, evaluation};

use super::table;
use crate::failure::Failure;

/// One question's score.
#[derive(Debug, Serialize)]
pub(crate) struct Score {
    #[serde(rename = "score")]
    value: f64,
    kind: Kind,
    reasons: Vec<String>,
}

impl From<tandem_router::Score> for Score {
    fn from(score: tandem_router::Score) -> Self {
        Self { value: score.value, kind: score.kind, reasons: score.reasons }
    }
}

impl Score {
    pub(crate) fn text(&self) -> String {
        let reasons: String = self.reasons.iter().fold(String::new(), |mut text, reason| {
            let _ = writeln!(text, "  {reason}");
            text
        });
        format!("{:.3}\n{reasons}", self.value)
    }
}

/// The lines of a file of scores.
pub(crate) fn lines(scores: &[Scored]) -> Result<String, Failure> {
    let mut text = String::new();
    for score in scores {
        let line =
            serde_json::to_string(score).map_err(io::Error::from).map_err(Failure::Output)?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

/// How good scores are on each file.
#[derive(Debug, Serialize)]
pub(crate) struct Judgement {
    pub(crate) files: Vec<Judged>,
}

/// How good scores are on one file.
#[derive(Debug, Serialize)]
pub(crate) struct Judged {
    data: PathBuf,
    #[serde(flatten)]
    report: evaluation::Report,
    decision: Option<Times>,
}

/// How long a decision takes.
#[derive(Debug, Serialize)]
pub(crate) struct Times {
    decisions: usize,
    p50_us: f64,
    p99_us: f64,
    longest_us: f64,
}

impl Judged {
    pub(crate) fn new(
        path: &Path,
        mut report: evaluation::Report,
        decision: Option<Times>,
        by_domain: bool,
    ) -> Self {
        if !by_domain {
            report.domains.clear();
        }
        Self { data: path.to_owned(), report, decision }
    }

    fn text(&self) -> String {
        let report = &self.report;
        let mut text = format!(
            "{}: {} questions; fast {:.4}, slow {:.4} (slow better {:.1} %, fast better {:.1} %)\n",
            self.data.display(),
            report.n,
            report.weak_mean,
            report.strong_mean,
            100.0 * report.strong_better,
            100.0 * report.weak_better,
        );
        let heading = ["", "APGR", "CPT50", "CPT80", "decile: APGR", "CPT50", "CPT80"];
        let rows =
            [("router", report.router), ("best order", report.oracle)].map(|(name, quality)| {
                [
                    name.to_owned(),
                    format!("{:.4}", quality.apgr),
                    format!("{:.1} %", quality.cpt50),
                    format!("{:.1} %", quality.cpt80),
                    format!("{:.4}", quality.apgr_decile),
                    format!("{:.1} %", quality.cpt50_decile),
                    format!("{:.1} %", quality.cpt80_decile),
                ]
            });
        text += &table(heading, &rows);
        let [low, high] = report.apgr_ci95;
        let _ = writeln!(
            text,
            "APGR is {low:.4} to {high:.4} for other questions of the sort, with 95 %; chance is 0.5; {} \
             different scores",
            report.distinct_scores
        );
        if !report.domains.is_empty() {
            let heading = ["domain", "questions", "gain", "mean score", "APGR"];
            let rows = report.domains.iter().map(|(name, domain)| {
                [
                    name.clone(),
                    domain.n.to_string(),
                    format!("{:+.3}", domain.gain),
                    format!("{:.3}", domain.mean_score),
                    domain.apgr.map_or_else(|| "-".to_owned(), |apgr| format!("{apgr:.3}")),
                ]
            });
            text += &table(heading, &rows.collect::<Vec<_>>());
        }
        if let Some(times) = &self.decision {
            let _ = writeln!(
                text,
                "{} decisions: p50 {:.0} us, p99 {:.0} us, longest {:.0} us",
                times.decisions, times.p50_us, times.p99_us, times.longest_us
            );
        }
        text
    }
}

impl Judgement {
    pub(crate) fn text(&self) -> String {
        self.files.iter().map(Judged::text).collect::<Vec<_>>().join("\n")
    }
}

impl Times {
    /// The statistics of times in microseconds.
    pub(crate) fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |hundredth: usize| {
            times.get((times.len() * hundredth / 100).min(times.len().saturating_sub(1)))
        };
        let at = |hundredth| at(hundredth).copied().unwrap_or_default();
        Self { decisions: times.len(), p50_us: at(50), p99_us: at(99), longest_us: at(100) }
    }
}

/// How many questions of each kind there are.
pub(crate) fn counts(files: &[Vec<Example>]) -> BTreeMap<Kind, usize> {
    let mut counts = BTreeMap::new();
    for example in files.iter().flatten() {
        *counts.entry(example.features().kind()).or_default() += 1;
    }
    counts
}

/// What came of a training.
#[derive(Debug, Serialize)]
pub(crate) struct Trained {
    pub(crate) weights: PathBuf,
    pub(crate) bytes: usize,
    pub(crate) kinds: BTreeMap<Kind, usize>,
    pub(crate) held_back: Vec<Judged>,
}

impl Trained {
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (kind, number) in &self.kinds {
            let learned = if *number < tandem_router::QUESTIONS_MIN {
                format!(
                    "too few to learn from, {} are needed; as before",
                    tandem_router::QUESTIONS_MIN
                )
            } else {
                "learned".to_owned()
            };
            let _ = writeln!(text, "{kind}: {number} ({learned})");
        }
        text += "\nOn questions that were held back in turn, near-duplicates with them:\n";
        text += &self.held_back.iter().map(Judged::text).collect::<String>();
        let _ = writeln!(
            text,
            "\n{} bytes in {}; use them with --weights",
            self.bytes,
            self.weights.display()
        );
        text
    }
}

/// A threshold and what it gives.
#[derive(Debug, Serialize)]
pub(crate) struct Calibrated {
    pub(crate) slow_share: f64,
    pub(crate) slow_threshold: f64,
    pub(crate) questions: usize,
    pub(crate) reached_share: Option<f64>,
}

/// A threshold at which a month costs what it may.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Budgeted {
    pub(crate) slow_threshold: f64,
    pub(crate) reason: String,
    pub(crate) questions: u64,
}

impl Budgeted {
    pub(crate) fn text(&self) -> String {
        format!("# {}\n[router]\nslow_threshold = {}\n", self.reason, self.slow_threshold)
    }
}

impl Calibrated {
    pub(crate) fn text(&self) -> String {
        let share = 100.0 * self.slow_share;
        let from = match self.reached_share {
            Some(reached) => format!("{:.1} % of {} questions", 100.0 * reached, self.questions),
            None => "of questions like those that the scorer was trained with".to_owned(),
        };
        format!(
            "# {share:.0} % for the slow track: {from}\n[router]\nslow_threshold = {}\n",
            self.slow_threshold
        )
    }
}
