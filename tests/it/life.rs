//! How daemons begin and end.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use tandem_proto::error as reason;
use tandem_proto::v1::{AskRequest, DrainRequest};
use tandem_tests::script::{Fate, Life, Load, Script};
use tandem_tests::{Asking, Daemon, Home, Setup, question, soon};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

const WORDS: &str = "the show must go on";

async fn scripted() -> Daemon {
    Setup::scripted(&Script::always(Life::answering(WORDS))).start().await
}

/// A daemon with an answer that does not go on before it is released.
async fn answering(config: &str) -> (Daemon, String, Asking) {
    let waits = Life::answering(WORDS).but_after(2, Fate::Wait);
    let daemon = Setup::scripted(&Script::always(waits)).config(config).start().await;
    let id = daemon.conversation().await;
    let request = AskRequest { conversation_id: id.clone(), ..question("sing") };
    let mut asking = daemon.begin(request).await;
    asking.until_text(1).await;
    (daemon, id, asking)
}

#[tokio::test]
async fn a_daemon_told_to_stop_finishes_its_answers_and_ends_in_order() {
    let (mut daemon, id, asking) = answering("").await;
    daemon.terminate();
    daemon.until_draining().await;
    let late = daemon.ask("one more").await;
    assert_eq!(late.failure().reason, reason::SHUTTING_DOWN, "{late:?}");

    daemon.home().release();
    assert_eq!(asking.finish().await.complete(), WORDS);
    assert_eq!(daemon.ended().await.code(), Some(0), "{}", daemon.log());
    assert!(!daemon.home().socket().exists());
    daemon.home().until_deserted().await;
    daemon.restart().await;
    assert_eq!(daemon.turns(&id).await, [("sing".to_owned(), WORDS.to_owned())]);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_to_finish_ends_with_a_typed_error() {
    let (mut daemon, id, asking) = answering("[daemon]\ndrain_timeout = \"200ms\"\n").await;
    daemon.terminate();
    let answer = asking.finish().await;
    assert_eq!(answer.failure().reason, reason::SHUTTING_DOWN, "{answer:?}");
    assert!(answer.failure().retry_after.is_some());
    assert_eq!(daemon.ended().await.code(), Some(0), "{}", daemon.log());
    daemon.restart().await;
    assert_eq!(daemon.turns(&id).await, []);
}

#[tokio::test]
async fn a_second_signal_ends_the_daemon_at_once() {
    let (mut daemon, _, asking) = answering("[daemon]\ndrain_timeout = \"1h\"\n").await;
    daemon.terminate();
    daemon.until_draining().await;
    daemon.terminate();
    assert_eq!(daemon.ended().await.code(), Some(0), "{}", daemon.log());
    assert!(asking.finish().await.error.is_some());
    assert!(!daemon.home().socket().exists());
}

#[tokio::test]
async fn a_caller_can_drain_the_daemon() {
    let (mut daemon, id, asking) = answering("").await;
    let mut admin = daemon.client().admin();
    soon("the order to drain", admin.drain(DrainRequest {})).await.unwrap();
    daemon.until_draining().await;
    daemon.home().release();
    assert_eq!(asking.finish().await.complete(), WORDS);
    assert_eq!(daemon.ended().await.code(), Some(0), "{}", daemon.log());
    daemon.restart().await;
    assert_eq!(daemon.turns(&id).await.len(), 1);
}

#[tokio::test]
async fn an_idle_daemon_told_to_stop_ends_with_all_its_processes() {
    let mut daemon = scripted().await;
    assert_eq!(daemon.ask("sing").await.complete(), WORDS);
    daemon.terminate();
    assert_eq!(daemon.ended().await.code(), Some(0), "{}", daemon.log());
    daemon.home().until_deserted().await;
}

#[tokio::test]
async fn a_daemon_that_is_stopped_as_soon_as_it_listens_ends_in_order() {
    let mut daemon = scripted().await;
    for round in 0..20 {
        daemon.terminate();
        assert_eq!(daemon.ended().await.code(), Some(0), "round {round}: {}", daemon.log());
        assert!(!daemon.home().socket().exists(), "round {round}");
        daemon.restart().await;
    }
}

#[tokio::test]
async fn a_daemon_ends_in_order_while_an_engine_hangs_in_its_load() {
    let hangs = Life::answering(WORDS).but_at_load(Load::Hang);
    let mut daemon = Setup::scripted(&Script::always(hangs))
        .config("[daemon]\ndrain_timeout = \"200ms\"\n")
        .start()
        .await;
    let asking = daemon.begin(question("sing")).await;
    let load = "life 1 load use_extra_bufts=true flash_attention=true self_test=true";
    daemon.home().until_logged(load).await;
    daemon.terminate();
    assert_eq!(asking.finish().await.failure().reason, reason::SHUTTING_DOWN);
    assert_eq!(daemon.ended().await.code(), Some(0), "{}", daemon.log());
    daemon.home().until_deserted().await;
}

/// Runs a daemon that is not meant to come up, to its end.
async fn run(home: &Home, socket: &Path) -> (Option<i32>, String) {
    let mut command = home.command("tandemd");
    let output = command.arg("--socket").arg(socket).output();
    let Output { status, stderr, .. } = soon("a daemon to refuse", output).await.unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn a_second_daemon_on_the_same_socket_is_refused_with_the_pid_of_the_first() {
    let first = scripted().await;
    let (code, stderr) = run(&Home::empty(), &first.home().socket()).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains(&format!("pid {}", first.pid())), "{stderr}");
    assert!(stderr.contains("--socket"), "{stderr}");
    assert_eq!(first.ask("sing").await.complete(), WORDS);
}

#[tokio::test]
async fn a_second_daemon_on_the_same_data_is_refused_with_the_pid_of_the_first() {
    let first = scripted().await;
    let other_socket = first.home().path().join("other.sock");
    let (code, stderr) = run(first.home(), &other_socket).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains(&format!("pid {}", first.pid())), "{stderr}");
    assert!(stderr.contains("TANDEM_HOME"), "{stderr}");
    assert!(!other_socket.exists());
    assert_eq!(first.ask("sing").await.complete(), WORDS);
}

