//! The slow track, with llama.cpp's own server as the remote API.

use tandem_proto::error as reason;
use tandem_proto::v1::{AskRequest, FinishReason, NoticeKind, Policy, Sampling, Track};
use tandem_tests::script::{Life, Script};
use tandem_tests::{LlamaServer, Setup, question, soon};
use tokio::io::AsyncReadExt as _;
use tonic::Code;

const LOCAL: &str = "the local model has spoken";

fn short(prompt: &str, policy: Policy) -> AskRequest {
    let sampling = Sampling { temperature: Some(0.0), max_tokens: Some(12), ..Sampling::default() };
    AskRequest { policy: policy.into(), sampling: Some(sampling), ..question(prompt) }
}

#[tokio::test]
async fn a_remote_provider_answers_and_the_local_model_covers_for_it() {
    let mut server = LlamaServer::start().await;
    let config = format!("[router]\nslow_threshold = 0.0\n{}", server.provider());
    let script = Script::always(Life::answering(LOCAL));
    let daemon = Setup::scripted(&script).config(&config).start().await;
    let prompt = "What is the capital of France?";

    let answer = daemon.ask_with(short(prompt, Policy::Slow)).await;
    assert!(answer.complete().contains("Paris"), "{answer:?}");
    assert_eq!(answer.routed().unwrap().track(), Track::Slow);
    assert_eq!(answer.routed().unwrap().model, "smollm2");
    let done = answer.track_done().unwrap();
    assert_eq!((done.track(), answer.done().unwrap().track()), (Track::Slow, Track::Slow));
    assert_ne!(done.finish_reason(), FinishReason::Unspecified);
    let usage = done.usage.unwrap();
    assert!(usage.prompt_tokens > 0 && (1..=12).contains(&usage.completion_tokens), "{usage:?}");

    let arguments = ["ask", "--json", "--policy", "slow", "--max-tokens", "12", prompt];
    let output = daemon.home().tandem(&arguments).await;
    assert!(output.status.success(), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["track"], &json["model"]), (&"slow".into(), &"smollm2".into()), "{json}");

    let auto = daemon.ask_with(short(prompt, Policy::Auto)).await;
    assert_eq!(auto.done().unwrap().track(), Track::Slow, "{auto:?}");
    let fast = daemon.ask_with(short(prompt, Policy::Fast)).await;
    assert_eq!(fast.complete(), LOCAL);

    server.stop().await;
    let answer = daemon.ask_with(short(prompt, Policy::Auto)).await;
    assert_eq!(answer.complete(), LOCAL);
    assert_eq!(answer.done().unwrap().track(), Track::Fast);
    assert_eq!(answer.notices(NoticeKind::FellBack).len(), 1, "{answer:?}");

    let answer = daemon.ask_with(short(prompt, Policy::Slow)).await;
    let failure = answer.failure();
    assert_eq!(
        (failure.code, failure.reason.as_str()),
        (Code::Unavailable, reason::PROVIDER_FAILED)
    );
    assert!(failure.retry_after.is_some(), "{failure:?}");
    let turns = daemon.status().await.turns.unwrap();
    assert_eq!((turns.answered_slow, turns.answered_fast, turns.fell_back), (3, 2, 1));
}

#[tokio::test]
async fn private_questions_open_no_connection() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = format!(
        "[router]\nslow_threshold = 0.0\n\
         [providers.spy]\nbase_url = \"http://127.0.0.1:{port}/v1\"\nmodel = \"spy\"\n"
    );
    let script = Script::always(Life::answering(LOCAL));
    let daemon = Setup::scripted(&script).config(&config).start().await;
    let private = daemon.ask_with(short("a secret", Policy::Private));
    let accepted = listener.accept();
    tokio::select! {
        answer = private => assert_eq!(answer.complete(), LOCAL),
        connection = accepted => panic!("connected by {:?}", connection.unwrap()),
    }
    // The listener would have been reached: another policy reaches it.
    let slow = daemon.begin(short("no secret", Policy::Slow)).await;
    soon("a connection", listener.accept()).await.unwrap();
    drop(slow);
}

#[tokio::test]
async fn what_was_asked_in_private_is_never_sent_later() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config =
        format!("[providers.spy]\nbase_url = \"http://127.0.0.1:{port}/v1\"\nmodel = \"spy\"\n");
    let script = Script::always(Life::answering(LOCAL));
    let daemon = Setup::scripted(&script).config(&config).start().await;
    let conversation = daemon.conversation().await;
    let ask = |prompt, policy| AskRequest {
        conversation_id: conversation.clone(),
        ..short(prompt, policy)
    };
    daemon.ask_with(ask("the sky is blue", Policy::Fast)).await.complete();
    daemon.ask_with(ask("the password is swordfish", Policy::Private)).await.complete();
    // Answered with the password in view, so it may hold it.
    daemon.ask_with(ask("say that again", Policy::Fast)).await.complete();

    let slow = daemon.begin(ask("what do you know?", Policy::Slow)).await;
    let (mut connection, _) = soon("a connection", listener.accept()).await.unwrap();
    let mut sent = Vec::new();
    while !String::from_utf8_lossy(&sent).contains("what do you know?") {
        let read = soon("the request", connection.read_buf(&mut sent)).await.unwrap();
        assert_ne!(read, 0, "the request ended early");
    }
    let sent = String::from_utf8_lossy(&sent);
    assert!(sent.contains("the sky is blue"), "{sent}");
    assert!(!sent.contains("swordfish"), "{sent}");
    assert!(!sent.contains("say that again"), "{sent}");
    drop(slow);
}
