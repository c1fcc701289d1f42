//! An HTTP/1.1 server on loopback that follows a script, one per connection.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Longest wait for anything in a test.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// What the server does after it has read a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Waits until the client closes the connection.
    AwaitClose,
}

/// What the server has seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A request: its head in lower case, and its body.
    Request { head: String, body: String },
    /// The client closed a connection on which the server was waiting.
    Close,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: mpsc::Receiver<Seen>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Serves the first connection by the first script, and so on; the last one again and again.
    pub(crate) async fn start(scripts: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (report, seen) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let script = scripts.get(number).or(scripts.last()).unwrap().clone();
                connections.spawn(serve(stream, script, report.clone()));
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) async fn seen(&mut self) -> Seen {
        tokio::time::timeout(PATIENCE, self.seen.recv()).await.unwrap().unwrap()
    }
}

async fn serve(mut stream: TcpStream, script: Vec<Act>, report: mpsc::Sender<Seen>) {
    let Some(request) = read_request(&mut stream).await else { return };
    report.send(request).await.unwrap();
    for act in script {
        match act {
            // The client may have seen enough.
            Act::Send(bytes) => drop(stream.write_all(&bytes).await),
            Act::AwaitClose => {
                while matches!(stream.read(&mut [0; 64]).await, Ok(1..)) {}
                report.send(Seen::Close).await.unwrap();
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let read = stream.read_buf(&mut bytes).await.unwrap_or(0);
        // TLS, perhaps.
        if read == 0 || bytes[0] != b'P' {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= length.parse().unwrap() {
            return Some(Seen::Request { body: body.to_owned(), head });
        }
    }
}

/// A whole answer with this status and these extra headers.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Vec<Act> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n");
    vec![Act::Send(format!("{head}{headers}\r\n{body}").into_bytes())]
}

/// The head of a stream of events whose pieces follow.
pub(crate) fn stream_head() -> Act {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\
                transfer-encoding: chunked\r\n\r\n";
    Act::Send(head.into())
}

/// A piece of a stream of events.
pub(crate) fn piece(bytes: impl AsRef<[u8]>) -> Act {
    let bytes = bytes.as_ref();
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    Act::Send(chunk)
}

/// The end of a stream of events.
pub(crate) fn stream_end() -> Act {
    Act::Send(b"0\r\n\r\n".to_vec())
}

/// An event with the next words of an answer.
pub(crate) fn words(text: &str) -> String {
    let text = serde_json::json!({"choices": [{"index": 0, "delta": {"content": text}}]});
    format!("data: {text}\n\n")
}

/// The events after the last words.
pub(crate) fn ending() -> &'static str {
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
     data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n\
     data: [DONE]\n\n"
}
