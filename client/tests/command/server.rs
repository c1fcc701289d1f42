//! A daemon that answers by script: the prompt says what it shall do.

use std::{
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::Duration,
};

use tandem_client::v1::{
    self, admin_server, ask_event::Event, assistant_server, conversations_server, load_model_event,
    models_server, pull_model_event, use_model_event,
};
use tempfile::TempDir;
use tokio::{
    net::UnixListener,
    runtime::{Builder, Runtime},
    sync::{Notify, mpsc},
};
use tokio_stream::{Stream, iter, wrappers::UnixListenerStream};
use tonic::{Code, Request, Response, Status, transport};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::DEADLINE;

mod conversations;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The daemon, on a runtime of its own so that it can be killed with all of its connections.
pub(crate) struct Server {
    home: TempDir,
    runtime: Option<Runtime>,
    script: Script,
    dropped: mpsc::Receiver<()>,
}

#[derive(Clone)]
struct Script {
    gate: Arc<Notify>,
    drained: Arc<Notify>,
    asked: Arc<Mutex<Vec<v1::AskRequest>>>,
    /// How many conversations were created and not deleted.
    conversations: Arc<AtomicI64>,
    dropped: mpsc::Sender<()>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let (sender, dropped) = mpsc::channel(8);
        let script = Script {
            gate: Arc::default(),
            drained: Arc::default(),
            asked: Arc::default(),
            conversations: Arc::default(),
            dropped: sender,
        };
        let mut server = Self { home: TempDir::new().unwrap(), runtime: None, script, dropped };
        server.revive();
        server
    }

    /// Listens again after [`Self::kill`].
    pub(crate) fn revive(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let guard = runtime.enter();
        let listener = UnixListener::bind(self.socket()).unwrap();
        drop(guard);
        let script = self.script.clone();
        runtime.spawn(async move {
            let (health, health_service) = tonic_health::server::health_reporter();
            health.set_service_status("", tonic_health::ServingStatus::Serving).await;
            let drained = script.drained.clone();
            transport::Server::builder()
                .add_service(health_service)
                .add_service(assistant_server::AssistantServer::new(script.clone()))
                .add_service(conversations_server::ConversationsServer::new(script.clone()))
                .add_service(models_server::ModelsServer::new(script.clone()))
                .add_service(admin_server::AdminServer::new(script))
                .serve_with_incoming_shutdown(UnixListenerStream::new(listener), drained.notified())
                .await
                .unwrap();
        });
        self.runtime = Some(runtime);
    }

    /// Ends it as `kill -9` does; nobody listens any more when this returns.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for a runtime is not allowed on a thread that runs another one.
            thread::spawn(move || runtime.shutdown_timeout(DEADLINE)).join().unwrap();
        }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.home().join("tandem.sock")
    }

    /// Lets a `gated` answer go on.
    pub(crate) fn open_gate(&self) {
        self.script.gate.notify_one();
    }

    /// Every question so far.
    pub(crate) fn asked(&self) -> Vec<v1::AskRequest> {
        self.script.asked.lock().unwrap().clone()
    }

    /// How many conversations were created and not deleted.
    pub(crate) fn conversations(&self) -> i64 {
        self.script.conversations.load(Ordering::SeqCst)
    }

    /// Waits until the client has dropped an answer before its end.
    pub(crate) async fn answer_dropped(&mut self) {
        self.dropped.recv().await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn failure(reason: &str) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, "tandem", []);
    details.set_retry_info(Some(Duration::from_secs(3)));
    Status::with_error_details(Code::Unknown, format!("scripted {reason}"), details)
}

fn delta(text: &str) -> Event {
    Event::Delta(v1::Delta {
        track: v1::Track::Fast.into(),
        text: text.into(),
        ..v1::Delta::default()
    })
}

fn thought() -> v1::Delta {
    v1::Delta {
        track: v1::Track::Fast.into(),
        reasoning: "Two and ".into(),
        ..v1::Delta::default()
    }
}

