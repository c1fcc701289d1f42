//! One answered question, put together from the events of its stream.

use serde::Serialize;
use tandem_client::v1::{self, ask_event::Event};

use super::context::Context;
use super::knowledge::place;
use super::status::rung;
use super::{Tokens, duration, filled, finish_reason, name, track};

/// An answer with all that is known about it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Answer {
    #[serde(rename = "answer")]
    pub(crate) text: String,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) track: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) reasons: Vec<String>,
    pub(crate) score: Option<f64>,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) time_to_first_token_ms: Option<f64>,
    pub(crate) tokens_per_second: Option<f64>,
    pub(crate) confidence: Option<f64>,
    pub(crate) cost_micros: Option<u64>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) conversation_id: Option<String>,
    pub(crate) turn_id: Option<String>,
    pub(crate) seed: Option<u64>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) stored: bool,
    pub(crate) context: Option<Context>,
    pub(crate) citations: Vec<Citation>,
    pub(crate) cached: Option<Cached>,
    pub(crate) degraded: Option<Degraded>,
}

/// What the daemon gave up for the sake of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Degraded {
    pub(crate) rung: String,
    pub(crate) reasons: Vec<String>,
}

impl From<v1::Degraded> for Degraded {
    fn from(degraded: v1::Degraded) -> Self {
        Self { rung: rung(degraded.rung()), reasons: degraded.reasons }
    }
}

/// A passage of a document that the model read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Citation {
    number: u32,
    source: String,
    title: String,
    page: Option<u32>,
    line: Option<u32>,
    headings: Vec<String>,
    similarity: Option<f32>,
    text: Option<String>,
    /// Whether the answer refers to it.
    cited: bool,
}

impl From<v1::Citation> for Citation {
    fn from(citation: v1::Citation) -> Self {
        Self {
            number: citation.number,
            source: citation.source,
            title: citation.title,
            page: (citation.page > 0).then_some(citation.page),
            line: (citation.line > 0).then_some(citation.line),
            headings: citation.headings,
            similarity: citation.similarity,
            text: filled(citation.text),
            cited: citation.cited,
        }
    }
}

impl Citation {
    /// `[2] /notes/flat.md:5, Flat > Contract`.
    fn line(&self) -> String {
        let place = place(self.page, self.line);
        let headings = self.headings.join(" > ");
        let gap = if headings.is_empty() { "" } else { ", " };
        format!("[{}] {}{place}{gap}{headings}", self.number, self.source)
    }
}

/// How an answer came from the cache.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Cached {
    /// `exact` or `semantic`.
    pub(crate) r#match: String,
    pub(crate) similarity: Option<f64>,
    pub(crate) age_ms: u64,
}

impl From<v1::Cached> for Cached {
    fn from(cached: v1::Cached) -> Self {
        Self {
            r#match: name(cached.r#match().as_str_name(), "CACHE_MATCH_"),
            similarity: cached.similarity,
            age_ms: cached.age_ms,
        }
    }
}

/// Something the user should know that is not part of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Notice {
    pub(crate) kind: String,
    pub(crate) message: String,
}

impl From<v1::Notice> for Notice {
    fn from(notice: v1::Notice) -> Self {
        Self { kind: name(notice.kind().as_str_name(), "NOTICE_KIND_"), message: notice.message }
    }
}

/// Something that the model asks for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ToolCall {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: serde_json::Value,
}

impl From<v1::ToolCall> for ToolCall {
    fn from(v1::ToolCall { id, name, arguments }: v1::ToolCall) -> Self {
        // They are an object; whatever else a later daemon sends is shown as it is.
        let arguments = serde_json::from_str(&arguments).unwrap_or(arguments.into());
        Self { id, name, arguments }
    }
}

/// An answer while its events arrive.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    answer: Answer,
    /// What each track has said; the last event tells which of them counts.
    texts: Vec<(v1::Track, String)>,
    calls: Vec<(v1::Track, ToolCall)>,
    results: Vec<v1::TrackDone>,
}

impl Draft {
    /// Takes the next event; the last one makes the answer.
    pub(crate) fn record(&mut self, event: Event) -> Option<Answer> {
        match event {
            Event::Routed(routed) => {
                self.answer.track = track(routed.track());
                self.answer.model = filled(routed.model);
                self.answer.score = Some(routed.score);
                self.answer.reasons = routed.reasons;
                self.answer.turn_id = filled(routed.turn_id);
                self.answer.conversation_id = filled(routed.conversation_id);
            }
            Event::Delta(delta) => match self.texts.iter_mut().find(|(of, _)| *of == delta.track())
            {
                Some((_, text)) => text.push_str(&delta.text),
                None => self.texts.push((delta.track(), delta.text)),
            },
            Event::Superseded(superseded) => {
                self.texts.retain(|(track, _)| *track != superseded.track());
                self.calls.retain(|(track, _)| *track != superseded.track());
            }
            // Only the slow track knows how.
            Event::ToolCall(call) => self.calls.push((v1::Track::Slow, call.into())),
            Event::Notice(notice) => self.answer.notices.push(notice.into()),
            Event::TrackDone(done) => self.results.push(done),
            Event::Done(done) => return Some(self.finish(done)),
            // It was shown when it came.
            Event::Queued(_) => (),
        }
        None
    }

