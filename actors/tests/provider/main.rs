//! The slow track against a scripted API on loopback.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorRef};
use tandem_actors::api_escalator::{self, ApiEscalator, ApiEscalatorActor};
use tandem_actors::bookkeeper::Bookkeeper;
use tandem_actors::memory_store::MemoryStore;
use tandem_actors::provider::Provider;
use tandem_actors::router::Class;
use tandem_actors::{
    Completion, Error, Needs, Prompt, Tools, TrackEvent, TrackEvents, TrackRequest, Tree,
};
use tandem_config::{Ability, Budget, Provider as Settings, ProviderKind, Secret};
use tandem_proto::v1::{FinishReason, Health, Sampling, Tool, ToolCall, Usage};
use tokio::time::timeout;

mod breaker;
mod server;

use server::{Act, PATIENCE, Seen, Server, answer, ending, piece, stream_end, stream_head, words};

/// A running slow track with one provider, "far".
struct SlowTrack {
    provider: Provider,
    actor: ActorRef<api_escalator::Message>,
    tree: Tree,
}

impl SlowTrack {
    async fn start(settings: Settings) -> Self {
        let settings = BTreeMap::from([("far".to_owned(), settings)]);
        let books = Bookkeeper::new(&Budget::default(), &settings, &MemoryStore::new());
        let handle = ApiEscalator::new(&tandem_config::Router::default(), &settings, &books);
        let provider = handle.provider(None).unwrap();
        let tree = Tree::new();
        let arguments = api_escalator::Arguments { handle, node: tree.root("api_escalator") };
        let (actor, _) = Actor::spawn(None, ApiEscalatorActor, arguments).await.unwrap();
        Self { provider, actor, tree }
    }

    async fn ask(&self) -> TrackEvents {
        self.provider.start(request(PATIENCE)).await.unwrap()
    }

