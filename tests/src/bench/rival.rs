//! llama.cpp's own server, started as a program and reached over HTTP on loopback.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::chat::{Message, Reply, Request, Role};
use super::plan::Flags;
use super::process;
use super::sse::Events;

/// Pause between two looks whether it serves.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Longest time to load a model.
const LOADING: Duration = Duration::from_mins(10);
/// Longest time from a broken connection to the end of a process that crashed.
const DYING: Duration = Duration::from_secs(2);
/// Last lines of its log that explain why it failed.
const LINES: usize = 3;

/// A server with one model.
#[derive(Debug)]
pub(super) struct Rival {
    binary: PathBuf,
    model: PathBuf,
    context: u32,
    flags: Flags,
    /// Asked for its state when something failed.
    child: Mutex<Child>,
    port: u16,
    http: reqwest::Client,
    log: TempDir,
    /// Before the process was started.
    pub(super) started: Instant,
    /// When it served.
    pub(super) ready: Instant,
}

/// One line of an answer that is streamed.
#[derive(Debug, Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    delta: Delta,
}

#[derive(Debug, Deserialize)]
struct Delta {
    content: Option<String>,
    // Where a model thinks first, this is what it says at first.
    reasoning_content: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Usage {
    completion_tokens: u32,
}

impl Rival {
    /// Starts it and waits until it serves.
    pub(super) async fn start(
        binary: &Path,
        model: &Path,
        context: u32,
        flags: &Flags,
    ) -> Result<Self> {
        let log = tempfile::Builder::new().prefix("bench-peer-").tempdir()?;
        let started = Instant::now();
        let (child, port) = launch(binary, model, context, flags, log.path())?;
        let mut rival = Self {
            binary: binary.to_owned(),
            model: model.to_owned(),
            context,
            flags: flags.clone(),
            child: Mutex::new(child),
            port,
            // The server ends idle connections, sometimes just as one is used again.
            http: reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?,
            log,
            started,
            ready: started,
        };
        rival.until_ready().await?;
        Ok(rival)
    }

    /// Ends it and starts it again.
    pub(super) async fn restart(&mut self) -> Result<()> {
        process::stop(self.child.get_mut().unwrap()).await?;
        self.started = Instant::now();
        let (child, port) =
            launch(&self.binary, &self.model, self.context, &self.flags, self.log.path())?;
        self.child = Mutex::new(child);
        self.port = port;
        self.until_ready().await
    }

    /// Ends it.
    pub(super) async fn stop(mut self) -> Result<()> {
        process::stop(self.child.get_mut().unwrap()).await
    }

    /// Its process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.lock().unwrap().id()
    }

    /// What it says of the CPU features that it uses.
    pub(super) fn system_info(&self) -> Option<String> {
        let log = fs::read_to_string(log_file(self.log.path())).ok()?;
        let (_, info) = log.lines().find_map(|line| line.split_once("system_info: "))?;
        Some(info.trim().to_owned())
    }

    /// Goes on with a chat; pieces are added to `reply` as they come.
    pub(super) async fn chat(&self, request: &Request, reply: &mut Reply) -> Result<()> {
        match self.stream(request, reply).await {
            Ok(()) => Ok(()),
            Err(error) => Err(error.context(self.last_words().await)),
        }
    }

    async fn stream(&self, request: &Request, reply: &mut Reply) -> Result<()> {
        let messages: Vec<_> = request.messages.iter().map(message).collect();
        let body = json!({
            "messages": messages,
            "max_tokens": request.tokens,
            "temperature": 0,
            "ignore_eos": true,
            "stream": true,
            "stream_options": { "include_usage": true },
        });
        let url = format!("http://127.0.0.1:{}/v1/chat/completions", self.port);
        let request = self.http.post(url).header("content-type", "application/json");
        let mut answer = request.body(body.to_string()).send().await?;
        if !answer.status().is_success() {
            bail!("{}: {}", answer.status(), answer.text().await?);
        }
        let mut events = Events::default();
        while let Some(bytes) = answer.chunk().await? {
            for data in events.push(&bytes) {
                if data == "[DONE]" {
                    return Ok(());
                }
                let chunk: Chunk = serde_json::from_str(&data).with_context(|| data.clone())?;
                if let Some(error) = chunk.error {
                    bail!("an error within the answer: {error}");
                }
                for Choice { delta } in chunk.choices {
                    for text in [delta.reasoning_content, delta.content].into_iter().flatten() {
                        reply.push(&text);
                    }
                }
                if let Some(usage) = chunk.usage {
                    reply.tokens = usage.completion_tokens;
                }
            }
        }
        bail!("the answer broke off after {} pieces", reply.pieces.len())
    }

    async fn until_ready(&mut self) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/health", self.port);
        loop {
            if let Ok(answer) = self.http.get(&url).send().await
                && answer.status().is_success()
            {
                self.ready = Instant::now();
                return Ok(());
            }
            if self.child.get_mut().unwrap().try_wait()?.is_some() {
                bail!(self.last_words().await);
            }
            ensure!(self.started.elapsed() < LOADING, "llama-server is not ready in {LOADING:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Whether it has ended, and the end of its log.
    async fn last_words(&self) -> String {
        let begun = Instant::now();
        let state = loop {
            let state = self.child.lock().unwrap().try_wait();
            match state {
                Ok(Some(status)) => break format!("llama-server ended with {status}"),
                // A connection breaks a moment before the process is gone.
                Ok(None) if begun.elapsed() < DYING => tokio::time::sleep(LOOK_AGAIN).await,
                _ => break "llama-server lives".to_owned(),
            }
        };
        let log = fs::read_to_string(log_file(self.log.path())).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(LINES)..];
        format!("{state}; its log ends with: {}", last.join(" / "))
    }
}

fn message(message: &Message) -> serde_json::Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    json!({ "role": role, "content": message.content })
}

fn log_file(directory: &Path) -> PathBuf {
    directory.join("llama-server.log")
}

fn launch(
    binary: &Path,
    model: &Path,
    context: u32,
    flags: &Flags,
    directory: &Path,
) -> Result<(Child, u16)> {
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let log = fs::File::create(log_file(directory))?;
    let child = Command::new(binary)
        .arg("--model")
        .arg(model)
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .args(["--ctx-size", &context.to_string()])
        .args(&flags.arguments)
        .envs(flags.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    Ok((child, port))
}
