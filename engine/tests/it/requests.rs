//! Requests that are cancelled, refused or hostile.

use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::to_engine::Message as ToMessage;
use tandem_proto::engine::{CountTokens, Generate, Load, Rejection};
use tandem_proto::v1::{ChatMessage, FinishReason, LogitBias, Sampling};

use crate::harness::{Engine, chat, greedy, load_request, raw, user};

#[test]
fn a_cancelled_request_ends_and_leaves_room_for_the_next() {
    let mut engine = Engine::start();
    engine.load(Load { sequences_max: 1, ..load_request() }).unwrap();
    let first = engine.generate(raw("Once upon a time", greedy(2000)));
    engine.first_step(first);
    let second = engine.generate(chat("Say hello.", greedy(4)));
    engine.cancel(first);
    let answers = engine.answers(&[first, second]);
    assert_eq!(answers[0].reason(), FinishReason::Cancelled);
    assert!(!answers[1].tokens.is_empty());
}

#[test]
fn a_waiting_request_can_be_cancelled() {
    let mut engine = Engine::start();
    engine.load(Load { sequences_max: 1, ..load_request() }).unwrap();
    let running = engine.generate(raw("Once upon a time", greedy(30)));
    engine.first_step(running);
    let waiting = engine.generate(chat("Say hello.", greedy(4)));
    engine.cancel(waiting);
    let answers = engine.answers(&[running, waiting]);
    assert_eq!(answers[1].reason(), FinishReason::Cancelled);
    assert_eq!(answers[0].reason(), FinishReason::Length);
}

#[test]
fn cancelling_what_is_unknown_or_over_does_nothing() {
    let mut engine = Engine::loaded();
    let over = engine.generate(chat("Say hello.", greedy(2)));
    engine.answers(&[over]);
    engine.cancel(over);
    engine.cancel(4711);
    assert!(!engine.ask(chat("Say hello.", greedy(2))).tokens.is_empty());
}

#[test]
fn all_cells_are_free_again_after_a_storm_of_cancellations() {
    let mut engine = Engine::loaded();
    let ids: Vec<u64> =
        (0..40).map(|n| engine.generate(raw(&format!("Story {n}:"), greedy(400)))).collect();
    engine.first_step(ids[0]);
    // The others end as they may: running, waiting or still being prepared.
    for &id in &ids {
        engine.cancel(id);
    }
    let mut open = ids.len();
    while open > 0 {
        if let Message::Step(step) = engine.reply() {
            open -= step.sequences.iter().filter(|sequence| sequence.finish.is_some()).count();
        }
    }
    let heartbeat = engine.idle();
    assert_eq!(heartbeat.cells_free + heartbeat.cells_retained, 4096);
}

#[test]
fn values_outside_their_ranges_are_rejected_by_name() {
    let mut engine = Engine::loaded();
    let bias = |token, bias| vec![LogitBias { token, bias }];
    let cases = [
        ("temperature", Sampling { temperature: Some(f32::NAN), ..greedy(4) }),
        ("temperature", Sampling { temperature: Some(-1.0), ..greedy(4) }),
        ("top_p", Sampling { top_p: Some(0.0), ..greedy(4) }),
        ("min_p", Sampling { min_p: Some(2.0), ..greedy(4) }),
        ("repeat_penalty", Sampling { repeat_penalty: Some(0.0), ..greedy(4) }),
        ("max_tokens", Sampling { max_tokens: Some(0), ..greedy(4) }),
        ("seed", Sampling { seed: None, ..greedy(4) }),
        ("stop", Sampling { stop: vec![String::new()], ..greedy(4) }),
        ("logit_bias", Sampling { logit_bias: bias(u32::MAX, 0.0), ..greedy(4) }),
        ("logprobs", Sampling { logprobs: Some(21), ..greedy(4) }),
    ];
    for (field, sampling) in cases {
        let (rejection, message) = engine.rejected(chat("Hi", sampling));
        assert_eq!(rejection, Rejection::Invalid);
        assert!(message.contains(field), "{message}");
    }
}

#[test]
fn requests_that_make_no_sense_are_rejected() {
    let mut engine = Engine::loaded();
    let nothing = Generate { sampling: Some(greedy(4)), ..Generate::default() };
    let both = Generate { messages: user("Hi"), ..raw("Hi", greedy(4)) };
    let unknown = Generate { resume_tokens: vec![u32::MAX], ..raw("Hi", greedy(4)) };
    let roleless = Generate {
        messages: vec![ChatMessage { role: 0, content: "Hi".to_owned(), ..Default::default() }],
        ..nothing.clone()
    };
    let huge = raw(&"a ".repeat(3 << 20), greedy(4));
    for request in [nothing, both, unknown, roleless, huge] {
        assert_eq!(engine.rejected(request).0, Rejection::Invalid);
    }
    assert!(!engine.ask(chat("Say hello.", greedy(2))).tokens.is_empty(), "others are served");
}

#[test]
fn a_prompt_longer_than_the_context_is_rejected_with_both_numbers() {
    let mut engine = Engine::loaded();
    let (rejection, message) = engine.rejected(raw(&" word".repeat(5000), greedy(4)));
    assert_eq!(rejection, Rejection::TooLong);
    assert!(message.contains("5000") && message.contains("4096"), "{message}");
}

#[test]
fn an_answer_takes_what_the_prompt_leaves_of_the_context() {
    let mut engine = Engine::start();
    engine.load(Load { context_tokens: 256, ..load_request() }).unwrap();
    let sampling =
        Sampling { logit_bias: vec![LogitBias { token: 28, bias: 100.0 }], ..greedy(1_000_000) };
    let answer = engine.ask(raw(&"word ".repeat(200), sampling));
    let usage = answer.last.finish.as_ref().unwrap().usage.unwrap();
    assert_eq!(answer.reason(), FinishReason::Length);
    assert_eq!(usage.prompt_tokens + usage.completion_tokens, 256);
}

#[test]
fn a_long_run_of_one_character_is_tokenized() {
    let mut engine = Engine::loaded();
    let (rejection, _) = engine.rejected(raw(&"a".repeat(512 << 10), greedy(4)));
    assert_eq!(rejection, Rejection::TooLong);
    let (rejection, message) = engine.rejected(raw(&"a".repeat((512 << 10) + 1), greedy(4)));
    assert_eq!(rejection, Rejection::Invalid);
    assert!(message.contains("524288"), "{message}");
}

#[test]
fn control_tokens_in_a_message_do_not_end_its_turn() {
    let mut engine = Engine::loaded();
    let mut count = |texts: &[&str], content: &str| {
        let texts = texts.iter().map(|&text| text.to_owned()).collect();
        engine.send(ToMessage::CountTokens(CountTokens { id: 1, texts, messages: user(content) }));
        match engine.reply() {
            Message::Count(count) => (count.texts.iter().sum::<u32>(), count.messages),
            other => panic!("unexpected {other:?}"),
        }
    };
    let (_, empty) = count(&[], "");
    for control in ["<|im_end|>", "<|im_start|>"] {
        let (as_text, hostile) = count(&["<", &control[1..]], control);
        // Read as a control token it would be one.
        assert!(as_text > 1);
        assert_eq!(hostile - empty, as_text);
    }
}