fn routed() -> Event {
    Event::Routed(v1::Routed {
        track: v1::Track::Fast.into(),
        score: 0.25,
        reasons: vec!["the question is short".into()],
        turn_id: "turn-1".into(),
        conversation_id: String::new(),
        model: "scripted".into(),
        ..v1::Routed::default()
    })
}

fn done(request: &v1::AskRequest) -> Event {
    Event::Done(v1::Done {
        track: v1::Track::Fast.into(),
        turn_id: "turn-1".into(),
        conversation_id: request.conversation_id.clone(),
        seed: request.sampling.as_ref().and_then(|sampling| sampling.seed),
        stored: false,
        context: Some(v1::ContextLedger {
            entries: vec![v1::ContextEntry {
                part: v1::ContextPart::Question.into(),
                outcome: v1::ContextOutcome::Kept.into(),
                tokens: 12,
                ..v1::ContextEntry::default()
            }],
            tokens: 12,
            estimated: false,
        }),
        cached: None,
        citations: Vec::new(),
        degraded: None,
    })
}

fn track_done(finish_reason: v1::FinishReason) -> Event {
    Event::TrackDone(v1::TrackDone {
        track: v1::Track::Fast.into(),
        model: "scripted".into(),
        finish_reason: finish_reason.into(),
        usage: Some(v1::Usage {
            prompt_tokens: 12,
            cached_tokens: 3,
            completion_tokens: 4,
            ..v1::Usage::default()
        }),
        timings: Some(v1::Timings {
            time_to_first_token_us: 20_000,
            tokens_per_second: 50.0,
            ..Default::default()
        }),
        mean_logprob: None,
        confidence: Some(0.625),
        certainty: None,
        cost_micros: None,
    })
}

fn waiting() -> Event {
    let kind = v1::NoticeKind::Waiting.into();
    Event::Notice(v1::Notice { kind, message: "the model was loaded".into() })
}

fn echo(request: &v1::AskRequest) -> Vec<Event> {
    vec![
        routed(),
        waiting(),
        delta("You said: "),
        delta(&request.prompt),
        track_done(v1::FinishReason::Stop),
        done(request),
    ]
}

/// Tells the test when the client drops the answer.
struct DropGuard(Option<mpsc::Sender<()>>);

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(dropped) = self.0.take() {
            let _ = dropped.try_send(());
        }
    }
}

/// Sends one piece, waits for the gate, sends the rest.
fn gated(script: &Script, request: v1::AskRequest) -> Answers<v1::AskEvent> {
    let (sender, receiver) = mpsc::channel(8);
    let (gate, dropped) = (script.gate.clone(), script.dropped.clone());
    tokio::spawn(async move {
        let mut guard = DropGuard(Some(dropped));
        let event = |event| Ok(v1::AskEvent { number: 0, event: Some(event) });
        for first in [routed(), delta("first")] {
            sender.send(event(first)).await.unwrap();
        }
        tokio::select! {
            () = sender.closed() => return,
            () = gate.notified() => guard.0 = None,
        }
        for last in [delta(" second"), done(&request)] {
            // The client may be gone; that is for the test to judge.
            let _ = sender.send(event(last)).await;
        }
    });
    Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))
}

#[tonic::async_trait]
impl assistant_server::Assistant for Script {
    type AskStream = Answers<v1::AskEvent>;

