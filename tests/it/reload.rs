//! New settings for a daemon that runs.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use serde_json::Value;
use tandem_proto::error as reason;
use tandem_proto::v1::{AskRequest, ReloadRequest, ReloadResponse};
use tandem_tests::script::{Fate, Life, Script};
use tandem_tests::{Daemon, Failure, Setup, kill, question, soon};
use tonic::Code;

const WORDS: &str = "as you like it";
/// Reloads under load; every third has a mistake.
const RELOADS: usize = 100;
const CLIENTS: usize = 8;

async fn scripted() -> Daemon {
    Setup::scripted(&Script::always(Life::answering(WORDS))).start().await
}

async fn reload(daemon: &Daemon) -> Result<ReloadResponse, Failure> {
    let mut admin = daemon.client().admin();
    let answer = soon("the reload", admin.reload(ReloadRequest {})).await;
    answer.map(tonic::Response::into_inner).map_err(Failure::from)
}

/// Writes the settings and has them read. The watch of the file may have been first.
async fn configure(daemon: &Daemon, toml: &str) -> Result<ReloadResponse, Failure> {
    daemon.home().configure(toml);
    reload(daemon).await
}

#[tokio::test]
async fn new_settings_take_effect_with_the_next_question_and_others_say_that_they_wait() {
    let daemon = scripted().await;
    assert_eq!(daemon.ask("one").await.complete(), WORDS);

    configure(&daemon, "[router]\npolicy = \"slow\"\nrunning_max = 2\n").await.unwrap();
    // There is no provider, and the fast track is not asked.
    assert_eq!(daemon.ask("two").await.failure().code, Code::FailedPrecondition);
    let status = daemon.status().await.settings.unwrap();
    assert_eq!(status.needs_restart, ["router.running_max"]);
    assert_eq!(daemon.status().await.admission.unwrap().running_max, 8);

    configure(&daemon, "").await.unwrap();
    assert_eq!(daemon.ask("three").await.complete(), WORDS);
    assert_eq!(daemon.status().await.settings.unwrap().needs_restart, [""; 0]);
    assert_eq!(reload(&daemon).await.unwrap(), ReloadResponse::default(), "nothing is new");
}

#[tokio::test]
async fn settings_with_a_mistake_change_nothing_and_say_why() {
    let daemon = scripted().await;
    let mistake = "[router]\npolicy = \"fast\"\ndeadline = \"soon\"\n";
    let failure = configure(&daemon, mistake).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.reason.as_str()),
        (Code::InvalidArgument, reason::SETTINGS_INVALID)
    );
    assert!(failure.message.contains("tandem.toml:3: router.deadline = \"soon\""), "{failure:?}");
    let status = daemon.status().await.settings.unwrap();
    assert!(status.problem.contains("router.deadline"), "{status:?}");

    let weights = "[router]\nweights = \"/nowhere/my.weights\"\n";
    let failure = configure(&daemon, weights).await.unwrap_err();
    assert!(failure.message.contains("router.weights: = /nowhere/my.weights"), "{failure:?}");
    assert_eq!(daemon.ask("still there?").await.complete(), WORDS);

    configure(&daemon, "").await.unwrap();
    assert_eq!(daemon.status().await.settings.unwrap().problem, "");
}

#[tokio::test]
async fn a_file_that_is_saved_and_a_hangup_are_enough() {
    let daemon = scripted().await;
    daemon.home().configure("[memory]\nturns_max = 7\n");
    let reloads = |count| {
        move |status: &tandem_proto::v1::StatusResponse| {
            status.settings.as_ref().unwrap().reloads > count
        }
    };
    daemon.until("the saved file to be read", reloads(0)).await;
    let before = daemon.status().await.settings.unwrap().reloads;
    assert!(kill("HUP", daemon.pid()));
    daemon.until("the hangup to be obeyed", reloads(before)).await;
    let (code, stdout) = command(&daemon, &["config", "reload"]).await;
    assert_eq!((code, stdout.as_str()), (Some(0), "nothing changed\n"));
}

#[tokio::test]
async fn a_question_under_way_keeps_the_settings_that_it_began_with() {
    let waits = Life::answering(WORDS).but_after(2, Fate::Wait);
    let daemon = Setup::scripted(&Script::always(waits)).start().await;
    let mut asking = daemon.begin(question("begun before")).await;
    asking.until_text(1).await;
    configure(&daemon, "[router]\npolicy = \"slow\"\n").await.unwrap();
    daemon.home().release();
    assert_eq!(asking.finish().await.complete(), WORDS);
}

#[tokio::test]
async fn a_hundred_reloads_under_load_cost_no_answer() {
    let daemon = scripted().await;
    let done = AtomicBool::new(false);
    let clients = join_all((0..CLIENTS).map(|client| {
        let (daemon, done) = (&daemon, &done);
        async move {
            let mut answered = 0;
            while !done.load(Ordering::Relaxed) {
                let request = AskRequest { client: format!("c{client}"), ..question("go on") };
                assert_eq!(daemon.ask_with(request).await.complete(), WORDS);
                answered += 1;
            }
            answered
        }
    }));
    let reloads = async {
        let mut refused = 0;
        for round in 0..RELOADS {
            let mistaken = round % 3 == 2;
            let value = if mistaken { "\"many\"".to_owned() } else { (round + 1).to_string() };
            let outcome = configure(&daemon, &format!("[memory]\nturns_max = {value}\n")).await;
            if let Err(failure) = outcome {
                assert!(mistaken, "{failure:?}");
                assert!(failure.message.contains("tandem.toml:2: memory.turns_max"), "{failure:?}");
                refused += 1;
            } else {
                assert!(!mistaken, "round {round}");
            }
        }
        done.store(true, Ordering::Relaxed);
        refused
    };
    let (answered, refused) = futures::join!(clients, reloads);
    assert_eq!(refused, RELOADS / 3);
    assert!(answered.iter().all(|count| *count > 0), "{answered:?}");
}

async fn command(daemon: &Daemon, arguments: &[&str]) -> (Option<i32>, String) {
    let output = daemon.home().tandem(arguments).await;
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn the_doctor_finds_what_keeps_tandem_from_working_and_says_what_to_do() {
    let daemon = scripted().await;
    let (code, text) = command(&daemon, &["doctor"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("ok      the daemon runs"), "{text}");
    assert!(text.contains("nothing keeps tandem from working"), "{text}");

    daemon.home().configure("[engine]\nthreads = \"all\"\n");
    let (code, json) = command(&daemon, &["--json", "doctor"]).await;
    let diagnosis: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(code, Some(1), "{json}");
    let findings = diagnosis["findings"].as_array().unwrap();
    let problem = findings.iter().find(|finding| finding["verdict"] == "problem").unwrap();
    assert!(problem["found"].as_str().unwrap().contains("engine.threads"), "{problem}");
    assert!(problem["fix"].as_str().unwrap().contains("tandem config check"), "{problem}");
    assert!(diagnosis["machine"]["memory_bytes"].as_u64().unwrap() > 0);
}
