//! Training on made-up questions of which the gain is known.

#![allow(clippy::unwrap_used, reason = "tests")]

use tandem_router::dataset::{Question, questions};
use tandem_router::{Example, Features, Interrupted, QUESTIONS_MIN, Scorer, folds};

/// Questions about law, which gain, and about cooking, which do not.
fn questions_of_two_fields(number: usize) -> Vec<Question> {
    let lines: Vec<String> = (0..number)
        .map(|i| {
            let (domain, words, weak) = if i % 2 == 0 {
                ("law", "the court holds that the plaintiff", u8::from(i % 10 == 0))
            } else {
                ("cooking", "the cook stirs the soup which", u8::from(i % 10 != 1))
            };
            format!(
                "{{\"id\":\"{i}\",\"prompt\":\"In case {i}, {words} number{i}?\\nA. one{i}\\nB. two{i}\\nC. \
                 three{i}\\nD. four{i}\",\"domain\":\"{domain}\",\"weak_score\":{weak},\"strong_score\":1}}\n"
            )
        })
        .collect();
    questions(&lines.concat()).unwrap()
}

fn value(scorer: &Scorer, prompt: &str) -> f64 {
    scorer.value(&Features::of(prompt))
}

const LAW: &str = "Has the court to hear the plaintiff?\nA. yes\nB. no\nC. never\nD. always";
const COOKING: &str = "Has the cook to stir the soup?\nA. yes\nB. no\nC. never\nD. always";

#[test]
fn what_gains_is_learned_and_judged_on_questions_held_back() {
    let examples = Example::of(&questions_of_two_fields(400));
    let trained = Scorer::untrained().train(&[examples], |_| true).unwrap();
    assert!(value(&trained.scorer, LAW) > value(&trained.scorer, COOKING));
    let (law, cooking): (Vec<_>, Vec<_>) =
        trained.held_back.iter().enumerate().partition(|(place, _)| place % 2 == 0);
    let least = law.iter().map(|(_, score)| **score).fold(1.0, f64::min);
    let greatest = cooking.iter().map(|(_, score)| **score).fold(0.0, f64::max);
    assert!(least > greatest);
}

#[test]
fn the_same_questions_give_the_same_weights_and_a_file_keeps_them() {
    let examples = Example::of(&questions_of_two_fields(300));
    let train =
        || Scorer::untrained().train(std::slice::from_ref(&examples), |_| true).unwrap().scorer;
    let file = train().write();
    assert_eq!(file, train().write());
    assert_eq!(Scorer::read(&file).unwrap().write(), file);
}

#[test]
fn a_few_questions_change_nothing() {
    let examples = Example::of(&questions_of_two_fields(QUESTIONS_MIN - 1));
    let examples: Vec<&Example> = examples.iter().collect();
    assert_eq!(Scorer::untrained().learn(&examples, |_| true).unwrap(), Scorer::untrained());
}

#[test]
fn training_can_be_broken_off_at_any_time() {
    let examples = Example::of(&questions_of_two_fields(300));
    for calls in [0, 1, 100, 400] {
        let mut left = calls;
        let trained = Scorer::untrained().train(std::slice::from_ref(&examples), |_| {
            left -= 1;
            left >= 0
        });
        assert_eq!(trained.err(), Some(Interrupted), "{calls}");
    }
}

#[test]
fn near_duplicates_are_held_back_together() {
    let text = "A merchant sold 30 barrels of oil to a guild of painters in the spring of that year, and the \
                guild paid in silver. What did the merchant owe to the city in taxes on this sale";
    let lines: Vec<String> = (0..200)
        .map(|i| {
            let prompt = if i % 2 == 0 {
                format!("{text}{}?", if i % 4 == 0 { " then" } else { "" })
            } else {
                format!("other{i} words{i} of{i} number{i} that{i} nobody{i} shares{i}")
            };
            format!(
                "{{\"id\":\"{i}\",\"prompt\":\"{prompt}\",\"weak_score\":0,\"strong_score\":1}}\n"
            )
        })
        .collect();
    let examples = Example::of(&questions(&lines.concat()).unwrap());
    let folds = folds(&examples.iter().collect::<Vec<_>>(), 4);
    let of_alike: Vec<usize> = folds.iter().step_by(2).copied().collect();
    assert!(of_alike.iter().all(|fold| *fold == of_alike[0]));
    let others: Vec<usize> = folds.iter().skip(1).step_by(2).copied().collect();
    assert!((0..4).filter(|fold| others.contains(fold)).count() > 2);
}
