//! A worker on the ladder, with a program that stands in for its engine and writes down what it hears.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use prost::Message as _;
use tandem_proto::engine::{
    Adjust, FromEngine, KvType, LoadFailed, LoadFailure, PROTOCOL_VERSION, ToEngine, from_engine,
    to_engine,
};
use tandem_proto::v1::Rung;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::router::Class;
use crate::{Prompt, Tools, Tree};

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_mins(2);
/// Pause between two looks into a file.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

struct Fixture {
    folder: TempDir,
    monitor: ResourceMonitor,
    worker: Worker,
    /// The loader's.
    lease: Arc<()>,
    actor: ActorRef<Message>,
    ended: JoinHandle<()>,
}

impl Fixture {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let program =
            concat!(env!("CARGO_MANIFEST_DIR"), "/src/inference_worker/tests/stand-in.sh");
        symlink(program, path("engine")).unwrap();
        let hello = Hello { protocol_version: PROTOCOL_VERSION, ..Hello::default() };
        fs::write(path("hello"), frame(from_engine::Message::Hello(hello))).unwrap();
        let loaded = Loaded { threads: 4, context_tokens: 8192, ..Loaded::default() };
        fs::write(path("loaded"), frame(from_engine::Message::Loaded(loaded))).unwrap();

        let worker = Worker::new(Model::default(), [0; 32], Sampling::default(), Arc::default());
        let (monitor, lease) = (ResourceMonitor::new(), Arc::new(()));
        let config = tandem_config::Engine {
            context_tokens: 8192,
            batch_tokens: 512,
            prefix_memory_mib: Some(1),
            ..tandem_config::Engine::default()
        };
        let arguments = Arguments {
            model: "stand-in".to_owned(),
            path: path("model.gguf"),
            binary: path("engine"),
            template: String::new(),
            draft: None,
            confidence: Rule::UNCALIBRATED,
            config,
            prefix_dir: path("prefixes"),
            monitor: monitor.clone(),
            store: MemoryStore::new(),
            loader: ModelLoader::new(),
            handle: worker.clone(),
            lease: Arc::downgrade(&lease),
            dwell: Duration::ZERO,
            node: Tree::new().root("inference_worker"),
        };
        let (actor, ended) = Actor::spawn(None, InferenceWorker, arguments).await.unwrap();
        Self { folder, monitor, worker, lease, actor, ended }
    }

    /// Waits for an engine that serves and is another one than `before`. Its process number.
    async fn serves_after(&self, before: u32) -> u32 {
        let mut report = self.worker.watch();
        let is_it = |report: &Report| report.phase == Phase::Ready && report.pid != before;
        let ready = tokio::time::timeout(DEADLINE, report.wait_for(is_it)).await;
        ready.expect("another engine").unwrap().pid
    }

    /// Waits until the engine has heard a message like this one.
    async fn heard(&self, pid: u32, is_it: impl Fn(&to_engine::Message) -> bool) {
        let file = self.folder.path().join(format!("heard.{pid}"));
        let looks = async {
            while !messages(&file).iter().any(&is_it) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(DEADLINE, looks).await.expect("the engine hears it");
    }

    async fn was_loaded_with(&self, pid: u32, context_tokens: u32, kv_type: KvType) {
        self.heard(pid, |message| {
            let to_engine::Message::Load(load) = message else { return false };
            assert_eq!((load.context_tokens, load.kv_type()), (context_tokens, kv_type));
            true
        })
        .await;
    }

    async fn was_told(&self, pid: u32, adjust: Adjust) {
        self.heard(pid, |message| *message == to_engine::Message::Adjust(adjust)).await;
    }

    /// Has the next engine say this instead of `Loaded`. The one that runs may still look for the end
    /// of its file, so that file stays as it is.
    fn says_next(&self, message: from_engine::Message) {
        let path = |name: &str| self.folder.path().join(name);
        fs::write(path("next"), frame(message)).unwrap();
        fs::rename(path("next"), path("loaded")).unwrap();
    }

    fn ask(&self) -> TrackEvents {
        let request = TrackRequest {
            turn_id: String::new(),
            prompt: Prompt::Text("Why?".to_owned()),
            sampling: Sampling { seed: Some(1), max_tokens: Some(1), ..Sampling::default() },
            tools: Tools::default(),
            class: Class::Batch,
            deadline: std::time::Instant::now() + DEADLINE,
        };
        self.worker.start(request).unwrap()
    }

    async fn stop(self) {
        self.actor.stop(None);
        self.ended.await.unwrap();
    }
}

fn frame(message: from_engine::Message) -> Vec<u8> {
    let body = FromEngine { message: Some(message) }.encode_to_vec();
    let mut frame = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    frame.extend(body);
    frame
}

/// The messages that are whole in a file of frames.
fn messages(file: &Path) -> Vec<to_engine::Message> {
    let bytes = fs::read(file).unwrap_or_default();
    let mut rest = bytes.as_slice();
    let mut messages = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let Some((body, behind)) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)
        else {
            break;
        };
        messages.push(ToEngine::decode(body).unwrap().message.unwrap());
        rest = behind;
    }
    messages
}

