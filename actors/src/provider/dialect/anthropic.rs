//! Messages, as Anthropic speaks them.
//!
//! The API's present types have no temperature and nothing else about how a token is chosen, and
//! newer models refuse it: it is left out.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Serialize;
use serde_json::{Map, Value};
use tandem_config::Provider as Settings;
use tandem_proto::v1::{ChatMessage, Image, Role, Tool, ToolCall};

use crate::tools::{self, Choice};
use crate::{Error, Prompt, Result, TrackRequest, image};

mod answer;

pub(super) use answer::read;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    system: String,
    messages: Vec<Message<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Offer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice<'a>>,
}

#[derive(Serialize)]
struct OutputConfig {
    format: Format,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format {
    JsonSchema { schema: Value },
}

#[derive(Serialize)]
struct Offer<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: Value,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ToolChoice<'a> {
    None,
    Any,
    Tool { name: &'a str },
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text { text: &'a str },
    Image { source: Source },
    ToolUse { id: String, name: &'a str, input: Map<String, Value> },
    ToolResult { tool_use_id: String, content: &'a str },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source {
    Base64 { media_type: &'static str, data: String },
}

/// The JSON to post.
pub(super) fn body(settings: &Settings, request: &TrackRequest) -> Result<Vec<u8>> {
    let TrackRequest { sampling, tools, prompt, .. } = request;
    let schema = super::schema(sampling)?;
    if sampling.json {
        let problem = "is set, but this API knows JSON by schema only; use json_schema";
        return Err(Error::invalid("sampling.json", problem));
    }
    let (system, messages) = match prompt {
        Prompt::Text(text) => (String::new(), vec![Message::of_user(text)]),
        Prompt::Chat(messages) => (system(messages), dialogue(messages)?),
    };
    super::to_json(&Body {
        model: &settings.model,
        max_tokens: sampling.max_tokens.unwrap_or(u32::MAX).min(settings.max_tokens),
        system,
        messages,
        stream: true,
        stop_sequences: &sampling.stop,
        output_config: schema.map(|schema| OutputConfig { format: Format::JsonSchema { schema } }),
        tools: tools.offered.iter().map(Offer::of).collect::<Result<_>>()?,
        tool_choice: match &tools.choice {
            Choice::Auto => None,
            Choice::Never => Some(ToolChoice::None),
            Choice::Required => Some(ToolChoice::Any),
            Choice::Named(name) => Some(ToolChoice::Tool { name }),
        },
    })
}

/// What system messages say, which the API wants apart.
fn system(messages: &[ChatMessage]) -> String {
    let system = messages.iter().filter(|message| message.role() == Role::System);
    system.map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n\n")
}

/// The rest, as messages of user and assistant in turn: results of tools are the user's.
fn dialogue(messages: &[ChatMessage]) -> Result<Vec<Message<'_>>> {
    let mut dialogue: Vec<Message<'_>> = Vec::new();
    for message in messages {
        let role = match message.role() {
            Role::System => continue,
            Role::Assistant => "assistant",
            Role::User | Role::Tool | Role::Unspecified => "user",
        };
        let content = blocks(message)?;
        match dialogue.last_mut() {
            _ if content.is_empty() => (),
            Some(last) if last.role == role => last.content.extend(content),
            _ => dialogue.push(Message { role, content }),
        }
    }
    Ok(dialogue)
}

fn blocks(message: &ChatMessage) -> Result<Vec<Block<'_>>> {
    let ChatMessage { content, images, tool_calls, tool_call_id, .. } = message;
    if message.role() == Role::Tool {
        return Ok(vec![Block::ToolResult { tool_use_id: id(tool_call_id), content }]);
    }
    // The API refuses empty text.
    let text = (!content.is_empty()).then_some(Block::Text { text: content });
    let mut blocks: Vec<_> = images.iter().map(Block::of_image).chain(text).collect();
    for call in tool_calls {
        blocks.push(Block::of_call(call)?);
    }
    Ok(blocks)
}

/// The API takes letters, digits, dashes and underscores only; others make their ids otherwise.
fn id(id: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    id.chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}

impl<'a> Message<'a> {
    fn of_user(text: &'a str) -> Self {
        Self { role: "user", content: vec![Block::Text { text }] }
    }
}

impl<'a> Offer<'a> {
    fn of(tool: &'a Tool) -> Result<Self> {
        let Tool { name, description, .. } = tool;
        let input_schema = tools::parameters(tool)?;
        Ok(Self { name, description, input_schema })
    }
}

impl<'a> Block<'a> {
    fn of_image(Image { data }: &Image) -> Self {
        let media_type = image::media_type(data).unwrap_or("application/octet-stream");
        Self::Image { source: Source::Base64 { media_type, data: BASE64_STANDARD.encode(data) } }
    }

    fn of_call(ToolCall { id, name, arguments }: &'a ToolCall) -> Result<Self> {
        let input = super::arguments(arguments)?;
        Ok(Self::ToolUse { id: self::id(id), name, input })
    }
}