    /// Waits until this many requests were accepted and all of them are over.
    async fn over(&self, requests: u64) {
        let over = async {
            while self.provider.status().requests < requests || self.provider.status().in_flight > 0
            {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, over).await.unwrap();
    }
}

impl Drop for SlowTrack {
    fn drop(&mut self) {
        self.actor.stop(None);
    }
}

fn request(patience: Duration) -> TrackRequest {
    TrackRequest {
        turn_id: "turn".into(),
        prompt: Prompt::Text("hi".into()),
        sampling: Sampling::default(),
        tools: Tools::default(),
        class: Class::Batch,
        deadline: Instant::now() + patience,
    }
}

/// Settings whose timeouts are out of the way.
fn settings(server: &Server) -> Settings {
    Settings {
        first_token_timeout: PATIENCE * 2,
        idle_timeout: PATIENCE * 2,
        ..Settings::new(server.base_url(), "remote")
    }
}

/// The text and how it ended.
async fn outcome(mut events: TrackEvents) -> (String, Result<Completion, Error>) {
    let mut text = String::new();
    loop {
        match timeout(PATIENCE, events.recv()).await.unwrap().expect("a last event") {
            TrackEvent::Delta { text: more, .. } => text.push_str(&more),
            TrackEvent::Cached(cached) => panic!("a provider has no cache: {cached:?}"),
            TrackEvent::Resumed { reason } => panic!("a provider does not resume: {reason}"),
            TrackEvent::ToolCall(call) => panic!("no tool was offered: {call:?}"),
            TrackEvent::Notice(_, message) => panic!("a provider says nothing beside: {message}"),
            TrackEvent::Done(completion) => return (text, Ok(completion)),
            TrackEvent::Failed(error) => return (text, Err(error)),
        }
    }
}

/// How one request ends that the server answers by this script.
async fn ask_once(script: Vec<Act>) -> (String, Result<Completion, Error>) {
    let server = Server::start(vec![script]).await;
    let track = SlowTrack::start(settings(&server)).await;
    outcome(track.ask().await).await
}

async fn failure(script: Vec<Act>) -> Error {
    ask_once(script).await.1.unwrap_err()
}

#[tokio::test]
async fn an_answer_is_the_same_however_its_bytes_are_cut() {
    let stream = format!(": hi\n\n{}{}{}", words("Grüße, "), words("世界 🌍"), ending());
    let mut script = vec![stream_head()];
    script.extend(stream.as_bytes().chunks(1).map(piece));
    script.push(stream_end());
    let mut server = Server::start(vec![script]).await;
    let track = SlowTrack::start(settings(&server)).await;

    let (text, completion) = outcome(track.ask().await).await;
    let completion = completion.unwrap();
    assert_eq!(text, "Grüße, 世界 🌍");
    assert_eq!(completion.finish_reason, FinishReason::Stop);
    assert_eq!(
        completion.usage,
        Usage { prompt_tokens: 5, cached_tokens: 0, completion_tokens: 2, ..Usage::default() }
    );
    assert!(completion.timings.total_us >= completion.timings.time_to_first_token_us);

    let Seen::Request { head, body } = server.seen().await else { panic!("no request") };
    assert!(head.starts_with("post /v1/chat/completions http/1.1\r\n"), "{head}");
    assert!(!head.contains("authorization"), "{head}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["messages"][0]["content"], "hi");
    let status = track.provider.status();
    assert_eq!((status.requests, status.failures, status.in_flight), (1, 0, 0));
    assert_eq!(status.health(), Health::Serving);
}

#[tokio::test]
async fn an_api_that_ignores_stream_is_understood() {
    let body = r#"{"choices":[{"message":{"content":"Hello"},"finish_reason":"length"}]}"#;
    let (text, completion) =
        ask_once(answer("200 OK", "content-type: application/json\r\n", body)).await;
    assert_eq!(text, "Hello");
    assert_eq!(completion.unwrap().finish_reason, FinishReason::Length);
}

#[tokio::test]
async fn a_complete_answer_counts_even_if_the_connection_is_cut_after_it() {
    let finish = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let (text, completion) =
        ask_once(vec![stream_head(), piece(words("all")), piece(finish)]).await;
    assert_eq!(text, "all");
    assert!(completion.is_ok());
}

#[tokio::test]
async fn the_key_is_sent_and_is_in_no_error() {
    let body = r#"{"error":{"message":"the key sk-very-secret is not for this model"}}"#;
    let mut server = Server::start(vec![
        answer("400 Bad Request", "", body),
        answer("401 Unauthorized", "", body),
    ])
    .await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "sk-very-secret\n").unwrap();
    let api_key = Some(Secret::File(file.path().to_owned()));
    let track = SlowTrack::start(Settings { api_key, ..settings(&server) }).await;

    let refused = outcome(track.ask().await).await.1.unwrap_err();
    assert!(matches!(refused, Error::ProviderRefused { .. }), "{refused:?}");
    assert!(refused.to_string().ends_with("the key *** is not for this model"), "{refused}");
    let Seen::Request { head, .. } = server.seen().await else { panic!("no request") };
    assert!(head.contains("authorization: bearer sk-very-secret\r\n"), "{head}");

    let unauthorized = outcome(track.ask().await).await.1.unwrap_err();
    assert!(matches!(unauthorized, Error::ProviderKeyRefused { .. }), "{unauthorized:?}");
    assert!(unauthorized.to_string().contains(&file.path().display().to_string()));
    assert!(!format!("{unauthorized:?} {:?}", track.provider).contains("sk-very-secret"));
}

#[tokio::test]
async fn anthropic_is_told_version_and_key_in_headers_of_its_own() {
    let event = |kind: &str, rest: &str| {
        piece(format!("event: {kind}\ndata: {{\"type\":\"{kind}\",{rest}}}\n\n"))
    };
    let script = vec![
        stream_head(),
        event("message_start", r#""message":{"content":[],"usage":{"input_tokens":7}}"#),
        event(
            "content_block_delta",
            r#""index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}"#,
        ),
        event("content_block_delta", r#""index":0,"delta":{"type":"text_delta","text":"Hello"}"#),
        event("message_delta", r#""delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}"#),
        piece("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
        stream_end(),
    ];
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#;
    let mut server = Server::start(vec![script, answer("529 Overloaded", "", overloaded)]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "sk-ant-secret\n").unwrap();
    let settings = Settings {
        kind: ProviderKind::Anthropic,
        base_url: format!("http://{}", server.address),
        api_key: Some(Secret::File(file.path().to_owned())),
        ..settings(&server)
    };
    let track = SlowTrack::start(settings).await;
    let mut events = track.ask().await;
    let thought = TrackEvent::Delta {
        text: String::new(),
        reasoning: "Hm.".to_owned(),
        logprobs: Vec::new(),
    };
    assert_eq!(timeout(PATIENCE, events.recv()).await.unwrap(), Some(thought));
    let (text, completion) = outcome(events).await;
    assert_eq!(text, "Hello");
    let usage = Usage { prompt_tokens: 7, completion_tokens: 2, ..Usage::default() };
    assert_eq!(completion.unwrap().usage, usage);
    let Seen::Request { head, .. } = server.seen().await else { panic!("no request") };
    assert!(head.starts_with("post /v1/messages http/1.1\r\n"), "{head}");
    assert!(head.contains("x-api-key: sk-ant-secret\r\n"), "{head}");
    assert!(head.contains("anthropic-version: 2023-06-01\r\n"), "{head}");
    assert!(!head.contains("authorization"), "{head}");

    let error = outcome(track.ask().await).await.1.unwrap_err();
    assert!(matches!(error, Error::ProviderFailed { .. }), "{error:?}");
    assert!(error.to_string().ends_with(": busy"), "{error}");
    assert!(!format!("{error:?}").contains("sk-ant-secret"));
}

#[tokio::test]
async fn ollama_streams_lines() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/x-ndjson\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let lines = "{\"message\":{\"role\":\"assistant\",\"content\":\"Grüße\"},\"done\":false}\n\
                 {\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\
                 \"done_reason\":\"stop\",\"prompt_eval_count\":5,\"eval_count\":2}\n";
    let mut script = vec![Act::Send(head.into())];
    script.extend(lines.as_bytes().chunks(1).map(piece));
    script.push(stream_end());
    let missing = answer(
        "404 Not Found",
        "content-type: application/json\r\n",
        r#"{"error":"model 'remote' not found"}"#,
    );
    let mut server = Server::start(vec![script, missing]).await;
    let base_url = format!("http://{}", server.address);
    let kind = ProviderKind::Ollama;
    let track = SlowTrack::start(Settings { kind, base_url, ..settings(&server) }).await;
    let (text, completion) = outcome(track.ask().await).await;
    assert_eq!(text, "Grüße");
    assert_eq!(completion.unwrap().usage.prompt_tokens, 5);
    let Seen::Request { head, .. } = server.seen().await else { panic!("no request") };
    assert!(head.starts_with("post /api/chat http/1.1\r\n"), "{head}");

    let error = outcome(track.ask().await).await.1.unwrap_err();
    assert!(matches!(error, Error::ProviderRefused { .. }), "{error:?}");
    assert!(error.to_string().ends_with("model 'remote' not found"), "{error}");
}

#[tokio::test]
async fn a_tool_call_arrives_whole_before_the_end() {
    let call = |delta: &str| {
        piece(format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{delta}]}}}}]}}\n\n"))
    };
    let finish = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n";
    let server = Server::start(vec![vec![
        stream_head(),
        call(r#"{"index":0,"id":"call_1","function":{"name":"f","arguments":"{\"x\""}}"#),
        call(r#"{"index":0,"function":{"arguments":":1}"}}"#),
        piece(finish),
        stream_end(),
    ]])
    .await;
    let track = SlowTrack::start(settings(&server)).await;
    let offered = vec![Tool { name: "f".to_owned(), ..Tool::default() }];
    let tools = Tools { offered, ..Tools::default() };
    let mut events =
        track.provider.start(TrackRequest { tools, ..request(PATIENCE) }).await.unwrap();
    let call = ToolCall {
        id: "call_1".to_owned(),
        name: "f".to_owned(),
        arguments: "{\"x\":1}".to_owned(),
    };
    let first = timeout(PATIENCE, events.recv()).await.unwrap();
    assert_eq!(first, Some(TrackEvent::ToolCall(call)));
    let completion = outcome(events).await.1.unwrap();
    assert_eq!(completion.finish_reason, FinishReason::ToolCalls);
}

#[tokio::test]
async fn what_the_model_cannot_do_is_refused_before_anything_is_sent() {
    let server = Server::start(vec![vec![]]).await;
    let abilities = Some(vec![Ability::Json]);
    let track = SlowTrack::start(Settings { abilities, ..settings(&server) }).await;
    let tools = Tools { offered: vec![Tool::default()], ..Tools::default() };
    let refused = track.provider.start(TrackRequest { tools, ..request(PATIENCE) }).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, Error::ProviderRefused { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("cannot call tools; if it can, add that to providers.far.abilities"),
        "{error}"
    );
    assert!(track.provider.can(&Needs { json: true, ..Needs::default() }).is_ok());
    assert_eq!(track.provider.status().requests, 0);
}

#[tokio::test]
async fn a_missing_key_is_named() {
    let server = Server::start(vec![vec![]]).await;
    let api_key = Some(Secret::Env("TANDEM_TEST_NEVER_SET".into()));
    let track = SlowTrack::start(Settings { api_key, ..settings(&server) }).await;
    let error = outcome(track.ask().await).await.1.unwrap_err();
    assert!(matches!(error, Error::ProviderKeyRefused { .. }), "{error:?}");
    assert!(error.to_string().contains("TANDEM_TEST_NEVER_SET: it is not set"), "{error}");
}

#[tokio::test]
async fn a_busy_api_says_when_to_come_back() {
    let error = failure(answer("429 Too Many Requests", "retry-after: 7\r\n", "slow down")).await;
    let expected = Error::ProviderFailed {
        provider: "far".into(),
        problem: "it answers 429 Too Many Requests: slow down".into(),
        retry_after: Some(Duration::from_secs(7)),
    };
    assert_eq!(error, expected);
}

#[tokio::test]
async fn a_host_that_refuses_connections_is_named() {
    let track = SlowTrack::start(Settings::new("http://127.0.0.1:1/v1", "remote")).await;
    let error = outcome(track.ask().await).await.1.unwrap_err();
    assert!(matches!(error, Error::ProviderFailed { .. }), "{error:?}");
    assert!(error.to_string().contains("cannot connect to 127.0.0.1:1 ("), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_host_without_tls_is_not_spoken_to_in_plain_text() {
    let server = Server::start(vec![answer("200 OK", "", "")]).await;
    let base_url = format!("https://{}/v1", server.address);
    let track = SlowTrack::start(Settings { base_url, ..settings(&server) }).await;
    let error = outcome(track.ask().await).await.1.unwrap_err();
    assert!(error.to_string().contains("cannot connect to 127.0.0.1"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let error = failure(answer("307 Temporary Redirect", "location: http://x/\r\n", "")).await;
    assert!(matches!(error, Error::ProviderRefused { .. }), "{error:?}");
    assert!(error.to_string().contains("set providers.far.base_url"), "{error}");
}

#[tokio::test]
async fn silence_before_the_first_token_ends_the_request() {
    let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    for script in [
        vec![Act::AwaitClose],
        vec![stream_head(), piece(role), piece(": hm\n\n"), Act::AwaitClose],
    ] {
        let mut server = Server::start(vec![script]).await;
        let first_token_timeout = Duration::from_millis(200);
        let track = SlowTrack::start(Settings { first_token_timeout, ..settings(&server) }).await;
        let error = outcome(track.ask().await).await.1.unwrap_err();
        assert!(matches!(error, Error::ProviderTimedOut { .. }), "{error:?}");
        assert!(error.to_string().contains("raise providers.far.first_token_timeout"), "{error}");
        assert!(matches!(server.seen().await, Seen::Request { .. }));
        assert_eq!(server.seen().await, Seen::Close);
    }
}

#[tokio::test]
async fn silence_in_the_middle_of_the_answer_ends_the_request() {
    let server =
        Server::start(vec![vec![stream_head(), piece(words("so")), Act::AwaitClose]]).await;
    let idle_timeout = Duration::from_millis(200);
    let track = SlowTrack::start(Settings { idle_timeout, ..settings(&server) }).await;
    let (text, end) = outcome(track.ask().await).await;
    assert_eq!(text, "so");
    assert!(end.unwrap_err().to_string().contains("raise providers.far.idle_timeout"));
}

#[tokio::test]
async fn the_callers_deadline_ends_the_request() {
    let server = Server::start(vec![vec![Act::AwaitClose]]).await;
    let track = SlowTrack::start(settings(&server)).await;
    let events = track.provider.start(request(Duration::from_millis(200))).await.unwrap();
    let error = outcome(events).await.1.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_is_cut_is_not_taken_for_a_whole_one() {
    let cut = "the connection ended in the middle of the answer";
    for script in [
        vec![stream_head(), piece(words("so far"))],
        vec![stream_head(), piece(words("so far")), stream_end()],
        vec![stream_head(), piece(words("so far")), piece("data: {\"cho"), stream_end()],
    ] {
        let (text, end) = ask_once(script).await;
        assert_eq!(text, "so far");
        assert!(end.unwrap_err().to_string().ends_with(cut));
    }
}

#[tokio::test]
async fn what_is_no_answer_is_refused() {
    for (script, problem) in [
        (vec![stream_head(), piece("data: {nonsense\n\n")], "not a chat completion"),
        (vec![stream_head(), piece("data: {\"error\":{\"message\":\"no GPU\"}}\n\n")], "no GPU"),
        (vec![stream_head(), piece(vec![b'x'; (1 << 20) + 1])], "more than 1024 KiB"),
        (vec![stream_head(), piece(b"data: \xff\n\n")], "not UTF-8"),
        (vec![Act::Send(b"SSH-2.0-hello\r\n".to_vec())], "the connection ended before the answer"),
        (vec![], "the connection ended before the answer"),
        (answer("200 OK", "content-type: text/html\r\n", "<html>"), "providers.far.base_url"),
        (answer("200 OK", "content-type: application/json\r\n", "{}"), "providers.far.base_url"),
    ] {
        let error = failure(script).await;
        assert!(error.to_string().contains(problem), "{problem}: {error}");
    }
}

#[tokio::test]
async fn dropping_the_events_closes_the_connection_at_any_moment() {
    let started = vec![stream_head(), piece(words("so")), Act::AwaitClose];
    let mut server = Server::start(vec![vec![Act::AwaitClose], started]).await;
    let track = SlowTrack::start(settings(&server)).await;

    let before_the_head = track.ask().await;
    assert!(matches!(server.seen().await, Seen::Request { .. }));
    drop(before_the_head);
    assert_eq!(server.seen().await, Seen::Close);

    let mut in_the_middle = track.ask().await;
    assert!(matches!(in_the_middle.recv().await, Some(TrackEvent::Delta { .. })));
    assert!(matches!(server.seen().await, Seen::Request { .. }));
    drop(in_the_middle);
    assert_eq!(server.seen().await, Seen::Close);

    track.over(2).await;
    let status = track.provider.status();
    assert_eq!((status.requests, status.failures), (2, 0), "a cancelled request is no failure");
}

#[tokio::test]
async fn a_caller_that_does_not_read_is_still_told_the_end() {
    let mut script = vec![stream_head()];
    script.extend((0..1000).map(|_| piece(words("x"))));
    script.extend([piece(ending()), stream_end()]);
    let server = Server::start(vec![script]).await;
    let track = SlowTrack::start(settings(&server)).await;
    let events = track.provider.start(request(Duration::from_secs(1))).await.unwrap();
    track.over(1).await;
    let (text, end) = outcome(events).await;
    assert!(text.len() <= 64, "{} events were read ahead", text.len());
    assert!(matches!(end, Err(Error::DeadlineExceeded { .. })), "{end:?}");
}

#[tokio::test]
async fn no_more_requests_than_allowed_are_under_way() {
    let mut server = Server::start(vec![vec![Act::AwaitClose]]).await;
    let track = SlowTrack::start(Settings { concurrency_max: 1, ..settings(&server) }).await;
    let first = track.ask().await;
    assert!(matches!(server.seen().await, Seen::Request { .. }));
    assert_eq!(track.provider.status().in_flight, 1);
    assert_eq!(track.tree.snapshot().unwrap().children[0].queue, 1);
    let error = track.provider.start(request(PATIENCE)).await.unwrap_err();
    assert!(matches!(error, Error::Overloaded { .. }), "{error:?}");

    drop(first);
    track.over(1).await;
    assert_eq!(track.tree.snapshot().unwrap().children[0].queue, 0);
}

#[tokio::test]
async fn a_request_that_the_api_cannot_express_is_refused_at_once() {
    let server = Server::start(vec![vec![]]).await;
    let track = SlowTrack::start(settings(&server)).await;
    let sampling = Sampling { stop: vec!["x".into(); 5], ..Sampling::default() };
    let error = track.provider.start(TrackRequest { sampling, ..request(PATIENCE) }).await;
    assert!(matches!(error, Err(Error::ProviderRefused { .. })), "{error:?}");
    assert_eq!(track.provider.status().requests, 0);
}
