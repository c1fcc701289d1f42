//! What the daemon gives up on a machine that is short, what it says of that, and how it takes it back.

use serde_json::Value;
use tandem_proto::error as reason;
use tandem_proto::v1::{
    AskRequest, Degraded, GenerateRequest, NoticeKind, Policy, Pressure, Priority, ReloadRequest,
    ResourceStatus, Rung, StatusResponse, Track,
};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Daemon, Failure, Manner, RecordingApi, Setup, question, soon};

const LOCAL: &str = "the local model has spoken";

/// Settings under which any machine is pressed to this degree, by its memory, and never by anything
/// else that happens to it while the test runs.
fn pressed_to(degree: usize, more: &str) -> String {
    let below = |step| if step < degree { 1.0 } else { 0.0 };
    format!(
        "[resources]\nsample_interval = \"200ms\"\n\
         [resources.pressure]\n\
         memory_available = {{ moderate = {:?}, high = {:?}, critical = {:?}, extreme = {:?} }}\n\
         memory_stalled = {NEVER}\nio_stalled = {NEVER}\ncpu_stalled = {NEVER}\n\
         temperature_celsius = {{ moderate = 200, high = 200, critical = 200, extreme = 200 }}\n\
         battery_charge = {{ moderate = 0, high = 0, critical = 0, extreme = 0 }}\n\
         [resources.ladder]\ndwell = \"100ms\"\ncalm = \"200ms\"\n{more}\n",
        below(0),
        below(1),
        below(2),
        below(3),
    )
}

const NEVER: &str = "{ moderate = 1, high = 1, critical = 1, extreme = 1 }";
const CALM: usize = 0;
const MODERATE: usize = 1;
const CRITICAL: usize = 3;
const EXTREME: usize = 4;

fn ask(policy: Policy) -> AskRequest {
    AskRequest { policy: policy.into(), ..question("What is the capital of France?") }
}

fn rung(status: &StatusResponse) -> Rung {
    resources(status).ladder.map(|ladder| ladder.rung()).unwrap_or_default()
}

fn resources(status: &StatusResponse) -> ResourceStatus {
    status.resources.clone().unwrap()
}

async fn until_at(daemon: &Daemon, wanted: Rung) -> StatusResponse {
    daemon.until(&format!("{wanted:?}"), |status| rung(status) == wanted).await
}

async fn started(settings: &str) -> Daemon {
    let script = Script::always(Life::answering(LOCAL));
    Setup::scripted(&script).config(settings).start().await
}

/// Has the daemon read these settings. The watch of the file may be first.
async fn reload(daemon: &Daemon, settings: &str) {
    daemon.home().configure(settings);
    let mut admin = daemon.client().admin();
    soon("the reload", admin.reload(ReloadRequest {})).await.unwrap();
}

#[tokio::test]
async fn a_critical_machine_has_providers_answer_and_says_why_until_it_is_well_again() {
    let api = RecordingApi::start(Manner::Answer).await;
    // The score alone would keep the question here.
    let more = format!("[router]\nslow_threshold = 1.0\n{}", api.provider());
    let daemon = started(&pressed_to(CRITICAL, &more)).await;
    let status = until_at(&daemon, Rung::Remote).await;
    let machine = resources(&status);
    assert_eq!(machine.pressure(), Pressure::Critical);
    let ladder = machine.ladder.unwrap();
    assert!(ladder.reasons[0].contains("memory are available (less than 100 %)"), "{ladder:?}");
    assert_eq!(ladder.moves, 1);

    let answer = daemon.ask_with(ask(Policy::Auto)).await;
    answer.complete();
    assert_eq!(answer.done().unwrap().track(), Track::Slow, "{answer:?}");
    let Degraded { rung, reasons } = answer.done().unwrap().degraded.clone().unwrap();
    assert_eq!(rung, i32::from(Rung::Remote));
    assert!(reasons[0].contains("memory are available"), "{reasons:?}");
    let notices = answer.notices(NoticeKind::Degraded);
    assert!(notices[0].starts_with("providers answer what they may: "), "{notices:?}");
    assert_eq!(api.bodies().len(), 1);

    // What may not leave is answered here.
    for policy in [Policy::Private, Policy::Fast] {
        let answer = daemon.ask_with(ask(policy)).await;
        assert_eq!(answer.complete(), LOCAL);
        assert!(answer.done().unwrap().degraded.is_some(), "{answer:?}");
    }
    assert_eq!(api.bodies().len(), 1);
    let engine = |status: &StatusResponse| resources(status).engines_memory_bytes > 0;
    daemon.until("the engine that answered to be seen", engine).await;

    reload(&daemon, &pressed_to(CALM, &more)).await;
    let status = until_at(&daemon, Rung::Full).await;
    assert_eq!(resources(&status).ladder.unwrap().reasons, [""; 0]);
    assert_eq!(status.settings.unwrap().needs_restart, [""; 0]);
    let answer = daemon.ask_with(ask(Policy::Auto)).await;
    assert_eq!(answer.complete(), LOCAL);
    assert_eq!(answer.done().unwrap().degraded, None);
    assert_eq!(answer.notices(NoticeKind::Degraded), [""; 0]);
}

