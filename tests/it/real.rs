//! The real engine with a real model.

use std::collections::HashSet;

use futures::future::join_all;
use tandem_proto::error as reason;
use tandem_proto::v1::generate_event::Event as GenerateEvent;
use tandem_proto::v1::load_model_event::Event as LoadEvent;
use tandem_proto::v1::{
    AskRequest, ChatMessage, CountTokensRequest, DetokenizeRequest, FinishReason, GenerateRequest,
    LoadModelRequest, ModelState, NoticeKind, Role, Sampling, StatusResponse, TokenizeRequest,
};
use tandem_tests::{Answer, Daemon, Setup, kill, question, soon, with_home};
use tonic::Code;

const CAPITAL: &str = "What is the capital of France?";
/// Has no short answer.
const STORY: &str = "Tell me a long story about a ship.";

async fn real() -> Daemon {
    Setup::real().start().await
}

fn greedy(prompt: &str, max_tokens: u32) -> AskRequest {
    AskRequest { sampling: Some(sampling(max_tokens)), ..question(prompt) }
}

fn sampling(max_tokens: u32) -> Sampling {
    Sampling { temperature: Some(0.0), max_tokens: Some(max_tokens), ..Sampling::default() }
}

#[tokio::test]
async fn the_first_question_loads_the_model_and_is_answered() {
    let daemon = real().await;
    assert_eq!(daemon.status().await.models, []);
    let answer = daemon.ask_with(greedy(CAPITAL, 16)).await;
    assert!(answer.complete().contains("Paris"), "{answer:?}");
    assert_eq!(answer.notices(NoticeKind::Waiting).len(), 1, "{answer:?}");
    assert_eq!(answer.routed().unwrap().model, "smollm2-135m-instruct");
    let done = answer.track_done().unwrap();
    let (usage, timings) = (done.usage.unwrap(), done.timings.unwrap());
    assert!(usage.prompt_tokens > 10, "{usage:?}");
    assert!((1..=16).contains(&usage.completion_tokens), "{usage:?}");
    assert!(timings.time_to_first_token_us > 0, "{timings:?}");
    assert!(timings.total_us >= timings.time_to_first_token_us, "{timings:?}");
    assert!(timings.tokens_per_second > 0.0, "{timings:?}");
    assert!(done.mean_logprob.unwrap() <= 0.0, "{done:?}");
    let certainty = done.certainty.unwrap();
    assert_eq!(certainty.tokens, usage.completion_tokens, "{done:?}");
    assert!((certainty.logprob_mean - done.mean_logprob.unwrap()).abs() < 1e-6, "{done:?}");
    let engine = daemon.engine().await;
    assert_eq!((engine.settings.as_str(), engine.restarts), ("defaults", 0));
    assert!(engine.memory_bytes > 50 << 20, "{engine:?}");

    assert_the_same_seed_gives_the_same_text(&daemon).await;
    assert_the_command_tells_everything_in_json(&daemon).await;
}

async fn assert_the_same_seed_gives_the_same_text(daemon: &Daemon) {
    let ask = |seed| {
        let sampling =
            Sampling { temperature: Some(1.5), seed, max_tokens: Some(24), ..Sampling::default() };
        daemon.ask_with(AskRequest { sampling: Some(sampling), ..question(STORY) })
    };
    let first = ask(None).await;
    let seed = first.done().unwrap().seed;
    assert!(seed.is_some());
    assert_eq!(ask(seed).await.complete(), first.complete());
    assert_ne!(ask(seed.map(|seed| seed + 1)).await.complete(), first.complete());
}

async fn assert_the_command_tells_everything_in_json(daemon: &Daemon) {
    let arguments = ["ask", "--json", "--temperature", "0", "--max-tokens", "16", CAPITAL];
    let output = daemon.home().tandem(&arguments).await;
    assert!(output.status.success(), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(json["answer"].as_str().unwrap().contains("Paris"), "{json}");
    assert_eq!((&json["track"], &json["stored"]), (&"fast".into(), &false.into()), "{json}");
    assert_eq!(json["model"], "smollm2-135m-instruct", "{json}");
    assert!(json["tokens"]["completion"].as_u64().unwrap() > 0, "{json}");
    assert!(json["tokens_per_second"].as_f64().unwrap() > 0.0, "{json}");
    let confidence = json["confidence"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&confidence), "{json}");
    assert!(json["seed"].is_u64() && json["turn_id"].is_string(), "{json}");
}