/// What is left of 4 threads, 512 tokens and 1 MiB.
const LESS: Adjust = Adjust { threads: 2, batch_tokens: 128, prefix_memory_bytes: 1 << 18 };

#[tokio::test]
async fn an_engine_gives_way_at_once_and_is_told_again_when_all_is_well() {
    let fixture = Fixture::start().await;
    let pid = fixture.serves_after(0).await;
    fixture.was_loaded_with(pid, 8192, KvType::Unspecified).await;
    fixture.monitor.pretend(Rung::FewerThreads);
    fixture.was_told(pid, Adjust { threads: 2, ..Adjust::default() }).await;
    fixture.monitor.pretend(Rung::SmallerBatch);
    fixture.was_told(pid, LESS).await;
    fixture.monitor.pretend(Rung::Full);
    fixture.was_told(pid, Adjust::default()).await;
    assert_eq!(fixture.worker.watch().borrow().pid, pid, "the same engine");
    fixture.stop().await;
}

#[tokio::test]
async fn another_context_takes_another_engine_and_counts_as_no_restart() {
    let fixture = Fixture::start().await;
    let first = fixture.serves_after(0).await;
    fixture.monitor.pretend(Rung::QuantizedKv);
    let second = fixture.serves_after(first).await;
    fixture.was_loaded_with(second, 4096, KvType::Q80).await;
    fixture.was_told(second, LESS).await;
    let report = fixture.worker.watch().borrow().clone();
    assert_eq!(
        (report.restarts, report.settings.as_str()),
        (0, "context_tokens=4096 kv_cache=q8_0")
    );
    assert!(report.settings_reason.contains("short of memory"), "{}", report.settings_reason);

    fixture.monitor.pretend(Rung::FewerThreads);
    fixture.was_told(second, Adjust { threads: 2, ..Adjust::default() }).await;
    assert_eq!(fixture.worker.watch().borrow().pid, second, "not for each rung");
    fixture.monitor.pretend(Rung::Full);
    let third = fixture.serves_after(second).await;
    fixture.was_loaded_with(third, 8192, KvType::Unspecified).await;
    let report = fixture.worker.watch().borrow().clone();
    assert_eq!((report.restarts, report.settings_reason.as_str()), (0, ""));
    fixture.stop().await;
}

#[tokio::test]
async fn no_engine_is_started_anew_under_a_request_and_those_that_come_meanwhile_wait() {
    let fixture = Fixture::start().await;
    let first = fixture.serves_after(0).await;
    let is_request =
        |message: &to_engine::Message| matches!(message, to_engine::Message::Generate(_));
    let events = fixture.ask();
    fixture.heard(first, is_request).await;
    let mut report = fixture.worker.watch();
    fixture.monitor.pretend(Rung::ShorterContext);
    // Whoever looks at the rung tells the engine first.
    fixture.was_told(first, LESS).await;
    assert_eq!(report.borrow_and_update().pid, first);

    drop(events);
    let is_loading = |report: &Report| matches!(report.phase, Phase::Loading(..));
    tokio::time::timeout(DEADLINE, report.wait_for(is_loading)).await.unwrap().unwrap();
    let mut late = fixture.ask();
    let second = fixture.serves_after(first).await;
    fixture.heard(second, is_request).await;
    assert!(late.try_recv().is_err(), "it did not fail");
    fixture.stop().await;
}

#[tokio::test]
async fn an_engine_that_is_started_anew_and_finds_no_memory_is_not_given_up() {
    let fixture = Fixture::start().await;
    fixture.serves_after(0).await;
    let failure = LoadFailure::Memory.into();
    let failed = LoadFailed { failure, message: "too little".to_owned() };
    fixture.says_next(from_engine::Message::LoadFailed(failed));
    fixture.monitor.pretend(Rung::ShorterContext);
    let mut report = fixture.worker.watch();
    let waits = |report: &Report| match &report.phase {
        Phase::Loading(_, doing) => doing == "waits for memory: too little",
        phase => matches!(phase, Phase::Failed(_)),
    };
    let settled = tokio::time::timeout(DEADLINE, report.wait_for(waits)).await.unwrap();
    let phase = settled.unwrap().phase.clone();
    assert!(matches!(phase, Phase::Loading(..)), "{phase:?}");
    fixture.stop().await;
}

#[tokio::test]
async fn an_engine_is_left_alone_while_someone_is_about_to_ask() {
    let fixture = Fixture::start().await;
    let first = fixture.serves_after(0).await;
    let lease = fixture.worker.leased(&fixture.lease);
    fixture.monitor.pretend(Rung::ShorterContext);
    fixture.was_told(first, LESS).await;
    assert_eq!(fixture.worker.watch().borrow().pid, first);
    drop(lease);
    let second = fixture.serves_after(first).await;
    fixture.was_loaded_with(second, 4096, KvType::Unspecified).await;
    fixture.stop().await;
}
