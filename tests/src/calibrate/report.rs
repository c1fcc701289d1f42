//! What a calibration found.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::logistic::{FEATURES, Rule, out_of_fold};
use super::{Graded, metrics};

/// Bins of the calibration error.
const BINS: usize = 10;

/// Everything that a calibration found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// All benchmarks together, then each.
    pub groups: Vec<Group>,
    /// Fitted to all answers.
    pub rule: Rule,
    /// Parts of the answers for the cross-validation.
    pub folds: usize,
    /// Weight of the L2 penalty.
    pub penalty: f64,
}

/// The answers of one benchmark, or of all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// Of the benchmark, or `all`.
    pub name: String,
    /// Answers.
    pub answers: usize,
    /// Share of right ones.
    pub accuracy: f64,
    /// Of the confidences that tandem gave.
    pub before: Quality,
    /// Of those by the fitted rule, for answers that it was not fitted to.
    pub after: Quality,
}

/// How good confidences are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quality {
    /// See [`metrics::expected_calibration_error`], over 10 bins.
    pub expected_calibration_error: f64,
    /// See [`metrics::auroc`].
    pub auroc: Option<f64>,
    /// See [`metrics::brier`].
    pub brier: f64,
}

impl Quality {
    fn of(answers: &[(f64, bool)]) -> Self {
        Self {
            expected_calibration_error: metrics::expected_calibration_error(answers, BINS),
            auroc: metrics::auroc(answers),
            brier: metrics::brier(answers),
        }
    }
}

impl Report {
    /// Fits the rule and compares.
    pub fn new(answers: &[Graded], folds: usize, penalty: f64) -> Self {
        let fitted = out_of_fold(answers, folds, penalty);
        let mut names: Vec<&str> = answers.iter().map(Graded::benchmark).collect();
        names.sort_unstable();
        names.dedup();
        let group = |name: Option<&str>| {
            let members = || {
                let all = answers.iter().zip(&fitted);
                all.filter(move |(it, _)| name.is_none_or(|name| it.benchmark() == name))
            };
            let before: Vec<_> = members().map(|(it, _)| (it.confidence, it.right)).collect();
            let after: Vec<_> = members().map(|(it, &fitted)| (fitted, it.right)).collect();
            Group {
                name: name.unwrap_or("all").to_owned(),
                answers: before.len(),
                accuracy: metrics::accuracy(&before),
                before: Quality::of(&before),
                after: Quality::of(&after),
            }
        };
        Self {
            groups: [None].into_iter().chain(names.into_iter().map(Some)).map(group).collect(),
            rule: Rule::fit(answers.iter(), penalty),
            folds,
            penalty,
        }
    }

    /// For people: a table in Markdown, and the rule as the catalog wants it.
    pub fn text(&self) -> String {
        let mut text = format!(
            "After: by a rule that was fitted to other answers ({} folds, penalty {}).\n\n\
             | | answers | right | ECE before | after | AUROC before | after | Brier before | after |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
            self.folds, self.penalty
        );
        for Group { name, answers, accuracy, before, after } in &self.groups {
            let area =
                |quality: &Quality| quality.auroc.map_or("–".to_owned(), |it| format!("{it:.3}"));
            let _ = writeln!(
                text,
                "| {name} | {answers} | {accuracy:.3} | {:.3} | {:.3} | {} | {} | {:.3} | {:.3} |",
                before.expected_calibration_error,
                after.expected_calibration_error,
                area(before),
                area(after),
                before.brier,
                after.brier,
            );
        }
        let _ = writeln!(text, "\n[models.confidence]\nbias = {:.4}", self.rule.bias);
        for (name, coefficient) in FEATURES.iter().zip(self.rule.coefficients) {
            let _ = writeln!(text, "{name} = {coefficient:.4}");
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Vec<Graded> {
        let answer = |at: u8| Graded {
            id: format!("{}-{at}", if at.is_multiple_of(3) { "sums" } else { "facts" }),
            domain: String::new(),
            right: at > 20,
            confidence: 0.5,
            features: [f64::from(at), 0.0, 0.0, 0.0, 0.0],
            text: String::new(),
        };
        (0..40).map(answer).collect()
    }

    #[test]
    fn each_benchmark_and_all_together_are_compared() {
        let report = Report::new(&answers(), 5, 1.0);
        let names: Vec<_> = report.groups.iter().map(|it| (it.name.as_str(), it.answers)).collect();
        assert_eq!(names, [("all", 40), ("facts", 26), ("sums", 14)]);
        let all = &report.groups[0];
        assert_eq!((all.accuracy, all.before.auroc), (19.0 / 40.0, Some(0.5)));
        assert!(all.after.auroc.unwrap() > 0.95, "{all:?}");
        assert!(all.after.brier < all.before.brier, "{all:?}");
    }

    #[test]
    fn the_text_ends_with_what_a_catalog_can_hold() {
        let report = Report::new(&answers(), 5, 1.0);
        let text = report.text();
        let (_, rule) = text.split_once("[models.confidence]\n").unwrap();
        let keys: Vec<_> = rule.lines().map(|line| line.split(" = ").next().unwrap()).collect();
        assert_eq!(keys[0], "bias");
        assert_eq!(keys[1..], FEATURES);
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(json["groups"][0]["answers"], 40);
    }
}
