//! More questions than may be answered at once, and questions that cannot wait.

use std::time::Duration;

use futures::future::join_all;
use tandem_proto::error as reason;
use tandem_proto::v1::{AskRequest, Policy, Priority, Sampling, StatusResponse};
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
    let waiting = |status: &StatusResponse| status.admission.as_ref().unwrap().waiting == count;
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
    assert_eq!(prompts(&daemon), ["first", "high", "normal", "unspecified", "low"]);
}

#[tokio::test]
async fn an_engine_reads_what_a_person_asks_before_what_nobody_waits_for() {
    let daemon =
        Setup::real().config("[engine]\ncontext_tokens = 8192\nbatch_tokens = 128\n").start().await;
    daemon.ask("Hello.").await.complete();
    let long = |word: &str, count: usize, priority: Priority| AskRequest {
        policy: Policy::Fast.into(),
        priority: priority.into(),
        sampling: Some(Sampling { max_tokens: Some(8), ..Sampling::default() }),
        ..question(&word.repeat(count))
    };
    let mut background = daemon.begin(long("tree ", 2500, Priority::Low)).await;
    let is_read = |status: &StatusResponse| {
        status.models[0].engine.as_ref().is_some_and(|engine| engine.sequences_active == 1)
    };
    daemon.until("the engine to read", is_read).await;
    // Longer than what is left of the other, which would be read first if both were as urgent.
    let mut person = daemon.begin(long("sea ", 2600, Priority::High)).await;
    let first = tokio::select! {
        _ = background.until_text(1) => "background",
        _ = person.until_text(1) => "person",
    };
    assert_eq!(first, "person");
    person.finish().await.complete();
    background.finish().await.complete();
}

/// A question of a client that is called so.
fn of_client(client: &str, prompt: &str) -> AskRequest {
    AskRequest { client: client.to_owned(), ..question(prompt) }
}

/// The prompts that reached the engine, in that order.
fn prompts(daemon: &Daemon) -> Vec<String> {
    let asked = daemon.home().logged("generate");
    asked.iter().filter_map(|line| line.split(' ').next_back().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_client_with_one_question_does_not_wait_for_all_of_another() {
    let (daemon, first) = busy_daemon(16).await;
    let mut asked = vec![first];
    let questions = ["a1", "a2", "a3", "a4", "b1", "c1", "b2"];
    for (count, prompt) in (1..).zip(questions) {
        asked.push(daemon.begin(of_client(&prompt[..1], prompt)).await);
        until_waiting(&daemon, count).await;
    }
    let clients = daemon.status().await.admission.unwrap().clients;
    let waiting: Vec<_> = clients.iter().map(|it| (it.client.as_str(), it.waiting)).collect();
    assert_eq!(waiting[..2], [("a", 4), ("b", 2)]);
    daemon.home().release();
    for asking in asked {
        assert_eq!(asking.finish().await.complete(), WORDS);
    }
    assert_eq!(prompts(&daemon), ["first", "a1", "b1", "c1", "a2", "b2", "a3", "a4"]);
}

#[tokio::test]
async fn a_client_that_floods_is_refused_by_name_while_others_find_a_place() {
    let (daemon, first) = busy_daemon(6).await;
    let mut asked = vec![first];
    let refused = loop {
        match Asking::begin(daemon.client(), of_client("flood", "more")).await {
            Ok(asking) => asked.push(asking),
            Err(failure) => break failure,
        }
    };
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::ResourceExhausted, reason::OVERLOADED)
    );
    assert!(refused.message.contains("\"flood\""), "{refused:?}");
    assert!(refused.retry_after.unwrap() > Duration::ZERO);
    assert_eq!(daemon.status().await.admission.unwrap().refused, 1);
    asked.push(daemon.begin(of_client("other", "hello")).await);
    daemon.home().release();
    for asking in asked {
        assert_eq!(asking.finish().await.complete(), WORDS);
    }
    daemon.until("quiet", |status| status.admission.as_ref().unwrap().clients.is_empty()).await;
}

#[tokio::test]
async fn who_waits_is_told_each_place_on_the_way_to_the_answer() {
    let (daemon, first) = busy_daemon(8).await;
    let ahead = daemon.begin(of_client("a", "ahead")).await;
    until_waiting(&daemon, 1).await;
    let mut last = daemon.begin(of_client("b", "last")).await;
    last.until_place(2).await;
    // Whoever goes away makes place for those behind.
    drop(ahead);
    last.until_place(1).await;
    let urgent = AskRequest { priority: Priority::High.into(), ..of_client("c", "urgent") };
    let urgent = daemon.begin(urgent).await;
    last.until_place(2).await;
    daemon.home().release();
    assert_eq!(first.finish().await.complete(), WORDS);
    assert_eq!(urgent.finish().await.complete(), WORDS);
    let last = last.finish().await;
    assert_eq!(last.complete(), WORDS);
    assert_eq!(last.places()[..3], [2, 1, 2], "{last:?}");
}

#[tokio::test]
async fn a_person_does_not_wait_for_the_background_and_is_shown_apart() {
    let waits = Life::answering(WORDS).but_after(1, Fate::Wait);
    let daemon = Setup::scripted(&Script::always(waits))
        .config("[router]\nrunning_max = 2\nwaiting_max = 8\n")
        .start()
        .await;
    let mut asked = Vec::new();
    for prompt in ["one", "two", "three"] {
        let request = AskRequest { priority: Priority::Low.into(), ..question(prompt) };
        asked.push(daemon.begin(request).await);
    }
    // One slot stays free, though nobody else asks for it.
    let status = daemon
        .until("the background to fill its slot", |status| {
            let admission = status.admission.as_ref().unwrap();
            (admission.running, admission.waiting_background) == (1, 2)
        })
        .await;
    assert_eq!(status.admission.unwrap().waiting_interactive, 0);
    let person = AskRequest { priority: Priority::High.into(), ..question("person") };
    let mut person = daemon.begin(person).await;
    person.until_text(1).await;
    daemon.home().release();
    asked.push(person);
    for asking in asked {
        assert_eq!(asking.finish().await.complete(), WORDS);
    }
}

#[tokio::test]
async fn who_was_refused_and_waits_as_told_gets_in() {
    let (daemon, first) = busy_daemon(1).await;
    let second = daemon.begin(question("second")).await;
    until_waiting(&daemon, 1).await;
    let refused = daemon.ask("third").await.failure().clone();
    daemon.home().release();
    assert_eq!(first.finish().await.complete(), WORDS);
    assert_eq!(second.finish().await.complete(), WORDS);
    tokio::time::sleep(refused.retry_after.unwrap()).await;
    assert_eq!(daemon.ask("third").await.complete(), WORDS);
}

#[tokio::test]
async fn a_question_that_was_dropped_while_it_waited_is_never_asked() {
    let (daemon, first) = busy_daemon(4).await;
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
    // Each is of a client of its own, as one alone does not get all places.
    let asked = prompts
        .iter()
        .map(|prompt| daemon.ask_with(AskRequest { client: prompt.clone(), ..question(prompt) }));
    let answers = join_all(asked).await;
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
    // Two places of 20 are kept for people.
    assert!(answered >= 18, "as many as run and wait together are answered, not {answered}");
    let quiet = |status: &StatusResponse| {
        let admission = status.admission.as_ref().unwrap();
        (admission.running, admission.waiting) == (0, 0)
    };
    let status = daemon.until("quiet", quiet).await;
    assert_eq!(status.turns.unwrap().answered_fast, answered);
}
