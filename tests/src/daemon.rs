//! A running daemon.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Instant;

use hyper_util::rt::TokioIo;
use tandem_client::{Client, Error};
use tandem_proto::v1::{AskRequest, EngineStatus, StatusRequest, StatusResponse, WatchRequest};
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::sync::SemaphorePermit;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::script::Script;
use crate::{
    Answer, Asking, ControlGroup, DEADLINE, Failure, Home, LOOK_AGAIN, LlamaServer, control_group,
    kill, processes, program, question, soon, wait_for_a_turn,
};

/// A daemon that is yet to be started.
#[derive(Debug)]
pub struct Setup {
    home: Home,
    /// It takes turns with others that are real.
    waits: bool,
    /// How its process is started.
    launch: Launch,
}

/// How the process of a daemon is started.
#[derive(Debug)]
enum Launch {
    Plainly,
    WithoutNetwork,
    /// In the control group whose list of processes this is.
    Within(PathBuf),
}

impl Setup {
    /// A daemon whose engines follow a script.
    pub fn scripted(script: &Script) -> Self {
        Self { home: Home::scripted(script), waits: false, launch: Launch::Plainly }
    }

    /// A daemon with the real engine and a real model. One runs at a time.
    pub fn real() -> Self {
        Self { home: Home::real(), waits: true, launch: Launch::Plainly }
    }

    /// A daemon with the real engine and the model in this file. It takes turns as well.
    pub fn with_model(file: impl Into<PathBuf>) -> Self {
        Self { home: Home::with_model(file), waits: true, launch: Launch::Plainly }
    }

    /// The same beside a server, whose turn it is.
    pub fn real_beside(_server: &LlamaServer) -> Self {
        Self { waits: false, ..Self::real() }
    }

    /// With these settings.
    #[must_use]
    pub fn config(self, toml: &str) -> Self {
        self.home.configure(toml);
        self
    }

    /// Where it will live.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// With this program as the engine.
    #[must_use]
    pub fn with_engine(mut self, path: impl Into<PathBuf>) -> Self {
        self.home.set("TANDEM_ENGINE__BINARY", path);
        self
    }

    /// With this environment variable.
    #[must_use]
    pub fn environment(mut self, variable: &'static str, value: impl Into<PathBuf>) -> Self {
        self.home.set(variable, value);
        self
    }

    /// With a daemon that measures models by itself, however busy the machine is.
    #[must_use]
    pub fn tuning_by_itself(mut self) -> Self {
        self.home.set("TANDEM_ENGINE__TUNE", "eager");
        self
    }

    /// With a kernel that kills it, or its engine, when it asks for a connection.
    #[must_use]
    pub fn without_network(mut self) -> Self {
        self.launch = Launch::WithoutNetwork;
        self
    }

    /// Within the limits of a control group, its engines as well.
    #[must_use]
    pub fn within(mut self, group: &ControlGroup) -> Self {
        self.launch = Launch::Within(group.processes());
        self
    }

    /// Starts it.
    pub async fn start(self) -> Daemon {
        let turn = if self.waits { Some(wait_for_a_turn().await) } else { None };
        let (child, client) = launch(&self.home, &self.launch).await;
        Daemon { home: self.home, launch: self.launch, child, client, _turn: turn }
    }
}

/// A daemon. It must not leave processes behind.
#[derive(Debug)]
pub struct Daemon {
    home: Home,
    launch: Launch,
    child: Child,
    client: Client,
    _turn: Option<SemaphorePermit<'static>>,
}

impl Daemon {
    /// Where it lives.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// A connection to it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A connection for services that are not tandem's own.
    pub async fn channel(&self) -> Channel {
        let socket = self.home.socket();
        let connector = service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://tandem").connect_with_connector(connector).await.unwrap()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the daemon runs")
    }

    /// Asks a question and waits for the end of the answer, whatever that is.
    pub async fn ask(&self, prompt: &str) -> Answer {
        self.ask_with(question(prompt)).await
    }

    /// Asks a question with more to it and waits for the end of the answer.
    pub async fn ask_with(&self, request: AskRequest) -> Answer {
        match Asking::begin(&self.client, request).await {
            Ok(asking) => asking.finish().await,
            Err(error) => Answer::refused(error),
        }
    }

    /// Asks a question that is accepted, and leaves its answer to come.
    pub async fn begin(&self, request: AskRequest) -> Asking {
        Asking::begin(&self.client, request).await.unwrap()
    }

    /// How it is.
    pub async fn status(&self) -> StatusResponse {
        let mut admin = self.client.admin();
        soon("the status", admin.status(StatusRequest {})).await.unwrap().into_inner()
    }

    /// Waits until it says that it is so.
    pub async fn until(
        &self,
        what: &str,
        condition: impl Fn(&StatusResponse) -> bool,
    ) -> StatusResponse {
        soon(what, async {
            let mut statuses = self.client.admin().watch(WatchRequest {}).await.unwrap();
            loop {
                let status = statuses.get_mut().message().await.unwrap();
                let status = status.unwrap_or_else(|| panic!("drained while waiting for {what}"));
                if condition(&status) {
                    return status;
                }
            }
        })
        .await
    }