#[tokio::test]
async fn the_socket_of_a_killed_daemon_is_taken_over() {
    let mut daemon = scripted().await;
    daemon.kill().await;
    let socket = daemon.home().socket();
    assert!(socket.exists());
    daemon.restart().await;
    assert_eq!(daemon.ask("sing").await.complete(), WORDS);
    let mode = socket.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_all_named_and_nothing_is_started() {
    let home = Home::empty();
    home.configure("[router]\npolicy = \"sometimes\"\n[engine]\ncontext_token = 1\n");
    let (code, stderr) = run(&home, &home.socket()).await;
    assert_eq!(code, Some(2), "{stderr}");
    let file = home.path().join("tandem.toml").display().to_string();
    for part in [&file, "router.policy", "sometimes", "auto", "private", "context_tokens"] {
        assert!(stderr.contains(part), "{part} in {stderr}");
    }
    assert!(!home.path().join("store").exists());
}

#[tokio::test]
async fn health_is_told_for_the_daemon_and_for_each_of_its_parts() {
    let mut daemon = scripted().await;
    let mut health = HealthClient::new(daemon.channel().await);
    for service in [
        "",
        "tandem.v1.Assistant",
        "tandem.v1.Inference",
        "tandem.v1.Models",
        "tandem.v1.Conversations",
        "tandem.v1.Storage",
        "tandem.v1.Admin",
        "router",
        "memory_search",
        "memory_store",
        "model_loader",
        "api_escalator",
        "resource_monitor",
    ] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut statuses = health.watch(request).await.unwrap().into_inner();
        soon(&format!("{service:?} to serve"), async {
            while statuses.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
        })
        .await;
    }
    let request = HealthCheckRequest { service: "tandem.v1.Assistant".to_owned() };
    let mut statuses = health.watch(request).await.unwrap().into_inner();
    daemon.terminate();
    soon("the daemon to say that it does not serve", async {
        // The connection may end before the last word is read.
        while let Ok(Some(status)) = statuses.message().await {
            if status.status() == ServingStatus::NotServing {
                break;
            }
        }
    })
    .await;
    assert_eq!(daemon.ended().await.code(), Some(0));
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let daemon = scripted().await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(daemon.channel().await);
    let requests = tokio_stream::iter([request]);
    let mut answers = client.server_reflection_info(requests).await.unwrap().into_inner();
    let answer = soon("reflection", answers.message()).await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for service in [
        "tandem.v1.Assistant",
        "tandem.v1.Inference",
        "tandem.v1.Models",
        "tandem.v1.Conversations",
        "tandem.v1.Storage",
        "tandem.v1.Admin",
        "grpc.health.v1.Health",
    ] {
        assert!(names.iter().any(|name| name == service), "{service} in {names:?}");
    }
}

#[tokio::test]
async fn the_status_tells_the_tree_the_machine_and_where_things_are() {
    let daemon = scripted().await;
    let status = daemon.status().await;
    assert_eq!(status.pid, daemon.pid());
    assert_eq!(Path::new(&status.socket), daemon.home().socket());
    assert_eq!(Path::new(&status.data_dir), daemon.home().path());
    let parts: Vec<_> = status.tree.unwrap().children.into_iter().map(|part| part.name).collect();
    for part in ["api_escalator", "memory_store", "model_loader", "resource_monitor", "router"] {
        assert!(parts.iter().any(|name| name == part), "{part} in {parts:?}");
    }
    let seen = |status: &tandem_proto::v1::StatusResponse| {
        let machine = status.resources.as_ref().unwrap();
        machine.memory_available_bytes > 0 && machine.daemon_memory_bytes > 0 && machine.cores > 0
    };
    daemon.until("the machine to be looked at", seen).await;
}
