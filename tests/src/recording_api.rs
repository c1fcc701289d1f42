//! A remote API on loopback that keeps the bodies of all requests and answers them all alike.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::soon;

/// What it does with a request, once it has read all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Answers with three words, 1000 tokens of prompt and 100 of answer.
    Answer,
    /// Says nothing.
    Silence,
    /// Refuses with status 500.
    Failure,
}

/// The API. Dropping it ends it.
#[derive(Debug)]
pub struct RecordingApi {
    port: u16,
    manner: Arc<Mutex<Manner>>,
    bodies: watch::Receiver<Vec<Vec<u8>>>,
    _server: JoinSet<()>,
}

impl RecordingApi {
    /// Starts one.
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let manner = Arc::new(Mutex::new(manner));
        let (record, bodies) = watch::channel(Vec::new());
        let mut server = JoinSet::new();
        let shared = Arc::clone(&manner);
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, record.clone(), Arc::clone(&shared)));
            }
        });
        Self { port, manner, bodies, _server: server }
    }

    /// Changes what it does with requests to come.
    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// Settings under which it is the provider "far", which costs 1 for a million tokens of prompt and
    /// 10 for a million tokens of answer.
    pub fn provider(&self) -> String {
        format!(
            "[providers.far]\nbase_url = \"http://127.0.0.1:{}/v1\"\nmodel = \"large\"\n\
             [providers.far.price]\ninput_per_million = 1\noutput_per_million = 10\n",
            self.port
        )
    }

    /// The bodies of all requests so far, in the order in which they were complete.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.bodies.borrow().clone()
    }

    /// Waits for so many requests.
    pub async fn until(&self, requests: usize) {
        let mut bodies = self.bodies.clone();
        let there = bodies.wait_for(|bodies| bodies.len() >= requests);
        soon("requests", there).await.unwrap();
    }
}

async fn serve(
    mut stream: TcpStream,
    record: watch::Sender<Vec<Vec<u8>>>,
    manner: Arc<Mutex<Manner>>,
) {
    let mut bytes = Vec::new();
    let body = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        if let Some(body) = body_of(&bytes) {
            break body;
        }
    };
    record.send_modify(|bodies| bodies.push(body));
    let manner = *manner.lock().unwrap_or_else(PoisonError::into_inner);
    let (status, kind, answer) = match manner {
        Manner::Silence => {
            while matches!(stream.read(&mut [0; 64]).await, Ok(1..)) {}
            return;
        }
        Manner::Failure => ("500 Internal Server Error", "application/json", "{}".to_owned()),
        Manner::Answer => ("200 OK", "text/event-stream", events()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.len()
    );
    // The caller may be gone.
    let _ = stream.write_all(format!("{head}{answer}").as_bytes()).await;
}

/// The body, once all of it is there.
fn body_of(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let body = &bytes[end..];
    (body.len() == length.parse::<usize>().ok()?).then(|| body.to_vec())
}

fn events() -> String {
    let words = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"so it is\"}}]}\n\n";
    let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let usage =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":100}}\n\n";
    format!("{words}{end}{usage}data: [DONE]\n\n")
}
