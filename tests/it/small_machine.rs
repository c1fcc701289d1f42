//! A model of 3 billion weights in 4 GiB of memory, beside programs that want them, too.

use std::path::PathBuf;

use tandem_proto::v1::{AskRequest, LadderStatus, Rung, Sampling, StatusResponse};
use tandem_tests::{Answer, ControlGroup, Hog, Home, Setup, question};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// What the other program leaves: less than the 10 % from which much is given up, and more than the
/// 5 % from which nothing more is computed here.
const LEFT: u64 = 300 * MIB;

/// Tokens of each answer.
const TOKENS: u32 = 8;

/// The ladder moves at once, so that the test need not wait.
const QUICK: &str = "[resources]\nsample_interval = \"200ms\"\n\
                     [resources.ladder]\ndwell = \"1s\"\ncalm = \"2s\"\n";

fn short(prompt: &str) -> AskRequest {
    let sampling =
        Sampling { temperature: Some(0.0), max_tokens: Some(TOKENS), ..Sampling::default() };
    AskRequest { sampling: Some(sampling), ..question(prompt) }
}

fn rung(status: &StatusResponse) -> Rung {
    let ladder = status.resources.as_ref().and_then(|machine| machine.ladder.as_ref());
    ladder.map_or(Rung::Unspecified, LadderStatus::rung)
}

fn assert_answered(answer: &Answer) {
    assert!(!answer.complete().is_empty(), "{answer:?}");
    let usage = answer.track_done().unwrap().usage.unwrap();
    assert_eq!(usage.completion_tokens, TOKENS, "{answer:?}");
}

#[tokio::test]
async fn a_model_of_3_billion_weights_answers_in_4_gib_and_yields_to_others() {
    // Says why there is nothing to test where no group can be made.
    let Some(group) = ControlGroup::with_memory(4 * GIB) else { return };
    let model: PathBuf = Home::large_model();
    let daemon = Setup::with_model(model).config(QUICK).within(&group).start().await;
    let pid = daemon.status().await.pid;

    assert_answered(&daemon.ask_with(short("Why is the sky blue?")).await);
    let engine = daemon.until_idle().await;
    assert_eq!(engine.sequences_max, 2, "the preset for small machines: {engine:?}");
    daemon.until("nothing to be given up", |status| rung(status) == Rung::Full).await;
    assert_eq!(group.killed(), 0);

    let hog = Hog::holding(group.available_bytes().saturating_sub(LEFT), &group).await;
    let pressed = daemon.until("the ladder to go down", |status| rung(status) > Rung::Full).await;
    let reasons = pressed.resources.unwrap().ladder.unwrap().reasons;
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| !reason.is_empty()), "{reasons:?}");

    for prompt in ["What is a ladder?", "Who wrote Hamlet?"] {
        let answer = daemon.ask_with(short(prompt)).await;
        match &answer.error {
            None => assert!(!answer.complete().is_empty(), "{answer:?}"),
            Some(failure) => assert!(failure.retry_after.is_some(), "{failure:?}"),
        }
    }
    assert_eq!(group.killed(), 0, "something was killed for lack of memory");

    hog.leave().await;
    daemon.until("the ladder to be climbed again", |status| rung(status) == Rung::Full).await;
    assert_answered(&daemon.ask_with(short("What is the capital of France?")).await);
    assert_eq!(group.killed(), 0, "something was killed for lack of memory");
    // An engine that was started anew for a shorter context is another process and no restart.
    assert_eq!(daemon.until_idle().await.restarts, 0, "the engine died");
    assert_eq!(daemon.status().await.pid, pid);
}
