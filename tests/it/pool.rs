//! Several engines of one model.

use tandem_proto::engine::LoadFailure;
use tandem_proto::v1::{AskRequest, NoticeKind, StatusResponse};
use tandem_tests::script::{Fate, Life, Load, Script};
use tandem_tests::{Asking, Daemon, Setup, kill, question, resident_bytes, with_home};

const WORDS: &str = "many hands make light work";

/// Two engines, both up: the first works on "a" and "b", the second on nothing. No answer goes on
/// before it is released.
async fn two_engines() -> (Daemon, Asking, Asking) {
    let waits = Life::answering(WORDS).but_after(1, Fate::Wait);
    let daemon =
        Setup::scripted(&Script::always(waits)).config("[models]\nengines = 2\n").start().await;
    let mut first = daemon.begin(question("a")).await;
    first.until_text(1).await;
    assert_eq!(with_home(daemon.home().path()).len(), 2, "one engine is enough for one question");
    let mut second = daemon.begin(question("b")).await;
    second.until_text(1).await;
    let both_serve = |status: &StatusResponse| {
        let other = status.models[0].other_engines.first();
        other.is_some_and(|engine| engine.sequences_max > 0)
    };
    daemon.until("the second engine to serve", both_serve).await;
    (daemon, first, second)
}

/// Begins a question that engines of a script answer.
async fn begin(daemon: &Daemon, request: AskRequest) -> Asking {
    let counted = || daemon.home().logged("count").len();
    let before = counted();
    let mut asking = daemon.begin(request).await;
    asking.until_text(1).await;
    // What was read is counted beside the answer, which makes two requests of one for a while.
    daemon.until("what was read to be counted", |_| counted() > before).await;
    asking
}

#[tokio::test]
async fn a_busy_engine_gets_a_second_one_beside_it_that_takes_the_next_questions() {
    let (daemon, first, second) = two_engines().await;
    let third = begin(&daemon, question("c")).await;
    let fourth = begin(&daemon, question("d")).await;
    let fifth = begin(&daemon, question("e")).await;
    let mut log = daemon.home().logged("generate");
    log.sort();
    assert_eq!(
        log,
        [
            "life 1 generate 1 resume=0 a",
            "life 1 generate 2 resume=0 b",
            "life 1 generate 3 resume=0 e",
            "life 2 generate 1 resume=0 c",
            "life 2 generate 2 resume=0 d",
        ]
    );
    let status = daemon.status().await;
    assert_eq!((status.models.len(), status.models[0].other_engines.len()), (1, 1));
    daemon.home().release();
    for asking in [first, second, third, fourth, fifth] {
        assert_eq!(asking.finish().await.complete(), WORDS);
    }
    assert_eq!(with_home(daemon.home().path()).len(), 3, "there are no more than two");
}

#[tokio::test]
async fn a_conversation_stays_with_its_engine() {
    let (daemon, first, second) = two_engines().await;
    let conversation_id = daemon.conversation().await;
    let ask = |prompt| AskRequest { conversation_id: conversation_id.clone(), ..question(prompt) };
    let begun = begin(&daemon, ask("hello")).await;
    daemon.home().release();
    for asking in [first, second, begun] {
        assert_eq!(asking.finish().await.complete(), WORDS);
    }
    for prompt in ["and", "on"] {
        assert_eq!(daemon.ask_with(ask(prompt)).await.complete(), WORDS);
    }
    assert_eq!(daemon.ask("elsewhere").await.complete(), WORDS);
    assert_eq!(
        daemon.home().logged("generate")[2..],
        [
            "life 2 generate 1 resume=0 hello",
            "life 2 generate 2 resume=0 and",
            "life 2 generate 3 resume=0 on",
            "life 1 generate 3 resume=0 elsewhere",
        ]
    );
}

#[tokio::test]
async fn the_death_of_one_engine_hands_its_answers_to_the_other_which_is_not_disturbed() {
    let (daemon, first, second) = two_engines().await;
    let third = begin(&daemon, question("c")).await;
    let pid = daemon.status().await.models[0].other_engines[0].pid;
    assert!(kill("KILL", pid));
    daemon.home().until_logged("life 1 generate 3 resume=1 c").await;
    daemon.home().release();
    let resumed = |answer: &tandem_tests::Answer| answer.notices(NoticeKind::Resumed).len();
    for (asking, times) in [(first, 0), (second, 0), (third, 1)] {
        let answer = asking.finish().await;
        assert_eq!((answer.complete().as_str(), resumed(&answer)), (WORDS, times));
    }
    let model = &daemon.status().await.models[0];
    assert_eq!(model.engine.as_ref().unwrap().restarts, 0);
    assert_eq!(model.other_engines[0].restarts, 1);
}

