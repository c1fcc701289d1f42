//! Reading what Anthropic answers: events, whose types are told in the data too, or a whole message.

use serde::Deserialize;
use serde_json::{Map, Value};
use tandem_proto::v1::FinishReason;

use super::super::{CallPiece, Chunk, Counts, End};
use crate::Result;
use crate::provider::failure::Blame;

/// An event, or a whole message. Events of types that are added later say nothing to us.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Message,
    },
    ContentBlockStart {
        index: u64,
        content_block: Block,
    },
    ContentBlockDelta {
        index: u64,
        delta: Delta,
    },
    MessageDelta {
        delta: Stop,
        usage: Option<Spent>,
    },
    MessageStop,
    Error {
        error: Value,
    },
    Message(Message),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Vec<Block>,
    #[serde(flatten)]
    stop: Stop,
    usage: Option<Spent>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
    },
    Thinking {
        thinking: String,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Map<String, Value>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(clippy::enum_variant_names, reason = "the names of the API")]
enum Delta {
    TextDelta {
        text: String,
    },
    ThinkingDelta {
        thinking: String,
    },
    InputJsonDelta {
        partial_json: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Stop {
    stop_reason: Option<String>,
    stop_details: Option<StopDetails>,
}

#[derive(Deserialize)]
struct StopDetails {
    explanation: Option<String>,
}

#[derive(Deserialize)]
#[allow(clippy::struct_field_names, reason = "the names of the API")]
struct Spent {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

/// Reads an event, or a whole message.
pub(in super::super) fn read(json: &[u8], blame: &Blame<'_>) -> Result<Chunk> {
    // serde_json's message may quote the answer, which belongs in no log.
    let malformed = || blame.failed("it sent something that is not an event of a message");
    let event: Value = serde_json::from_slice(json).map_err(|_| malformed())?;
    let Some(fields) = event.as_object() else { return Err(malformed()) };
    if !fields.contains_key("type") {
        // What stands in between may report its own errors in its own way.
        return match fields.get("error") {
            Some(error) => Err(blame.reported(error)),
            None => Ok(Chunk::default()),
        };
    }
    let event = serde_json::from_value(event).map_err(|_| malformed())?;
    let mut chunk = Chunk::default();
    match event {
        Event::MessageStart { message } | Event::Message(message) => {
            chunk.answers = true;
            for (index, block) in (0..).zip(message.content) {
                chunk.begin(index, block);
            }
            chunk.stop(message.stop, blame);
            chunk.usage = message.usage.map(Counts::from);
        }
        Event::ContentBlockStart { index, content_block } => chunk.begin(index, content_block),
        Event::ContentBlockDelta { index, delta } => chunk.go_on(index, delta),
        Event::MessageDelta { delta, usage } => {
            chunk.stop(delta, blame);
            chunk.usage = usage.map(Counts::from);
        }
        Event::MessageStop => chunk.over = true,
        Event::Error { error } => return Err(blame.reported(&error)),
        Event::Other => (),
    }
    Ok(chunk)
}

impl Chunk {
    fn begin(&mut self, index: u64, block: Block) {
        match block {
            Block::Text { text } => {
                self.token |= !text.is_empty();
                self.text.push_str(&text);
            }
            Block::Thinking { thinking } => {
                self.token = true;
                self.reasoning.push_str(&thinking);
            }
            Block::ToolUse { id, name, input } => {
                self.token = true;
                // In a stream it comes in pieces.
                let arguments =
                    if input.is_empty() { String::new() } else { Value::Object(input).to_string() };
                self.calls.push(CallPiece { index: Some(index), id, name, arguments });
            }
            Block::Other => (),
        }
    }

    fn go_on(&mut self, index: u64, delta: Delta) {
        // Signatures and whatever else is added show that the model is at work.
        self.token = true;
        match delta {
            Delta::TextDelta { text } => self.text = text,
            Delta::ThinkingDelta { thinking } => self.reasoning = thinking,
            Delta::InputJsonDelta { partial_json: arguments } => {
                let piece = CallPiece { index: Some(index), arguments, ..CallPiece::default() };
                self.calls.push(piece);
            }
            Delta::Other => (),
        }
    }

    fn stop(&mut self, stop: Stop, blame: &Blame<'_>) {
        let Some(reason) = stop.stop_reason else { return };
        self.end = Some(match reason.as_str() {
            "max_tokens" | "model_context_window_exceeded" => End::Finished(FinishReason::Length),
            "tool_use" => End::Finished(FinishReason::ToolCalls),
            "refusal" => {
                let why = stop.stop_details.and_then(|details| details.explanation);
                End::Refused(match why {
                    Some(why) => format!("it declines to answer: {}", blame.quote(&why)),
                    None => "it declines to answer".to_owned(),
                })
            }
            _ => End::Finished(FinishReason::Stop),
        });
    }
}

impl From<Spent> for Counts {
    fn from(spent: Spent) -> Self {
        let Spent { input_tokens: fresh, cache_read_input_tokens: cached, .. } = spent;
        let written = spent.cache_creation_input_tokens.unwrap_or_default();
        // Each token of the prompt is counted in one place only.
        let read =
            |fresh: u64| fresh.saturating_add(written).saturating_add(cached.unwrap_or_default());
        Self { prompt: fresh.map(read), cached, completion: spent.output_tokens }
    }
}
