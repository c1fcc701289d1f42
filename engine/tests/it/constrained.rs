//! Answers that obey a JSON schema or a grammar, and mirostat.

use serde_json::Value;
use tandem_proto::engine::{Generate, Rejection};
use tandem_proto::v1::{FinishReason, Sampling};

use crate::harness::{Answer, Engine, chat, greedy, raw, seeded};

const PERSON: &str = r#"{
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "likes": {"type": "array", "items": {"enum": ["tea", "music", "rain"]}, "maxItems": 3},
        "married": {"type": "boolean"}
    },
    "required": ["name", "age", "likes"],
    "additionalProperties": false
}"#;

fn person(seed: u64, max_tokens: u32) -> Sampling {
    Sampling {
        // Nothing but the schema keeps the answer in form.
        temperature: Some(1.5),
        top_k: Some(0),
        top_p: Some(1.0),
        min_p: Some(0.0),
        json_schema: PERSON.to_owned(),
        ..seeded(seed, max_tokens)
    }
}

fn question(sampling: Sampling) -> Generate {
    chat("Describe a person in JSON.", sampling)
}

fn assert_is_person(text: &str) {
    let parsed: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let object = parsed.as_object().unwrap();
    let known = ["name", "age", "likes", "married"];
    assert!(object.keys().all(|key| known.contains(&key.as_str())), "{text}");
    let name = object["name"].as_str().unwrap();
    assert!((1..=20).contains(&name.chars().count()), "{text}");
    assert!((0..=130).contains(&object["age"].as_i64().unwrap()), "{text}");
    let likes = object["likes"].as_array().unwrap();
    assert!(likes.len() <= 3, "{text}");
    let likable = |like: &Value| ["tea", "music", "rain"].contains(&like.as_str().unwrap());
    assert!(likes.iter().all(likable), "{text}");
    assert!(object.get("married").is_none_or(Value::is_boolean), "{text}");
}

#[test]
fn every_answer_of_two_hundred_fits_the_schema() {
    let mut engine = Engine::loaded();
    let mut whole = 0;
    for start in (0..200).step_by(40) {
        let ids: Vec<u64> =
            (start..start + 40).map(|seed| engine.generate(question(person(seed, 120)))).collect();
        for answer in engine.answers(&ids) {
            if answer.reason() == FinishReason::Stop {
                assert_is_person(&answer.text);
                whole += 1;
            }
        }
    }
    assert!(whole >= 150, "only {whole} of 200 answers came to their end");
}

#[test]
fn a_greedy_answer_obeys_too_and_keeps_the_models_own_probabilities() {
    let mut engine = Engine::loaded();
    let sampling = Sampling { json_schema: PERSON.to_owned(), logprobs: Some(3), ..greedy(100) };
    let answer = engine.ask(question(sampling));
    assert_eq!(answer.reason(), FinishReason::Stop);
    assert_is_person(&answer.text);
    // What the model would rather have written is still its likeliest token somewhere.
    let overruled = answer.logprobs.iter().filter(|entry| {
        entry.alternatives[0].token != entry.token && entry.alternatives[0].logprob > entry.logprob
    });
    assert!(overruled.count() > 0);
}

#[test]
fn any_json_object_is_an_object() {
    let mut engine = Engine::loaded();
    let answer = engine.ask(chat("Describe tea.", Sampling { json: true, ..greedy(200) }));
    assert!(answer.text.starts_with('{'), "{}", answer.text);
    if answer.reason() == FinishReason::Stop {
        assert!(serde_json::from_str::<Value>(&answer.text).unwrap().is_object());
    }
}

#[test]
fn a_grammar_of_two_words_is_answered_with_one_of_them() {
    let mut engine = Engine::loaded();
    for grammar in ["root ::= \"yes\" | \"no\"", "start: \"yes\" | \"no\""] {
        let ids: Vec<u64> = (0..8)
            .map(|seed| {
                let sampling = Sampling { grammar: grammar.to_owned(), ..seeded(seed, 10) };
                engine.generate(chat("Is Paris in France?", sampling))
            })
            .collect();
        for answer in engine.answers(&ids) {
            assert_eq!(answer.reason(), FinishReason::Stop);
            assert!(["yes", "no"].contains(&answer.text.as_str()), "{}", answer.text);
        }
    }
}

