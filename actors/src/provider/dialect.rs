//! What an API speaks: where a request goes, how it is written, and how its answer is read.

use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value};
use tandem_config::{Provider as Settings, ProviderKind};
use tandem_proto::v1::{FinishReason, Sampling, TokenLogprob, Usage};

use super::failure::Blame;
use super::frames::Frames;
use crate::{Error, Result, TrackRequest};

mod anthropic;
mod ollama;
mod openai;
mod tool;

/// The version of Anthropic's API that we speak, which it wants to be told.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// One of the languages of remote APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Chat completions.
    OpenAi,
    /// Messages.
    Anthropic,
    /// Ollama's own chat.
    Ollama,
}

impl Dialect {
    /// What the API of these settings speaks.
    pub(super) fn of(settings: &Settings) -> Self {
        match settings.kind {
            ProviderKind::OpenAi | ProviderKind::HuggingFace => Self::OpenAi,
            ProviderKind::Anthropic => Self::Anthropic,
            ProviderKind::Ollama => Self::Ollama,
        }
    }

    /// Where a request is posted.
    pub(super) fn address(self, settings: &Settings) -> String {
        let function = match self {
            Self::OpenAi => "/chat/completions",
            Self::Anthropic => "/v1/messages",
            Self::Ollama => "/api/chat",
        };
        format!("{}{function}", settings.base_url)
    }

    /// The JSON to post. What the API has no field for is left out, except a constraint on the answer,
    /// which is refused with [`crate::Error::Invalid`].
    pub(super) fn body(self, settings: &Settings, request: &TrackRequest) -> Result<Vec<u8>> {
        match self {
            Self::OpenAi => openai::body(settings, request),
            Self::Anthropic => anthropic::body(settings, request),
            Self::Ollama => ollama::body(settings, request),
        }
    }

    /// The headers that say who asks, and in which version of the dialect.
    pub(super) fn sign(
        self,
        request: RequestBuilder,
        key: Option<&str>,
        blame: &Blame<'_>,
    ) -> Result<RequestBuilder> {
        let mut headers = HeaderMap::new();
        if self == Self::Anthropic {
            let name = HeaderName::from_static("anthropic-version");
            headers.insert(name, HeaderValue::from_static(ANTHROPIC_VERSION));
        }
        if let Some(key) = key {
            let (name, value) = match self {
                Self::OpenAi | Self::Ollama => (AUTHORIZATION, format!("Bearer {key}")),
                Self::Anthropic => (HeaderName::from_static("x-api-key"), key.to_owned()),
            };
            let mut value = HeaderValue::from_str(&value).map_err(|_| {
                blame.refused("its key has characters that no key has; look where it is kept")
            })?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(request.headers(headers))
    }

    /// How events follow each other in a stream.
    pub(super) fn frames(self) -> Frames {
        match self {
            Self::OpenAi | Self::Anthropic => Frames::events(),
            Self::Ollama => Frames::lines(),
        }
    }

    /// Reads an event of a stream, or a whole answer.
    pub(super) fn read(self, json: &[u8], blame: &Blame<'_>) -> Result<Chunk> {
        match self {
            Self::OpenAi => openai::read(json, blame),
            Self::Anthropic => anthropic::read(json, blame),
            Self::Ollama => ollama::read(json, blame),
        }
    }
}

fn to_json(body: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(body)
        .map_err(|error| Error::Internal { problem: format!("a request is not JSON: {error}") })
}

/// The schema that the answer must obey, if there is one.
fn schema(sampling: &Sampling) -> Result<Option<Value>> {
    if !sampling.grammar.is_empty() {
        let problem = "a provider takes no grammar; use json_schema or the policy fast";
        return Err(Error::invalid("sampling.grammar", problem));
    }
    if sampling.json_schema.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(&sampling.json_schema)
        .map(Some)
        .map_err(|error| Error::invalid("sampling.json_schema", format!("is not JSON: {error}")))
}

/// The arguments of a call as an object. A call that a model made has passed this already.
fn arguments(json: &str) -> Result<Map<String, Value>> {
    serde_json::from_str(json)
        .map_err(|error| Error::invalid("tool_calls.arguments", format!("are no object: {error}")))
}

/// What an event adds to the answer, whichever dialect it is in.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// There is something of an answer in it, if only an empty one.
    pub(super) answers: bool,
    /// The model said or thought something.
    pub(super) token: bool,
    /// The next text.
    pub(super) text: String,
    /// What the model thinks before its answer.
    pub(super) reasoning: String,
    /// The model's words for not answering.
    pub(super) refusal: String,
    pub(super) logprobs: Vec<TokenLogprob>,
    /// Pieces of tool calls.
    pub(super) calls: Vec<CallPiece>,
    pub(super) usage: Option<Counts>,
    /// All of the text has arrived, and why there is no more.
    pub(super) end: Option<End>,
    /// Nothing follows, not even facts.
    pub(super) over: bool,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Finished(FinishReason),
    /// Somebody did not want it to go on.
    Refused(String),
}

/// A piece of a tool call. What belongs to the same call has the same index, if it has one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CallPiece {
    pub(super) index: Option<u64>,
    /// Comes with the first piece. Some APIs know none.
    pub(super) id: String,
    /// Comes with the first piece.
    pub(super) name: String,
    /// The next piece of the JSON.
    pub(super) arguments: String,
}

/// Tokens as far as they are told. Later counts replace earlier ones.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// All that was read, cached or not.
    pub(super) prompt: Option<u64>,
    pub(super) cached: Option<u64>,
    pub(super) completion: Option<u64>,
}

impl Counts {
    pub(super) fn update(self, usage: &mut Usage) {
        let tokens = |count| u32::try_from(count).unwrap_or(u32::MAX);
        for (count, slot) in [
            (self.prompt, &mut usage.prompt_tokens),
            (self.cached, &mut usage.cached_tokens),
            (self.completion, &mut usage.completion_tokens),
        ] {
            if let Some(count) = count {
                *slot = tokens(count);
            }
        }
    }
}

#[cfg(test)]
mod tests;
