//! What requests share in the KV cache, and how they make way for each other.

use std::path::Path;

use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::{Generate, Load};
use tandem_proto::v1::{ChatMessage, FinishReason, LogitBias, Role, Sampling};

use crate::harness::{Answer, Engine, chat, greedy, load_request, raw};

/// Answers with nothing but commas, as many as allowed.
const COMMA: u32 = 28;

pub fn commas(max_tokens: u32) -> Sampling {
    Sampling { logit_bias: vec![LogitBias { token: COMMA, bias: 100.0 }], ..greedy(max_tokens) }
}

/// A prompt of about `words` tokens, of which only the last few differ from number to number.
fn common(words: usize, number: usize) -> Generate {
    let context = "The quick brown fox jumps over the lazy dog. ".repeat(words / 10);
    raw(&format!("{context}\nQuestion {number}: what jumps?"), greedy(3))
}

/// Tokens of prompts that were computed.
fn computed(answers: &[Answer]) -> u32 {
    answers.iter().map(|a| a.usage().prompt_tokens - a.usage().cached_tokens).sum()
}

#[test]
fn a_conversation_that_goes_on_is_not_read_again() {
    let question = "What is the capital of France? Answer briefly.";
    let mut engine = Engine::loaded();
    let first = engine.ask(chat(question, greedy(24)));
    assert_eq!(first.usage().cached_tokens, 0);
    let message = |role: Role, content: &str| ChatMessage {
        role: role.into(),
        content: content.to_owned(),
        ..Default::default()
    };
    let mut next = chat(question, greedy(24));
    next.messages.push(message(Role::Assistant, &first.text));
    next.messages.push(message(Role::User, "And of Italy?"));
    let second = engine.ask(next.clone());
    let usage = second.usage();
    assert!(usage.cached_tokens >= first.usage().prompt_tokens, "{usage:?}");
    assert!(usage.cached_tokens < usage.prompt_tokens, "{usage:?}");
    let again = engine.ask(next.clone());
    assert_eq!(again.usage().cached_tokens, usage.prompt_tokens - 1);
    let fresh = Engine::loaded().ask(next);
    assert_eq!((&again.tokens, &second.tokens), (&fresh.tokens, &fresh.tokens));
}

#[test]
fn requests_that_begin_alike_and_come_together_cost_one_prefill() {
    let mut engine = Engine::start();
    engine.load(Load { sequences_max: 12, ..load_request() }).unwrap();
    let ids: Vec<u64> = (0..12).map(|n| engine.generate(common(900, n))).collect();
    let answers = engine.answers(&ids);
    let length = answers[0].usage().prompt_tokens;
    assert!(length > 800);
    // Each computes its own question, and what is too little to be waited for.
    let own = 12 * 50;
    assert!(computed(&answers) < length + own, "{} of {length}", computed(&answers));
    for answer in &answers {
        assert_eq!(answer.tokens.len(), 3);
    }
    let late = engine.ask(common(900, 99));
    assert!(computed(&[late]) < 20);
}

#[test]
fn the_next_leads_when_the_leader_is_cancelled() {
    let mut engine = Engine::start();
    engine.load(Load { batch_tokens: 128, ..load_request() }).unwrap();
    let ids: Vec<u64> = (0..4).map(|n| engine.generate(common(900, n))).collect();
    // All have their place, and the first reads.
    for _ in &ids {
        assert!(matches!(engine.reply(), Message::Started(_)));
    }
    engine.cancel(ids[0]);
    let answers = engine.answers(&ids);
    assert_eq!(answers[0].reason(), FinishReason::Cancelled);
    let length = answers[1].usage().prompt_tokens;
    assert!(computed(&answers[1..]) < length + 3 * 50, "{}", computed(&answers[1..]));
    assert!(answers[1..].iter().all(|answer| answer.tokens.len() == 3));
}