    /// The engine of the only model that is loaded.
    pub async fn engine(&self) -> EngineStatus {
        let status = self.status().await;
        assert_eq!(status.models.len(), 1, "one model is loaded: {:?}", status.models);
        status.models[0].engine.clone().unwrap()
    }

    /// Waits until no engine works on anything and returns the only one.
    pub async fn until_idle(&self) -> EngineStatus {
        let status = self
            .until("the engine to be idle", |status| {
                status.models.iter().filter_map(|model| model.engine.as_ref()).all(|engine| {
                    engine.pid != 0 && engine.sequences_active + engine.sequences_waiting == 0
                })
            })
            .await;
        status.models[0].engine.clone().unwrap()
    }

    /// Waits until so many processes run in its home, itself included.
    pub async fn until_processes(&self, count: usize) {
        soon(&format!("{count} processes"), async {
            while processes::with_home(self.home.path()).len() != count {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        assert!(kill("TERM", self.pid()), "the daemon runs");
    }

    /// Waits until it refuses new questions.
    pub async fn until_draining(&self) {
        soon("the daemon to drain", async {
            let mut admin = self.client.admin();
            // Once it is about to go, it says nothing any more.
            while let Ok(status) = admin.status(StatusRequest {}).await
                && !status.get_ref().admission.as_ref().is_some_and(|admission| admission.draining)
            {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        soon("the daemon to end", self.child.wait()).await.unwrap()
    }

    /// Kills it without a warning.
    pub async fn kill(&mut self) {
        self.child.start_kill().unwrap();
        self.ended().await;
    }

    /// Starts the next daemon in the same home; this one has ended.
    pub async fn restart(&mut self) {
        assert!(self.child.try_wait().unwrap().is_some(), "the daemon has not ended");
        (self.child, self.client) = launch(&self.home, &self.launch).await;
    }

    /// What it and its predecessors wrote to their logs.
    pub fn log(&self) -> String {
        log(&self.home)
    }
}

async fn launch(home: &Home, launch: &Launch) -> (Child, Client) {
    let stderr = File::options().create(true).append(true).open(log_file(home)).unwrap();
    let mut command = match launch {
        Launch::Plainly => home.command("tandemd"),
        Launch::WithoutNetwork => {
            let mut command = home.command("without-network");
            command.arg(program("tandemd"));
            command
        }
        Launch::Within(processes) => {
            home.inside(control_group::joining(processes, &program("tandemd")))
        }
    };
    let mut child = command.stderr(stderr).spawn().unwrap();
    let connected = soon("the daemon to listen", async {
        loop {
            match Client::connect(&home.socket()).await {
                Ok(client) => return Ok(client),
                Err(Error::NotReachable { .. }) => (),
                Err(error) => panic!("cannot connect: {error}"),
            }
            if let Some(status) = child.try_wait().unwrap() {
                return Err(status);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    });
    match connected.await {
        Ok(client) => (child, client),
        Err(status) => panic!("the daemon ended at once with {status}:\n{}", log(home)),
    }
}

fn log_file(home: &Home) -> PathBuf {
    home.path().join("stderr.log")
}

fn log(home: &Home) -> String {
    fs::read_to_string(log_file(home)).unwrap()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        // Engines end on their own, also when nobody tells them to.
        let deadline = Instant::now() + DEADLINE;
        let mut left = processes::with_home(self.home.path());
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::sleep(LOOK_AGAIN);
            left = processes::with_home(self.home.path());
        }
        for (pid, _) in &left {
            kill("KILL", *pid);
        }
        if std::thread::panicking() {
            let script = self.home.engine_log().join("\n");
            #[allow(clippy::print_stderr, reason = "explains the failure of the test")]
            {
                eprintln!("--- log of the daemon\n{}--- log of engines\n{script}", self.log());
            }
        } else {
            assert_eq!(left, [], "processes were left behind");
        }
    }
}

/// Calls that do not answer questions.
impl Daemon {
    /// A new conversation's id.
    pub async fn conversation(&self) -> String {
        let request = tandem_proto::v1::CreateConversationRequest::default();
        let mut conversations = self.client.conversations();
        soon("a new conversation", conversations.create(request)).await.unwrap().into_inner().id
    }

    /// Prompts and answers of a conversation, oldest first.
    pub async fn turns(&self, id: &str) -> Vec<(String, String)> {
        let request = tandem_proto::v1::GetConversationRequest { id: id.to_owned() };
        let mut conversations = self.client.conversations();
        let got = soon("a conversation", conversations.get(request)).await.unwrap().into_inner();
        got.turns.into_iter().map(|turn| (turn.prompt, turn.answer)).collect()
    }

    /// Ends the engine of a model. False when it had none.
    pub async fn unload(&self, model: &str) -> Result<bool, Failure> {
        let request = tandem_proto::v1::UnloadModelRequest { id: model.to_owned() };
        let mut models = self.client.models();
        Ok(soon("a model to be unloaded", models.unload(request)).await?.into_inner().unloaded)
    }
}
