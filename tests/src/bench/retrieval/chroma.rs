//! A server of Chroma, started as a program and reached over HTTP on loopback.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::super::process::{self, Memory};
use super::vectors::Sample;
use super::{Answers, COUNT, DEFAULT, Intake, Size, folder_bytes};

/// Vectors that are handed over at once.
const BATCH: usize = 1000;
/// Pause between two looks whether it serves.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Longest time until it serves.
const STARTING: Duration = Duration::from_mins(2);
/// How often the least that a request can take is measured.
const FLOOR: usize = 1000;

/// The server, with one collection.
pub(super) struct Chroma {
    program: PathBuf,
    folder: PathBuf,
    child: Child,
    root: String,
    /// Address of the collection.
    collection: String,
    /// How many candidates its graph is searched with.
    width: u32,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Found {
    ids: Vec<Vec<String>>,
}

impl Chroma {
    /// Starts a server at its defaults and hands it all texts and vectors.
    pub(super) async fn fill(
        program: &Path,
        folder: &Path,
        sample: &Sample,
    ) -> Result<(Self, Intake)> {
        std::fs::create_dir_all(folder)?;
        let mut chroma = Self::start(program, folder).await?;
        let began = Instant::now();
        let collections = format!(
            "{}/tenants/default_tenant/databases/default_database/collections",
            chroma.root
        );
        let made = chroma
            .send(Method::POST, &collections, json!({ "name": "sample" }).to_string())
            .await?;
        let made: Value = serde_json::from_slice(&made)?;
        let id = made["id"].as_str().context("Chroma made no collection")?;
        chroma.collection = format!("{collections}/{id}");
        let places: Vec<String> =
            (0..sample.vectors.len()).map(|place| place.to_string()).collect();
        let batches =
            sample.vectors.chunks(BATCH).zip(sample.texts.chunks(BATCH)).zip(places.chunks(BATCH));
        for ((vectors, texts), places) in batches {
            let batch = json!({ "ids": places, "embeddings": vectors, "documents": texts });
            chroma
                .send(Method::POST, &format!("{}/add", chroma.collection), batch.to_string())
                .await?;
        }
        Ok((chroma, Intake { seconds: began.elapsed().as_secs_f64() }))
    }

    async fn start(program: &Path, folder: &Path) -> Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let child = Command::new(program)
            .args(["run", "--host", "127.0.0.1", "--port", &port.to_string(), "--path"])
            .arg(folder)
            .env("ANONYMIZED_TELEMETRY", "False")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let root = format!("http://127.0.0.1:{port}/api/v2");
        let http = reqwest::Client::builder().no_proxy().build()?;
        let chroma = Self {
            program: program.into(),
            folder: folder.into(),
            child,
            root,
            collection: String::new(),
            width: DEFAULT,
            http,
        };
        let serves = async {
            while !chroma.alive().await {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(STARTING, serves).await.context("Chroma does not serve")?;
        Ok(chroma)
    }

    async fn alive(&self) -> bool {
        let beat = self.http.get(format!("{}/heartbeat", self.root)).send().await;
        beat.is_ok_and(|beat| beat.status().is_success())
    }

    /// Sets how many candidates the graph is searched with, and starts the server anew, as one that has
    /// the graph in memory goes on with what it was loaded with.
    pub(super) async fn width(&mut self, candidates: u32) -> Result<()> {
        if self.width == candidates {
            return Ok(());
        }
        let body = json!({ "new_configuration": { "hnsw": { "ef_search": candidates } } });
        self.send(Method::PUT, &self.collection, body.to_string()).await?;
        self.restart().await?;
        self.width = candidates;
        Ok(())
    }

    async fn restart(&mut self) -> Result<()> {
        process::stop(&mut self.child).await?;
        let again = Self::start(&self.program, &self.folder).await?;
        let collection = self.collection.replace(&self.root, &again.root);
        *self = Self { collection, width: self.width, ..again };
        Ok(())
    }

    /// Asks all questions, one after the other.
    pub(super) async fn ask(&self, sample: &Sample) -> Result<Answers> {
        let mut answers = Answers { ms: Vec::new(), found: Vec::new() };
        for question in &sample.questions {
            let body = body(question);
            // Neither writing nor reading JSON here is the server's time.
            let began = Instant::now();
            let answer = self.send(Method::POST, &self.queries(), body).await?;
            answers.ms.push(began.elapsed().as_secs_f64() * 1e3);
            let found: Found = serde_json::from_slice(&answer)?;
            let ids = found.ids.first().context("Chroma answered nothing")?;
            answers.found.push(ids.iter().map(|id| Ok(id.parse()?)).collect::<Result<_>>()?);
        }
        Ok(answers)
    }

    /// Milliseconds that a request takes which searches nothing.
    pub(super) async fn floor(&self) -> Result<Vec<f64>> {
        let mut ms = Vec::new();
        for _ in 0..FLOOR {
            let began = Instant::now();
            ensure!(self.alive().await, "Chroma has ended");
            ms.push(began.elapsed().as_secs_f64() * 1e3);
        }
        Ok(ms)
    }

    /// Measures it and how long it takes to start anew, and ends it.
    pub(super) async fn finish(mut self, sample: &Sample) -> Result<Size> {
        let memory = Memory::of(self.child.id().context("Chroma has ended")?)?;
        let disk = folder_bytes(&self.folder)?;
        let began = Instant::now();
        self.restart().await?;
        let first = body(sample.questions.first().context("no question")?);
        self.send(Method::POST, &self.queries(), first).await?;
        let first_answer_ms = began.elapsed().as_secs_f64() * 1e3;
        process::stop(&mut self.child).await?;
        Ok(Size {
            disk,
            anonymous: memory.anonymous,
            resident: memory.resident,
            first_answer_ms,
            opening_ms: None,
        })
    }

    fn queries(&self) -> String {
        format!("{}/query", self.collection)
    }

    async fn send(&self, method: Method, address: &str, body: String) -> Result<Vec<u8>> {
        let request = self.http.request(method, address);
        let answer = request.header("content-type", "application/json").body(body).send().await?;
        let status = answer.status();
        let answer = answer.bytes().await?;
        ensure!(
            status.is_success(),
            "Chroma answered {status}: {}",
            String::from_utf8_lossy(&answer)
        );
        Ok(answer.into())
    }
}

/// The request for the hits of a question.
fn body(question: &[f32]) -> String {
    json!({ "query_embeddings": [question], "n_results": COUNT, "include": ["distances"] })
        .to_string()
}