#[tokio::test]
async fn a_conversation_is_remembered_by_the_model_and_survives_a_restart() {
    let mut daemon = real().await;
    let id = daemon.conversation().await;
    let ask = |prompt| AskRequest { conversation_id: id.clone(), ..greedy(prompt, 24) };
    let name = daemon.ask_with(ask("My name is Ada.")).await;
    assert!(name.done().unwrap().stored);
    let answer = daemon.ask_with(ask("What is my name?")).await;
    // Whether it understands is the model's business; it has read the first turn.
    let usage = |answer: &Answer| answer.track_done().unwrap().usage.unwrap();
    let said_before = usage(&name).prompt_tokens + usage(&name).completion_tokens;
    assert!(usage(&answer).prompt_tokens > said_before, "{answer:?}");

    daemon.terminate();
    assert_eq!(daemon.ended().await.code(), Some(0), "{}", daemon.log());
    daemon.restart().await;
    let output = daemon.home().tandem(&["conversation", "show", &id]).await;
    assert!(output.status.success(), "{output:?}");
    let shown = String::from_utf8(output.stdout).unwrap();
    for part in ["My name is Ada.", "What is my name?", &answer.complete()] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let output = daemon.home().tandem(&["--json", "conversation", "list"]).await;
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["conversations"][0]["id"], id.as_str(), "{json}");
    assert_eq!(json["conversations"][0]["turn_count"], 2, "{json}");
}

/// Kills of an engine in the middle of an answer.
const KILLS: u32 = 50;

#[tokio::test]
async fn no_kill_of_an_engine_harms_the_daemon_or_loses_an_answer() {
    let daemon = real().await;
    let pid = daemon.pid();
    let expected = daemon.ask_with(greedy(STORY, 64)).await.complete();
    let mut engines = HashSet::new();
    let (mut resumed, mut failed) = (0, 0);
    for round in 0..KILLS {
        let mut asking = daemon.begin(greedy(STORY, 64)).await;
        // Each time a little later in the answer.
        asking.until_text(round as usize * expected.len() / KILLS as usize / 2 + 1).await;
        let engine = daemon.engine().await.pid;
        assert!(engines.insert(engine), "{engine} was killed before");
        assert!(kill("KILL", engine), "round {round}");
        let answer = asking.finish().await;
        match &answer.error {
            None => {
                resumed += answer.notices(NoticeKind::Resumed).len();
                assert_eq!(answer.text, expected, "round {round}");
            }
            Some(failure) => {
                failed += 1;
                assert_eq!(failure.code, Code::Unavailable, "round {round}: {failure:?}");
                assert!(failure.retry_after.is_some(), "round {round}: {failure:?}");
            }
        }
        let next = daemon.ask_with(greedy(CAPITAL, 2)).await;
        assert_eq!(next.error, None, "round {round}");
    }
    let status = daemon.status().await;
    assert_eq!(status.pid, pid);
    assert_eq!(daemon.engine().await.restarts, KILLS);
    assert_eq!(status.turns.unwrap().resumed, resumed as u64);
    assert_eq!((resumed, failed), (KILLS as usize, 0), "every answer went on");
}

#[tokio::test]
async fn eight_questions_at_once_are_answered_and_a_dropped_ninth_frees_its_sequence() {
    let daemon = Setup::real().config("[router]\nrunning_max = 10\n").start().await;
    let prompts: Vec<_> = (1..=8).map(|number| format!("Count from {number} to ten.")).collect();
    let asked = prompts.iter().map(|prompt| daemon.ask_with(greedy(prompt, 16)));
    let ninth = async {
        let mut asking = daemon.begin(greedy(STORY, 512)).await;
        asking.until_text(1).await;
    };
    let (answers, ()) = futures::join!(join_all(asked), ninth);
    for answer in answers {
        assert!(!answer.complete().is_empty());
        assert_ne!(answer.track_done().unwrap().finish_reason(), FinishReason::Unspecified);
    }
    daemon.until_idle().await;
    let turns = daemon
        .until("the ninth to be counted", |status| status.turns.unwrap().cancelled == 1)
        .await
        .turns
        .unwrap();
    assert_eq!((turns.started, turns.answered_fast, turns.failed), (9, 8, 0));
    let alone = daemon.ask_with(greedy(&prompts[0], 16)).await;
    assert_eq!(alone.error, None);
}

