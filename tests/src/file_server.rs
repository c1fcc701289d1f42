//! A web server on loopback that has one file, or those of a folder, and all the faults that servers
//! have.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Bytes that are sent at a time.
const STEP: usize = 16 << 10;

/// How the server behaves.
#[derive(Debug, Clone)]
pub struct Manner {
    /// Whether it sends parts of the file.
    pub ranges: bool,
    /// Answers with this status and these lines of headers, and no file.
    pub refusal: Option<(u16, String)>,
    /// So many refusals, then the file.
    pub refusals_left: usize,
    /// More lines of headers for each answer.
    pub headers: String,
    /// Ends each connection after so many bytes.
    pub cut_after: Option<usize>,
    /// Sends nothing any more after so many bytes, once.
    pub stall_after: Option<usize>,
    /// What it says the size of the file is.
    pub claimed_size: Option<usize>,
    /// Pause between two steps, so that a pull lasts.
    pub pause: Duration,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            ranges: true,
            refusal: None,
            refusals_left: usize::MAX,
            headers: String::new(),
            cut_after: None,
            stall_after: None,
            claimed_size: None,
            pause: Duration::ZERO,
        }
    }
}

/// What the server has.
#[derive(Debug, Clone)]
enum Content {
    /// This, whatever is asked for.
    Anywhere(Arc<Vec<u8>>),
    /// The files of a folder, whose names have no capital letters.
    Folder(PathBuf),
}

impl Content {
    fn at(&self, path: &str) -> Option<Arc<Vec<u8>>> {
        match self {
            Self::Anywhere(content) => Some(Arc::clone(content)),
            Self::Folder(folder) => {
                fs::read(folder.join(path.trim_start_matches('/'))).ok().map(Arc::new)
            }
        }
    }
}

#[derive(Debug)]
struct State {
    manner: Manner,
    content: Content,
    etag: Option<String>,
    /// The heads of all requests.
    requests: Vec<String>,
}

/// The server. Dropping it ends it.
#[derive(Debug)]
pub struct FileServer {
    /// Where it listens.
    pub port: u16,
    state: Arc<Mutex<State>>,
    sent: watch::Receiver<u64>,
    _tasks: JoinSet<()>,
}

impl FileServer {
    /// Starts one with this file.
    pub fn start(content: Vec<u8>, manner: Manner) -> Self {
        Self::serving(Content::Anywhere(Arc::new(content)), manner)
    }

    /// Starts one with the files of this folder.
    pub fn of_folder(folder: &Path, manner: Manner) -> Self {
        Self::serving(Content::Folder(folder.to_owned()), manner)
    }

    fn serving(content: Content, manner: Manner) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // What waits in the system counts as sent.
        socket.set_send_buffer_size(16 << 10).unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(64).unwrap();
        let port = listener.local_addr().unwrap().port();
        let etag = Some("\"first\"".to_owned());
        let state = State { manner, content, etag, requests: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let (count, sent) = watch::channel(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state), count));
        Self { port, state, sent, _tasks: tasks }
    }

    /// The address of the file.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/models/m.gguf", self.port)
    }

    /// The address of the folder.
    pub fn root(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.state().manner);
    }

    /// Changes the file.
    pub fn replace(&self, content: Vec<u8>, etag: Option<&str>) {
        let mut state = self.state();
        state.content = Content::Anywhere(Arc::new(content));
        state.etag = etag.map(str::to_owned);
    }

    /// The heads of all requests so far, in small letters.
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// Bytes of the file that were sent so far, those of broken connections included.
    pub fn sent(&self) -> u64 {
        *self.sent.borrow()
    }

    /// Waits until so many bytes were sent.
    pub async fn until_sent(&self, bytes: u64) {
        self.sent.clone().wait_for(|sent| *sent >= bytes).await.unwrap();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>, count: watch::Sender<u64>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(serve(stream, Arc::clone(&state), count.clone()));
    }
}

/// Answers one request. The caller may be gone at any time.
async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>, count: watch::Sender<u64>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let (manner, content, etag) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests.push(head.clone());
        let mut manner = state.manner.clone();
        if manner.refusals_left == 0 {
            manner.refusal = None;
        } else if manner.refusal.is_some() {
            state.manner.refusals_left -= 1;
        }
        (manner, state.content.clone(), state.etag.clone())
    };
    let path = head.split_whitespace().nth(1).unwrap_or_default();
    let content = content.at(path.split('?').next().unwrap_or_default());
    let absent = content.is_none().then(|| (404, String::new()));
    let content = content.unwrap_or_default();
    if let Some((status, lines)) = manner.refusal.as_ref().or(absent.as_ref()) {
        let answer = format!(
            "HTTP/1.1 {status} No\r\n{lines}content-length: 0\r\nconnection: close\r\n\r\n"
        );
        let _ = stream.write_all(answer.as_bytes()).await;
        return;
    }
    let header =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let still = header("if-range").is_none_or(|asked| Some(asked) == etag.as_deref());
    let range = header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let range = range.filter(|_| manner.ranges && still);
    let size = manner.claimed_size.unwrap_or(content.len());
    let (status, body, part) = match range {
        Some((begin, end)) => {
            let begin: usize = begin.parse().unwrap();
            let end = end.parse::<usize>().unwrap().min(size - 1);
            (206, begin..end + 1, format!("content-range: bytes {begin}-{end}/{size}\r\n"))
        }
        None => (200, 0..size, String::new()),
    };
    let etag = etag.map(|etag| format!("etag: {etag}\r\n")).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 {status} OK\r\n{part}{etag}{}content-length: {}\r\nconnection: close\r\n\r\n",
        manner.headers,
        body.len()
    );
    if stream.write_all(answer.as_bytes()).await.is_err() {
        return;
    }
    let there = body.start.min(content.len())..body.end.min(content.len());
    let mut sent = 0;
    for step in content[there].chunks(STEP) {
        if manner.cut_after.is_some_and(|limit| sent >= limit) {
            return;
        }
        if manner.stall_after.is_some_and(|limit| sent >= limit) {
            state.lock().unwrap_or_else(PoisonError::into_inner).manner.stall_after = None;
            // Until the caller has enough of it.
            let _ = stream.read(&mut [0; 1]).await;
            return;
        }
        if stream.write_all(step).await.is_err() {
            return;
        }
        sent += step.len();
        count.send_modify(|all| *all += step.len() as u64);
        if !manner.pause.is_zero() {
            tokio::time::sleep(manner.pause).await;
        }
    }
}