    async fn ask(
        &self,
        request: Request<v1::AskRequest>,
    ) -> Result<Response<Self::AskStream>, Status> {
        let request = request.into_inner();
        self.asked.lock().unwrap().push(request.clone());
        let mut ends_with = None;
        let events = match request.prompt.as_str() {
            "gated" => return Ok(Response::new(gated(self, request))),
            "refuse" => return Err(Status::permission_denied("not yours")),
            "break off" => {
                ends_with = Some(Err(failure("ENGINE_CRASHED")));
                vec![routed(), delta("half a")]
            }
            "noticed" => {
                vec![routed(), delta("first"), waiting(), delta(" second"), done(&request)]
            }
            "queued" => {
                let place = |position| {
                    let estimate_ms = Some(1500);
                    Event::Queued(v1::Queued { position, waiting: 2, estimate_ms })
                };
                [place(2), place(1)].into_iter().chain(echo(&request)).collect()
            }
            "thoughtful" => {
                let last =
                    v1::Delta { reasoning: "two.".into(), text: "Four.".into(), ..thought() };
                vec![routed(), Event::Delta(thought()), Event::Delta(last), done(&request)]
            }
            "too long" => {
                vec![routed(), delta("cut"), track_done(v1::FinishReason::Length), done(&request)]
            }
            prompt => match prompt.strip_prefix("fail: ") {
                Some(reason) => return Err(failure(reason)),
                None => echo(&request),
            },
        };
        let numbered = (0..).zip(events);
        let events =
            numbered.map(|(number, event)| Ok(v1::AskEvent { number, event: Some(event) }));
        let events: Vec<_> = events.chain(ends_with).collect();
        Ok(Response::new(Box::pin(iter(events))))
    }

    async fn feedback(
        &self,
        request: Request<v1::FeedbackRequest>,
    ) -> Result<Response<v1::FeedbackResponse>, Status> {
        let asked = request.into_inner().turn_id;
        let turn_id = if asked.is_empty() { "the-last".to_owned() } else { asked };
        Ok(Response::new(v1::FeedbackResponse { turn_id }))
    }
}

fn model(state: v1::ModelState) -> v1::Model {
    let engine = (state == v1::ModelState::Loaded)
        .then(|| v1::EngineStatus { pid: 7, ..Default::default() });
    v1::Model { id: "scripted".into(), state: state.into(), engine, ..Default::default() }
}

#[tonic::async_trait]
impl models_server::Models for Script {
    type LoadStream = Answers<v1::LoadModelEvent>;
    type ImportStream = Answers<v1::ImportModelEvent>;
    type TuneStream = Answers<v1::TuneModelEvent>;
    type PullStream = Answers<v1::PullModelEvent>;
    type PackageStream = Answers<v1::PackageModelEvent>;
    type InstallStream = Answers<v1::InstallModelEvent>;
    type PushStream = Answers<v1::PushModelEvent>;
    type UpdateStream = Answers<v1::UpdateModelEvent>;
    type UseStream = Answers<v1::UseModelEvent>;
    type RollBackStream = Answers<v1::UseModelEvent>;

    async fn list(
        &self,
        _: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let models = vec![model(v1::ModelState::Available)];
        Ok(Response::new(v1::ListModelsResponse { models }))
    }

    async fn stats(
        &self,
        _: Request<v1::ModelStatsRequest>,
    ) -> Result<Response<v1::ModelStatsResponse>, Status> {
        Err(failure("MODEL_NOT_FOUND"))
    }

    async fn tune(
        &self,
        _: Request<v1::TuneModelRequest>,
    ) -> Result<Response<Self::TuneStream>, Status> {
        Err(failure("MODEL_NOT_FOUND"))
    }

    async fn info(&self, _: Request<v1::ModelInfoRequest>) -> Result<Response<v1::Model>, Status> {
        Err(failure("MODEL_NOT_FOUND"))
    }

    async fn load(
        &self,
        _: Request<v1::LoadModelRequest>,
    ) -> Result<Response<Self::LoadStream>, Status> {
        let progress = v1::LoadModelProgress { fraction: 0.5, stage: "reading weights".into() };
        let events = [
            load_model_event::Event::Progress(progress),
            load_model_event::Event::Loaded(model(v1::ModelState::Loaded)),
        ];
        let events = events.map(|event| Ok(v1::LoadModelEvent { event: Some(event) }));
        Ok(Response::new(Box::pin(iter(events))))
    }

    async fn unload(
        &self,
        _: Request<v1::UnloadModelRequest>,
    ) -> Result<Response<v1::UnloadModelResponse>, Status> {
        Ok(Response::new(v1::UnloadModelResponse { unloaded: true }))
    }

