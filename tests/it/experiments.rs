//! Variants of settings, what came of them, and verdicts on answers.

use serde_json::Value;
use tandem_proto::v1::{AskRequest, Policy};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Daemon, Setup, question};

const SETTINGS: &str = "[experiments.tone.variants.control]\nweight = 1\n\
    [experiments.tone.variants.brief]\nweight = 1\nsystem_prompt = \"Be brief.\"\n";

async fn json(daemon: &Daemon, arguments: &[&str]) -> Value {
    let output = daemon.home().tandem(arguments).await;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What came of a key of the outcomes, over all variants.
async fn sum(daemon: &Daemon, key: &str) -> u64 {
    let report = json(daemon, &["experiment", "report", "tone", "--json"]).await;
    let variants = report["variants"].as_array().unwrap();
    variants.iter().map(|variant| variant[key].as_u64().unwrap()).sum()
}

async fn ask(daemon: &Daemon, prompt: &str, policy: Policy, conversation: &str) -> String {
    let conversation_id = conversation.to_owned();
    let request = AskRequest { policy: policy.into(), conversation_id, ..question(prompt) };
    let answer = daemon.ask_with(request).await;
    answer.complete();
    answer.done().unwrap().turn_id.clone()
}

#[tokio::test]
async fn a_conversation_keeps_its_variant_and_its_turns_are_counted_across_restarts() {
    let script = Script::always(Life::answering("yes"));
    let mut daemon = Setup::scripted(&script).config(SETTINGS).start().await;
    let conversation = daemon.conversation().await;
    for prompt in ["one", "two"] {
        ask(&daemon, prompt, Policy::Fast, &conversation).await;
    }
    daemon.terminate();
    daemon.ended().await;
    daemon.restart().await;
    ask(&daemon, "three", Policy::Fast, &conversation).await;

    let report = json(&daemon, &["experiment", "report", "tone", "--json"]).await;
    let variants = report["variants"].as_array().unwrap();
    let mut answered: Vec<_> = variants.iter().map(|it| it["answered"].as_u64().unwrap()).collect();
    answered.sort_unstable();
    assert_eq!(answered, [0, 3], "{report}");
    assert_eq!(report["control"], "control");

    // Who brings a system prompt is not part of an experiment with them.
    let request = AskRequest { system: Some("Be kind.".to_owned()), ..question("four") };
    daemon.ask_with(request).await.complete();
    assert_eq!(sum(&daemon, "answered").await, 3);

    let text = daemon.home().tandem(&["experiment", "report", "tone"]).await;
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("control (control)") && text.contains("Wilson"), "{text}");
    let missing = daemon.home().tandem(&["experiment", "report", "nothing"]).await;
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
}

#[tokio::test]
async fn verdicts_are_kept_and_only_what_may_leave_is_exported() {
    let script = Script::always(Life::answering("yes"));
    let mut daemon = Setup::scripted(&script).config(SETTINGS).start().await;
    let nothing = daemon.home().tandem(&["feedback", "up"]).await;
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");

    let conversation = daemon.conversation().await;
    let first = ask(&daemon, "may be known", Policy::Fast, &conversation).await;
    let judged = json(&daemon, &["feedback", "down", "--last", "--comment", "no", "--json"]).await;
    assert_eq!(judged["turn_id"], first.as_str());
    ask(&daemon, "a turn of its own", Policy::Fast, "").await;
    json(&daemon, &["feedback", "up", "--json"]).await;
    let secret = ask(&daemon, "a secret", Policy::Private, &conversation).await;
    json(&daemon, &["feedback", "up", &secret, "--json"]).await;
    assert_eq!((sum(&daemon, "up").await, sum(&daemon, "down").await), (2, 1));

    daemon.terminate();
    daemon.ended().await;
    daemon.restart().await;
    let unknown = daemon.home().tandem(&["feedback", "up", &first]).await;
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
    json(&daemon, &["feedback", "up", &first, "--conversation", &conversation, "--json"]).await;
    assert_eq!((sum(&daemon, "up").await, sum(&daemon, "down").await), (3, 0));

    let exported = daemon.home().tandem(&["feedback", "export"]).await;
    let lines = String::from_utf8(exported.stdout).unwrap();
    let line: Value = serde_json::from_str(lines.trim_end()).unwrap();
    assert_eq!(line["id"], first.as_str());
    assert_eq!((&line["prompt"], &line["weak_score"]), (&"may be known".into(), &1.0.into()));
    assert_eq!(line["strong_score"], Value::Null);
    let told = String::from_utf8(exported.stderr).unwrap();
    assert!(told.contains("2 of 3 verdicts are left out"), "{told}");
}
