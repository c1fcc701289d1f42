//! What is posted, in each dialect.

use serde_json::{Value, json};
use tandem_proto::v1::{ChatMessage, Image, Role, Sampling, Tool, ToolCall};

use super::*;
use crate::router::Class;
use crate::{Choice, Prompt, Tools};

/// A conversation with everything in it that a dialect has words for.
fn request() -> TrackRequest {
    let said = |role: Role, content: &str| ChatMessage {
        role: role.into(),
        content: content.to_owned(),
        ..ChatMessage::default()
    };
    let call = |id: &str, arguments: &str| ToolCall {
        id: id.to_owned(),
        name: "get_weather".to_owned(),
        arguments: arguments.to_owned(),
    };
    let result = |id: &str, content: &str| ChatMessage {
        tool_call_id: id.to_owned(),
        ..said(Role::Tool, content)
    };
    let messages = vec![
        said(Role::System, "Be brief."),
        said(Role::User, "How is the weather in Paris and in Oslo?"),
        ChatMessage {
            tool_calls: vec![
                call("call_1", "{\"city\":\"Paris\"}"),
                call("call.2", "{\"city\":\"Oslo\"}"),
            ],
            ..said(Role::Assistant, "")
        },
        result("call_1", "18 °C"),
        result("call.2", "9 °C"),
        said(Role::Assistant, "18 °C and 9 °C."),
        ChatMessage {
            images: vec![Image { data: b"\x89PNG\r\n\x1a\n".to_vec() }],
            ..said(Role::User, "And here?")
        },
    ];
    let schema = r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#;
    let tool = |name: &str, parameters: &str| Tool {
        name: name.to_owned(),
        description: "The weather now.".to_owned(),
        parameters: parameters.to_owned(),
    };
    TrackRequest {
        turn_id: "turn".to_owned(),
        prompt: Prompt::Chat(messages),
        sampling: Sampling {
            temperature: Some(0.5),
            top_p: Some(0.25),
            top_k: Some(40),
            seed: Some(7),
            max_tokens: Some(60),
            stop: vec!["END".to_owned()],
            json_schema: r#"{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":false}"#.to_owned(),
            ..Sampling::default()
        },
        tools: Tools {
            offered: vec![tool("get_weather", schema), tool("get_place", "")],
            choice: Choice::Auto,
        },
        class: Class::Batch,
        deadline: Instant::now(),
    }
}

fn settings(dialect: Dialect) -> Settings {
    let kind = match dialect {
        Dialect::OpenAi => ProviderKind::OpenAi,
        Dialect::Anthropic => ProviderKind::Anthropic,
        Dialect::Ollama => ProviderKind::Ollama,
    };
    let keep_alive = (dialect == Dialect::Ollama).then(|| std::time::Duration::from_mins(5));
    Settings { kind, keep_alive, max_tokens: 100, ..Settings::new("http://host", "remote") }
}

fn body(dialect: Dialect, request: &TrackRequest) -> Value {
    serde_json::from_slice(&dialect.body(&settings(dialect), request).unwrap()).unwrap()
}

#[test]
fn requests_are_written_as_the_libraries_of_the_apis_write_them() {
    for (dialect, name) in ALL {
        let files = golden(name, "request.json");
        let expected: Value = serde_json::from_slice(&files[0].1).unwrap();
        let written = body(dialect, &request());
        assert_eq!(written, expected, "{name}: {written:#}");
    }
}

#[test]
fn each_dialect_has_its_words_for_the_choice_of_a_tool() {
    let chosen = |dialect, choice: &Choice| {
        let mut request = request();
        request.tools.choice = choice.clone();
        body(dialect, &request)["tool_choice"].clone()
    };
    let named = Choice::Named("get_place".to_owned());
    for (choice, openai, anthropic) in [
        (Choice::Auto, Value::Null, Value::Null),
        (Choice::Never, json!("none"), json!({"type": "none"})),
        (Choice::Required, json!("required"), json!({"type": "any"})),
        (
            named.clone(),
            json!({"type": "function", "function": {"name": "get_place"}}),
            json!({"type": "tool", "name": "get_place"}),
        ),
    ] {
        assert_eq!(chosen(Dialect::OpenAi, &choice), openai);
        assert_eq!(chosen(Dialect::Anthropic, &choice), anthropic);
    }
    let mut forced = request();
    forced.tools.choice = named;
    let error = Dialect::Ollama.body(&settings(Dialect::Ollama), &forced).unwrap_err();
    assert!(error.to_string().starts_with("tool_choice: is set, but Ollama cannot"), "{error}");
    forced.tools.choice = Choice::Never;
    assert_eq!(body(Dialect::Ollama, &forced)["tools"], Value::Null);
}

#[test]
fn bare_json_is_asked_for_where_there_is_a_word_for_it() {
    let mut request = request();
    request.sampling = Sampling { json: true, ..Sampling::default() };
    assert_eq!(body(Dialect::OpenAi, &request)["response_format"]["type"], "json_object");
    assert_eq!(body(Dialect::Ollama, &request)["format"], "json");
    let error = Dialect::Anthropic.body(&settings(Dialect::Anthropic), &request).unwrap_err();
    assert!(error.to_string().contains("use json_schema"), "{error}");
}

#[test]
fn no_dialect_has_a_word_for_a_grammar() {
    let mut request = request();
    request.sampling = Sampling { grammar: "root ::= \"x\"".to_owned(), ..Sampling::default() };
    for (dialect, _) in ALL {
        assert!(matches!(dialect.body(&settings(dialect), &request), Err(Error::Invalid { .. })));
    }
}

#[test]
fn openai_itself_is_told_the_limit_by_its_newer_name() {
    let request = request();
    let at = |base_url: &str| {
        let settings = Settings { base_url: base_url.to_owned(), ..settings(Dialect::OpenAi) };
        let body = Dialect::OpenAi.body(&settings, &request).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        (body["max_tokens"].clone(), body["max_completion_tokens"].clone())
    };
    assert_eq!(at("https://api.openai.com/v1"), (Value::Null, 60.into()));
    assert_eq!(at("http://127.0.0.1:8080/v1"), (60.into(), Value::Null));
}

#[test]
fn every_kind_has_its_address() {
    for (kind, address) in [
        (ProviderKind::OpenAi, "https://api.openai.com/v1/chat/completions"),
        (ProviderKind::Anthropic, "https://api.anthropic.com/v1/messages"),
        (ProviderKind::HuggingFace, "https://router.huggingface.co/v1/chat/completions"),
        (ProviderKind::Ollama, "http://127.0.0.1:11434/api/chat"),
    ] {
        let settings = Settings { kind, ..Settings::new(kind.public_address(), "m") };
        assert_eq!(Dialect::of(&settings).address(&settings), address);
    }
}
