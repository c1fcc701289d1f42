//! Models are fetched by a daemon that may be killed meanwhile, for callers that come and go.

use std::fs;
use std::time::Duration;

use tandem_proto::error as reason;
use tandem_proto::v1::pull_model_event::Event;
use tandem_proto::v1::{
    ListModelsRequest, Model, ModelInfoRequest, ModelState, PullModelEvent, PullModelRequest,
    RemoveModelRequest, VerifyModelRequest,
};
use tandem_tests::file_server::{FileServer, Manner};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Daemon, Failure, Setup, gguf, soon};
use tonic::Streaming;

const MIB: u64 = 1 << 20;
/// Most that one death may cost.
const CHUNK_BYTES: u64 = 8 * MIB;
const KILLS: u64 = 20;

/// A server so slow that what it sends is what is read.
fn slow_server(content: Vec<u8>) -> FileServer {
    let manner = Manner { pause: Duration::from_millis(1), ..Manner::default() };
    FileServer::start(content, manner)
}

async fn begin(daemon: &Daemon, id: &str) -> Result<Streaming<PullModelEvent>, Failure> {
    let request = PullModelRequest { id: id.to_owned() };
    Ok(soon("the pull", daemon.client().models().pull(request)).await?.into_inner())
}

/// Waits until the model is there.
async fn finish(mut events: Streaming<PullModelEvent>) -> Result<Model, Failure> {
    while let Some(event) = soon("the pull to go on", events.message()).await? {
        if let Some(Event::Pulled(model)) = event.event {
            return Ok(model);
        }
    }
    panic!("the stream ended without a model");
}

async fn pull(daemon: &Daemon, id: &str) -> Result<Model, Failure> {
    finish(begin(daemon, id).await?).await
}

#[tokio::test]
async fn a_pull_whose_daemon_is_killed_twenty_times_gets_there_and_loses_little() {
    let content = gguf::with_bytes(40 << 20, 1);
    let server = slow_server(content.clone());
    let mut daemon = Setup::scripted(&Script::always(Life::answering("well"))).start().await;
    let mut random = 3_u64;
    for _ in 0..KILLS {
        let events = begin(&daemon, &server.url()).await.unwrap();
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let enough = server.sent() + (random >> 33) % (3 * MIB / 2);
        soon("bytes", server.until_sent(enough)).await;
        daemon.kill().await;
        drop(events);
        daemon.restart().await;
    }
    assert!(!daemon.home().model("m.gguf").exists(), "it was killed too late");
    server.behave(|manner| manner.pause = Duration::ZERO);
    let model = pull(&daemon, &server.url()).await.unwrap();
    assert_eq!(model.state(), ModelState::Available);
    assert!(fs::read(daemon.home().model("m.gguf")).unwrap() == content, "another file");
    let lost = server.sent() - content.len() as u64;
    assert!(lost <= KILLS * CHUNK_BYTES, "{KILLS} deaths cost {lost} bytes");
    let request = VerifyModelRequest { id: "m.gguf".to_owned() };
    let verified = daemon.client().models().verify(request).await.unwrap().into_inner();
    assert_eq!((verified.sha256, verified.problem), (model.sha256, String::new()));
}

#[tokio::test]
async fn callers_share_a_pull_that_goes_on_until_the_last_one_leaves() {
    let content = gguf::with_bytes(8 << 20, 1);
    let size = content.len() as u64;
    let server = slow_server(content);
    let daemon = Setup::scripted(&Script::always(Life::answering("well"))).start().await;
    let first = begin(&daemon, &server.url()).await.unwrap();
    let second = begin(&daemon, &server.url()).await.unwrap();
    soon("bytes", server.until_sent(MIB)).await;
    drop(first);
    let third = begin(&daemon, &server.url()).await.unwrap();
    let (second, third) = tokio::join!(finish(second), finish(third));
    assert_eq!(second.unwrap().path, third.unwrap().path);
    assert!(server.sent() <= size + 2, "{} bytes were sent for {size}", server.sent());
    // It is there, and nobody is asked again.
    pull(&daemon, &server.url()).await.unwrap();
    assert!(server.sent() <= size + 2);
}