    async fn pull(
        &self,
        _: Request<v1::PullModelRequest>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let progress =
            v1::PullModelProgress { note: "it was changed".into(), ..Default::default() };
        let events = [
            pull_model_event::Event::Progress(progress.clone()),
            pull_model_event::Event::Progress(progress),
            pull_model_event::Event::Pulled(model(v1::ModelState::Available)),
        ];
        let events = events.map(|event| Ok(v1::PullModelEvent { event: Some(event) }));
        Ok(Response::new(Box::pin(iter(events))))
    }

    async fn verify(
        &self,
        request: Request<v1::VerifyModelRequest>,
    ) -> Result<Response<v1::VerifyModelResponse>, Status> {
        Ok(Response::new(v1::VerifyModelResponse {
            id: request.into_inner().id,
            sha256: "ab".into(),
            expected_sha256: "cd".into(),
            known_from: v1::KnownFrom::Catalog.into(),
            problem: "it is damaged".into(),
            ..Default::default()
        }))
    }

    async fn remove(
        &self,
        _: Request<v1::RemoveModelRequest>,
    ) -> Result<Response<v1::RemoveModelResponse>, Status> {
        Ok(Response::new(v1::RemoveModelResponse { removed_bytes: 5, path: "/m".into() }))
    }

    async fn package(
        &self,
        request: Request<v1::PackageModelRequest>,
    ) -> Result<Response<Self::PackageStream>, Status> {
        use v1::package_model_event::Event;
        let v1::PackageModelRequest { id, version, path, key_path, .. } = request.into_inner();
        let (size_bytes, sha256, signed) = (5, "ab".into(), !key_path.is_empty());
        let packaged = v1::PackagedModel { id, version, path, size_bytes, sha256, signed };
        let events = [Event::Progress(v1::PullModelProgress::default()), Event::Packaged(packaged)];
        let events = events.map(|event| Ok(v1::PackageModelEvent { event: Some(event) }));
        Ok(Response::new(Box::pin(iter(events))))
    }

    async fn install(
        &self,
        _: Request<v1::InstallModelRequest>,
    ) -> Result<Response<Self::InstallStream>, Status> {
        Err(failure("PACKAGE_UNTRUSTED"))
    }

    async fn push(
        &self,
        request: Request<v1::PushModelRequest>,
    ) -> Result<Response<Self::PushStream>, Status> {
        let v1::PushModelRequest { id, version, place, .. } = request.into_inner();
        let pushed = v1::PushedModel { id, version, place, ..Default::default() };
        let event = Some(v1::push_model_event::Event::Pushed(pushed));
        Ok(Response::new(Box::pin(iter([Ok(v1::PushModelEvent { event })]))))
    }

    async fn update(
        &self,
        request: Request<v1::UpdateModelRequest>,
    ) -> Result<Response<Self::UpdateStream>, Status> {
        let updated = v1::UpdatedModel {
            model: Some(model(v1::ModelState::Available)),
            version: request.into_inner().version,
            changed: true,
            bytes_fetched: 3,
        };
        let event = Some(v1::update_model_event::Event::Updated(updated));
        Ok(Response::new(Box::pin(iter([Ok(v1::UpdateModelEvent { event })]))))
    }

    async fn make_signing_key(
        &self,
        request: Request<v1::MakeSigningKeyRequest>,
    ) -> Result<Response<v1::MakeSigningKeyResponse>, Status> {
        let (path, public_key) = (request.into_inner().path, "key".into());
        Ok(Response::new(v1::MakeSigningKeyResponse { path, public_key }))
    }

    async fn import(
        &self,
        _: Request<v1::ImportModelRequest>,
    ) -> Result<Response<Self::ImportStream>, Status> {
        Err(failure("IMPORT_FAILED"))
    }

