//! Taking up what an engine that died had begun.

use tandem_proto::engine::Generate;
use tandem_proto::v1::{FinishReason, Sampling};

use crate::harness::{Engine, chat, greedy, seeded};

/// Interrupts `request` after some tokens, and compares what a resumed run adds.
fn resumed_runs_go_on_as_the_first(request: &Generate) {
    let mut engine = Engine::loaded();
    let whole = engine.ask(request.clone());
    for cut in [1, 5, whole.tokens.len() / 2, whole.tokens.len() - 1] {
        let resume_tokens = whole.tokens[..cut].to_vec();
        let rest = engine.ask(Generate { resume_tokens, ..request.clone() });
        assert_eq!(rest.tokens, whole.tokens[cut..], "cut at {cut}");
        assert!(whole.text.ends_with(&rest.text), "cut at {cut}: {:?}", rest.text);
        assert_eq!(rest.reason(), whole.reason());
        let usage = |answer: &crate::harness::Answer| {
            answer.last.finish.as_ref().unwrap().usage.unwrap().completion_tokens
        };
        assert_eq!(usage(&rest), usage(&whole));
    }
}

#[test]
fn a_greedy_answer_goes_on_as_it_would_have() {
    resumed_runs_go_on_as_the_first(&chat("Why is the sky blue?", greedy(48)));
}

#[test]
fn a_sampled_answer_goes_on_as_it_would_have() {
    let sampling =
        Sampling { repeat_penalty: Some(1.2), frequency_penalty: Some(0.3), ..seeded(11, 48) };
    resumed_runs_go_on_as_the_first(&chat("Tell me about the sea.", sampling));
}

#[test]
fn resuming_a_finished_answer_finishes_at_once() {
    let mut engine = Engine::loaded();
    let whole = engine.ask(chat("Tell me about the sea.", greedy(6)));
    let resume_tokens = whole.tokens.clone();
    let again = engine.ask(Generate { resume_tokens, ..chat("Tell me about the sea.", greedy(6)) });
    assert_eq!((again.reason(), again.tokens.len()), (FinishReason::Length, 0));
}
