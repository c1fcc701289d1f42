//! The numbers of an evaluation are those of the program that defines them: `judged.json` holds what
//! `eval_router.py` of the public questions computes.

#![allow(clippy::unwrap_used, reason = "tests")]

use serde::Deserialize;
use tandem_router::evaluation::{Outcome, judge};

#[derive(Deserialize)]
struct Judged {
    weak: Vec<f64>,
    strong: Vec<f64>,
    scores: Vec<f64>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    apgr: f64,
    cpt50: f64,
    cpt80: f64,
    apgr_decile: f64,
    cpt50_decile: f64,
    cpt80_decile: f64,
}

#[test]
fn all_numbers_are_those_of_the_reference() {
    let all: Vec<Judged> = serde_json::from_str(include_str!("judged.json")).unwrap();
    assert_eq!(all.len(), 4);
    for judged in all {
        let outcomes: Vec<Outcome> = judged
            .weak
            .iter()
            .zip(&judged.strong)
            .map(|(&weak, &strong)| Outcome { weak, strong })
            .collect();
        let quality = judge(&judged.scores, &outcomes).unwrap();
        let expected = judged.expected;
        let pairs = [
            (quality.apgr, expected.apgr),
            (quality.cpt50, expected.cpt50),
            (quality.cpt80, expected.cpt80),
            (quality.apgr_decile, expected.apgr_decile),
            (quality.cpt50_decile, expected.cpt50_decile),
            (quality.cpt80_decile, expected.cpt80_decile),
        ];
        for (found, expected) in pairs {
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
    }
}