#[test]
fn answers_that_outgrow_the_cache_make_way_and_come_out_whole() {
    let mut engine = Engine::start();
    engine.load(Load { context_tokens: 768, ..load_request() }).unwrap();
    let ids: Vec<u64> =
        (0..4).map(|n| engine.generate(raw(&format!("{n} Once"), commas(420)))).collect();
    let mut started = Vec::new();
    let mut answers = vec![Answer::default(); ids.len()];
    let mut open = ids.len();
    let mut preemptions = 0;
    while open > 0 {
        match engine.receive() {
            Some(Message::Started(start)) => started.push(start.id),
            Some(Message::Heartbeat(heartbeat)) => preemptions = heartbeat.preemptions,
            Some(Message::Step(step)) => {
                for sequence in step.sequences {
                    let at = ids.iter().position(|&id| id == sequence.id).unwrap();
                    open -= usize::from(answers[at].add(sequence));
                }
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(started, ids, "each starts once, in order");
    for answer in &answers {
        assert_eq!(
            (answer.reason(), answer.tokens.as_slice()),
            (FinishReason::Length, &[COMMA; 420][..])
        );
        assert_eq!(answer.text, ",".repeat(420));
        assert_eq!(answer.usage().completion_tokens, 420);
    }
    let heartbeat = engine.idle();
    assert!(heartbeat.preemptions.max(preemptions) > 0);
    assert_eq!(heartbeat.cells_free + heartbeat.cells_retained, 768);
}

#[test]
fn a_prompt_that_is_cancelled_is_not_read_to_its_end() {
    let mut engine = Engine::start();
    // The whole prompt is one step.
    engine.load(Load { batch_tokens: 4096, ..load_request() }).unwrap();
    let long = engine.generate(raw(&" word".repeat(3500), greedy(4)));
    while !matches!(engine.reply(), Message::Started(started) if started.id == long) {}
    let question = "What is the capital of France? Answer briefly.";
    let short = engine.generate(chat(question, greedy(24)));
    engine.cancel(long);
    let answers = engine.answers(&[long, short]);
    assert_eq!(answers[0].reason(), FinishReason::Cancelled);
    assert!(answers[1].text.contains("Paris"), "{}", answers[1].text);
    let heartbeat = engine.idle();
    assert!(heartbeat.cells_retained < 3500, "{heartbeat:?}");
    assert_eq!(heartbeat.cells_free + heartbeat.cells_retained, 4096);
}

#[test]
fn others_in_a_step_that_is_aborted_lose_nothing() {
    let mut engine = Engine::start();
    engine.load(Load { batch_tokens: 4096, ..load_request() }).unwrap();
    let stem = " word".repeat(200);
    for round in 0..4 {
        let whole = engine.generate(raw(&format!("{round} one{stem}"), commas(8)));
        let wasted = engine.generate(raw(&format!("{round} two{stem}{stem}{stem}"), commas(8)));
        engine.cancel(wasted);
        let answers = engine.answers(&[whole, wasted]);
        assert_eq!(answers[1].reason(), FinishReason::Cancelled);
        assert_eq!(answers[0].tokens, [COMMA; 8]);
        let heartbeat = engine.idle();
        assert_eq!(heartbeat.cells_free + heartbeat.cells_retained, 4096);
    }
}

/// Files of saved prefixes that are whole.
pub fn saved(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "prefix")).count()
}

#[test]
fn the_system_part_of_a_chat_outlives_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let load = || Load {
        prefix_folder: folder.path().to_string_lossy().into_owned(),
        prefix_disk_bytes: 1 << 30,
        prefix_memory_bytes: 1 << 30,
        ..load_request()
    };
    let instruction = "You answer in one short sentence and never apologise. ".repeat(30);
    let ask = |text: &str| {
        let mut request = chat(text, greedy(12));
        let system = ChatMessage {
            role: Role::System.into(),
            content: instruction.clone(),
            ..Default::default()
        };
        request.messages.insert(0, system);
        request
    };
    let mut engine = Engine::start();
    engine.load(load()).unwrap();
    engine.ask(ask("What is a river?"));
    // The next one is a second away at most.
    while saved(folder.path()) == 0 {
        assert!(matches!(engine.receive(), Some(Message::Heartbeat(_))));
    }
    drop(engine);
    let mut engine = Engine::start();
    engine.load(load()).unwrap();
    let warm = engine.ask(ask("Name one town."));
    let usage = warm.usage();
    assert!(usage.cached_tokens > 300, "{usage:?}");
    assert!(usage.prompt_tokens - usage.cached_tokens < 20, "{usage:?}");
    // An engine that takes over the same from a sequence in its cache says the same.
    let mut other = Engine::loaded();
    other.ask(ask("What is a river?"));
    let shared = other.ask(ask("Name one town."));
    assert_eq!(shared.usage().cached_tokens, usage.cached_tokens);
    assert_eq!(warm.tokens, shared.tokens);
}
