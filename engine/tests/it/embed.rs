//! Texts to embeddings.

use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::to_engine::Message as ToMessage;
use tandem_proto::engine::{Embed, Embedding, Load, Loaded, Rejection, Tokenize};
use tandem_proto::v1::FinishReason;
use tempfile::TempDir;

use crate::harness::{Engine, greedy, load_request, raw};
use crate::tiny;

/// An engine with the tiny model, and the folder that this is in.
fn loaded_with(change: impl FnOnce(&mut Load)) -> (Engine, Loaded, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = tiny::bert(folder.path()).display().to_string();
    let mut engine = Engine::start();
    let mut request = Load { path, threads: 1, ..load_request() };
    change(&mut request);
    let loaded = engine.load(request).unwrap();
    (engine, loaded, folder)
}

fn send(engine: &mut Engine, id: u64, texts: &[String]) {
    let texts = texts.to_vec();
    engine.send(ToMessage::Embed(Embed { id, texts, normalize: true }));
}

fn embed(engine: &mut Engine, texts: &[String]) -> Vec<Embedding> {
    send(engine, 7, texts);
    match engine.reply() {
        Message::Embedded(embedded) => {
            assert_eq!((embedded.id, embedded.embeddings.len()), (7, texts.len()));
            embedded.embeddings
        }
        other => panic!("unexpected {other:?}"),
    }
}