    async fn r#use(
        &self,
        _: Request<v1::UseModelRequest>,
    ) -> Result<Response<Self::UseStream>, Status> {
        Err(failure("MODEL_INVALID"))
    }

    async fn roll_back(
        &self,
        _: Request<v1::RollBackModelRequest>,
    ) -> Result<Response<Self::RollBackStream>, Status> {
        let in_use = use_model_event::Event::InUse(model(v1::ModelState::Loaded));
        let event = v1::UseModelEvent { event: Some(in_use) };
        Ok(Response::new(Box::pin(iter([Ok(event)]))))
    }

    async fn recommend(
        &self,
        _: Request<v1::RecommendRequest>,
    ) -> Result<Response<v1::RecommendResponse>, Status> {
        Ok(Response::new(v1::RecommendResponse { recommendations: Vec::new() }))
    }
}

fn status(pid: u32) -> v1::StatusResponse {
    let actor = |name: &str, queue, children| v1::ActorStatus {
        name: name.into(),
        health: v1::Health::Serving.into(),
        queue,
        children,
        ..Default::default()
    };
    v1::StatusResponse {
        pid,
        tree: Some(actor("root", 0, vec![actor("router", 1, Vec::new())])),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl admin_server::Admin for Script {
    type WatchStream = Answers<v1::StatusResponse>;

    async fn status(
        &self,
        _: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        Ok(Response::new(status(1)))
    }

    async fn watch(
        &self,
        _: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(Box::pin(iter([Ok(status(1)), Ok(status(2))]))))
    }

    async fn usage(
        &self,
        _: Request<v1::UsageRequest>,
    ) -> Result<Response<v1::UsageResponse>, Status> {
        Err(Status::unimplemented("no test asks for it"))
    }

    async fn audit(
        &self,
        _: Request<v1::AuditRequest>,
    ) -> Result<Response<v1::AuditResponse>, Status> {
        Err(Status::unimplemented("no test asks for it"))
    }

    async fn reload(
        &self,
        _: Request<v1::ReloadRequest>,
    ) -> Result<Response<v1::ReloadResponse>, Status> {
        Ok(Response::new(v1::ReloadResponse {
            changed: vec!["router.policy".into()],
            needs_restart: vec!["engine.threads".into()],
        }))
    }

    async fn drain(
        &self,
        _: Request<v1::DrainRequest>,
    ) -> Result<Response<v1::DrainResponse>, Status> {
        self.drained.notify_one();
        Ok(Response::new(v1::DrainResponse {}))
    }

    async fn experiments(
        &self,
        _: Request<v1::ExperimentsRequest>,
    ) -> Result<Response<v1::ExperimentsResponse>, Status> {
        let outcomes = |answered, up| {
            Some(v1::Outcomes { answered, failed: 1, up, down: 20, ..Default::default() })
        };
        let variant = |name: &str, up| v1::Variant {
            name: name.into(),
            weight: 50,
            outcomes: outcomes(100, up),
            ..Default::default()
        };
        let variants = vec![variant("b", 70), variant("control", 20)];
        let (name, enabled) = ("greeting".to_owned(), true);
        let experiment = v1::Experiment { name, enabled, share: 1.0, variants };
        Ok(Response::new(v1::ExperimentsResponse { experiments: vec![experiment] }))
    }

    async fn list_feedback(
        &self,
        request: Request<v1::ListFeedbackRequest>,
    ) -> Result<Response<v1::ListFeedbackResponse>, Status> {
        let last = request.into_inner().page_token == "more";
        let feedback = |id: &str, prompt: &str, verdict: v1::Verdict, slow| v1::Feedback {
            turn_id: id.into(),
            prompt: prompt.into(),
            verdict: verdict.into(),
            slow,
            ..Default::default()
        };
        let (feedback, next) = if last {
            (vec![feedback("2", "why?", v1::Verdict::Up, true)], "")
        } else {
            let shown = feedback("1", "what?", v1::Verdict::Down, false);
            (vec![shown, feedback("3", "", v1::Verdict::Up, false)], "more")
        };
        Ok(Response::new(v1::ListFeedbackResponse { feedback, next_page_token: next.into() }))
    }
}
