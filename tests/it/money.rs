//! What the slow track costs, what it may cost, and the record of all that it was sent.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use tandem_ledger::{Ended, Entry, Head, Outcome, Sent, Source, digest, read, verify};
use tandem_proto::error as reason;
use tandem_proto::v1::{AskRequest, Policy, Sampling, Track, UsageBy, UsageRequest, UsageResponse};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Daemon, Home, Manner, RecordingApi, Setup, question, soon};
use tonic::Code;

const LOCAL: &str = "the local model has spoken";
const SECRET: &str = "xylophone";

async fn start(api: &RecordingApi, budget: &str) -> Daemon {
    let config = format!("[router]\nslow_threshold = 0.0\n{budget}\n{}", api.provider());
    let script = Script::always(Life::answering(LOCAL));
    Setup::scripted(&script).config(&config).start().await
}

/// About 0.003 at most: half of its bytes as prompt, and 256 tokens of answer.
fn ask(policy: Policy) -> AskRequest {
    let sampling = Sampling { max_tokens: Some(256), ..Sampling::default() };
    let prompt = format!("What is a {SECRET}?");
    AskRequest { policy: policy.into(), sampling: Some(sampling), ..question(&prompt) }
}

async fn usage(daemon: &Daemon) -> UsageResponse {
    let request = UsageRequest { by: UsageBy::Provider.into(), ..UsageRequest::default() };
    let mut admin = daemon.client().admin();
    soon("the usage", admin.usage(request)).await.unwrap().into_inner()
}

fn entries(home: &Home) -> Vec<Entry> {
    let folder = home.path().join("audit");
    let source = Source::Folder(folder.clone());
    let report = verify(&source, Head::noted(&folder).as_ref()).unwrap();
    assert_eq!(report.fault, None, "{report:?}");
    let mut entries = Vec::new();
    read(&source, |record| entries.push(record.entry)).unwrap();
    entries
}

fn sent(home: &Home) -> Vec<Sent> {
    let entries = entries(home).into_iter();
    entries
        .filter_map(|entry| if let Entry::Sent(sent) = entry { Some(sent) } else { None })
        .collect()
}

fn ended(home: &Home) -> Vec<Ended> {
    let entries = entries(home).into_iter();
    entries.filter_map(|it| if let Entry::Ended(ended) = it { Some(ended) } else { None }).collect()
}

