//! An answer, put together from the chunks of the API.

use std::time::{Duration, Instant};

use tandem_proto::v1::{FinishReason, Timings, TokenLogprob, ToolCall, Usage};

use super::calls::Calls;
use super::dialect::{Chunk, Dialect, End};
use super::failure::Blame;
use crate::{Completion, Result};

/// Longest answer in bytes, thoughts and arguments of tools included.
pub(super) const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Longest id of a turn that goes into ids of calls, which some APIs want no longer than 40 bytes.
const CALL_ID_BYTES: usize = 32;

/// What one chunk adds to the answer.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Piece {
    /// The next text.
    pub(super) text: String,
    /// What the model thinks before its answer.
    pub(super) reasoning: String,
    /// Of its tokens, when the API tells.
    pub(super) logprobs: Vec<TokenLogprob>,
    /// What the model wants done, once all of it is known.
    pub(super) calls: Vec<ToolCall>,
    /// The model said or thought something.
    pub(super) token: bool,
}

/// The facts about an answer that is arriving.
#[derive(Debug)]
pub(super) struct Answer {
    dialect: Dialect,
    /// Begins the ids of calls that have none.
    call_prefix: String,
    accepted: Instant,
    first_token: Option<Instant>,
    last_token: Option<Instant>,
    bytes: usize,
    /// What is known of calls until the answer ends.
    calls: Calls,
    called: bool,
    refusal: String,
    finish_reason: Option<FinishReason>,
    done: bool,
    usage: Usage,
    logprob_sum: f64,
    logprobs: u32,
}

impl Answer {
    /// Nothing has arrived yet of the answer to a request of turn `turn_id` accepted at `accepted`.
    pub(super) fn new(dialect: Dialect, turn_id: &str, accepted: Instant) -> Self {
        let turn = turn_id.chars().filter(char::is_ascii_alphanumeric).take(CALL_ID_BYTES);
        Self {
            dialect,
            call_prefix: format!("call_{}", turn.collect::<String>()),
            accepted,
            first_token: None,
            last_token: None,
            bytes: 0,
            calls: Calls::default(),
            called: false,
            refusal: String::new(),
            finish_reason: None,
            done: false,
            usage: Usage::default(),
            logprob_sum: 0.0,
            logprobs: 0,
        }
    }

    /// Takes the data of one event.
    pub(super) fn chunk(&mut self, data: &str, blame: &Blame<'_>, now: Instant) -> Result<Piece> {
        match data.trim() {
            "" => Ok(Piece::default()),
            // What comes after the end is no part of the answer.
            _ if self.done => Ok(Piece::default()),
            data => self.take(self.dialect.read(data.as_bytes(), blame)?, blame, now),
        }
    }

    /// Takes the answer of an API that does not stream.
    pub(super) fn whole(&mut self, body: &[u8], blame: &Blame<'_>, now: Instant) -> Result<Piece> {
        let chunk = self.dialect.read(body, blame)?;
        if !chunk.answers {
            let name = blame.provider;
            let problem = format!(
                "there is no answer in what it sent; check providers.{name}.base_url and kind"
            );
            return Err(blame.failed(problem));
        }
        self.take(Chunk { over: true, ..chunk }, blame, now)
    }

    fn take(&mut self, chunk: Chunk, blame: &Blame<'_>, now: Instant) -> Result<Piece> {
        let Chunk { text, reasoning, refusal, logprobs, calls, token, .. } = chunk;
        if let Some(counts) = chunk.usage {
            counts.update(&mut self.usage);
        }
        if token {
            self.first_token.get_or_insert(now);
            self.last_token = Some(now);
        }
        for token in &logprobs {
            self.logprob_sum += f64::from(token.logprob);
            self.logprobs += 1;
        }
        let arguments: usize = calls.iter().map(|piece| piece.arguments.len()).sum();
        self.bytes += text.len() + reasoning.len() + refusal.len() + arguments;
        if self.bytes > ANSWER_BYTES_MAX {
            let limit = ANSWER_BYTES_MAX >> 20;
            return Err(blame.failed(format!("its answer is longer than {limit} MiB")));
        }
        self.refusal.push_str(&refusal);
        for piece in calls {
            self.calls.take(piece).map_err(|fault| blame.failed(fault.to_string()))?;
        }
        match chunk.end {
            Some(End::Refused(why)) => return Err(blame.refused(why)),
            Some(End::Finished(reason)) => self.finish_reason = Some(reason),
            None => (),
        }
        self.done |= chunk.over;
        let calls = if self.is_complete() { self.complete(blame)? } else { Vec::new() };
        Ok(Piece { text, reasoning, logprobs, calls, token })
    }

    /// What is known when all has arrived: the calls, each whole, or that there is no answer.
    fn complete(&mut self, blame: &Blame<'_>) -> Result<Vec<ToolCall>> {
        if !self.refusal.is_empty() {
            return Err(
                blame.refused(format!("it declines to answer: {}", blame.quote(&self.refusal)))
            );
        }
        let cut = self.finish_reason == Some(FinishReason::Length);
        let calls = self.calls.finish(&self.call_prefix).map_err(|fault| {
            if cut {
                blame.refused(
                    "its answer was cut off in the middle of a tool call; raise max_tokens",
                )
            } else {
                blame.failed(fault.to_string())
            }
        })?;
        self.called |= !calls.is_empty();
        if self.finish_reason == Some(FinishReason::ToolCalls) && !self.called {
            return Err(blame.failed("it wants tools called and does not say which"));
        }
        if self.called && !cut {
            self.finish_reason = Some(FinishReason::ToolCalls);
        }
        Ok(calls)
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
        let usage = self.usage;
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

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