#[tokio::test]
async fn a_second_engine_that_cannot_load_is_not_tried_with_every_question_and_harms_nobody() {
    let waits = Life::answering(WORDS).but_after(1, Fate::Wait);
    let no_memory = Load::fails(LoadFailure::Memory, "no room for weights");
    let fails = Life::answering(WORDS).but_at_load(no_memory);
    let script = Script::lives([waits, fails, Life::answering(WORDS)]);
    let daemon = Setup::scripted(&script).config("[models]\nengines = 2\n").start().await;
    let first = begin(&daemon, question("a")).await;
    let second = begin(&daemon, question("b")).await;
    daemon.home().until_logged("life 2 start").await;
    daemon.until("one engine", |status| status.models[0].other_engines.is_empty()).await;
    let third = begin(&daemon, question("c")).await;
    let fourth = begin(&daemon, question("d")).await;
    daemon.home().release();
    for asking in [first, second, third, fourth] {
        assert_eq!(asking.finish().await.complete(), WORDS);
    }
    assert_eq!(daemon.home().logged("start").len(), 2, "nothing is started in vain");

    assert!(daemon.unload("").await.unwrap());
    assert_eq!(daemon.ask("e").await.complete(), WORDS, "the model itself is not refused");
}

#[tokio::test]
async fn unloading_ends_all_engines_of_a_model() {
    let (daemon, first, second) = two_engines().await;
    let third = begin(&daemon, question("c")).await;
    assert!(daemon.unload("").await.unwrap());
    assert_eq!(with_home(daemon.home().path()).len(), 1, "the daemon alone");
    assert_eq!(daemon.status().await.models, []);
    for asking in [first, second, third] {
        assert!(asking.finish().await.error.is_some());
    }
    assert!(!daemon.unload("").await.unwrap());
}

#[tokio::test]
async fn an_engine_that_nobody_needs_any_more_ends_and_leaves_the_other() {
    let waits = Life::answering(WORDS).but_after(1, Fate::Wait);
    let daemon = Setup::scripted(&Script::always(waits))
        .config("[models]\nengines = 2\nkeep_alive = \"1s\"\n")
        .start()
        .await;
    let first = begin(&daemon, question("a")).await;
    // The second engine starts beside the first, and nobody has a question for it.
    let second = begin(&daemon, question("b")).await;
    daemon.home().until_logged("life 2 start").await;
    daemon.until("one engine", |status| status.models[0].other_engines.is_empty()).await;
    assert_eq!(daemon.status().await.models[0].engine.as_ref().unwrap().sequences_active, 2);
    daemon.home().release();
    for asking in [first, second] {
        assert_eq!(asking.finish().await.complete(), WORDS);
    }
}

/// Memory of the daemon and its engines that is in RAM, in MiB.
fn resident_mib(daemon: &Daemon) -> u64 {
    let processes = with_home(daemon.home().path());
    processes.iter().map(|(pid, _)| resident_bytes(*pid)).sum::<u64>() >> 20
}

#[tokio::test]
async fn unloading_a_real_model_gives_its_memory_back() {
    let daemon = Setup::real().config("[models]\nengines = 2\n").start().await;
    // What the daemon itself needs once it has answered stays.
    daemon.begin(question("Hello.")).await.until_text(1).await;
    assert!(daemon.unload("").await.unwrap());
    let before = resident_mib(&daemon);
    let stories = ["of a ship", "of a tree", "of a cat"]
        .map(|what| question(&format!("Tell me a long story {what}.")));
    for request in stories {
        // Dropped when it has begun, which leaves nothing behind either.
        daemon.begin(request).await.until_text(1).await;
    }
    assert!(resident_mib(&daemon) > before + 100, "{} MiB", resident_mib(&daemon));
    assert!(daemon.unload("").await.unwrap());
    let after = resident_mib(&daemon);
    assert!(after <= before + before / 20 + 8, "{before} MiB before and {after} MiB after");
}
