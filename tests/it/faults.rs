//! Engines that die, hang and lie in the middle of answers.

use std::sync::atomic::{AtomicU32, Ordering};

use futures::future::{join, join_all};
use tandem_client::Client;
use tandem_proto::error as reason;
use tandem_proto::v1::NoticeKind;
use tandem_tests::script::{Fate, Life, Script};
use tandem_tests::{Asking, Daemon, Setup, kill, question, with_home};
use tonic::Code;

const WORDS: &str = "zero one two three four five six seven eight nine";

/// Engines that are fine for 1 s without a sign of life, and no longer.
const IMPATIENT: &str = "[engine]\nstep_timeout = \"1s\"\n";

fn killed() -> Fate {
    Fate::Die("KILL".to_owned())
}

/// A life that meets its fate after some words, then one that does not.
fn once(words: usize, fate: Fate) -> Script {
    Script::lives([Life::answering(WORDS).but_after(words, fate), Life::answering(WORDS)])
}

#[tokio::test]
async fn an_engine_that_dies_before_the_first_word_is_replaced_in_silence() {
    let daemon = Setup::scripted(&once(0, killed())).start().await;
    let answer = daemon.ask("count").await;
    assert_eq!(answer.complete(), WORDS);
    assert_eq!(answer.notices(NoticeKind::Resumed), [""; 0]);
    assert_eq!(
        daemon.home().logged("generate"),
        ["life 1 generate 1 resume=0 count", "life 2 generate 1 resume=0 count"]
    );
}

#[tokio::test]
async fn an_answer_goes_on_where_the_dead_engine_left_it_after_any_word() {
    let words = WORDS.split(' ').count();
    for said in 1..=words {
        let daemon = Setup::scripted(&once(said, killed())).start().await;
        let pid = daemon.pid();
        let answer = daemon.ask("count").await;
        assert_eq!(answer.complete(), WORDS, "after {said} words");
        let done = answer.track_done().unwrap();
        assert_eq!(done.usage.unwrap().completion_tokens as usize, words, "after {said} words");

        let notices = answer.notices(NoticeKind::Resumed);
        assert_eq!(notices.len(), 1, "after {said} words");
        assert!(notices[0].contains("SIGKILL"), "{notices:?}");
        let resumed = format!("life 2 generate 1 resume={said} count");
        assert_eq!(daemon.home().logged("generate")[1..], [resumed]);

        let status = daemon.status().await;
        assert_eq!((status.pid, status.turns.unwrap().resumed), (pid, 1));
        assert_eq!(daemon.engine().await.restarts, 1);
    }
}

#[tokio::test]
async fn a_question_that_kills_two_engines_ends_with_an_error_and_the_next_is_answered() {
    let deadly = Life::answering(WORDS).but_after(3, killed());
    let second = Life::answering(WORDS).but_after(5, killed());
    let script = Script::lives([deadly, second, Life::answering(WORDS)]);
    let daemon = Setup::scripted(&script).start().await;
    let pid = daemon.pid();

    let answer = daemon.ask("deadly").await;
    assert_eq!(answer.text, "zero one two three four");
    let failure = answer.failure();
    assert_eq!(
        (failure.code, failure.reason.as_str()),
        (Code::Unavailable, reason::ENGINE_CRASHED)
    );
    assert!(failure.retry_after.is_some(), "{failure:?}");
    assert!(failure.message.contains("SIGKILL"), "{failure:?}");

    assert_eq!(daemon.ask("harmless").await.complete(), WORDS);
    assert_eq!(
        daemon.home().logged("generate"),
        [
            "life 1 generate 1 resume=0 deadly",
            "life 2 generate 1 resume=3 deadly",
            "life 3 generate 2 resume=0 harmless"
        ]
    );
    assert_eq!(daemon.engine().await.restarts, 2);
    let status = daemon.status().await;
    assert_eq!(status.pid, pid);
    let turns = status.turns.unwrap();
    assert_eq!((turns.started, turns.answered_fast, turns.failed), (2, 1, 1));
}

#[tokio::test]
async fn answers_that_an_engine_worked_on_together_all_go_on() {
    let daemon = Setup::scripted(&once(4, Fate::Wait)).start().await;
    let mut asking = Vec::new();
    for prompt in ["a", "b", "c"] {
        let mut answer = daemon.begin(question(prompt)).await;
        answer.until_text("zero one two three".len()).await;
        asking.push(answer);
    }
    let engine = daemon.engine().await;
    assert!(kill("KILL", engine.pid));
    for asking in asking {
        let answer = asking.finish().await;
        assert_eq!(answer.complete(), WORDS);
        assert_eq!(answer.notices(NoticeKind::Resumed).len(), 1);
    }
    assert_eq!(daemon.status().await.turns.unwrap().resumed, 3);
}

/// Meets the fate after four words and checks that the answer goes on with another process.
async fn is_replaced(fate: Fate, said: &str) {
    let daemon = Setup::scripted(&once(4, fate)).config(IMPATIENT).start().await;
    let answer = daemon.ask("count").await;
    assert_eq!(answer.complete(), WORDS);
    let notices = answer.notices(NoticeKind::Resumed);
    assert_eq!(notices.len(), 1, "{answer:?}");
    assert!(notices[0].contains(said), "{notices:?}");
    assert_eq!(daemon.home().logged("generate")[1..], ["life 2 generate 1 resume=4 count"]);
    let pid = daemon.engine().await.pid;
    let processes = with_home(daemon.home().path());
    let mut expected = [daemon.pid(), pid];
    expected.sort_unstable();
    let mut found: Vec<_> = processes.iter().map(|(pid, _)| *pid).collect();
    found.sort_unstable();
    assert_eq!(found, expected, "the first engine is gone");
}

