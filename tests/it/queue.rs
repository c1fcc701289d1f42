//! More questions than may be answered at once, and questions that cannot wait.

use std::time::Duration;

use futures::future::join_all;
use tandem_proto::error as reason;
use tandem_proto::v1::{AskRequest, Priority, StatusResponse};
use tandem_tests::script::{Fate, Life, Script};
use tandem_tests::{Asking, Daemon, Setup, question};
use tonic::{Code, Request};

const WORDS: &str = "all in good time";

/// A daemon that answers one question at a time, and that not before it is released.
async fn busy_daemon(waiting_max: u32) -> (Daemon, Asking) {
    let waits = Life::answering(WORDS).but_after(1, Fate::Wait);
    let daemon = Setup::scripted(&Script::always(waits))
        .config(&format!("[router]\nrunning_max = 1\nwaiting_max = {waiting_max}\n"))
        .start()
        .await;
    let mut first = daemon.begin(question("first")).await;
    first.until_text(1).await;
    (daemon, first)
}

async fn until_waiting(daemon: &Daemon, count: u32) {
    let waiting = |status: &StatusResponse| status.admission.unwrap().waiting == count;
    daemon.until(&format!("{count} questions to wait"), waiting).await;
}

#[tokio::test]
async fn one_question_too_many_is_refused_with_a_time_to_try_again() {
    let (daemon, first) = busy_daemon(1).await;
    let second = daemon.begin(question("second")).await;
    until_waiting(&daemon, 1).await;

    let refused = daemon.ask("third").await;
    let failure = refused.failure();
    assert_eq!(
        (failure.code, failure.reason.as_str()),
        (Code::ResourceExhausted, reason::OVERLOADED)
    );
    assert!(failure.retry_after.unwrap() > Duration::ZERO);
    assert!(failure.message.contains("router.waiting_max"), "{failure:?}");
    assert!(refused.events.is_empty());

    daemon.home().release();
    assert_eq!(first.finish().await.complete(), WORDS);
    assert_eq!(second.finish().await.complete(), WORDS);
    assert_eq!(daemon.ask("third, again").await.complete(), WORDS);
}

#[tokio::test]
async fn the_more_urgent_question_goes_first() {
    let (daemon, first) = busy_daemon(4).await;
    let mut asked = vec![first];
    for (count, (prompt, priority)) in (1..).zip([
        ("low", Priority::Low),
        ("normal", Priority::Normal),
        ("unspecified", Priority::Unspecified),
        ("high", Priority::High),
    ]) {
        let request = AskRequest { priority: priority.into(), ..question(prompt) };
        asked.push(daemon.begin(request).await);
        until_waiting(&daemon, count).await;
    }
    daemon.home().release();
    for asking in asked {
        assert_eq!(asking.finish().await.complete(), WORDS);
    }
    let order = daemon.home().logged("generate");
    let prompts: Vec<_> = order.iter().filter_map(|line| line.split(' ').next_back()).collect();
    assert_eq!(prompts, ["first", "high", "normal", "unspecified", "low"]);
}

#[tokio::test]
async fn a_question_that_was_dropped_while_it_waited_is_never_asked() {
    let (daemon, first) = busy_daemon(2).await;
    let dropped = daemon.begin(question("dropped")).await;
    until_waiting(&daemon, 1).await;
    let last = daemon.begin(question("last")).await;
    until_waiting(&daemon, 2).await;
    drop(dropped);
    // What the daemon answers after the drop, it answers knowing of it.
    daemon.status().await;
    daemon.home().release();
    assert_eq!(first.finish().await.complete(), WORDS);
    assert_eq!(last.finish().await.complete(), WORDS);
    let asked = daemon.home().logged("generate");
    assert!(asked.iter().all(|line| !line.ends_with("dropped")), "{asked:?}");
    assert_eq!(asked.len(), 2);
}

/// A question that may take half a second.
fn hurried(prompt: &str) -> Request<AskRequest> {
    let mut request = Request::new(question(prompt));
    request.set_timeout(Duration::from_millis(500));
    request
}

#[tokio::test]
async fn an_answer_ends_at_the_callers_deadline_and_its_sequence_is_freed() {
    let (daemon, first) = busy_daemon(1).await;
    drop(first);
    daemon.home().until_logged("life 1 cancel 1").await;
    let asking = Asking::begin(daemon.client(), hurried("hurried")).await.unwrap();
    let answer = asking.finish().await;
    let failure = answer.failure();
    assert_eq!(
        (failure.code, failure.reason.as_str()),
        (Code::DeadlineExceeded, reason::DEADLINE_EXCEEDED)
    );
    daemon.home().until_logged("life 1 cancel 2").await;
    daemon.until_idle().await;
}

#[tokio::test]
async fn a_question_whose_deadline_passes_while_it_waits_is_told_so() {
    let (daemon, first) = busy_daemon(1).await;
    let asking = Asking::begin(daemon.client(), hurried("hurried")).await.unwrap();
    let answer = asking.finish().await;
    assert_eq!(answer.failure().reason, reason::DEADLINE_EXCEEDED);
    assert!(answer.failure().message.contains("waited for a slot"), "{answer:?}");
    daemon.home().release();
    assert_eq!(first.finish().await.complete(), WORDS);
    assert_eq!(daemon.home().logged("generate").len(), 1);
}

#[tokio::test]
async fn the_configured_deadline_holds_for_callers_that_have_none() {
    let waits = Life::answering(WORDS).but_after(1, Fate::Wait);
    let daemon = Setup::scripted(&Script::always(waits))
        .config("[router]\ndeadline = \"500ms\"\n")
        .start()
        .await;
    let answer = daemon.ask("hello").await;
    assert_eq!(answer.failure().reason, reason::DEADLINE_EXCEEDED);
}

#[tokio::test]
async fn under_any_load_every_question_ends_with_an_answer_or_a_typed_refusal() {
    let daemon = Setup::scripted(&Script::always(Life::answering(WORDS)))
        .config("[router]\nrunning_max = 4\nwaiting_max = 16\n")
        .start()
        .await;
    let prompts: Vec<_> = (0..500).map(|number| format!("question {number}")).collect();
    let answers = join_all(prompts.iter().map(|prompt| daemon.ask(prompt))).await;
    let mut answered = 0;
    for answer in &answers {
        match &answer.error {
            None => {
                assert_eq!(answer.text, WORDS);
                answered += 1;
            }
            Some(failure) => {
                assert_eq!(failure.reason, reason::OVERLOADED, "{failure:?}");
                assert!(failure.retry_after.is_some());
                assert_eq!(answer.text, "");
            }
        }
    }
    assert!(answered >= 20, "as many as run and wait together are answered, not {answered}");
    let quiet = |status: &StatusResponse| {
        let admission = status.admission.unwrap();
        (admission.running, admission.waiting) == (0, 0)
    };
    let status = daemon.until("quiet", quiet).await;
    assert_eq!(status.turns.unwrap().answered_fast, answered);
}
