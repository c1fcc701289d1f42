//! Models come from and go to a real server of S3.

use std::fs;
use std::process::Output;

use tandem_proto::error as reason;
use tandem_proto::v1::pull_model_event::Event;
use tandem_proto::v1::{
    ModelState, PullModelEvent, PullModelRequest, PushModelRequest, PushedModel,
    RemoveModelRequest, UpdateModelRequest, UpdatedModel, push_model_event, update_model_event,
};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Daemon, Failure, S3Server, Setup, gguf, soon};
use tonic::Streaming;

const MIB: usize = 1 << 20;

fn setup(server: &S3Server, secret: &str) -> Setup {
    Setup::scripted(&Script::always(Life::answering("well")))
        .environment("AWS_ENDPOINT_URL", server.url())
        .environment("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY)
        .environment("AWS_SECRET_ACCESS_KEY", secret)
}

fn object(key: &str) -> String {
    format!("s3://{}/{key}", S3Server::BUCKET)
}

async fn begin(daemon: &Daemon, id: &str) -> Result<Streaming<PullModelEvent>, Failure> {
    let request = PullModelRequest { id: id.to_owned() };
    Ok(soon("the pull", daemon.client().models().pull(request)).await?.into_inner())
}

/// Waits until the model is there, and says of how many bytes it heard first.
async fn finish(mut events: Streaming<PullModelEvent>) -> Result<u64, Failure> {
    let mut first = None;
    while let Some(event) = soon("the pull to go on", events.message()).await? {
        match event.event {
            Some(Event::Progress(progress)) if progress.stage == "fetching" => {
                first.get_or_insert(progress.bytes_done);
            }
            Some(Event::Pulled(model)) => {
                assert_eq!(model.state(), ModelState::Available);
                return Ok(first.unwrap_or_default());
            }
            _ => {}
        }
    }
    panic!("the stream ended without a model");
}

async fn push(daemon: &Daemon, version: &str) -> Result<PushedModel, Failure> {
    let request = PushModelRequest {
        id: "own".to_owned(),
        version: version.to_owned(),
        place: object("repository"),
        ..PushModelRequest::default()
    };
    let mut events = daemon.client().models().push(request).await?.into_inner();
    while let Some(event) = soon("the push to go on", events.message()).await? {
        if let Some(push_model_event::Event::Pushed(pushed)) = event.event {
            return Ok(pushed);
        }
    }
    panic!("the stream ended without an outcome");
}

async fn update(daemon: &Daemon, place: &str) -> Result<UpdatedModel, Failure> {
    let (id, place) = ("own".to_owned(), place.to_owned());
    let request = UpdateModelRequest { id, place, version: String::new() };
    let mut events = daemon.client().models().update(request).await?.into_inner();
    while let Some(event) = soon("the update to go on", events.message()).await? {
        if let Some(update_model_event::Event::Updated(updated)) = event.event {
            return Ok(updated);
        }
    }
    panic!("the stream ended without an outcome");
}

#[tokio::test]
async fn a_model_is_pulled_from_a_bucket_and_goes_on_after_the_daemon_is_killed() {
    let server = S3Server::start().await;
    let content = gguf::with_bytes(24 * MIB, 1);
    server.put("a folder/m+1.gguf", &content);
    // So slow that it can be killed meanwhile.
    let setup =
        setup(&server, S3Server::SECRET_KEY).environment("TANDEM_MODELS__PULL__BANDWIDTH", "8MiB");
    let mut daemon = setup.start().await;
    let source = object("a folder/m+1.gguf");
    let mut events = begin(&daemon, &source).await.unwrap();
    let some = async {
        loop {
            let event = events.message().await.unwrap().expect("it goes on").event;
            if let Some(Event::Progress(progress)) = event
                && progress.stage == "fetching"
                && progress.bytes_done >= 4 * MIB as u64
            {
                break;
            }
        }
    };
    soon("some of the model", some).await;
    daemon.kill().await;
    drop(events);
    daemon.restart().await;
    assert!(!daemon.home().model("m+1.gguf").exists(), "it was killed too late");
    let began_with = finish(begin(&daemon, &source).await.unwrap()).await.unwrap();
    assert!(began_with >= 4 * MIB as u64, "it went on with {began_with} bytes");
    assert!(fs::read(daemon.home().model("m+1.gguf")).unwrap() == content, "another file");
}

#[tokio::test]
async fn a_wrong_key_and_an_object_that_is_not_there_are_told_apart() {
    let server = S3Server::start().await;
    server.put("m.gguf", &gguf::with_bytes(MIB, 1));
    let daemon = setup(&server, S3Server::SECRET_KEY).start().await;
    finish(begin(&daemon, &object("m.gguf")).await.unwrap()).await.unwrap();
    let absent = finish(begin(&daemon, &object("other.gguf")).await.unwrap()).await.unwrap_err();
    assert_eq!(absent.reason, reason::PULL_FAILED);
    assert!(absent.message.contains("is not there"), "{}", absent.message);

    let daemon = setup(&server, "wrong").start().await;
    let denied = finish(begin(&daemon, &object("m.gguf")).await.unwrap()).await.unwrap_err();
    assert_eq!(denied.reason, reason::PULL_FAILED);
    assert!(denied.message.contains("check keys"), "{}", denied.message);
    fs::write(daemon.home().model("own.gguf"), gguf::tiny()).unwrap();
    let denied = push(&daemon, "1.0.0").await.unwrap_err();
    assert_eq!(denied.reason, reason::PULL_FAILED);
}

#[tokio::test]
async fn a_version_is_pushed_once_and_another_machine_gets_what_is_new_of_the_next() {
    let server = S3Server::start().await;
    let maker = setup(&server, S3Server::SECRET_KEY).start().await;
    let user = setup(&server, S3Server::SECRET_KEY).start().await;
    let mut content = gguf::with_bytes(16 * MIB, 1);
    fs::write(maker.home().model("own.gguf"), &content).unwrap();
    let first = push(&maker, "1.0.0").await.unwrap();
    assert_eq!((first.id.as_str(), first.chunks_sent), ("own", first.chunks_total));
    assert_eq!(push(&maker, "1.0.0").await.unwrap().bytes_sent, 0);
    let nowhere = update(&user, "").await.unwrap_err();
    assert_eq!(nowhere.reason, reason::PACKAGE_FAILED);
    assert!(nowhere.message.contains("--from"), "{}", nowhere.message);
    let got = update(&user, &object("repository")).await.unwrap();
    assert_eq!((got.version.as_str(), got.changed), ("1.0.0", true));
    assert!(fs::read(user.home().model("own@1.0.0.gguf")).unwrap() == content, "another file");

    content[8 * MIB..][..64 << 10].iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(maker.home().model("own.gguf"), &content).unwrap();
    let taken = push(&maker, "1.0.0").await.unwrap_err();
    assert_eq!(taken.reason, reason::PACKAGE_FAILED);
    push(&maker, "1.1.0").await.unwrap();
    // Where it came from is remembered.
    let got = update(&user, "").await.unwrap();
    assert_eq!(
        (got.version.as_str(), got.model.unwrap().state()),
        ("1.1.0", ModelState::Available)
    );
    assert!(got.bytes_fetched < MIB as u64, "{} bytes", got.bytes_fetched);
    assert!(fs::read(user.home().model("own@1.1.0.gguf")).unwrap() == content, "another file");
    assert!(!update(&user, "").await.unwrap().changed);

    for version in ["1.0.0", "1.1.0"] {
        let request = RemoveModelRequest { id: format!("own@{version}") };
        user.client().models().remove(request).await.unwrap();
    }
    let left = fs::read_dir(user.home().path().join("models")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("own@")), "{left:?}");
}

