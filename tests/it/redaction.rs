//! Personal data does not leave the machine, and is in the answer all the same.

use tandem_proto::error as reason;
use tandem_proto::v1::{AskRequest, NoticeKind, Policy, Track};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Daemon, Setup, question, soon};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const LOCAL: &str = "the local model has spoken";
const PROMPT: &str =
    "Write to Budi Santoso (budi@example.org, 0812-3456-7890) about card 4111 1111 1111 1111";
const DATA: [&str; 4] = ["Budi", "budi@example.org", "0812-3456-7890", "4111 1111 1111 1111"];

/// An API that answers with a placeholder in pieces, and what it was sent.
async fn answer_once(listener: TcpListener) -> String {
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut sent = Vec::new();
    while !String::from_utf8_lossy(&sent).contains("about card") {
        assert_ne!(connection.read_buf(&mut sent).await.unwrap(), 0, "the request ended early");
    }
    let mut answer =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
            .to_owned();
    for piece in ["Dear [NA", "ME_1], is [EMAIL_", "1] right?"] {
        let chunk = serde_json::json!({"choices": [{"delta": {"content": piece}}]});
        answer = format!("{answer}data: {chunk}\n\n");
    }
    answer += "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    connection.write_all(answer.as_bytes()).await.unwrap();
    connection.shutdown().await.unwrap();
    String::from_utf8(sent).unwrap()
}

async fn start(how: &str) -> (Daemon, TcpListener) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = format!(
        "[router]\nslow_threshold = 0.0\n\
         [security]\nredact = {how:?}\nnames = [\"Budi Santoso\"]\n\
         [providers.spy]\nbase_url = \"http://127.0.0.1:{port}/v1\"\nmodel = \"spy\"\n"
    );
    let script = Script::always(Life::answering(LOCAL));
    (Setup::scripted(&script).config(&config).start().await, listener)
}

fn ask(policy: Policy) -> AskRequest {
    AskRequest { policy: policy.into(), ..question(PROMPT) }
}

#[tokio::test]
async fn what_is_masked_on_the_way_out_is_put_back_into_the_answer() {
    let (daemon, listener) = start("mask").await;
    let asked = daemon.ask_with(ask(Policy::Slow));
    let (answer, sent) =
        soon("an answer", Box::pin(async { tokio::join!(asked, answer_once(listener)) })).await;
    assert_eq!(answer.complete(), "Dear Budi Santoso, is budi@example.org right?");
    for data in DATA {
        assert!(!sent.contains(data), "{sent}");
    }
    let notices = answer.notices(NoticeKind::Redacted);
    assert!(notices[0].contains("e-mail address"), "{notices:?}");
    let log = daemon.log();
    assert!(!log.contains("budi@example.org"), "{log}");
}

#[tokio::test]
async fn what_is_to_stay_here_stays_here() {
    let (daemon, listener) = start("local").await;
    let answer = tokio::select! {
        answer = daemon.ask_with(ask(Policy::Auto)) => answer,
        connection = listener.accept() => panic!("connected by {:?}", connection.unwrap()),
    };
    assert_eq!(answer.complete(), LOCAL);
    assert_eq!(answer.done().unwrap().track(), Track::Fast);
    let reasons = &answer.routed().unwrap().reasons;
    assert!(reasons.iter().any(|reason| reason.contains("security.redact")), "{reasons:?}");
    let refused = daemon.ask_with(ask(Policy::Slow)).await;
    assert_eq!(refused.failure().reason, reason::PERSONAL_DATA);
}

#[tokio::test]
async fn what_is_not_to_be_masked_is_sent_as_it_is() {
    let (daemon, listener) = start("off").await;
    let asked = daemon.ask_with(ask(Policy::Slow));
    let (answer, sent) =
        soon("an answer", Box::pin(async { tokio::join!(asked, answer_once(listener)) })).await;
    assert_eq!(answer.complete(), "Dear [NAME_1], is [EMAIL_1] right?");
    for data in DATA {
        assert!(sent.contains(data), "{sent}");
    }
}
