//! Conversations as lines of JSON: one with the conversation, and one for each of its turns behind it.
//! What was exported, imported and exported again is the same to the byte.
//!
//! ```text
//! {"conversation":{"id":"0193…","title":"Tea","created":"2026-11-21T07:14:26Z",…}}
//! {"turn":{"id":"0193…","prompt":"Green or black?","answer":"Green.",…}}
//! ```

use std::str::FromStr as _;

use prost_types::Timestamp;
use serde::{Deserialize, Serialize};
use tandem_proto::v1::{self, FinishReason, Policy, Track};

/// Most bytes of a line: a turn of 16 MiB, of which every byte may be escaped.
const LINE_BYTES_MAX: usize = 100 << 20;
/// Most bytes of the lines of one conversation.
const CONVERSATION_BYTES_MAX: usize = 256 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Conversation(Conversation),
    Turn(Box<Turn>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Conversation {
    id: String,
    title: String,
    created: Option<String>,
    updated: Option<String>,
    policy: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    id: String,
    prompt: String,
    answer: String,
    track: String,
    model: String,
    created: Option<String>,
    usage: Option<Usage>,
    finish_reason: String,
    private: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tool_results: Vec<ToolResult>,
    #[serde(default, skip_serializing_if = "is_zero")]
    images: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    citations: Vec<Citation>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Citation {
    number: u32,
    source: String,
    title: String,
    text: String,
    page: u32,
    line: u32,
    headings: Vec<String>,
    similarity: Option<f32>,
    cited: bool,
}

impl From<v1::Citation> for Citation {
    fn from(citation: v1::Citation) -> Self {
        let v1::Citation { number, source, title, text, page, line, headings, similarity, cited } =
            citation;
        Self { number, source, title, text, page, line, headings, similarity, cited }
    }
}

impl From<Citation> for v1::Citation {
    fn from(citation: Citation) -> Self {
        let Citation { number, source, title, text, page, line, headings, similarity, cited } =
            citation;
        Self { number, source, title, text, page, line, headings, similarity, cited }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_field_names, reason = "as in the message")]
struct Usage {
    prompt_tokens: u32,
    cached_tokens: u32,
    completion_tokens: u32,
    drafted_tokens: u32,
    accepted_tokens: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolCall {
    id: String,
    name: String,
    arguments: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolResult {
    tool_call_id: String,
    content: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The line of a conversation. How many turns it has is told by those that follow.
#[must_use]
pub fn conversation_line(conversation: v1::Conversation) -> Vec<u8> {
    let policy = conversation.policy().as_str_name().to_owned();
    let v1::Conversation { id, title, created, updated, turns: _, policy: _ } = conversation;
    let (created, updated) = (text_of(created), text_of(updated));
    line(&Line::Conversation(Conversation { id, title, created, updated, policy }))
}

/// The line of a turn.
#[must_use]
pub fn turn_line(turn: v1::Turn) -> Vec<u8> {
    let track = turn.track().as_str_name().to_owned();
    let finish_reason = turn.finish_reason().as_str_name().to_owned();
    // A field that is added to the message is to be added here.
    let v1::Turn {
        id,
        prompt,
        answer,
        track: _,
        model,
        created,
        usage,
        finish_reason: _,
        private,
        tool_calls,
        tool_results,
        images,
        citations,
    } = turn;
    let usage = usage.map(
        |v1::Usage {
             prompt_tokens,
             cached_tokens,
             completion_tokens,
             drafted_tokens,
             accepted_tokens,
         }| Usage {
            prompt_tokens,
            cached_tokens,
            completion_tokens,
            drafted_tokens,
            accepted_tokens,
        },
    );
    let call = |v1::ToolCall { id, name, arguments }| ToolCall { id, name, arguments };
    let result = |v1::ToolResult { tool_call_id, content }| ToolResult { tool_call_id, content };
    line(&Line::Turn(Box::new(Turn {
        id,
        prompt,
        answer,
        track,
        model,
        created: text_of(created),
        usage,
        finish_reason,
        private,
        tool_calls: tool_calls.into_iter().map(call).collect(),
        tool_results: tool_results.into_iter().map(result).collect(),
        images,
        citations: citations.into_iter().map(Citation::from).collect(),
    })))
}

fn line(line: &Line) -> Vec<u8> {
    // Strings, numbers and lists cannot fail.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn text_of(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

/// A conversation with all of its turns.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    /// Number of its first line, from 1.
    pub line: u64,
    /// The conversation.
    pub conversation: v1::Conversation,
    /// Its turns, oldest first.
    pub turns: Vec<v1::Turn>,
}

/// A conversation that is not imported, because of one of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Number of the line, from 1.
    pub line: u64,
    /// The conversation's id; empty when that is not known.
    pub id: String,
    /// What is wrong.
    pub problem: String,
}

/// Reads lines as they come.
#[derive(Debug, Default)]
pub struct Importer {
    /// What came of the line that has not ended yet.
    rest: Vec<u8>,
    line: u64,
    /// The conversation whose turns are read.
    open: Open,
    bytes: usize,
}

#[derive(Debug, Default)]
enum Open {
    /// There was none yet.
    #[default]
    Nothing,
    Whole(Box<Whole>),
    /// One of its lines is broken; the others are passed over.
    Broken,
}

impl Importer {
    /// The conversations that ended with what came.
    ///
    /// # Errors
    /// In the list, those with a broken line, each once, when that line came.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Result<Whole, Broken>> {
        let mut ended = Vec::new();
        let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = lines.next() {
            // Of a line that is too long, enough is kept to know that it is.
            let room = (LINE_BYTES_MAX + 1).saturating_sub(self.rest.len());
            self.rest.extend_from_slice(&part[..part.len().min(room)]);
            if lines.peek().is_some() {
                let line = std::mem::take(&mut self.rest);
                self.read(&line, &mut ended);
            }
        }
        ended
    }

    /// The last conversation, with a last line that need not end.
    pub fn finish(mut self) -> Vec<Result<Whole, Broken>> {
        let mut ended = Vec::new();
        let line = std::mem::take(&mut self.rest);
        self.read(&line, &mut ended);
        self.close(&mut ended);
        ended
    }

    fn read(&mut self, line: &[u8], ended: &mut Vec<Result<Whole, Broken>>) {
        self.line += 1;
        if line.trim_ascii().is_empty() {
            return;
        }
        self.bytes += line.len();
        let parsed = if line.len() > LINE_BYTES_MAX {
            Err("is longer than a turn may be".to_owned())
        } else {
            serde_json::from_slice(line)
                .map_err(|error| format!("is not a line of an export: {error}"))
        };
        let outcome = match parsed {
            Ok(Line::Conversation(conversation)) => {
                self.close(ended);
                self.bytes = line.len();
                self.begin(conversation)
            }
            Ok(Line::Turn(turn)) => self.add(*turn),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = outcome {
            let id = match std::mem::replace(&mut self.open, Open::Broken) {
                Open::Whole(whole) => whole.conversation.id,
                Open::Nothing => String::new(),
                // It was told already.
                Open::Broken => return,
            };
            ended.push(Err(Broken { line: self.line, id, problem }));
        }
    }

    fn begin(&mut self, conversation: Conversation) -> Result<(), String> {
        let Conversation { id, title, created, updated, policy } = conversation;
        let policy = Policy::from_str_name(&policy)
            .ok_or_else(|| format!("has a policy that is not known, {policy:?}"));
        let read = || -> Result<v1::Conversation, String> {
            Ok(v1::Conversation {
                id: id.clone(),
                title,
                created: time_of(created)?,
                updated: time_of(updated)?,
                turns: 0,
                policy: policy?.into(),
            })
        };
        let line = self.line;
        let (conversation, outcome) = match read() {
            Ok(conversation) => (conversation, Ok(())),
            Err(problem) => (v1::Conversation { id, ..Default::default() }, Err(problem)),
        };
        self.open = Open::Whole(Box::new(Whole { line, conversation, turns: Vec::new() }));
        outcome
    }

    fn add(&mut self, turn: Turn) -> Result<(), String> {
        match &mut self.open {
            Open::Broken => Ok(()),
            Open::Nothing => Err("is a turn before any conversation".to_owned()),
            Open::Whole(_) if self.bytes > CONVERSATION_BYTES_MAX => {
                let mib = CONVERSATION_BYTES_MAX >> 20;
                Err(format!("makes its conversation longer than {mib} MiB"))
            }
            Open::Whole(whole) => {
                whole.turns.push(turn_of(turn)?);
                Ok(())
            }
        }
    }

    /// The conversation before has ended.
    fn close(&mut self, ended: &mut Vec<Result<Whole, Broken>>) {
        if let Open::Whole(whole) = std::mem::take(&mut self.open) {
            ended.push(Ok(*whole));
        }
    }
}

fn turn_of(turn: Turn) -> Result<v1::Turn, String> {
    if turn.id.is_empty() {
        return Err("is a turn without an id".to_owned());
    }
    let track = Track::from_str_name(&turn.track)
        .ok_or_else(|| format!("has a track that is not known, {:?}", turn.track))?;
    let finish_reason = FinishReason::from_str_name(&turn.finish_reason).ok_or_else(|| {
        format!("has a finish reason that is not known, {:?}", turn.finish_reason)
    })?;
    let usage = turn.usage.map(|it| v1::Usage {
        prompt_tokens: it.prompt_tokens,
        cached_tokens: it.cached_tokens,
        completion_tokens: it.completion_tokens,
        drafted_tokens: it.drafted_tokens,
        accepted_tokens: it.accepted_tokens,
    });
    let call = |ToolCall { id, name, arguments }| v1::ToolCall { id, name, arguments };
    let result = |ToolResult { tool_call_id, content }| v1::ToolResult { tool_call_id, content };
    Ok(v1::Turn {
        id: turn.id,
        prompt: turn.prompt,
        answer: turn.answer,
        track: track.into(),
        model: turn.model,
        created: time_of(turn.created)?,
        usage,
        finish_reason: finish_reason.into(),
        private: turn.private,
        tool_calls: turn.tool_calls.into_iter().map(call).collect(),
        tool_results: turn.tool_results.into_iter().map(result).collect(),
        images: turn.images,
        citations: turn.citations.into_iter().map(v1::Citation::from).collect(),
    })
}

fn time_of(text: Option<String>) -> Result<Option<Timestamp>, String> {
    let read = |text: String| {
        Timestamp::from_str(&text).map_err(|_| format!("has a time that is none, {text:?}"))
    };
    text.map(read).transpose()
}

#[cfg(test)]
mod tests;