fn rejected(engine: &mut Engine, id: u64) -> (Rejection, String) {
    match engine.reply() {
        Message::Rejected(rejected) if rejected.id == id => {
            (rejected.rejection(), rejected.message)
        }
        other => panic!("not rejected: {other:?}"),
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn are_close(a: &Embedding, b: &Embedding) -> bool {
    a.values.len() == b.values.len()
        && a.values.iter().zip(&b.values).all(|(a, b)| (a - b).abs() < 1e-4)
}

#[test]
fn a_model_that_embeds_says_so_and_makes_vectors_of_length_one() {
    let (mut engine, loaded, _folder) = loaded_with(|_| {});
    assert!(loaded.embeds);
    assert_eq!(loaded.embedding_dimensions as usize, tiny::DIMENSIONS);
    let made = embed(&mut engine, &texts(&["red", "blueish green", "", "red"]));
    for embedding in &made {
        let square: f32 = embedding.values.iter().map(|value| value * value).sum();
        assert!((square - 1.0).abs() < 1e-5, "{square}");
    }
    let tokens: Vec<u32> = made.iter().map(|embedding| embedding.tokens).collect();
    assert_eq!(tokens, [3, 5, 2, 3]);
    assert!(are_close(&made[0], &made[3]));
    assert!(!are_close(&made[0], &made[1]) && !are_close(&made[0], &made[2]));
}

#[test]
fn a_text_is_embedded_alone_as_among_others() {
    let (mut engine, _, _folder) = loaded_with(|load| load.batch_tokens = 32);
    let colours = ["red", "green", "blue", "a"];
    let many: Vec<String> = (0..200_usize)
        .map(|n| (0..n % 20).map(|at| colours[(n + at * at) % 4]).collect::<Vec<_>>().join(" "))
        .collect();
    let among = embed(&mut engine, &many);
    for at in (0..200).step_by(23) {
        let alone = embed(&mut engine, &many[at..=at]);
        assert!(are_close(&alone[0], &among[at]), "text {at}");
    }
}

#[test]
fn only_the_beginning_of_a_long_text_is_read() {
    let (mut engine, _, _folder) = loaded_with(|_| {});
    let room = tiny::TOKENS as usize - 2;
    let of = |words: usize| vec!["red"; words].join(" ");
    let made = embed(&mut engine, &[of(room), of(room + 1), of(5000)]);
    let facts: Vec<_> = made.iter().map(|made| (made.tokens, made.truncated)).collect();
    assert_eq!(facts, [(24, false), (24, true), (24, true)]);
    assert!(are_close(&made[0], &made[1]) && are_close(&made[0], &made[2]));
}

#[test]
fn requests_that_run_together_are_all_answered() {
    let (mut engine, _, _folder) = loaded_with(|load| load.batch_tokens = 32);
    let (short, long) = (texts(&["a"]), vec!["red green blue".to_owned(); 256]);
    for id in 1..=20 {
        send(&mut engine, id, if id % 2 == 0 { &short } else { &long });
    }
    let mut answered: Vec<u64> = (0..20)
        .map(|_| match engine.reply() {
            Message::Embedded(embedded) => {
                let expected = if embedded.id % 2 == 0 { 1 } else { 256 };
                assert_eq!(embedded.embeddings.len(), expected);
                embedded.id
            }
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    answered.sort_unstable();
    assert!(answered.into_iter().eq(1..=20));
}

#[test]
fn a_cancelled_request_is_confirmed_and_the_next_is_served() {
    let (mut engine, _, _folder) = loaded_with(|load| load.batch_tokens = 32);
    let long = vec!["red green blue red green blue red green blue".to_owned(); 256];
    for id in 1..=8 {
        send(&mut engine, id, &long);
    }
    for id in 1..=8 {
        engine.cancel(id);
    }
    let mut ended = Vec::new();
    while ended.len() < 8 {
        match engine.reply() {
            // The first may have been done before it was cancelled.
            Message::Embedded(embedded) => ended.push(embedded.id),
            Message::Step(step) => ended.extend(step.sequences.iter().map(|sequence| {
                assert_eq!(sequence.finish.as_ref().unwrap().reason(), FinishReason::Cancelled);
                sequence.id
            })),
            other => panic!("unexpected {other:?}"),
        }
    }
    ended.sort_unstable();
    assert!(ended.into_iter().eq(1..=8));
    assert_eq!(embed(&mut engine, &texts(&["red"])).len(), 1);
}

#[test]
fn requests_without_texts_with_too_many_or_too_long_ones_are_rejected() {
    let (mut engine, _, _folder) = loaded_with(|_| {});
    let cases = [
        (Vec::new(), "texts: 0"),
        (vec![String::new(); 257], "texts: 257"),
        (vec!["a".to_owned(), "a ".repeat(300_000)], "texts[1]"),
    ];
    for (texts, problem) in cases {
        send(&mut engine, 3, &texts);
        let (rejection, message) = rejected(&mut engine, 3);
        assert_eq!(rejection, Rejection::Invalid);
        assert!(message.contains(problem), "{message}");
    }
    assert_eq!(embed(&mut engine, &vec!["green".to_owned(); 256]).len(), 256);
}

#[test]
fn a_model_that_embeds_generates_nothing_and_still_counts_tokens() {
    let (mut engine, _, _folder) = loaded_with(|_| {});
    let (rejection, message) = engine.rejected(raw("red", greedy(4)));
    assert_eq!(rejection, Rejection::ModelKind);
    assert!(message.contains("generates no text"), "{message}");
    let tokenize = Tokenize { id: 4, text: "Blueish RED?".to_owned(), ..Tokenize::default() };
    engine.send(ToMessage::Tokenize(tokenize));
    match engine.reply() {
        Message::Tokens(tokens) => assert_eq!(tokens.tokens, [6, 8, 4, 1]),
        other => panic!("unexpected {other:?}"),
    }
}

#[test]
fn a_model_that_generates_makes_no_embeddings() {
    let mut engine = Engine::loaded();
    send(&mut engine, 5, &texts(&["red"]));
    let (rejection, message) = rejected(&mut engine, 5);
    assert_eq!(rejection, Rejection::ModelKind);
    assert!(message.contains("embedding model"), "{message}");
}

#[test]
fn heartbeats_go_on_while_nothing_is_asked() {
    let (mut engine, _, _folder) = loaded_with(|_| {});
    assert!(matches!(engine.receive(), Some(Message::Heartbeat(_))));
    embed(&mut engine, &texts(&["red"]));
    assert!(matches!(engine.receive(), Some(Message::Heartbeat(beat)) if beat.steps == 1));
}