#[tokio::test]
async fn when_next_to_nothing_is_left_nothing_is_computed_here() {
    let daemon = started(&pressed_to(CALM, "")).await;
    let conversation = daemon.conversation().await;
    let request = AskRequest { conversation_id: conversation.clone(), ..ask(Policy::Auto) };
    // The model is loaded, and that does not help it.
    assert_eq!(daemon.ask_with(request.clone()).await.complete(), LOCAL);
    reload(&daemon, &pressed_to(EXTREME, "")).await;
    until_at(&daemon, Rung::Template).await;

    for policy in [Policy::Auto, Policy::Fast, Policy::Private] {
        let answer = daemon.ask_with(ask(policy)).await;
        let failure = answer.failure();
        assert_eq!(failure.reason, reason::OVERLOADED, "{policy:?}: {answer:?}");
        assert!(failure.message.contains("no model computes on this machine"), "{failure:?}");
    }
    let greeting = AskRequest {
        prompt: "Hello!".to_owned(),
        priority: Priority::High.into(),
        ..ask(Policy::Private)
    };
    let answer = daemon.ask_with(greeting).await;
    assert!(!answer.complete().is_empty());
    assert_eq!(answer.done().unwrap().track(), Track::BuiltIn, "{answer:?}");
    let generate = GenerateRequest { prompt: "Once".to_owned(), ..GenerateRequest::default() };
    let mut inference = daemon.client().inference();
    let refused = soon("the refusal", inference.generate(generate)).await.unwrap_err();
    assert_eq!(Failure::from(refused).reason, reason::OVERLOADED);

    reload(&daemon, &pressed_to(CALM, "")).await;
    until_at(&daemon, Rung::Full).await;
    assert_eq!(daemon.ask_with(request).await.complete(), LOCAL);
    assert_eq!(daemon.turns(&conversation).await.len(), 2);
}

#[tokio::test]
async fn status_and_answers_show_the_rung_on_the_command_line() {
    let daemon = started(&pressed_to(MODERATE, "")).await;
    until_at(&daemon, Rung::FewerThreads).await;
    let output = daemon.home().tandem(&["status"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("rung       fewer threads · for "), "{text}");
    assert!(text.contains("memory are available (less than 100 %)"), "{text}");
    let output = daemon.home().tandem(&["--json", "status"]).await;
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["resources"]["ladder"]["rung"], "fewer_threads");
    assert!(json["resources"]["disk_free_bytes"].as_u64().unwrap() > 0);

    let output = daemon.home().tandem(&["ask", "why?"]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    let noted = said.lines().filter(|it| it.contains("models compute with fewer threads: "));
    assert_eq!(noted.count(), 1, "{said}");
    let output = daemon.home().tandem(&["--json", "ask", "why?"]).await;
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["degraded"]["rung"], "fewer_threads");
    assert_eq!(json["notices"][0]["kind"], "degraded");
}

#[tokio::test]
async fn rungs_out_of_order_are_refused_and_those_in_effect_stay() {
    let daemon = started(&pressed_to(MODERATE, "")).await;
    let status = until_at(&daemon, Rung::FewerThreads).await;
    let moves = resources(&status).ladder.unwrap().moves;
    let mistaken = pressed_to(CALM, "quantized_kv = \"critical\"\nremote = \"high\"");
    daemon.home().configure(&mistaken);
    let mut admin = daemon.client().admin();
    let refused = soon("the refusal", admin.reload(ReloadRequest {})).await.unwrap_err();
    let failure = Failure::from(refused);
    assert_eq!(failure.reason, reason::SETTINGS_INVALID);
    assert!(failure.message.contains("resources.ladder.remote = \"high\""), "{failure:?}");
    // Far longer than other settings would need to move it.
    let stays = resources(&daemon.status().await).ladder.unwrap().since_ms + 3_000;
    let stayed = |status: &StatusResponse| {
        let ladder = resources(status).ladder.unwrap();
        ladder.rung() == Rung::FewerThreads && ladder.moves == moves && ladder.since_ms > stays
    };
    daemon.until("the rung to stay", stayed).await;
}
