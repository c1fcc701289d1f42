//! An answer, put together from the chunks of the API.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use tandem_proto::v1::{FinishReason, Timings, TokenLogprob, Usage};

use super::failure::Blame;
use crate::{Completion, Result};

/// Longest answer in bytes.
pub(super) const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Ends a stream of chunks.
const DONE: &str = "[DONE]";

/// A chunk of a streamed answer, or a whole answer, which has `message` where a chunk has `delta`.
#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<Counts>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Said>,
    message: Option<Said>,
    logprobs: Option<Logprobs>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<String>,
    // Thoughts are no part of the answer, but they show that the model is at work.
    reasoning: Option<Value>,
    reasoning_content: Option<Value>,
}

#[derive(Deserialize)]
struct Logprobs {
    content: Option<Vec<Token>>,
}

#[derive(Deserialize)]
struct Token {
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
struct Counts {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

/// What one chunk adds to the answer.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Piece {
    /// The next text.
    pub(super) text: String,
    /// Of its tokens, when the API tells.
    pub(super) logprobs: Vec<TokenLogprob>,
    /// The model said or thought something.
    pub(super) token: bool,
}

/// The facts about an answer that is arriving.
#[derive(Debug)]
pub(super) struct Answer {
    accepted: Instant,
    first_token: Option<Instant>,
    last_token: Option<Instant>,
    text_bytes: usize,
    finish_reason: Option<FinishReason>,
    done: bool,
    usage: Option<Usage>,
    logprob_sum: f64,
    logprobs: u32,
}

impl Answer {
    /// Nothing has arrived yet of the answer to a request accepted at `accepted`.
    pub(super) fn new(accepted: Instant) -> Self {
        Self {
            accepted,
            first_token: None,
            last_token: None,
            text_bytes: 0,
            finish_reason: None,
            done: false,
            usage: None,
            logprob_sum: 0.0,
            logprobs: 0,
        }
    }

    /// Takes the data of one event.
    pub(super) fn chunk(&mut self, data: &str, blame: &Blame<'_>, now: Instant) -> Result<Piece> {
        match data.trim() {
            "" => Ok(Piece::default()),
            DONE => {
                self.done = true;
                Ok(Piece::default())
            }
            data => self.take(data.as_bytes(), blame, now).map(Option::unwrap_or_default),
        }
    }

    /// Takes the answer of an API that does not stream.
    pub(super) fn whole(&mut self, body: &[u8], blame: &Blame<'_>, now: Instant) -> Result<Piece> {
        let piece = self.take(body, blame, now)?;
        self.done = true;
        piece.ok_or_else(|| {
            let name = blame.provider;
            blame.failed(format!("its answer has no choices; check providers.{name}.base_url"))
        })
    }

    /// `None` when there is nothing but facts in it.
    fn take(&mut self, json: &[u8], blame: &Blame<'_>, now: Instant) -> Result<Option<Piece>> {
        // serde_json's message may quote the answer, which belongs in no log.
        let chunk: Chunk = serde_json::from_slice(json)
            .map_err(|_| blame.failed("it sent something that is not a chat completion"))?;
        if let Some(error) = chunk.error {
            return Err(blame.failed(format!("it reports: {}", blame.message(&error))));
        }
        if let Some(counts) = chunk.usage {
            self.usage = Some(counts.into());
        }
        let Some(choice) = chunk.choices.into_iter().flatten().next() else {
            return Ok(None);
        };
        match choice.finish_reason.as_deref() {
            None | Some("") => {}
            Some("length") => self.finish_reason = Some(FinishReason::Length),
            Some("content_filter") => {
                return Err(blame.refused("its content filter ended the answer"));
            }
            Some(_) => self.finish_reason = Some(FinishReason::Stop),
        }
        let piece = Piece::from(choice);
        self.note(&piece, now);
        if self.text_bytes > ANSWER_BYTES_MAX {
            let limit = ANSWER_BYTES_MAX >> 20;
            return Err(blame.failed(format!("its answer is longer than {limit} MiB")));
        }
        Ok(Some(piece))
    }

    fn note(&mut self, piece: &Piece, now: Instant) {
        if piece.token {
            self.first_token.get_or_insert(now);
            self.last_token = Some(now);
        }
        self.text_bytes += piece.text.len();
        for token in &piece.logprobs {
            self.logprob_sum += f64::from(token.logprob);
            self.logprobs += 1;
        }
    }

    /// Whether the API said that nothing follows.
    pub(super) fn is_over(&self) -> bool {
        self.done
    }

    /// Whether all of the text has arrived. Usage may follow.
    pub(super) fn is_complete(&self) -> bool {
        self.done || self.finish_reason.is_some()
    }

    /// The facts, once the answer is complete.
    pub(super) fn completion(&self, now: Instant) -> Completion {
        let first_token = self.first_token.unwrap_or(now);
        let decode = self.last_token.unwrap_or(now).saturating_duration_since(first_token);
        let usage = self.usage.unwrap_or_default();
        let tokens_per_second = if decode.is_zero() {
            0.0
        } else {
            f64::from(usage.completion_tokens) / decode.as_secs_f64()
        };
        Completion {
            finish_reason: self.finish_reason.unwrap_or(FinishReason::Stop),
            usage,
            timings: Timings {
                time_to_first_token_us: micros(
                    first_token.saturating_duration_since(self.accepted),
                ),
                prefill_us: 0,
                decode_us: micros(decode),
                total_us: micros(now.saturating_duration_since(self.accepted)),
                tokens_per_second,
            },
            mean_logprob: (self.logprobs > 0).then(|| self.logprob_sum / f64::from(self.logprobs)),
            confidence: None,
            confidence_floor: None,
            certainty: None,
            model: None,
            cost_micros: None,
        }
    }
}

impl From<Choice> for Piece {
    fn from(choice: Choice) -> Self {
        let logprobs = choice.logprobs.and_then(|logprobs| logprobs.content).unwrap_or_default();
        let Some(said) = choice.delta.or(choice.message) else { return Self::default() };
        let thought = [said.reasoning, said.reasoning_content].into_iter().flatten();
        let thinks = thought.into_iter().any(|value| value.as_str().is_some_and(|t| !t.is_empty()));
        let text = said.content.unwrap_or_default();
        let token = thinks || !text.is_empty();
        Self { text, logprobs: logprobs.into_iter().map(TokenLogprob::from).collect(), token }
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

impl From<Counts> for Usage {
    fn from(counts: Counts) -> Self {
        let tokens = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let cached = counts.prompt_tokens_details.and_then(|details| details.cached_tokens);
        Self {
            prompt_tokens: tokens(counts.prompt_tokens),
            cached_tokens: tokens(cached.unwrap_or_default()),
            completion_tokens: tokens(counts.completion_tokens),
            ..Self::default()
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
