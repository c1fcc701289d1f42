//! Measures against values calculated by hand.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use super::*;
use crate::Error;

fn question(relevant: &[(&str, &str)]) -> Question {
    Question {
        id: "1".to_owned(),
        question: "What?".to_owned(),
        relevant: relevant
            .iter()
            .map(|(source, contains)| Passage {
                source: (*source).to_owned(),
                contains: (*contains).to_owned(),
            })
            .collect(),
        answerable: !relevant.is_empty(),
    }
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-9
}

#[test]
fn measures_are_those_of_the_literature() {
    let question = question(&[("a.md", "one"), ("b.md", "two"), ("c.md", "three")]);
    let judgement = judge(
        &question,
        [
            ("a.md", "nothing"),
            ("x/b.md", "Two  things"),
            ("c.md", "four"),
            ("a.md", "here is\nOne"),
        ],
    );
    assert!(close(judgement.recall(10), 2.0 / 3.0));
    assert!(close(judgement.recall(2), 1.0 / 3.0));
    assert!(close(judgement.reciprocal_rank(10), 0.5));
    assert!(close(judgement.reciprocal_rank(1), 0.0));
    let best = 1.0 + 1.0 / 3.0_f64.log2() + 0.5;
    assert!(close(judgement.ndcg(10), (1.0 / 3.0_f64.log2() + 1.0 / 5.0_f64.log2()) / best));
}

#[test]
fn a_passage_counts_once_and_the_best_order_is_one() {
    let question = question(&[("a.md", "one"), ("a.md", "two")]);
    let twice = judge(&question, [("a.md", "one two"), ("a.md", "one")]);
    assert!(close(twice.recall(1), 1.0));
    assert!(close(twice.ndcg(10), 1.0));
}

#[test]
fn a_source_is_named_by_its_end() {
    let passage = Passage { source: "guide/a.md".to_owned(), contains: "x".to_owned() };
    assert!(passage.is("/home/me/guide/a.md", "x"));
    assert!(passage.is("guide/a.md", "x"));
    assert!(!passage.is("/home/me/misguide/a.md", "x"));
}

#[test]
fn the_mean_lies_in_its_interval_and_the_same_seed_gives_the_same() {
    let answered = question(&[("a.md", "one")]);
    let judgements: Vec<_> = (0..50)
        .map(|number| {
            if number % 5 == 0 { judge(&answered, []) } else { judge(&answered, [("a.md", "one")]) }
        })
        .collect();
    let first = report(&judgements, 10, 7);
    assert!(close(first.recall.mean, 0.8));
    assert!(first.recall.low < 0.8 && 0.8 < first.recall.high, "{first:?}");
    // The interval of a share of 0.8 in 50 is about 0.22 wide.
    assert!((0.15..0.30).contains(&(first.recall.high - first.recall.low)), "{first:?}");
    assert_eq!(first, report(&judgements, 10, 7));
}

#[test]
fn questions_without_an_answer_do_not_count() {
    let judgements = [
        judge(&question(&[]), [("a.md", "one")]),
        judge(&question(&[("a.md", "one")]), [("a.md", "one")]),
    ];
    let report = report(&judgements, 10, 1);
    assert_eq!(report.questions, 1);
    assert!(close(report.recall.mean, 1.0));
}

#[test]
fn a_wrong_line_is_named() {
    let good = r#"{"id":"1","question":"What?","relevant":[{"source":"a","contains":"b"}],"answerable":true}"#;
    let refused = |line: &str| {
        let text = format!("{good}\n\n{line}\n");
        match parse_questions(Path::new("q.jsonl"), &text) {
            Err(Error::Question { line: 3, detail, .. }) => detail,
            other => unreachable!("{other:?}"),
        }
    };
    assert!(refused(good).contains("taken"));
    assert!(refused("{").contains("EOF"));
    assert!(
        refused(r#"{"id":"2","question":"What?","relevant":[],"answerable":true}"#)
            .contains("exactly when")
    );
    assert!(refused(r#"{"id":"2","question":" ","answerable":false}"#).contains("empty"));
    assert!(
        refused(r#"{"id":"2","question":"What?","answerable":false,"note":1}"#)
            .contains("unknown field")
    );
    assert_eq!(parse_questions(Path::new("q.jsonl"), good).unwrap().len(), 1);
}
