//! Ollama's own chat: one JSON object a line.

use std::collections::HashMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tandem_config::Provider as Settings;
use tandem_proto::v1::{ChatMessage, FinishReason, Role, TokenLogprob, ToolCall};

use super::openai::Token;
use super::tool::Tool;
use super::{CallPiece, Chunk, Counts, End};
use crate::provider::failure::Blame;
use crate::tools::Choice;
use crate::{Error, Prompt, Result, TrackRequest};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
    options: Options<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_alive: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
}

#[derive(Serialize)]
struct Options<'a> {
    /// Without it, Ollama cuts the beginning of what is longer than its default, and says nothing.
    num_ctx: u32,
    num_predict: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    typical_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_last_n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    /// Of a result; Ollama knows calls by the name of the tool.
    #[serde(skip_serializing_if = "str::is_empty")]
    tool_name: &'a str,
}

#[derive(Serialize)]
struct Call<'a> {
    function: Called<'a>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    arguments: Map<String, Value>,
}

/// The JSON to post.
pub(super) fn body(settings: &Settings, request: &TrackRequest) -> Result<Vec<u8>> {
    let TrackRequest { sampling, tools, prompt, .. } = request;
    let offered: &[_] = match &tools.choice {
        Choice::Auto => &tools.offered,
        Choice::Never => &[],
        Choice::Required | Choice::Named(_) => {
            let problem = "is set, but Ollama cannot make a model call a tool; leave it out";
            return Err(Error::invalid("tool_choice", problem));
        }
    };
    let json = sampling.json.then(|| Value::from("json"));
    super::to_json(&Body {
        model: &settings.model,
        messages: match prompt {
            Prompt::Text(text) => vec![Message::of_user(text)],
            Prompt::Chat(messages) => dialogue(messages)?,
        },
        stream: true,
        options: Options {
            num_ctx: settings.context_tokens,
            num_predict: sampling.max_tokens.unwrap_or(u32::MAX).min(settings.max_tokens),
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            typical_p: sampling.typical_p,
            repeat_penalty: sampling.repeat_penalty,
            repeat_last_n: sampling.repeat_last_n,
            presence_penalty: sampling.presence_penalty,
            frequency_penalty: sampling.frequency_penalty,
            // Go's integer is signed.
            seed: sampling.seed.map(|seed| seed & i64::MAX.cast_unsigned()),
            stop: &sampling.stop,
        },
        format: super::schema(sampling)?.or(json),
        keep_alive: settings.keep_alive.map(|time| format!("{}ms", time.as_millis())),
        tools: offered.iter().map(Tool::of).collect::<Result<_>>()?,
        logprobs: sampling.logprobs.map(|_| true),
        top_logprobs: sampling.logprobs.filter(|&alternatives| alternatives > 0),
    })
}

fn dialogue(messages: &[ChatMessage]) -> Result<Vec<Message<'_>>> {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut dialogue = Vec::with_capacity(messages.len());
    for message in messages {
        let ChatMessage { content, images, tool_calls, tool_call_id, .. } = message;
        names.extend(tool_calls.iter().map(|call| (call.id.as_str(), call.name.as_str())));
        dialogue.push(Message {
            role: match message.role() {
                Role::System => "system",
                Role::Assistant => "assistant",
                Role::Tool => "tool",
                Role::User | Role::Unspecified => "user",
            },
            content,
            images: images.iter().map(|image| BASE64_STANDARD.encode(&image.data)).collect(),
            tool_calls: tool_calls.iter().map(Call::of).collect::<Result<_>>()?,
            tool_name: names.get(tool_call_id.as_str()).copied().unwrap_or_default(),
        });
    }
    Ok(dialogue)
}

impl<'a> Message<'a> {
    fn of_user(content: &'a str) -> Self {
        let (images, tool_calls) = (Vec::new(), Vec::new());
        Self { role: "user", content, images, tool_calls, tool_name: "" }
    }
}

impl<'a> Call<'a> {
    fn of(ToolCall { name, arguments, .. }: &'a ToolCall) -> Result<Self> {
        let arguments = super::arguments(arguments)?;
        Ok(Self { function: Called { name, arguments } })
    }
}

/// A line of a stream, or a whole answer, which is one line.
#[derive(Deserialize)]
struct Line {
    message: Option<Said>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
    logprobs: Option<Vec<Token>>,
    error: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Said {
    content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<Calling>>,
}

#[derive(Deserialize)]
struct Calling {
    // Only newer versions tell one.
    id: Option<String>,
    function: Calls,
}

#[derive(Deserialize)]
struct Calls {
    name: String,
    #[serde(default)]
    arguments: Map<String, Value>,
}

/// Reads a line.
pub(super) fn read(json: &[u8], blame: &Blame<'_>) -> Result<Chunk> {
    // serde_json's message may quote the answer, which belongs in no log.
    let line: Line = serde_json::from_slice(json)
        .map_err(|_| blame.failed("it sent something that is not a line of a chat"))?;
    if let Some(error) = line.error {
        return Err(blame.reported(&error));
    }
    let answers = line.message.is_some();
    let said = line.message.unwrap_or_default();
    let text = said.content.unwrap_or_default();
    let reasoning = said.thinking.unwrap_or_default();
    let calls: Vec<_> = said.tool_calls.into_iter().flatten().map(CallPiece::from).collect();
    let counts =
        Counts { prompt: line.prompt_eval_count, cached: None, completion: line.eval_count };
    let reason = match line.done_reason.as_deref() {
        Some("length") => FinishReason::Length,
        _ => FinishReason::Stop,
    };
    Ok(Chunk {
        answers,
        token: !(text.is_empty() && reasoning.is_empty() && calls.is_empty()),
        text,
        reasoning,
        refusal: String::new(),
        logprobs: line.logprobs.into_iter().flatten().map(TokenLogprob::from).collect(),
        calls,
        usage: Some(counts),
        end: line.done.then_some(End::Finished(reason)),
        over: line.done,
    })
}

impl From<Calling> for CallPiece {
    /// Each is a call of its own, and whole.
    fn from(Calling { id, function: Calls { name, arguments } }: Calling) -> Self {
        let arguments = Value::Object(arguments).to_string();
        Self { index: None, id: id.unwrap_or_default(), name, arguments }
    }
}
