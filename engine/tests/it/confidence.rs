//! How sure the model says it is.

use tandem_proto::engine::{Generate, Load, Speculation};
use tandem_proto::v1::{Certainty, Sampling, TokenLogprob};

use crate::harness::{Engine, chat, greedy, load_request, raw, seeded};

fn assert_alike(left: Certainty, right: Certainty) {
    assert_eq!(left.tokens, right.tokens);
    for (left, right) in numbers(&left).into_iter().zip(numbers(&right)) {
        assert!((left - right).abs() < 1e-3, "{left:?} {right:?}");
    }
}

fn numbers(certainty: &Certainty) -> [f64; 6] {
    [
        certainty.logprob_mean,
        certainty.logprob_least,
        certainty.logprob_low,
        certainty.entropy_mean,
        certainty.entropy_most,
        certainty.margin_mean,
    ]
}

#[test]
fn certainty_is_the_same_alone_and_beside_others() {
    for request in [
        chat("What is the capital of France? Answer briefly.", greedy(24)),
        chat("Why is the sky blue?", greedy(24)),
        raw("zq blorp 17 wug", greedy(24)),
    ] {
        let alone = Engine::loaded().ask(request.clone());
        let mut engine = Engine::loaded();
        // So few rows in a step, prompts included, that kernels do not round otherwise.
        let mut ids: Vec<_> = ["One", "The"].map(|it| engine.generate(raw(it, greedy(96)))).into();
        for id in &ids {
            engine.first_step(*id);
        }
        ids.push(engine.generate(request));
        let beside = engine.answers(&ids).pop().unwrap();
        assert_eq!(beside.tokens, alone.tokens);
        assert_alike(beside.certainty().unwrap(), alone.certainty().unwrap());
    }
}

#[test]
fn certainty_agrees_with_the_log_probabilities_of_the_tokens() {
    let mut engine = Engine::loaded();
    let sampling = Sampling { logprobs: Some(2), ..seeded(5, 20) };
    let answer = engine.ask(chat("Tell me about the sea.", sampling));
    let certainty = answer.certainty().unwrap();
    assert_eq!(certainty.tokens as usize, answer.tokens.len());
    let mean = |sum: f64| sum / f64::from(certainty.tokens);
    assert!((certainty.logprob_mean - mean(answer.logprob_sum)).abs() < 1e-4, "{certainty:?}");
    let least = answer.logprobs.iter().map(|entry| entry.logprob).fold(0.0, f32::min);
    assert!((certainty.logprob_least - f64::from(least)).abs() < 1e-6, "{certainty:?}");
    let margin = |alternatives: &[TokenLogprob]| {
        f64::from(alternatives[0].logprob.exp() - alternatives[1].logprob.exp())
    };
    let margins: f64 = answer.logprobs.iter().map(|entry| margin(&entry.alternatives)).sum();
    assert!((certainty.margin_mean - mean(margins)).abs() < 1e-4, "{certainty:?}");
    assert!(certainty.entropy_most >= certainty.entropy_mean && certainty.entropy_mean > 0.0);
}

#[test]
fn a_fact_is_surer_than_gibberish() {
    let mut engine = Engine::loaded();
    let mut certainty = |prompt| engine.ask(raw(prompt, greedy(4))).certainty().unwrap();
    let fact = certainty("The capital of France is");
    let gibberish = certainty("xq vlrp 17 wug {{ zot mfrb");
    assert!(fact.logprob_mean > gibberish.logprob_mean, "{fact:?} {gibberish:?}");
}

#[test]
fn a_resumed_answer_is_as_certain_as_a_whole_one() {
    let mut engine = Engine::loaded();
    let request = chat("Why is the sky blue?", greedy(32));
    let whole = engine.ask(request.clone());
    for cut in [1, 9, whole.tokens.len() - 1] {
        let resume_tokens = whole.tokens[..cut].to_vec();
        let rest = engine.ask(Generate { resume_tokens, ..request.clone() });
        assert_alike(rest.certainty().unwrap(), whole.certainty().unwrap());
    }
}

#[test]
fn guessed_tokens_count_like_others() {
    let prompt = "Repeat: alpha beta gamma delta epsilon alpha beta gamma delta epsilon alpha beta";
    let mut plain = Engine::loaded();
    let expected = plain.ask(raw(prompt, greedy(24)));
    let mut guessing = Engine::start();
    let speculation = Speculation::Always.into();
    guessing.load(Load { speculation, ..load_request() }).unwrap();
    let guessed = guessing.ask(raw(prompt, greedy(24)));
    assert!(guessed.usage().accepted_tokens > 0, "{guessed:?}");
    assert_eq!(guessed.tokens, expected.tokens);
    assert_alike(guessed.certainty().unwrap(), expected.certainty().unwrap());
}
