//! Publishing and updating, with what it costs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod s3;

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tandem_tests::file_server::{FileServer, Manner};
use tandem_tests::gguf::with_bytes as model;
use tempfile::TempDir;

use super::*;
use crate::package::{Installed, SigningKey, Subject, TrustedKeys};
use crate::pull::{Hub, Options, Pace, Progress, Retry, S3};

const MIB: usize = 1 << 20;
/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(120);

/// A repository in a folder, and a models directory.
struct Bench {
    dir: TempDir,
    options: Options,
    heard: Mutex<Vec<Progress>>,
}

impl Bench {
    fn new() -> Self {
        let options = Options {
            parallel: 4,
            pace: Arc::new(Pace::new(None)),
            hub: Hub { endpoint: "http://127.0.0.1:1".into(), token: None },
            s3: S3 { endpoint: None, region: "us-east-1".into(), keys: None },
            retry: Retry {
                failures_max: 4,
                pause_first: Duration::from_millis(2),
                pause_max: Duration::from_millis(20),
            },
            idle: Duration::from_secs(20),
            random: || 0.5,
        };
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("models")).unwrap();
        Self { dir, options, heard: Mutex::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn models(&self) -> PathBuf {
        self.path("models")
    }

    fn place(&self) -> Place {
        format!("file:{}", self.path("repository").display()).parse().unwrap()
    }

    fn subject(&self, version: &str, content: &[u8]) -> Subject {
        let file = self.path("source.gguf");
        fs::write(&file, content).unwrap();
        let version = version.parse().unwrap();
        Subject { id: "own".into(), version, file, entry: None, template: None }
    }

    async fn push_to(
        &self,
        place: &Place,
        version: &str,
        content: &[u8],
        key: Option<SigningKey>,
    ) -> Result<Pushed, Error> {
        let report = |progress| self.heard.lock().unwrap().push(progress);
        let subject = self.subject(version, content);
        let pushed = push(subject, key, place, &self.options, &report);
        tokio::time::timeout(DEADLINE, pushed).await.expect("the push ends")
    }

    async fn push(&self, version: &str, content: &[u8]) -> Result<Pushed, Error> {
        self.push_to(&self.place(), version, content, None).await
    }

    async fn update(&self, wanted: Wanted) -> Result<Updated, Error> {
        let report = |progress| self.heard.lock().unwrap().push(progress);
        let models = self.models();
        let updated = update(&wanted, &models, &self.options, &report);
        tokio::time::timeout(DEADLINE, updated).await.expect("the update ends")
    }

    fn has(&self, version: &str, content: &[u8]) {
        let file = self.models().join(format!("own@{version}.gguf"));
        assert!(fs::read(file).unwrap() == content, "another file");
    }
}

fn newest(place: &Place) -> Wanted {
    Wanted {
        id: "own".into(),
        version: None,
        place: place.clone(),
        unversioned: None,
        trusted: TrustedKeys::default(),
    }
}

fn exactly(place: &Place, version: &str) -> Wanted {
    Wanted { version: Some(version.parse().unwrap()), ..newest(place) }
}

/// With so many regions changed that are a hundredth of it together.
fn with_a_percent_changed(content: &[u8], regions: usize) -> Vec<u8> {
    let mut changed = content.to_vec();
    let (step, length) = (content.len() / (regions + 1), content.len() / 100 / regions);
    for region in 1..=regions {
        changed[region * step..][..length].iter_mut().for_each(|byte| *byte ^= 0x5a);
    }
    changed
}

#[tokio::test]
async fn a_percent_that_changed_costs_less_than_five_to_send_and_to_fetch() {
    for regions in [5, 20] {
        let bench = Bench::new();
        let before = model(60 * MIB, 1);
        let after = with_a_percent_changed(&before, regions);
        bench.push("1.0.0", &before).await.unwrap();
        let server = FileServer::of_folder(&bench.path("repository"), Manner::default());
        let place: Place = server.root().parse().unwrap();
        let whole = bench.update(newest(&place)).await.unwrap();
        assert!(whole.bytes_fetched >= before.len() as u64, "{whole:?}");
        bench.has("1.0.0", &before);

        let second = bench.push("1.1.0", &after).await.unwrap();
        let sent = server.sent();
        let updated = bench.update(newest(&place)).await.unwrap();
        bench.has("1.1.0", &after);
        // With manifest and list of chunks.
        let fetched = server.sent() - sent;
        let hundredths = |bytes: u64| bytes * 10_000 / after.len() as u64;
        assert!(hundredths(fetched) < 500, "{fetched} bytes were fetched");
        assert!(hundredths(second.bytes_sent) < 500, "{second:?}");
        assert_eq!(updated.bytes_fetched, second.bytes_sent);
    }
}

#[tokio::test]
async fn a_version_is_published_once_and_never_replaced() {
    let bench = Bench::new();
    let content = model(3 * MIB, 1);
    let first = bench.push("1.0.0", &content).await.unwrap();
    assert_eq!(first.chunks_sent, first.chunks_total);
    let again = bench.push("1.0.0", &content).await.unwrap();
    assert_eq!((again.chunks_sent, again.bytes_sent), (0, 0));
    let other = bench.push("1.0.0", &model(3 * MIB, 2)).await.unwrap_err();
    assert!(matches!(other, Error::Published { .. }), "{other}");
    let same = bench.push("1.0.1", &content).await.unwrap();
    assert_eq!((same.chunks_sent, same.chunks_total), (0, first.chunks_total));
    let versions = fs::read(bench.path("repository/own/versions.json")).unwrap();
    let versions = Versions::parse(&versions, "test").unwrap();
    assert_eq!(versions.told(), "1.0.1, 1.0.0");
}

#[tokio::test]
async fn an_update_never_goes_back_unless_it_is_told_to() {
    let bench = Bench::new();
    let place = bench.place();
    for (version, seed) in [("1.9.0", 1), ("1.10.0", 2), ("2.0.0-rc.1", 3)] {
        bench.push(version, &model(2 * MIB, seed)).await.unwrap();
    }
    let updated = bench.update(newest(&place)).await.unwrap();
    assert_eq!((updated.version.to_string().as_str(), updated.changed), ("1.10.0", true));
    let again = bench.update(newest(&place)).await.unwrap();
    assert_eq!((again.changed, again.bytes_fetched), (false, 0));
    bench.update(exactly(&place, "1.9.0")).await.unwrap();
    bench.has("1.9.0", &model(2 * MIB, 1));
    bench.update(exactly(&place, "2.0.0-rc.1")).await.unwrap();
    let newer_here = bench.update(newest(&place)).await.unwrap();
    assert!(!newer_here.changed, "2.0.0-rc.1 is newer than 1.10.0");

    let told = bench.update(exactly(&place, "3.0.0")).await.unwrap_err().to_string();
    assert!(told.contains("it has 2.0.0-rc.1, 1.10.0, 1.9.0"), "{told}");
    let unknown = Wanted { id: "unknown".into(), ..newest(&place) };
    assert!(matches!(bench.update(unknown).await, Err(Error::NoVersion { .. })));
    assert_eq!(remembered_place(&bench.models(), "own").unwrap(), place);
    assert!(remembered_place(&bench.models(), "unknown").is_err());
}

#[tokio::test]
async fn a_file_without_a_version_gives_its_chunks() {
    let bench = Bench::new();
    let content = model(4 * MIB, 1);
    bench.push("1.0.0", &content).await.unwrap();
    let unversioned = bench.path("before.gguf");
    fs::write(&unversioned, &content).unwrap();
    let place = bench.place();
    let wanted = Wanted { unversioned: Some(unversioned), ..newest(&place) };
    let updated = bench.update(wanted).await.unwrap();
    assert_eq!((updated.changed, updated.bytes_fetched), (true, 0));
    bench.has("1.0.0", &content);
}

#[tokio::test]
async fn what_came_before_an_update_ended_early_is_not_fetched_again() {
    let bench = Bench::new();
    let content = model(12 * MIB, 1);
    bench.push("1.0.0", &content).await.unwrap();
    let manner = Manner { pause: Duration::from_millis(1), ..Manner::default() };
    let server = FileServer::of_folder(&bench.path("repository"), manner);
    let place: Place = server.root().parse().unwrap();
    tokio::select! {
        ended = bench.update(newest(&place)) => panic!("it ended: {ended:?}"),
        () = server.until_sent(8 * MIB as u64) => {}
    }
    assert!(!bench.models().join("own@1.0.0.gguf").exists());
    server.behave(|manner| manner.pause = Duration::ZERO);
    let updated = bench.update(newest(&place)).await.unwrap();
    bench.has("1.0.0", &content);
    assert!(updated.bytes_fetched < 9 * MIB as u64, "{updated:?}");
}

#[tokio::test]
async fn a_chunk_that_is_not_what_it_should_be_is_refused() {
    let bench = Bench::new();
    let content = model(2 * MIB, 1);
    bench.push("1.0.0", &content).await.unwrap();
    let chunks = fs::read_dir(bench.path("repository/own/chunks")).unwrap();
    let folder = chunks.map(|entry| entry.unwrap().path()).next().unwrap();
    let chunk = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let right = fs::read(&chunk).unwrap();
    // One that swells beyond all measure, too.
    let bomb = zstd::bulk::compress(&vec![0; 32 * MIB], 19).unwrap();
    for wrong in [&right[1..], &bomb[..], b""] {
        fs::write(&chunk, wrong).unwrap();
        let refused = bench.update(newest(&bench.place())).await.unwrap_err();
        assert!(matches!(refused, Error::Pull(_)), "{refused}");
        assert!(!bench.models().join("own@1.0.0.gguf").exists());
    }
    fs::write(&chunk, right).unwrap();
    bench.update(newest(&bench.place())).await.unwrap();
    bench.has("1.0.0", &content);
}

#[tokio::test]
async fn versions_must_be_signed_where_keys_are_trusted_and_stay_where_they_were_put() {
    let bench = Bench::new();
    let place = bench.place();
    let path = bench.path("key");
    let public = SigningKey::create(&path).unwrap();
    let key = || SigningKey::read(&path).unwrap();
    let trusted = TrustedKeys::parse(&[public.to_string()]).unwrap();
    let wanted = |version| Wanted { trusted: trusted.clone(), ..exactly(&place, version) };

    bench.push("1.0.0", &model(MIB, 1)).await.unwrap();
    let refused = bench.update(wanted("1.0.0")).await.unwrap_err();
    assert!(matches!(refused, Error::Unsigned { .. }), "{refused}");
    bench.push_to(&place, "1.1.0", &model(MIB, 2), Some(key())).await.unwrap();
    bench.update(wanted("1.1.0")).await.unwrap();

    // What was signed is put in the place of another version.
    for part in ["manifest.json", "manifest.json.sig", "chunks"] {
        let [from, to] =
            ["1.1.0", "1.0.0"].map(|it| bench.path("repository/own").join(it).join(part));
        fs::copy(from, to).unwrap();
    }
    let refused = bench.update(wanted("1.0.0")).await.unwrap_err();
    assert!(matches!(refused, Error::Malformed { .. }), "{refused}");
    let manifest = bench.path("repository/own/1.1.0/manifest.json");
    let changed = fs::read_to_string(&manifest).unwrap().replace("\"format\": 1", "\"format\":  1");
    fs::write(&manifest, changed).unwrap();
    fs::remove_file(bench.models().join("own@1.1.0.gguf")).unwrap();
    let refused = bench.update(wanted("1.1.0")).await.unwrap_err();
    assert!(matches!(refused, Error::Untrusted { .. }), "{refused}");
}

#[tokio::test]
async fn what_an_update_brought_knows_what_it_is() {
    let bench = Bench::new();
    let place = bench.place();
    bench.push("1.0.0", &model(MIB, 1)).await.unwrap();
    bench.update(newest(&place)).await.unwrap();
    let known = Installed::of(&bench.models().join("own@1.0.0.gguf")).unwrap();
    assert_eq!(known.repository, Some(place.to_string()));
    assert_eq!(
        (known.manifest.id.as_str(), known.manifest.architecture.as_str()),
        ("own", "llama")
    );
}

#[test]
fn places_are_read_as_they_are_written() {
    for text in ["s3://bucket", "s3://bucket/a/b", "https://example.com/models", "file:/srv/models"]
    {
        let place: Place = text.parse().unwrap();
        assert_eq!(place.to_string(), text);
        assert_eq!(format!("{text}/").parse::<Place>().unwrap(), place);
        assert_eq!(place.source("own/versions.json").unwrap().file_name(), "versions.json");
    }
    for text in
        ["", "models", "hf:owner/model", "http://example.com", "https://h/?a=b", "file:here"]
    {
        assert!(text.parse::<Place>().is_err(), "{text}");
    }
}

#[tokio::test]
async fn nobody_can_publish_to_a_web_server() {
    let bench = Bench::new();
    let place = "https://127.0.0.1:1/models".parse().unwrap();
    let refused = bench.push_to(&place, "1.0.0", &model(MIB, 1), None).await.unwrap_err();
    assert!(refused.to_string().contains("can only be read"), "{refused}");
}