#[tokio::test]
async fn an_engine_that_hangs_is_replaced() {
    is_replaced(Fate::Hang, "no sign of life").await;
}

#[tokio::test]
async fn an_engine_that_sends_garbage_is_replaced() {
    is_replaced(Fate::Garble, "not valid").await;
}

#[tokio::test]
async fn an_engine_that_announces_too_long_a_frame_is_replaced() {
    is_replaced(Fate::Overflow, "not valid").await;
}

#[tokio::test]
async fn a_dropped_answer_is_cancelled_and_its_sequence_freed() {
    let waits = Life::answering(WORDS).but_after(2, Fate::Wait);
    let daemon = Setup::scripted(&Script::always(waits)).start().await;
    let mut dropped = daemon.begin(question("dropped")).await;
    dropped.until_text(1).await;
    let mut kept = daemon.begin(question("kept")).await;
    kept.until_text(1).await;
    daemon.home().until_logged("life 1 wait 2").await;
    drop(dropped);
    daemon.home().until_logged("life 1 cancel 1").await;
    let one_is_left = |engines: u32| {
        move |status: &tandem_proto::v1::StatusResponse| {
            let engine = status.models[0].engine.as_ref().unwrap();
            let running = status.admission.as_ref().unwrap().running;
            (engine.sequences_active, running) == (engines, engines)
        }
    };
    daemon.until("the other answer alone to be worked on", one_is_left(1)).await;
    assert_eq!(daemon.status().await.turns.unwrap().cancelled, 1);

    daemon.home().release();
    assert_eq!(kept.finish().await.complete(), WORDS);
    daemon.until("nothing to be worked on", one_is_left(0)).await;
}

#[tokio::test]
async fn an_engine_that_is_killed_while_idle_is_back_for_the_next_question() {
    let daemon = Setup::scripted(&Script::always(Life::answering(WORDS))).start().await;
    assert_eq!(daemon.ask("first").await.complete(), WORDS);
    let first = daemon.engine().await.pid;
    assert!(kill("ABRT", first));
    let is_back = |status: &tandem_proto::v1::StatusResponse| {
        let engine = status.models[0].engine.as_ref().unwrap();
        engine.restarts == 1 && engine.pid != 0
    };
    daemon.until("the engine to be back", is_back).await;
    assert_ne!(daemon.engine().await.pid, first);
    assert_eq!(daemon.ask("second").await.complete(), WORDS);
    assert_eq!(daemon.home().logged("generate").len(), 2);
    assert_worker_tells_its_last_exit(&daemon, "SIGABRT").await;
}

async fn assert_worker_tells_its_last_exit(daemon: &Daemon, why: &str) {
    let tree = daemon.status().await.tree.unwrap();
    let loader = tree.children.iter().find(|part| part.name == "model_loader").unwrap();
    let worker = &loader.children[0];
    assert!(worker.last_exit.contains(why), "{worker:?}");
    assert_eq!(worker.restarts, 1, "{worker:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_takes_all_its_answers_with_it() {
    let waits = Life::answering(WORDS).but_after(1, Fate::Wait);
    // One slot is for people.
    let setup = Setup::scripted(&Script::always(waits)).config("[router]\nrunning_max = 9\n");
    let daemon = setup.start().await;
    let other = Client::connect(&daemon.home().socket()).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..8 {
        let mut asking = Asking::begin(&other, question("count")).await.unwrap();
        asking.until_text(1).await;
        answers.push(asking);
    }
    assert_eq!(daemon.status().await.admission.unwrap().running, 8);
    drop((other, answers));
    daemon.until("all to be cancelled", |status| status.turns.unwrap().cancelled == 8).await;
    daemon.until_idle().await;
}

/// Kills while questions are asked all the time.
const KILLS: u32 = 20;

#[tokio::test]
async fn however_often_engines_are_killed_no_answer_is_wrong_and_every_question_ends() {
    let daemon = Setup::scripted(&Script::always(Life::answering(WORDS)))
        .config("[engine]\nrestarts_max = 1000\n")
        .start()
        .await;
    let pid = daemon.pid();
    let killed = AtomicU32::new(0);
    let asking = || async {
        let mut complete = 0;
        while killed.load(Ordering::Relaxed) < KILLS {
            let answer = daemon.ask("count").await;
            match &answer.error {
                None => {
                    assert_eq!(answer.text, WORDS);
                    complete += 1;
                }
                Some(failure) => {
                    assert!(WORDS.starts_with(&answer.text), "{answer:?}");
                    assert_eq!(failure.code, Code::Unavailable, "{failure:?}");
                    assert!(failure.retry_after.is_some(), "{failure:?}");
                }
            }
        }
        complete
    };
    let killing = async {
        let mut last = 0;
        while killed.load(Ordering::Relaxed) < KILLS {
            for model in daemon.status().await.models {
                let pid = model.engine.unwrap().pid;
                if pid != 0 && pid != last {
                    killed.fetch_add(u32::from(kill("KILL", pid)), Ordering::Relaxed);
                    last = pid;
                }
            }
        }
    };
    let (complete, ()) = join(join_all((0..4).map(|_| asking())), killing).await;
    assert!(complete.iter().sum::<u32>() > 0, "some questions are answered");
    let status = daemon.status().await;
    assert_eq!(status.pid, pid);
    let restarts = status.tree.unwrap().children.iter().map(|part| part.restarts).sum::<u32>();
    assert_eq!(restarts, 0, "no part of the daemon failed");
    assert!(with_home(daemon.home().path()).len() <= 2, "the daemon and one engine at most");
}
