//! What was measured, as a table and as JSON.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::super::statistics::percentile;
use super::vectors::Sample;
use super::{Answers, Intake, Size};

/// The result of the benchmark.
#[derive(Debug, Serialize)]
pub struct Report {
    vectors: usize,
    questions: usize,
    dimensions: usize,
    repeats: usize,
    intakes: Vec<(String, Intake)>,
    rows: Vec<Row>,
    sizes: Vec<(String, Size)>,
    /// Milliseconds of requests to Chroma that search nothing.
    floor: Vec<f64>,
}

/// One way to search.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    name: String,
    ms: Vec<f64>,
    right: usize,
    wanted: usize,
}

impl Row {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ms: Vec::new(), right: 0, wanted: 0 }
    }

    /// Adds answers and compares them with the truth.
    pub(super) fn add(&mut self, answers: &Answers, sample: &Sample, truth: &[f32]) {
        self.time(answers);
        for (question, (found, last)) in answers.found.iter().zip(truth).enumerate() {
            self.right += sample.right(question, found, *last);
            self.wanted += super::COUNT;
        }
    }

    /// Adds how long answers took.
    pub(super) fn time(&mut self, answers: &Answers) {
        self.ms.extend(&answers.ms);
    }

    /// Share of the nearest that were found.
    pub(super) fn recall(&self) -> f64 {
        self.right as f64 / self.wanted as f64
    }
}

impl Report {
    pub(super) const fn new(
        vectors: usize,
        questions: usize,
        dimensions: usize,
        repeats: usize,
    ) -> Self {
        Self {
            vectors,
            questions,
            dimensions,
            repeats,
            intakes: Vec::new(),
            rows: Vec::new(),
            sizes: Vec::new(),
            floor: Vec::new(),
        }
    }

    pub(super) fn intake(&mut self, who: &str, intake: Intake) {
        self.intakes.push((who.to_owned(), intake));
    }

    pub(super) fn size(&mut self, who: &str, size: Size) {
        self.sizes.push((who.to_owned(), size));
    }

    pub(super) fn rows(&mut self, rows: Vec<Row>) {
        self.rows = rows;
    }

    pub(super) fn floor(&mut self, ms: Vec<f64>) {
        self.floor = ms;
    }

    /// Everything that was measured.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// Tables in Markdown.
    pub fn table(&self) -> String {
        let mut out = format!(
            "{} vectors of {} dimensions, {} questions, {} times\n\n",
            self.vectors, self.dimensions, self.questions, self.repeats
        );
        out += "| search | recall@10 | p50 ms | p99 ms |\n| --- | --- | --- | --- |\n";
        let at = |ms: &[f64], part| percentile(ms, part).unwrap_or(f64::NAN);
        let mut line = |name: &str, recall: String, ms: &[f64]| {
            let _ =
                writeln!(out, "| {name} | {recall} | {:.2} | {:.2} |", at(ms, 0.5), at(ms, 0.99));
        };
        for row in &self.rows {
            let recall =
                if row.wanted == 0 { String::new() } else { format!("{:.4}", row.recall()) };
            line(&row.name, recall, &row.ms);
        }
        if !self.floor.is_empty() {
            line("Chroma, a request that searches nothing", String::new(), &self.floor);
        }
        out += "\n| | taken in, s | disk, MB | memory, MB | of it anonymous | first answer after, ms | opening, ms |\n";
        out += "| --- | --- | --- | --- | --- | --- | --- |\n";
        for ((who, size), (_, intake)) in self.sizes.iter().zip(&self.intakes) {
            let mb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
            let opening = size.opening_ms.map_or_else(String::new, |ms| format!("{ms:.0}"));
            let _ = writeln!(
                out,
                "| {who} | {:.1} | {} | {} | {} | {:.0} | {opening} |",
                intake.seconds,
                mb(size.disk),
                mb(size.resident),
                mb(size.anonymous),
                size.first_answer_ms,
            );
        }
        out
    }
}
