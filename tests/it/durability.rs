//! What was acknowledged is there, whatever happens to the daemon.

use tandem_proto::v1::AskRequest;
use tandem_tests::script::{Fate, Life, Script};
use tandem_tests::{Daemon, Setup, question, with_home};

const WORDS: &str = "noted";

async fn scripted() -> Daemon {
    Setup::scripted(&Script::always(Life::answering(WORDS))).start().await
}

fn in_conversation(id: &str, prompt: &str) -> AskRequest {
    AskRequest { conversation_id: id.to_owned(), ..question(prompt) }
}

#[tokio::test]
async fn a_hundred_acknowledged_turns_survive_a_hundred_kills_of_the_daemon() {
    let mut daemon = scripted().await;
    let id = daemon.conversation().await;
    let mut expected = Vec::new();
    for number in 1..=100 {
        let prompt = format!("remember {number}");
        let answer = daemon.ask_with(in_conversation(&id, &prompt)).await;
        assert_eq!(answer.complete(), WORDS);
        assert!(answer.done().unwrap().stored);
        expected.push((prompt, WORDS.to_owned()));

        let engine = daemon.engine().await.pid;
        daemon.kill().await;
        daemon.home().until_deserted().await;
        daemon.restart().await;
        let left = with_home(daemon.home().path());
        assert!(left.iter().all(|(pid, _)| *pid != engine), "{left:?}");
    }
    assert_eq!(daemon.turns(&id).await, expected);
}

#[tokio::test]
async fn an_answer_that_was_not_finished_leaves_no_trace() {
    let waits = Life::answering("half an answer").but_after(2, Fate::Wait);
    let mut daemon = Setup::scripted(&Script::always(waits)).start().await;
    let id = daemon.conversation().await;
    let mut asking = daemon.begin(in_conversation(&id, "hello")).await;
    asking.until_text("half an".len()).await;
    daemon.kill().await;
    assert!(asking.finish().await.error.is_some());
    daemon.home().until_deserted().await;
    daemon.restart().await;
    assert_eq!(daemon.turns(&id).await, []);
}

#[tokio::test]
async fn a_question_on_its_own_is_not_stored() {
    let daemon = scripted().await;
    let answer = daemon.ask("hello").await;
    assert!(!answer.done().unwrap().stored);
    let request = tandem_proto::v1::ListConversationsRequest::default();
    let listed = daemon.client().conversations().list(request).await.unwrap().into_inner();
    assert_eq!(listed.conversations, []);
}

#[tokio::test]
async fn turns_asked_at_the_same_time_in_one_conversation_are_all_stored() {
    let mut daemon = scripted().await;
    let id = daemon.conversation().await;
    let prompts: Vec<_> = (0..20).map(|number| format!("question {number}")).collect();
    let asked = prompts.iter().map(|prompt| daemon.ask_with(in_conversation(&id, prompt)));
    for answer in futures::future::join_all(asked).await {
        assert_eq!(answer.complete(), WORDS);
    }
    daemon.kill().await;
    daemon.restart().await;
    let mut stored: Vec<_> =
        daemon.turns(&id).await.into_iter().map(|(prompt, _)| prompt).collect();
    stored.sort();
    let mut expected = prompts;
    expected.sort();
    assert_eq!(stored, expected);
}
