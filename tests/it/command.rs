//! The `tandem` command and the daemon that it starts.

use futures::future::join_all;
use serde_json::Value;
use tandem_tests::script::{Fate, Life, Script};
use tandem_tests::{Home, Setup, kill, question, soon};

const WORDS: &str = "at your service";

/// Runs `tandem`, which may start the daemon.
async fn tandem(home: &Home, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = home.command("tandem");
    // The daemon that it starts must outlive it.
    let output = soon("the tandem command", command.args(arguments).output()).await.unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

async fn state(home: &Home, what: &str) -> Value {
    let (_, stdout) = tandem(home, &["--json", "service", what]).await;
    serde_json::from_str(&stdout).unwrap()
}

#[tokio::test]
async fn the_first_question_starts_the_daemon_and_service_stop_ends_it() {
    let home = Home::scripted(&Script::always(Life::answering(WORDS)));
    assert_eq!(state(&home, "status").await["running"], false);
    assert_eq!(tandem(&home, &["ask", "hello"]).await, (Some(0), format!("{WORDS}\n")));
    let started = state(&home, "status").await;
    assert_eq!((&started["running"], &started["changed"]), (&true.into(), &false.into()));
    assert_eq!(tandem(&home, &["ask", "hello"]).await, (Some(0), format!("{WORDS}\n")));
    assert_eq!(state(&home, "status").await["pid"], started["pid"]);

    let stopped = state(&home, "stop").await;
    assert_eq!((&stopped["running"], &stopped["changed"]), (&false.into(), &true.into()));
    home.until_deserted().await;
    assert!(!home.socket().exists());
    assert_eq!(tandem(&home, &["service", "status"]).await.0, Some(3));
}

#[tokio::test]
async fn questions_asked_at_once_start_one_daemon() {
    let home = Home::scripted(&Script::always(Life::answering(WORDS)));
    let answers = join_all((0..6).map(|_| tandem(&home, &["ask", "hello"]))).await;
    for answer in answers {
        assert_eq!(answer, (Some(0), format!("{WORDS}\n")));
    }
    let daemons = tandem_tests::with_home(home.path());
    let daemons: Vec<_> = daemons.iter().filter(|(_, name)| name == "tandemd").collect();
    assert_eq!(daemons.len(), 1, "{daemons:?}");
    state(&home, "stop").await;
    home.until_deserted().await;
}

#[tokio::test]
async fn ctrl_c_cancels_the_answer() {
    let waits = Life::answering(WORDS).but_after(1, Fate::Wait);
    let daemon = Setup::scripted(&Script::always(waits)).start().await;
    let mut command = daemon.home().command("tandem");
    let mut child = command.args(["ask", "hello"]).spawn().unwrap();
    daemon.home().until_logged("life 1 wait 1").await;
    assert!(kill("INT", child.id().unwrap()));
    let status = soon("the command to end", child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(130));
    daemon.home().until_logged("life 1 cancel 1").await;
    daemon.until_idle().await;
}

#[tokio::test]
async fn a_daemon_that_cannot_start_is_explained_with_its_own_words() {
    let home = Home::empty();
    std::fs::write(home.path().join("store"), "not a directory").unwrap();
    std::fs::write(home.socket(), "not a socket").unwrap();
    let mut command = home.command("tandem");
    let output = soon("the tandem command", command.args(["ask", "hello"]).output()).await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("is not a socket"), "{stderr}");
    home.until_deserted().await;
}

#[tokio::test]
async fn status_shows_a_person_what_the_daemon_does() {
    let daemon = Setup::scripted(&Script::always(Life::answering(WORDS))).start().await;
    daemon.ask_with(question("hello")).await.complete();
    let output = daemon.home().tandem(&["status"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for part in ["router", "memory_store", "model_loader", "scripted.gguf"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