/// How often each body was sent, by its hash.
fn counted(hashes: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for hash in hashes {
        *counts.entry(hash).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn every_request_is_in_the_ledger_with_the_hash_of_what_was_sent_and_none_of_its_words() {
    let api = RecordingApi::start(Manner::Answer).await;
    let mut daemon = start(&api, "").await;
    let conversation = daemon.conversation().await;
    for _ in 0..3 {
        let request = AskRequest { conversation_id: conversation.clone(), ..ask(Policy::Slow) };
        let answer = daemon.ask_with(request).await;
        assert_eq!(answer.complete(), "so it is");
        assert_eq!(answer.track_done().unwrap().cost_micros, Some(2_000));
    }
    daemon.ask_with(ask(Policy::Fast)).await.complete();
    api.behave(Manner::Failure);
    assert!(daemon.ask_with(ask(Policy::Slow)).await.error.is_some());
    let (answered, tried) = (3, api.bodies().len());
    assert!(tried > answered, "a failure is tried at least once");
    // A caller that goes away.
    api.behave(Manner::Silence);
    let asking = daemon.begin(ask(Policy::Slow)).await;
    api.until(tried + 1).await;
    drop(asking);
    daemon.terminate();
    assert!(daemon.ended().await.success());

    let home = daemon.home();
    let sent = sent(home);
    assert_eq!(
        counted(sent.iter().map(|sent| sent.body_sha256.clone())),
        counted(api.bodies().iter().map(|body| digest(body)))
    );
    assert_eq!(sent[0].conversation, conversation);
    assert_eq!((sent[0].provider.as_str(), sent[0].policy.as_str()), ("far", "slow"));
    assert!(sent[0].host.starts_with("127.0.0.1:"), "{:?}", sent[0]);
    assert_eq!(sent[0].body_bytes, api.bodies()[0].len() as u64);
    let ended = ended(home);
    assert_eq!(ended.len(), sent.len());
    assert!(ended.iter().any(|end| end.outcome == Outcome::Failed && end.cost_micros == Some(0)));
    assert!(ended.iter().any(|end| end.outcome == Outcome::Cancelled && end.estimated));
    for file in tandem_ledger::files(&home.path().join("audit")).unwrap() {
        let text = fs::read_to_string(file).unwrap();
        assert!(!text.contains(SECRET) && !text.contains("so it is"), "{text}");
    }
}

#[tokio::test]
async fn a_kill_between_request_and_answer_loses_neither_the_record_nor_the_money() {
    let api = RecordingApi::start(Manner::Silence).await;
    let mut daemon = start(&api, "").await;
    for kills in 1..=3 {
        let asking = daemon.begin(ask(Policy::Slow)).await;
        api.until(kills).await;
        daemon.kill().await;
        drop(asking);
        daemon.home().until_deserted().await;
        daemon.restart().await;

        let sent = sent(daemon.home());
        assert_eq!(
            sent.iter().map(|sent| sent.body_sha256.clone()).collect::<Vec<_>>(),
            api.bodies().iter().map(|body| digest(body)).collect::<Vec<_>>()
        );
        let reserved: u64 = sent.iter().filter_map(|sent| sent.reserved_micros).sum();
        assert!(reserved > 2_500 * kills as u64, "{reserved}");
        let usage = usage(&daemon).await;
        assert_eq!(usage.slow.unwrap().cost_micros, reserved);
    }
    daemon.terminate();
    daemon.ended().await;
    let lost = ended(daemon.home()).iter().filter(|end| end.outcome == Outcome::Lost).count();
    assert_eq!(lost, 3);
}

#[tokio::test]
async fn a_spent_budget_refuses_the_slow_track_and_leaves_the_fast_one() {
    let api = RecordingApi::start(Manner::Answer).await;
    let budget = "[router.budget]\nday = 0.0055";
    let mut daemon = start(&api, budget).await;
    // Each answer may cost 0.0026 and more, and comes to 0.002.
    for _ in 0..2 {
        daemon.ask_with(ask(Policy::Slow)).await.complete();
    }
    for again in [false, true] {
        let answer = daemon.ask_with(ask(Policy::Slow)).await;
        let failure = answer.failure();
        assert_eq!(
            (failure.code, failure.reason.as_str()),
            (Code::ResourceExhausted, reason::BUDGET_SPENT)
        );
        assert!(failure.retry_after.is_some(), "{failure:?}");
        let auto = daemon.ask_with(ask(Policy::Auto)).await;
        assert_eq!(auto.complete(), LOCAL);
        assert_eq!(auto.done().unwrap().track(), Track::Fast);
        // It was not even tried.
        assert!(auto.routed().unwrap().reasons.concat().contains("router.budget.day"), "{auto:?}");
        if !again {
            daemon.kill().await;
            daemon.home().until_deserted().await;
            daemon.restart().await;
        }
    }
    assert_eq!(api.bodies().len(), 2);
    let usage = usage(&daemon).await;
    let cap = &usage.caps[0];
    assert_eq!((cap.setting.as_str(), cap.spent_micros), ("router.budget.day", 4_000));
    let fast = usage.fast.unwrap();
    assert!(fast.answered >= 1 && fast.saved_micros > 0, "{fast:?}");
}

#[tokio::test]
async fn many_questions_at_once_do_not_pass_the_budget() {
    let api = RecordingApi::start(Manner::Answer).await;
    let daemon = start(&api, "[router.budget]\nmonth = 0.0205\n").await;
    let asked = (0..40).map(|client| {
        daemon.ask_with(AskRequest { client: format!("client {client}"), ..ask(Policy::Auto) })
    });
    for answer in futures::future::join_all(asked).await {
        answer.complete();
    }
    let usage = usage(&daemon).await;
    let (slow, cap) = (usage.slow.unwrap(), &usage.caps[0]);
    assert_eq!(slow.cost_micros, cap.spent_micros);
    assert!(slow.answered > 0 && slow.cost_micros <= cap.limit_micros, "{usage:?}");
    assert_eq!(api.bodies().len() as u64, slow.requests);
    assert_eq!(slow.answered + usage.fast.unwrap().answered, 40);
}

#[tokio::test]
async fn without_a_ledger_nothing_leaves_and_the_local_model_answers() {
    let api = RecordingApi::start(Manner::Answer).await;
    let config = format!("[router]\nslow_threshold = 0.0\n{}", api.provider());
    let script = Script::always(Life::answering(LOCAL));
    let setup = Setup::scripted(&script).config(&config);
    fs::write(setup.home().path().join("audit"), "in the way").unwrap();
    let daemon = setup.start().await;
    let refused = daemon.ask_with(ask(Policy::Slow)).await;
    assert_eq!(refused.failure().reason, reason::LEDGER_FAILED, "{refused:?}");
    let auto = daemon.ask_with(ask(Policy::Auto)).await;
    assert_eq!(auto.complete(), LOCAL);
    assert_eq!(api.bodies(), Vec::<Vec<u8>>::new());
}

#[tokio::test]
async fn usage_and_audit_are_shown_by_the_command() {
    let api = RecordingApi::start(Manner::Answer).await;
    let mut daemon = start(&api, "[router.budget]\nmonth = 1\ntarget = 0.5\n").await;
    let empty = daemon.home().tandem(&["usage"]).await;
    assert!(String::from_utf8_lossy(&empty.stdout).contains("nothing was asked"), "{empty:?}");
    daemon.ask_with(ask(Policy::Slow)).await.complete();
    daemon.ask_with(ask(Policy::Fast)).await.complete();

    let output = daemon.home().tandem(&["usage", "--json", "--month"]).await;
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&json["slow"]["cost_micros"], &json["fast"]["answered"]),
        (&2000.into(), &1.into())
    );
    assert_eq!(json["budgets"][0]["setting"], "router.budget.month");
    assert_eq!(json["pace"]["target_micros"], 500_000);

    let audit = daemon.home().tandem(&["audit", "verify"]).await;
    let text = String::from_utf8(audit.stdout).unwrap();
    assert!(
        audit.status.success() && text.contains("agrees with the daemon and head.json"),
        "{text}"
    );
    let shown = daemon.home().tandem(&["audit", "show", "--since", "1d"]).await;
    assert!(String::from_utf8_lossy(&shown.stdout).contains("answered · 1000 in · 100 out"));

    // Offline, and after somebody changed a byte.
    daemon.terminate();
    daemon.ended().await;
    let file = daemon.home().path().join("audit/egress.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("\"answered\"", "\"failed\"", 1)).unwrap();
    let audit = daemon.home().tandem(&["audit", "verify", "--json"]).await;
    assert_eq!(audit.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&audit.stdout).unwrap();
    assert_eq!(json["fault"]["index"], 1, "{json}");
}