#[tokio::test]
async fn a_package_goes_through_a_bucket_and_is_let_in_by_its_key() {
    let server = S3Server::start().await;
    let maker = setup(&server, S3Server::SECRET_KEY).start().await;
    let tandem = async |daemon: &Daemon, arguments: &[&str]| -> Output {
        soon("the command", daemon.home().tandem(arguments)).await
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("own.gguf"), gguf::with_bytes(MIB, 1)).unwrap();
    let made = tandem(&maker, &["--json", "model", "keygen", &path("key")]).await;
    assert!(made.status.success(), "{made:?}");
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let public_key = made["public_key"].as_str().unwrap().to_owned();
    for (package, key) in [("signed", Some(path("key"))), ("unsigned", None)] {
        let (own, out) = (path("own.gguf"), path(package));
        let mut arguments = vec!["model", "package", &own, "--version", "1.0.0", "--out", &out];
        arguments.extend(key.iter().flat_map(|key| ["--sign", key.as_str()]));
        let packed = tandem(&maker, &arguments).await;
        assert!(packed.status.success(), "{packed:?}");
        server.put(&format!("{package}.tar.zst"), &fs::read(out).unwrap());
    }

    let settings = format!("[models]\ntrusted_keys = ['{public_key}']\n");
    let user = setup(&server, S3Server::SECRET_KEY).config(&settings).start().await;
    let refused = tandem(&user, &["model", "install", &object("unsigned.tar.zst")]).await;
    assert!(!refused.status.success());
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("models.trusted_keys"), "{told}");
    assert!(!user.home().model("own@1.0.0.gguf").exists());
    let installed = tandem(&user, &["model", "install", &object("signed.tar.zst")]).await;
    assert!(installed.status.success(), "{installed:?}");
    assert!(user.home().model("own@1.0.0.gguf").exists());
}
