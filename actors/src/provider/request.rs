//! A request in the words of the API.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use tandem_config::Provider as Settings;
use tandem_proto::v1::{ChatMessage, Role, Sampling};

use crate::{Error, Prompt, Result, TrackRequest};

/// Stop strings that the API takes.
const STOP_MAX: usize = 4;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
    stream_options: StreamOptions,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    logit_bias: BTreeMap<u32, f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat>,
}

/// What the answer must be.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ResponseFormat {
    JsonObject,
    JsonSchema { json_schema: JsonSchema },
}

#[derive(Serialize)]
struct JsonSchema {
    name: &'static str,
    schema: Value,
    strict: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// The JSON to post. What the API has no field for is left out, except a constraint on the answer.
pub(super) fn body(settings: &Settings, request: &TrackRequest) -> Result<Vec<u8>> {
    let sampling = &request.sampling;
    if sampling.stop.len() > STOP_MAX {
        let problem =
            format!("{} strings; a provider takes at most {STOP_MAX}", sampling.stop.len());
        return Err(Error::invalid("sampling.stop", problem));
    }
    let body = Body {
        model: &settings.model,
        messages: match &request.prompt {
            Prompt::Text(text) => vec![Message { role: "user", content: text }],
            Prompt::Chat(messages) => messages.iter().map(message).collect(),
        },
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        max_tokens: sampling.max_tokens.unwrap_or(u32::MAX).min(settings.max_tokens),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        presence_penalty: sampling.presence_penalty,
        frequency_penalty: sampling.frequency_penalty,
        // The API's seed is signed.
        seed: sampling.seed.map(|seed| seed & i64::MAX.cast_unsigned()),
        stop: &sampling.stop,
        logit_bias: sampling.logit_bias.iter().map(|bias| (bias.token, bias.bias)).collect(),
        logprobs: sampling.logprobs.map(|_| true),
        top_logprobs: sampling.logprobs.filter(|&alternatives| alternatives > 0),
        response_format: response_format(sampling)?,
    };
    serde_json::to_vec(&body)
        .map_err(|error| Error::Internal { problem: format!("a request is not JSON: {error}") })
}

fn response_format(sampling: &Sampling) -> Result<Option<ResponseFormat>> {
    if !sampling.grammar.is_empty() {
        let problem = "a provider takes no grammar; use json_schema or the policy fast";
        return Err(Error::invalid("sampling.grammar", problem));
    }
    if sampling.json_schema.is_empty() {
        return Ok(sampling.json.then_some(ResponseFormat::JsonObject));
    }
    let schema = serde_json::from_str(&sampling.json_schema)
        .map_err(|error| Error::invalid("sampling.json_schema", format!("is not JSON: {error}")))?;
    // Without `strict` a schema is advice.
    let json_schema = JsonSchema { name: "answer", schema, strict: true };
    Ok(Some(ResponseFormat::JsonSchema { json_schema }))
}

fn message(message: &ChatMessage) -> Message<'_> {
    let role = match message.role() {
        Role::System => "system",
        Role::Assistant => "assistant",
        Role::User | Role::Unspecified => "user",
    };
    Message { role, content: &message.content }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::time::Instant;

    use serde_json::json;
    use tandem_proto::v1::LogitBias;

    use super::*;

    fn json_of(prompt: Prompt, sampling: Sampling) -> Result<Value> {
        let settings = Settings { max_tokens: 100, ..Settings::new("http://host/v1", "remote") };
        let deadline = Instant::now();
        let request = TrackRequest { turn_id: String::new(), prompt, sampling, deadline };
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
        let chat = [(Role::System, "be brief"), (Role::User, "hi"), (Role::Assistant, "yes")]
            .map(|(role, content)| ChatMessage { role: role.into(), content: content.into() });
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
}
