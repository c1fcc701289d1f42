//! What a question gains when the slow track takes over by the score of its prompt, by the
//! confidence of the local answer, or by both.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde::Serialize;
use tandem_router::evaluation::{Outcome, Quality, judge};

use super::{Graded, metrics};

/// The comparison, for all questions together and for each benchmark.
#[derive(Debug, Clone, Serialize)]
pub struct Cascade {
    /// All questions, then each benchmark.
    pub groups: Vec<Group>,
}

/// The questions of one benchmark, or all.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// Of the benchmark, or `all`.
    pub name: String,
    /// Questions.
    pub questions: usize,
    /// Share that the local model answered rightly, and the slow track.
    pub right: [f64; 2],
    /// Of the confidence, for whether the local answer is right.
    pub auroc: Option<f64>,
    /// APGR of each way to choose; `None` where the slow track is no better.
    pub apgr: [Option<f64>; 3],
}

/// One question with all that is known of it.
struct Row<'a> {
    benchmark: &'a str,
    outcome: Outcome,
    right: bool,
    confidence: f64,
    prompt_score: f64,
}

impl Cascade {
    /// Compares on the questions for which both are known: `slow` has the quality of the slow track's
    /// answer, `scores` the score of the prompt, both by the question's id. `confidences` are in the
    /// order of `graded`, each made without that answer.
    pub fn new(
        graded: &[Graded],
        confidences: &[f64],
        slow: &HashMap<String, f64>,
        scores: &HashMap<String, f64>,
    ) -> Self {
        let row = |(answer, &confidence)| {
            let answer: &Graded = answer;
            let weak = f64::from(u8::from(answer.right));
            Some(Row {
                benchmark: answer.benchmark(),
                outcome: Outcome { weak, strong: *slow.get(&answer.id)? },
                right: answer.right,
                confidence,
                prompt_score: *scores.get(&answer.id)?,
            })
        };
        let rows: Vec<Row<'_>> = graded.iter().zip(confidences).filter_map(row).collect();
        let mut names: Vec<&str> = rows.iter().map(|row| row.benchmark).collect();
        names.sort_unstable();
        names.dedup();
        let group = |name: Option<&str>| {
            let members = rows.iter().filter(|row| name.is_none_or(|name| row.benchmark == name));
            Group::new(name.unwrap_or("all"), &members.collect::<Vec<_>>())
        };
        Self { groups: [None].into_iter().chain(names.into_iter().map(Some)).map(group).collect() }
    }

    /// For people: a table in Markdown.
    pub fn text(&self) -> String {
        let mut text = "| | questions | right: fast | slow | AUROC of confidence | \
                        APGR of the prompt's score | of confidence | of both |\n\
                        | --- | --- | --- | --- | --- | --- | --- | --- |\n"
            .to_owned();
        for Group { name, questions, right: [fast, slow], auroc, apgr } in &self.groups {
            let shown =
                |value: &Option<f64>| value.map_or("–".to_owned(), |it| format!("{it:.3}"));
            let [prompt, confidence, both] = apgr.each_ref().map(shown);
            let auroc = shown(auroc);
            let _ = writeln!(
                text,
                "| {name} | {questions} | {fast:.3} | {slow:.3} | {auroc} | {prompt} | {confidence} | {both} |"
            );
        }
        text
    }
}

impl Group {
    fn new(name: &str, rows: &[&Row<'_>]) -> Self {
        let outcomes: Vec<Outcome> = rows.iter().map(|row| row.outcome).collect();
        let by_prompt: Vec<f64> = rows.iter().map(|row| row.prompt_score).collect();
        let by_confidence: Vec<f64> = rows.iter().map(|row| -row.confidence).collect();
        let both: Vec<f64> = ranks(&by_prompt)
            .into_iter()
            .zip(ranks(&by_confidence))
            .map(|(prompt, confidence)| prompt + confidence)
            .collect();
        let apgr = |scores: &[f64]| judge(scores, &outcomes).map(|Quality { apgr, .. }| apgr);
        let mean = |of: fn(&Outcome) -> f64| {
            outcomes.iter().map(of).sum::<f64>() / outcomes.len().max(1) as f64
        };
        let answers: Vec<_> = rows.iter().map(|row| (row.confidence, row.right)).collect();
        Self {
            name: name.to_owned(),
            questions: rows.len(),
            right: [mean(|outcome| outcome.weak), mean(|outcome| outcome.strong)],
            auroc: metrics::auroc(&answers),
            apgr: [apgr(&by_prompt), apgr(&by_confidence), apgr(&both)],
        }
    }
}

/// The place of each value among all; equal ones share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for tied in order.chunk_by(|&a, &b| values[a].total_cmp(&values[b]).is_eq()) {
        let mean = first as f64 + (tied.len() - 1) as f64 / 2.0;
        for &at in tied {
            ranks[at] = mean;
        }
        first += tied.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The confidence knows which answers are right, and the score knows nothing.
    fn cascade() -> Cascade {
        let graded: Vec<Graded> = (0..20_u8)
            .map(|at| Graded {
                id: format!("sums-{at}"),
                domain: String::new(),
                right: at >= 10,
                confidence: 0.5,
                features: [0.0; 5],
                text: String::new(),
            })
            .collect();
        let confidences: Vec<f64> = (0..20_u8).map(|at| f64::from(at) / 20.0).collect();
        let ids = || graded.iter().map(|answer| answer.id.clone());
        let slow = ids().map(|id| (id, 1.0)).collect();
        let scores = ids().map(|id| (id, 0.5)).collect();
        Cascade::new(&graded, &confidences, &slow, &scores)
    }

    #[test]
    fn who_knows_which_answers_are_wrong_recovers_more_of_the_gap() {
        let cascade = cascade();
        let [all, sums] = &cascade.groups[..] else { panic!("{cascade:?}") };
        assert_eq!((all.name.as_str(), sums.name.as_str(), all.questions), ("all", "sums", 20));
        assert_eq!((all.right, all.auroc), ([0.5, 1.0], Some(1.0)));
        let [prompt, confidence, both] = all.apgr.map(Option::unwrap_or_default);
        assert!((prompt - 0.5).abs() < 0.05, "{prompt}");
        assert!(confidence > 0.7 && both > 0.7, "{confidence} {both}");
        assert!(cascade.text().contains("| all | 20 | 0.500 | 1.000 | 1.000 |"));
    }

    #[test]
    fn ties_share_their_ranks() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
    }
}