/// The whole answer, and what an engine makes of its beginning that takes it up.
fn resumed(engine: &mut Engine, sampling: &Sampling, cut: usize) -> (Answer, Vec<u32>) {
    let whole = engine.ask(question(sampling.clone()));
    let (before, _) = whole.tokens.split_at(cut.min(whole.tokens.len() - 1));
    let request = Generate { resume_tokens: before.to_vec(), ..question(sampling.clone()) };
    let rest = engine.ask(request);
    assert_eq!(rest.reason(), whole.reason());
    let tokens = before.iter().chain(&rest.tokens).copied().collect();
    (whole, tokens)
}

#[test]
fn a_constrained_answer_goes_on_where_it_stood() {
    let mut engine = Engine::loaded();
    for cut in [1, 9, 17] {
        let (whole, tokens) = resumed(&mut engine, &person(3, 120), cut);
        assert_eq!(whole.tokens, tokens, "cut at {cut}");
    }
}

#[test]
fn mirostat_goes_on_where_it_stood() {
    let mut engine = Engine::loaded();
    let mirostat = |schema: &str| Sampling {
        mirostat: Some(2),
        mirostat_tau: Some(2.0),
        mirostat_eta: Some(0.5),
        json_schema: schema.to_owned(),
        ..seeded(5, 40)
    };
    let free = engine.ask(question(seeded(5, 40)));
    for cut in [1, 8, 20] {
        let (whole, tokens) = resumed(&mut engine, &mirostat(""), cut);
        assert_eq!(whole.tokens, tokens, "cut at {cut}");
        assert_ne!(whole.tokens, free.tokens, "it makes a difference");
        let (whole, tokens) = resumed(&mut engine, &mirostat(PERSON), cut);
        assert_eq!(whole.tokens, tokens, "constrained, cut at {cut}");
    }
}

#[test]
fn constraints_that_cannot_be_used_are_rejected_by_name() {
    let mut engine = Engine::loaded();
    let schema = |text: &str| Sampling { json_schema: text.to_owned(), ..greedy(4) };
    let grammar = |text: &str| Sampling { grammar: text.to_owned(), ..greedy(4) };
    let deep = format!("{}{}", "[".repeat(9_000), "]".repeat(9_000));
    let cases = [
        ("json_schema", schema("{\"type\":")),
        ("json_schema", schema(&deep)),
        ("json_schema", schema(&" ".repeat(70_000))),
        ("json_schema", schema(r##"{"allOf":[{"$ref":"#/x"}]}"##)),
        ("json_schema", Sampling { json: true, ..schema("{}") }),
        ("grammar", grammar("root ::= (")),
        ("grammar", grammar(&format!("root ::= {}", "(".repeat(60_000)))),
        ("grammar", grammar("no grammar at all")),
        ("mirostat", Sampling { mirostat: Some(1), ..greedy(4) }),
    ];
    for (field, sampling) in cases {
        let (rejection, message) = engine.rejected(raw("Hi", sampling));
        assert_eq!(rejection, Rejection::Invalid);
        assert!(message.contains(field), "{message}");
    }
}

#[test]
fn hostile_constraints_do_no_harm() {
    let mut engine = Engine::loaded();
    let words: Vec<String> = (0..4_000).map(|n| format!("\"word-{n}-{}\"", n * 7919)).collect();
    let chain: Vec<_> = (0..3_000).map(|n| format!("c{n} ::= \"x\" c{}\n", n + 1)).collect();
    let chain = chain.concat();
    let schemas = [
        format!(r#"{{"enum":[{}]}}"#, words.join(",")),
        r##"{"allOf":[{"$ref":"#"},{"$ref":"#"}]}"##.to_owned(),
        r##"{"type":"array","items":{"$ref":"#"},"minItems":1000000000}"##.to_owned(),
        r#"{"type":"string","pattern":"^((a{1,999}){1,999}){1,999}$"}"#.to_owned(),
        r#"{"type":"string","pattern":"^(.*a.{60}){9}$"}"#.to_owned(),
    ];
    let grammars = [
        format!("root ::= c0 root?\n{chain}c3000 ::= \"x\" root?"),
        format!("root ::= ({}) root?", words.join(" | ")),
        "root ::= ((\"a\"{2000}){2000}){2000}".to_owned(),
        "root ::= root root root | \"a\" | \"\"".to_owned(),
    ];
    let schemas = schemas.map(|json_schema| Sampling { json_schema, ..seeded(1, 12) });
    let grammars = grammars.map(|grammar| Sampling { grammar, ..seeded(1, 12) });
    for sampling in schemas.into_iter().chain(grammars) {
        let id = engine.generate(chat("Hi", sampling));
        // Rejected or answered; what counts is that the engine lives.
        while !engine.ended(id) {}
    }
    assert!(!engine.ask(chat("Say hello.", greedy(2))).tokens.is_empty(), "others are served");
}