#[tokio::test]
async fn the_model_can_be_used_without_router_and_memory() {
    let daemon = real().await;
    let mut inference = daemon.client().inference();
    let text = "The quick brown fox, \u{e9}\u{1f980}!".to_owned();

    let request = TokenizeRequest { text: text.clone(), ..TokenizeRequest::default() };
    let tokens = soon("tokens", inference.tokenize(request)).await.unwrap().into_inner().tokens;
    assert!(tokens.len() > 5, "{tokens:?}");
    let request = DetokenizeRequest { tokens: tokens.clone(), ..DetokenizeRequest::default() };
    assert_eq!(inference.detokenize(request).await.unwrap().into_inner().text, text);
    let request = CountTokensRequest { text: text.clone(), ..CountTokensRequest::default() };
    let counted = inference.count_tokens(request).await.unwrap().into_inner().tokens;
    assert_eq!(counted as usize, tokens.len());
    let messages =
        vec![ChatMessage { role: Role::User.into(), content: text, ..Default::default() }];
    let request = CountTokensRequest { messages, ..CountTokensRequest::default() };
    let rendered = inference.count_tokens(request).await.unwrap().into_inner().tokens;
    assert!(rendered > counted, "{rendered} with the template, {counted} without");

    let request = GenerateRequest {
        prompt: "The capital of France is".to_owned(),
        sampling: Some(Sampling { logprobs: Some(2), seed: Some(7), ..sampling(8) }),
        ..GenerateRequest::default()
    };
    let mut stream = inference.generate(request).await.unwrap().into_inner();
    let (mut text, mut logprobs, mut done) = (String::new(), 0, None);
    while let Some(event) = soon("an event", stream.message()).await.unwrap() {
        assert_eq!(done, None, "Done is last");
        match event.event.unwrap() {
            GenerateEvent::Delta(delta) => {
                text.push_str(&delta.text);
                logprobs += delta.logprobs.len();
                assert!(delta.logprobs.iter().all(|token| token.alternatives.len() == 2));
            }
            GenerateEvent::Done(end) => done = Some(end),
        }
    }
    let done = done.unwrap();
    assert!(text.contains("Paris"), "{text:?}");
    assert_eq!((done.model.as_str(), done.seed), ("smollm2-135m-instruct", 7));
    assert_eq!(done.usage.unwrap().completion_tokens as usize, logprobs);

    let request = DetokenizeRequest { tokens: vec![u32::MAX], ..DetokenizeRequest::default() };
    let status = inference.detokenize(request).await.unwrap_err();
    let failure = tandem_tests::Failure::from(status);
    assert_eq!(failure.reason, reason::INVALID_ARGUMENT, "{failure:?}");
    assert_eq!(daemon.engine().await.restarts, 0);
}

#[tokio::test]
async fn a_model_is_loaded_in_sight_and_unloaded_without_a_trace() {
    let daemon = real().await;
    let request = LoadModelRequest::default();
    let mut stream = daemon.client().models().load(request).await.unwrap().into_inner();
    let mut loaded = None;
    let mut fraction = 0.0;
    while let Some(event) = soon("the load", stream.message()).await.unwrap() {
        match event.event.unwrap() {
            LoadEvent::Progress(progress) => {
                assert!((0.0..=1.0).contains(&progress.fraction), "{progress:?}");
                assert!(progress.fraction >= fraction, "{progress:?} after {fraction}");
                assert!(!progress.stage.is_empty());
                fraction = progress.fraction;
            }
            LoadEvent::Loaded(model) => loaded = Some(model),
        }
    }
    let model = loaded.unwrap();
    assert_eq!(model.state(), ModelState::Loaded);
    assert_eq!((model.architecture.as_str(), model.quantization.as_str()), ("llama", "Q4_1"));
    assert!(model.is_default);

    let output = daemon.home().tandem(&["model", "unload", &model.id]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(with_home(daemon.home().path()).len(), 1, "the daemon alone");
    assert_eq!(daemon.status().await.models, []);
    let output = daemon.home().tandem(&["model", "load", &model.id]).await;
    assert!(output.status.success(), "{output:?}");
    assert_ne!(daemon.engine().await.pid, model.engine.unwrap().pid);
}

#[tokio::test]
async fn an_engine_ends_with_its_daemon_while_it_loads_and_while_it_answers() {
    let mut daemon = real().await;
    let asking = daemon.begin(greedy(STORY, 512)).await;
    daemon.until("an engine", has_engine).await;
    daemon.kill().await;
    assert!(asking.finish().await.error.is_some());
    daemon.home().until_deserted().await;

    daemon.restart().await;
    let mut asking = daemon.begin(greedy(STORY, 512)).await;
    asking.until_text(1).await;
    assert_eq!(with_home(daemon.home().path()).len(), 2, "the daemon and its engine");
    daemon.kill().await;
    assert!(asking.finish().await.error.is_some());
    daemon.home().until_deserted().await;
}

fn has_engine(status: &StatusResponse) -> bool {
    status.models.iter().any(|model| model.engine.as_ref().is_some_and(|engine| engine.pid != 0))
}
