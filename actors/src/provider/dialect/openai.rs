//! Chat completions, as `OpenAI` speaks them and many others with it.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tandem_config::Provider as Settings;
use tandem_proto::v1::{ChatMessage, FinishReason, Image, Role, Sampling, TokenLogprob, ToolCall};

use super::tool::Tool;
use super::{CallPiece, Chunk, Counts, End};
use crate::provider::failure::Blame;
use crate::tools::Choice;
use crate::{Error, Prompt, Result, TrackRequest, image};

/// Stop strings that the API takes.
const STOP_MAX: usize = 4;

/// Ends a stream of chunks.
const DONE: &[u8] = b"[DONE]";

/// Begins the addresses of those who have `max_completion_tokens` and whose newer models refuse
/// `max_tokens`. Many others know only the latter.
const NEWER_LIMIT: [&str; 2] = ["https://api.openai.com/", "https://eu.api.openai.com/"];

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice<'a>>,
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
    content: Content<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    tool_call_id: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    /// Calls need no words.
    Nothing,
    Text(&'a str),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl },
}

#[derive(Serialize)]
struct ImageUrl {
    url: String,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Call<'a> {
    Function { id: &'a str, function: Called<'a> },
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ToolChoice<'a> {
    Word(&'static str),
    Named(NamedTool<'a>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum NamedTool<'a> {
    Function { function: ToolName<'a> },
}

#[derive(Serialize)]
struct ToolName<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// The JSON to post.
pub(super) fn body(settings: &Settings, request: &TrackRequest) -> Result<Vec<u8>> {
    let TrackRequest { sampling, tools, .. } = request;
    if sampling.stop.len() > STOP_MAX {
        let problem =
            format!("{} strings; a provider takes at most {STOP_MAX}", sampling.stop.len());
        return Err(Error::invalid("sampling.stop", problem));
    }
    let limit = sampling.max_tokens.unwrap_or(u32::MAX).min(settings.max_tokens);
    let newer = NEWER_LIMIT.iter().any(|address| settings.base_url.starts_with(address));
    let body = Body {
        model: &settings.model,
        messages: match &request.prompt {
            Prompt::Text(text) => vec![Message::of_user(Content::Text(text))],
            Prompt::Chat(messages) => messages.iter().map(Message::of).collect(),
        },
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        max_tokens: (!newer).then_some(limit),
        max_completion_tokens: newer.then_some(limit),
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
        tools: tools.offered.iter().map(Tool::of).collect::<Result<_>>()?,
        tool_choice: match &tools.choice {
            Choice::Auto => None,
            Choice::Never => Some(ToolChoice::Word("none")),
            Choice::Required => Some(ToolChoice::Word("required")),
            Choice::Named(name) => {
                Some(ToolChoice::Named(NamedTool::Function { function: ToolName { name } }))
            }
        },
    };
    super::to_json(&body)
}

fn response_format(sampling: &Sampling) -> Result<Option<ResponseFormat>> {
    let schema = super::schema(sampling)?;
    let json = sampling.json.then_some(ResponseFormat::JsonObject);
    Ok(schema.map_or(json, |schema| {
        // Without `strict` a schema is advice.
        let json_schema = JsonSchema { name: "answer", schema, strict: true };
        Some(ResponseFormat::JsonSchema { json_schema })
    }))
}

impl<'a> Message<'a> {
    fn of_user(content: Content<'a>) -> Self {
        Self { role: "user", content, tool_calls: Vec::new(), tool_call_id: "" }
    }

    fn of(message: &'a ChatMessage) -> Self {
        let ChatMessage { content, images, tool_calls, tool_call_id, .. } = message;
        let content = if !images.is_empty() {
            let text = Some(content.as_str()).filter(|text| !text.is_empty());
            let text = text.map(|text| Part::Text { text });
            Content::Parts(images.iter().map(Part::of).chain(text).collect())
        } else if content.is_empty() && !tool_calls.is_empty() {
            Content::Nothing
        } else {
            Content::Text(content)
        };
        let role = match message.role() {
            Role::System => "system",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
            Role::User | Role::Unspecified => "user",
        };
        let tool_calls = tool_calls.iter().map(Call::of).collect();
        Self { role, content, tool_calls, tool_call_id }
    }
}

impl Part<'_> {
    fn of(Image { data }: &Image) -> Self {
        let kind = image::media_type(data).unwrap_or("application/octet-stream");
        let url = format!("data:{kind};base64,{}", BASE64_STANDARD.encode(data));
        Self::ImageUrl { image_url: ImageUrl { url } }
    }
}

impl<'a> Call<'a> {
    fn of(ToolCall { id, name, arguments }: &'a ToolCall) -> Self {
        Self::Function { id, function: Called { name, arguments } }
    }
}

/// A chunk of a streamed answer, or a whole answer, which has `message` where a chunk has `delta`.
#[derive(Deserialize)]
struct Event {
    choices: Option<Vec<Alternative>>,
    usage: Option<Spent>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Alternative {
    delta: Option<Said>,
    message: Option<Said>,
    logprobs: Option<Logprobs>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Said {
    content: Option<String>,
    refusal: Option<String>,
    // Thoughts have two names. Who uses both says the same twice.
    reasoning: Option<Value>,
    reasoning_content: Option<String>,
    tool_calls: Option<Vec<Calling>>,
}

#[derive(Deserialize)]
struct Calling {
    index: Option<u64>,
    id: Option<String>,
    function: Option<Calls>,
}

#[derive(Deserialize)]
struct Calls {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Logprobs {
    content: Option<Vec<Token>>,
}

/// Also Ollama's.
#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(rename = "token")]
    text: String,
    logprob: f32,
    bytes: Option<Vec<u8>>,
    // llama.cpp says it, OpenAI does not.
    id: Option<u32>,
    #[serde(default)]
    top_logprobs: Vec<Token>,
}

#[derive(Deserialize)]
struct Spent {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

/// Reads a chunk, or a whole answer.
pub(super) fn read(json: &[u8], blame: &Blame<'_>) -> Result<Chunk> {
    if json == DONE {
        return Ok(Chunk { over: true, ..Chunk::default() });
    }
    // serde_json's message may quote the answer, which belongs in no log.
    let event: Event = serde_json::from_slice(json)
        .map_err(|_| blame.failed("it sent something that is not a chat completion"))?;
    if let Some(error) = event.error {
        return Err(blame.reported(&error));
    }
    let usage = event.usage.map(Counts::from);
    let Some(choice) = event.choices.into_iter().flatten().next() else {
        return Ok(Chunk { usage, ..Chunk::default() });
    };
    let end = match choice.finish_reason.as_deref() {
        None | Some("") => None,
        Some("length") => Some(End::Finished(FinishReason::Length)),
        Some("tool_calls" | "function_call") => Some(End::Finished(FinishReason::ToolCalls)),
        Some("content_filter") => {
            Some(End::Refused("its content filter ended the answer".to_owned()))
        }
        Some(_) => Some(End::Finished(FinishReason::Stop)),
    };
    let logprobs = choice.logprobs.and_then(|logprobs| logprobs.content).unwrap_or_default();
    let said = choice.delta.or(choice.message).unwrap_or_default();
    let text = said.content.unwrap_or_default();
    let reasoning = said.reasoning_content.filter(|thought| !thought.is_empty());
    let reasoning = reasoning
        .or_else(|| said.reasoning.and_then(|thought| thought.as_str().map(str::to_owned)))
        .unwrap_or_default();
    let refusal = said.refusal.unwrap_or_default();
    let calls: Vec<_> = said.tool_calls.into_iter().flatten().map(CallPiece::from).collect();
    let silent = text.is_empty() && reasoning.is_empty() && refusal.is_empty() && calls.is_empty();
    Ok(Chunk {
        answers: true,
        token: !silent,
        text,
        reasoning,
        refusal,
        logprobs: logprobs.into_iter().map(TokenLogprob::from).collect(),
        calls,
        usage,
        end,
        over: false,
    })
}

impl From<Calling> for CallPiece {
    fn from(Calling { index, id, function }: Calling) -> Self {
        let (name, arguments) =
            function.map(|function| (function.name, function.arguments)).unwrap_or_default();
        Self {
            index,
            id: id.unwrap_or_default(),
            name: name.unwrap_or_default(),
            arguments: arguments.unwrap_or_default(),
        }
    }
}

impl From<Token> for TokenLogprob {
    fn from(token: Token) -> Self {
        Self {
            token: token.id.unwrap_or_default(),
            bytes: token.bytes.unwrap_or_else(|| token.text.into_bytes()),
            logprob: token.logprob,
            alternatives: token.top_logprobs.into_iter().map(Self::from).collect(),
        }
    }
}

impl From<Spent> for Counts {
    fn from(spent: Spent) -> Self {
        Self {
            prompt: spent.prompt_tokens,
            cached: spent.prompt_tokens_details.and_then(|details| details.cached_tokens),
            completion: spent.completion_tokens,
        }
    }
}

#[cfg(test)]
mod tests;
