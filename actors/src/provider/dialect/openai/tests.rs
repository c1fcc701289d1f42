//! Requests in the words of chat completions. What is read of answers: `provider/answer/tests.rs`.
#![allow(clippy::unwrap_used, reason = "tests")]
use std::time::Instant;

use serde_json::json;
use tandem_proto::v1::LogitBias;

use super::*;
use crate::Tools;
use crate::router::Class;

fn json_of(prompt: Prompt, sampling: Sampling) -> Result<Value> {
    let tools = Tools::default();
    let settings = Settings { max_tokens: 100, ..Settings::new("http://host/v1", "remote") };
    let deadline = Instant::now();
    let request = TrackRequest {
        turn_id: String::new(),
        prompt,
        sampling,
        tools,
        class: Class::Batch,
        deadline,
    };
    body(&settings, &request).map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

#[test]
fn a_bare_text_is_one_message_of_the_user_and_unset_fields_are_not_sent() {
    let sent = json_of(Prompt::Text("hi".into()), Sampling::default()).unwrap();
    let expected = json!({
        "model": "remote",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": true,
        "stream_options": {"include_usage": true},
        "max_tokens": 100,
    });
    assert_eq!(sent, expected);
}

#[test]
fn sampling_is_sent_as_far_as_the_api_knows_it() {
    let sampling = Sampling {
        temperature: Some(0.5),
        top_k: Some(40),
        top_p: Some(0.25),
        min_p: Some(0.1),
        typical_p: Some(0.9),
        repeat_penalty: Some(1.1),
        repeat_last_n: Some(64),
        presence_penalty: Some(1.5),
        frequency_penalty: Some(-0.5),
        seed: Some(u64::MAX),
        max_tokens: Some(7),
        stop: vec!["\n".into()],
        logit_bias: vec![LogitBias { token: 3, bias: -100.0 }],
        logprobs: Some(2),
        ..Sampling::default()
    };
    let chat = [(Role::System, "be brief"), (Role::User, "hi"), (Role::Assistant, "yes")].map(
        |(role, content)| ChatMessage {
            role: role.into(),
            content: content.into(),
            ..ChatMessage::default()
        },
    );
    let sent = json_of(Prompt::Chat(chat.to_vec()), sampling).unwrap();
    let expected = json!({
        "model": "remote",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "yes"},
        ],
        "stream": true,
        "stream_options": {"include_usage": true},
        "max_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.25,
        "presence_penalty": 1.5,
        "frequency_penalty": -0.5,
        "seed": i64::MAX,
        "stop": ["\n"],
        "logit_bias": {"3": -100.0},
        "logprobs": true,
        "top_logprobs": 2,
    });
    assert_eq!(sent, expected);
}

#[test]
fn an_answer_is_never_longer_than_the_provider_allows() {
    let sampling = Sampling { max_tokens: Some(5000), ..Sampling::default() };
    let sent = json_of(Prompt::Text("hi".into()), sampling).unwrap();
    assert_eq!(sent["max_tokens"], 100);
}

#[test]
fn a_constraint_is_sent_or_refused() {
    let sent = |sampling| json_of(Prompt::Text("hi".into()), sampling);
    let format = |sampling| sent(sampling).unwrap()["response_format"].clone();
    assert_eq!(
        format(Sampling { json: true, ..Sampling::default() }),
        json!({"type": "json_object"})
    );
    let schema = r#"{"type": "integer"}"#.to_owned();
    assert_eq!(
        format(Sampling { json_schema: schema, ..Sampling::default() }),
        json!({
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "integer"}, "strict": true},
        })
    );
    for wrong in [
        Sampling { json_schema: "{".into(), ..Sampling::default() },
        Sampling { grammar: "root ::= \"x\"".into(), ..Sampling::default() },
    ] {
        assert!(matches!(sent(wrong), Err(Error::Invalid { .. })));
    }
}

#[test]
fn more_stop_strings_than_the_api_takes_are_refused() {
    let sampling = Sampling { stop: vec!["x".into(); 5], ..Sampling::default() };
    let error = json_of(Prompt::Text("hi".into()), sampling).unwrap_err();
    assert_eq!(error.to_string(), "sampling.stop: 5 strings; a provider takes at most 4");
}
