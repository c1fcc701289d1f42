//! `tandem chat` with questions from a pipe.

use crate::{run, run_with_input, server::Server};

#[tokio::test]
async fn a_chat_from_a_pipe_asks_line_by_line_in_one_conversation() {
    let server = Server::start();
    let input = "one\n\n/policy private\ntwo\n/quit\nthree\n";
    let outcome = run_with_input(&server, &["chat"], input).await;
    assert_eq!(outcome.stdout, "You said: one\nYou said: two\n");
    assert!(outcome.stderr.starts_with("conversation conversation-1\n"), "{}", outcome.stderr);
    assert_eq!(outcome.code, 0);
    let asked: Vec<_> =
        server.asked().into_iter().map(|ask| (ask.conversation_id, ask.policy)).collect();
    assert_eq!(asked, [("conversation-1".into(), 0), ("conversation-1".into(), 4)]);
}

#[tokio::test]
async fn a_chat_from_a_pipe_ends_at_the_first_failure() {
    let server = Server::start();
    let outcome = run_with_input(&server, &["chat"], "/polcy fast\nhello\n").await;
    assert_eq!((outcome.stdout.as_str(), outcome.code), ("", 2));
}

#[tokio::test]
async fn a_chat_without_a_question_leaves_no_conversation_behind() {
    let server = Server::start();
    let outcome = run_with_input(&server, &["chat"], "/policy slow\n/quit\n").await;
    assert_eq!((outcome.stderr.as_str(), outcome.code), ("policy: slow\n", 0));
    assert_eq!(server.conversations(), 0);

    let outcome = run_with_input(&server, &["chat"], "fail: PROVIDER_FAILED\n").await;
    assert_eq!(outcome.code, 1);
    assert_eq!(server.conversations(), 0);
}

#[tokio::test]
async fn a_conversation_that_is_not_there_is_refused_before_the_first_question() {
    let server = Server::start();
    let outcome = run(&server, &["chat", "--conversation", "nope"]).await;
    assert!(outcome.stderr.starts_with("error: scripted CONVERSATION_NOT_FOUND\n"));
    assert_eq!(outcome.code, 1);
}
