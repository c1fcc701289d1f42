//! What a model is told of the conversation so far.

use tandem_proto::error as reason;
use tandem_proto::v1::{AskRequest, NoticeKind, Sampling};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Daemon, Setup, question};

const WORDS: &str = "go on";
/// Tokens of a context; the scripted engine counts words.
const BUDGET: u32 = 300;

fn ask(id: &str, prompt: &str) -> AskRequest {
    let sampling = Sampling { max_tokens: Some(8), ..Sampling::default() };
    AskRequest {
        conversation_id: id.to_owned(),
        sampling: Some(sampling),
        system: Some("be brief".to_owned()),
        ..question(prompt)
    }
}

#[tokio::test]
async fn the_oldest_turns_are_left_out_when_they_do_not_fit_and_the_caller_is_told() {
    let daemon = Setup::scripted(&Script::always(Life::answering(WORDS)))
        .config(&format!("[memory]\ncontext_tokens = {BUDGET}\ncontext_strategy = \"recent\"\n"))
        .start()
        .await;
    let id = daemon.conversation().await;
    let mut dropped = Vec::new();
    for turn in 0..8 {
        let prompt = format!("turn {turn} {}", "word ".repeat(60));
        let answer = daemon.ask_with(ask(&id, prompt.trim())).await;
        assert_eq!(answer.complete(), WORDS);
        dropped.push(answer.notices(NoticeKind::ContextDropped).len());
    }
    assert_eq!(dropped[..2], [0, 0], "the first turns fit");
    assert_eq!(dropped[5..], [1, 1, 1], "not all turns fit");
    let read = daemon.home().logged("read");
    let lengths: Vec<u32> =
        read.iter().map(|line| line.rsplit('=').next().unwrap().parse().unwrap()).collect();
    assert_eq!(lengths.len(), 8);
    assert!(lengths.iter().all(|length| *length <= BUDGET), "{read:?}");
    assert!(lengths[7] > BUDGET / 2, "as much as fits is read: {read:?}");
    assert_eq!(daemon.turns(&id).await.len(), 8, "what was left out is still stored");
}

#[tokio::test]
async fn a_question_that_alone_does_not_fit_is_refused_and_not_stored() {
    let daemon = Setup::scripted(&Script::always(Life::answering(WORDS)))
        .config(&format!("[memory]\ncontext_tokens = {BUDGET}\n"))
        .start()
        .await;
    let id = daemon.conversation().await;
    let answer = daemon.ask_with(ask(&id, &"word ".repeat(BUDGET as usize))).await;
    assert_eq!(answer.failure().reason, reason::PROMPT_TOO_LONG, "{answer:?}");
    assert_eq!(daemon.turns(&id).await, []);
}

#[tokio::test]
async fn only_a_question_that_may_not_fit_is_counted_before_it_is_answered() {
    /// Whether parts or whole were counted before the answer began.
    async fn counted_first(daemon: &Daemon, request: AskRequest) -> usize {
        let before = daemon.home().engine_log().len();
        let answer = daemon.ask_with(request).await;
        assert_eq!(answer.complete(), WORDS);
        let context = answer.done().unwrap().context.clone().unwrap();
        assert!(!context.estimated, "counted in the end: {context:?}");
        let log = daemon.home().engine_log().split_off(before);
        let is = |line: &String, kind: &str| line.split(' ').nth(2) == Some(kind);
        let begin = log.iter().position(|line| is(line, "generate")).unwrap();
        log[..begin].iter().filter(|line| is(line, "count")).count()
    }

    let daemon = Setup::scripted(&Script::always(Life::answering(WORDS))).start().await;
    let id = daemon.conversation().await;
    for turn in 0..3 {
        assert_eq!(counted_first(&daemon, ask(&id, &format!("turn {turn}"))).await, 0);
        assert_eq!(counted_first(&daemon, question("in short")).await, 0);
    }
    let long = "word ".repeat(4000);
    assert_eq!(counted_first(&daemon, question(long.trim())).await, 1);
    let long = "word ".repeat(1000);
    let one_look = counted_first(&daemon, ask(&id, long.trim())).await;
    assert_eq!(one_look, 1, "one look at parts and whole");
}