    fn finish(&mut self, done: v1::Done) -> Answer {
        let counts = done.track();
        let mut answer = std::mem::take(&mut self.answer);
        for (of, text) in self.texts.drain(..) {
            if of == counts {
                answer.text = text;
            }
        }
        let calls = self.calls.drain(..).filter(|(of, _)| *of == counts);
        answer.tool_calls = calls.map(|(_, call)| call).collect();
        if let Some(result) = self.results.drain(..).rfind(|result| result.track() == counts) {
            answer.finish_reason = finish_reason(result.finish_reason());
            answer.tokens = result.usage.map(Tokens::from);
            answer.confidence = result.confidence;
            answer.cost_micros = result.cost_micros;
            if let Some(timings) = result.timings {
                answer.time_to_first_token_ms = Some(milliseconds(timings.time_to_first_token_us));
                answer.tokens_per_second = Some(timings.tokens_per_second);
            }
            answer.model = filled(result.model).or(answer.model);
        }
        answer.track = track(counts).or(answer.track);
        answer.turn_id = filled(done.turn_id).or(answer.turn_id);
        answer.conversation_id = filled(done.conversation_id).or(answer.conversation_id);
        answer.seed = done.seed;
        answer.stored = done.stored;
        answer.context = done.context.map(Context::from);
        answer.citations = done.citations.into_iter().map(Citation::from).collect();
        answer.cached = done.cached.map(Cached::from);
        answer.degraded = done.degraded.map(Degraded::from);
        answer
    }
}

#[allow(clippy::cast_precision_loss, reason = "exact for the first 285 years")]
fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1000.0
}

impl Answer {
    /// The documents that the answer is from, a line each: those that it refers to, else all that the
    /// model read.
    pub(crate) fn sources(&self) -> Vec<String> {
        let any = self.citations.iter().any(|citation| citation.cited);
        let shown = self.citations.iter().filter(|citation| citation.cited || !any);
        shown.map(Citation::line).collect()
    }

    /// One line about the answer: `fast · smollm2 · 42 tokens · 80.1 tokens/s · first after 120 ms`.
    pub(crate) fn summary(&self) -> String {
        let mut parts: Vec<String> =
            [&self.track, &self.model].into_iter().flatten().cloned().collect();
        if self.cached.is_some() {
            parts.push("from the cache".to_owned());
        } else if let Some(tokens) = self.tokens {
            parts.push(format!("{} tokens", tokens.completion));
        }
        if let Some(speed) = self.tokens_per_second.filter(|speed| *speed > 0.0) {
            parts.push(format!("{speed:.1} tokens/s"));
        }
        if let Some(wait) = self.time_to_first_token_ms {
            let wait = std::time::Duration::from_secs_f64(wait.max(0.0) / 1000.0);
            parts.push(format!("first after {}", duration(wait)));
        }
        parts.join(" · ")
    }

    /// What the model read and how likely the answer is right, as far as it is known.
    pub(crate) fn explanation(&self) -> Option<String> {
        let confidence = self.confidence.map(|confidence| format!("confidence {confidence:.2}"));
        let parts: Vec<_> =
            self.context.as_ref().map(Context::in_words).into_iter().chain(confidence).collect();
        (!parts.is_empty()).then(|| parts.join("\n"))
    }