#[tokio::test]
async fn a_pull_that_nobody_waits_for_ends_and_goes_on_later_or_is_removed() {
    let content = gguf::with_bytes(8 << 20, 1);
    let size = content.len() as u64;
    let server = slow_server(content);
    let setup = Setup::scripted(&Script::always(Life::answering("well")));
    let catalog = format!(
        "[[models]]\nid = 'own'\nname = 'Own'\nfile = 'own.gguf'\nsources = ['{}']\n",
        server.url()
    );
    fs::write(setup.home().model("catalog.toml"), catalog).unwrap();
    let daemon = setup.start().await;
    let info = async || {
        let request = ModelInfoRequest { id: "own".to_owned() };
        daemon.client().models().info(request).await.unwrap().into_inner()
    };
    let leave = async || {
        let events = begin(&daemon, "own").await.unwrap();
        soon("bytes", server.until_sent(server.sent() + 6 * MIB)).await;
        drop(events);
        let stopped = async {
            while daemon.log().matches("nobody waits for a model any more").count() == 0 {
                tokio::time::sleep(tandem_tests::LOOK_AGAIN).await;
            }
        };
        soon("the pull to end", stopped).await;
    };
    leave().await;
    let absent = info().await;
    assert_eq!(absent.state(), ModelState::Absent);
    assert!((1..size).contains(&absent.pulled_bytes), "{} bytes", absent.pulled_bytes);

    let before = server.sent();
    server.behave(|manner| manner.pause = Duration::ZERO);
    assert_eq!(pull(&daemon, "own").await.unwrap().id, "own");
    assert!(server.sent() - before < size, "it went on");
    let remove = async || {
        let request = RemoveModelRequest { id: "own".to_owned() };
        daemon.client().models().remove(request).await.map_err(Failure::from)
    };
    let removed = remove().await.unwrap().into_inner();
    assert_eq!(removed.removed_bytes, size);
    assert_eq!(info().await.state(), ModelState::Absent);
    assert_eq!(remove().await.unwrap_err().reason, reason::MODEL_NOT_FOUND);
}

#[tokio::test]
async fn the_command_fetches_verifies_and_removes() {
    let content = gguf::with_bytes(2 << 20, 1);
    let server = FileServer::start(content, Manner::default());
    let daemon = Setup::scripted(&Script::always(Life::answering("well"))).start().await;
    let run = async |arguments: &[&str]| {
        let output = daemon.home().tandem(arguments).await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, text, errors) = run(&["model", "pull", &server.url()]).await;
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(text.ends_with("m.gguf is here (2.00 MiB)\n"), "{text}");
    let (code, text, _) = run(&["model", "verify", "m.gguf"]).await;
    assert!(code == Some(0) && text.contains("is what was fetched"), "{text}");

    let path = daemon.home().model("m.gguf");
    let mut damaged = fs::read(&path).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&path, damaged).unwrap();
    let (code, _, errors) = run(&["model", "verify", "m.gguf"]).await;
    assert!(code == Some(1) && errors.contains("is damaged or another one"), "{errors}");
    let (code, text, _) = run(&["model", "rm", "m.gguf"]).await;
    assert!(code == Some(0) && text.starts_with("removed "), "{text}");
    assert!(!path.exists());

    let (code, text, _) = run(&["model", "list"]).await;
    assert!(code == Some(0) && text.contains("llama-3.2-1b-instruct"), "{text}");
    assert!(text.contains("`tandem model pull ID` fetches one that is absent"), "{text}");
    let (code, _, errors) = run(&["model", "pull", "http://127.0.0.1:1/m.bin"]).await;
    assert!(code == Some(1) && errors.contains("ends in .gguf"), "{errors}");
    let listed = daemon.client().models().list(ListModelsRequest {}).await.unwrap().into_inner();
    let absent = listed.models.iter().filter(|model| model.state() == ModelState::Absent);
    assert!(absent.clone().count() >= 10 && absent.clone().all(|model| !model.sources.is_empty()));
}