    /// Where the answer was cut off, when it was.
    pub(crate) fn cut_off(&self) -> Option<String> {
        let tokens = self.tokens.filter(|_| self.finish_reason.as_deref() == Some("length"))?;
        Some(format!("the answer was cut off at {} tokens (--max-tokens)", tokens.completion))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn delta(track: v1::Track, text: &str) -> Event {
        Event::Delta(v1::Delta { track: track.into(), text: text.into(), ..v1::Delta::default() })
    }

    fn fast_answer() -> Answer {
        let mut draft = Draft::default();
        let events = [
            Event::Routed(v1::Routed {
                track: v1::Track::Fast.into(),
                score: 0.25,
                reasons: vec!["the question is short".into()],
                turn_id: "turn".into(),
                conversation_id: String::new(),
                model: "small".into(),
                ..v1::Routed::default()
            }),
            Event::Notice(v1::Notice {
                kind: v1::NoticeKind::FellBack.into(),
                message: "took over".into(),
            }),
            delta(v1::Track::Fast, "Hel"),
            delta(v1::Track::Fast, "lo"),
            Event::TrackDone(v1::TrackDone {
                track: v1::Track::Fast.into(),
                model: "small".into(),
                finish_reason: v1::FinishReason::Stop.into(),
                usage: Some(v1::Usage {
                    prompt_tokens: 9,
                    cached_tokens: 4,
                    completion_tokens: 2,
                    ..v1::Usage::default()
                }),
                timings: Some(v1::Timings {
                    time_to_first_token_us: 1500,
                    tokens_per_second: 80.5,
                    ..Default::default()
                }),
                mean_logprob: None,
                confidence: Some(0.75),
                certainty: None,
                cost_micros: None,
            }),
        ];
        for event in events {
            assert_eq!(draft.record(event), None);
        }
        let done = v1::Done {
            track: v1::Track::Fast.into(),
            turn_id: "turn".into(),
            conversation_id: String::new(),
            seed: Some(7),
            stored: false,
            context: Some(v1::ContextLedger { tokens: 9, ..v1::ContextLedger::default() }),
            cached: None,
            citations: Vec::new(),
            degraded: Some(v1::Degraded {
                rung: v1::Rung::FewerThreads.into(),
                reasons: vec!["the hottest sensor is at 98 °C".into()],
            }),
        };
        draft.record(Event::Done(done)).unwrap()
    }

    #[test]
    fn the_json_of_an_answer_has_these_keys_and_no_others() {
        let expected = serde_json::json!({
            "answer": "Hello",
            "tool_calls": [],
            "track": "fast",
            "model": "small",
            "reasons": ["the question is short"],
            "score": 0.25,
            "tokens": {"prompt": 9, "cached": 4, "completion": 2},
            "time_to_first_token_ms": 1.5,
            "tokens_per_second": 80.5,
            "confidence": 0.75,
            "cost_micros": null,
            "finish_reason": "stop",
            "conversation_id": null,
            "turn_id": "turn",
            "seed": 7,
            "notices": [{"kind": "fell_back", "message": "took over"}],
            "stored": false,
            "context": {"tokens": 9, "estimated": false, "entries": []},
            "cached": null,
            "citations": [],
            "degraded": {"rung": "fewer_threads", "reasons": ["the hottest sensor is at 98 °C"]},
        });
        assert_eq!(serde_json::to_value(fast_answer()).unwrap(), expected);
    }

    #[test]
    fn the_arguments_of_a_tool_call_are_json_in_json() {
        let call = |arguments: &str| {
            let arguments = arguments.to_owned();
            ToolCall::from(v1::ToolCall { id: "x".into(), name: "f".into(), arguments })
        };
        assert_eq!(call("{\"a\":1}").arguments, serde_json::json!({"a": 1}));
        assert_eq!(call("{").arguments, serde_json::json!("{"));
    }

    #[test]
    fn the_summary_is_one_line() {
        let summary = fast_answer().summary();
        assert_eq!(summary, "fast · small · 2 tokens · 80.5 tokens/s · first after 1 ms");
    }

    #[test]
    fn an_answer_from_the_cache_says_so() {
        let mut draft = Draft::default();
        draft.record(delta(v1::Track::Fast, "Paris."));
        let cached = v1::Cached {
            r#match: v1::CacheMatch::Semantic.into(),
            similarity: Some(0.97),
            age_ms: 1500,
        };
        let done =
            v1::Done { track: v1::Track::Fast.into(), cached: Some(cached), ..v1::Done::default() };
        let answer = draft.record(Event::Done(done)).unwrap();
        assert_eq!(answer.summary(), "fast · from the cache");
        let json = serde_json::to_value(answer).unwrap();
        let expected = serde_json::json!({"match": "semantic", "similarity": 0.97, "age_ms": 1500});
        assert_eq!(json["cached"], expected);
    }

    #[test]
    fn context_and_confidence_are_explained_where_they_are_known() {
        let explained = fast_answer().explanation().unwrap();
        assert_eq!(explained, "context: 9 tokens\nconfidence 0.75");
        assert_eq!(Answer::default().explanation(), None);
    }

    #[test]
    fn only_the_track_that_counts_is_the_answer() {
        let mut draft = Draft::default();
        draft.record(delta(v1::Track::Fast, "half a sen"));
        draft.record(delta(v1::Track::Slow, "A whole one."));
        let done = v1::Done { track: v1::Track::Slow.into(), ..Default::default() };
        let answer = draft.record(Event::Done(done)).unwrap();
        assert_eq!((answer.text.as_str(), answer.track.as_deref()), ("A whole one.", Some("slow")));
    }
}
