//! A proxy in front of a remote API that plays its faults, and counts what it was sent.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::{LOOK_AGAIN, soon};

/// A piece of an answer with words in it, as the end of a chunk has them.
const TOKEN: &[u8] = b"\"content\":\"";
/// Bytes of a body that is far too long.
const HUGE: usize = 64 << 20;
/// Pause between two bytes of a slow API.
const DRIP: Duration = Duration::from_millis(20);

/// What becomes of one request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing: it is answered.
    None,
    /// An answer with this status, these further headers, and this body.
    Status(&'static str, &'static str, &'static str),
    /// No byte of an answer.
    Hang,
    /// The answer begins and does not go on.
    HangInTheMiddle,
    /// The answer begins and the connection ends.
    CutInTheMiddle,
    /// The connection ends before the first token.
    CutBeforeTheFirstToken,
    /// Events that begin like this, and nothing else.
    Events(&'static [u8]),
    /// The connection is reset.
    Reset,
    /// A byte now and then.
    Drip,
    /// An event without an end.
    HugeBody,
    /// An error page without an end.
    HugeError,
}

/// What the proxy was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The head of the request, and its body.
    pub text: String,
    /// A token went back.
    pub answered: bool,
    /// The connection is over.
    pub over: bool,
}

/// The proxy. Dropping it ends all of its connections.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    sent: Arc<Mutex<Vec<Sent>>>,
    _tasks: JoinSet<()>,
}

impl FaultProxy {
    /// Passes requests on to `upstream`, a port on loopback, but those to which `plan` has given a
    /// fault, by their number. Without an upstream it answers by itself.
    pub async fn start(
        upstream: Option<u16>,
        plan: impl Fn(usize) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let (log, plan) = (Arc::clone(&sent), Arc::new(plan));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                while connections.try_join_next().is_some() {}
                let (log, plan) = (Arc::clone(&log), Arc::clone(&plan));
                connections.spawn(async move {
                    let mut connection = Connection { client, log, number: 0 };
                    let Some(text) = connection.read_request().await else { return };
                    connection.number = connection.enter(&text);
                    let fault = plan(connection.number);
                    // The client may leave whenever it likes.
                    let _ = connection.answer(&fault, &text, upstream).await;
                    connection.note(|sent| sent.over = true);
                });
            }
        });
        Self { port, sent, _tasks: tasks }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything it was sent so far.
    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// Waits until it was sent so many requests.
    pub async fn until_sent(&self, count: usize) {
        self.until(&format!("{count} requests"), |sent| sent.len() >= count).await;
    }

    /// Waits until all of its connections are closed.
    pub async fn until_quiet(&self) {
        self.until("connections to be closed", |sent| sent.iter().all(|sent| sent.over)).await;
    }

    async fn until(&self, what: &str, is_so: impl Fn(&[Sent]) -> bool) {
        soon(what, async {
            while !is_so(&self.sent.lock().unwrap()) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }
}

/// One connection of a client, for one request.
struct Connection {
    client: TcpStream,
    log: Arc<Mutex<Vec<Sent>>>,
    number: usize,
}

impl Connection {
    /// Writes a request down. Returns its number.
    fn enter(&self, text: &str) -> usize {
        let mut log = self.log.lock().unwrap();
        log.push(Sent { text: text.to_owned(), answered: false, over: false });
        log.len() - 1
    }

    fn note(&self, note: impl FnOnce(&mut Sent)) {
        note(&mut self.log.lock().unwrap()[self.number]);
    }

    /// Head and body; `None` when it is no request, TLS perhaps.
    async fn read_request(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        loop {
            let read = soon("a request", self.client.read_buf(&mut bytes)).await.unwrap_or(0);
            if read == 0 || !bytes[0].is_ascii_uppercase() {
                return None;
            }
            let text = String::from_utf8_lossy(&bytes);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.unwrap_or("0").parse().ok()? {
                return Some(text.into_owned());
            }
        }
    }

    async fn answer(
        &mut self,
        fault: &Fault,
        request: &str,
        upstream: Option<u16>,
    ) -> std::io::Result<()> {
        match fault {
            Fault::None => self.pass(request, upstream, usize::MAX).await?,
            Fault::Status(status, headers, body) => {
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\
                     {headers}\r\n{body}"
                );
                self.client.write_all(answer.as_bytes()).await?;
            }
            Fault::Hang => self.wait_for_the_end().await,
            Fault::HangInTheMiddle => {
                self.pass(request, upstream, 1).await?;
                self.wait_for_the_end().await;
            }
            Fault::CutInTheMiddle => self.pass(request, upstream, 1).await?,
            Fault::CutBeforeTheFirstToken => self.pass(request, upstream, 0).await?,
            Fault::Events(events) => {
                self.client.write_all(HEAD).await?;
                self.client.write_all(events).await?;
            }
            Fault::Reset => self.client.set_zero_linger()?,
            Fault::Drip => {
                for byte in HEAD.iter().chain(b": hm\n\n".iter().cycle()) {
                    self.client.write_all(&[*byte]).await?;
                    tokio::time::sleep(DRIP).await;
                }
            }
            Fault::HugeBody => {
                self.client.write_all(HEAD).await?;
                self.client.write_all(b"data: ").await?;
                self.flood().await?;
            }
            Fault::HugeError => {
                let head = format!("HTTP/1.1 500 Oops\r\ncontent-length: {HUGE}\r\n\r\n");
                self.client.write_all(head.as_bytes()).await?;
                self.flood().await?;
            }
        }
        Ok(())
    }

    async fn flood(&mut self) -> std::io::Result<()> {
        let block = vec![b'x'; 64 << 10];
        for _ in 0..HUGE / block.len() {
            self.client.write_all(&block).await?;
        }
        Ok(())
    }

    async fn wait_for_the_end(&mut self) {
        while matches!(self.client.read(&mut [0; 64]).await, Ok(1..)) {}
    }

    /// Passes the answer on up to its end, or until so many tokens went through.
    async fn pass(
        &mut self,
        request: &str,
        upstream: Option<u16>,
        tokens_max: usize,
    ) -> std::io::Result<()> {
        let Some(port) = upstream else { return self.pass_from(ANSWER, tokens_max).await };
        let mut upstream = TcpStream::connect(("127.0.0.1", port)).await?;
        let (first, rest) = request.split_once("\r\n").unwrap();
        upstream.write_all(format!("{first}\r\nConnection: close\r\n{rest}").as_bytes()).await?;
        self.pass_from(upstream, tokens_max).await
    }

    async fn pass_from(
        &mut self,
        mut upstream: impl AsyncRead + Unpin,
        tokens_max: usize,
    ) -> std::io::Result<()> {
        let (mut theirs, mut tokens) = (Vec::new(), 0);
        loop {
            let Some(end) = position(&theirs, b"\n\n") else {
                tokio::select! {
                    read = upstream.read_buf(&mut theirs) => if read? == 0 {
                        return self.client.write_all(&theirs).await;
                    },
                    _ = self.client.read_u8() => return Ok(()),
                }
                continue;
            };
            let event: Vec<u8> = theirs.drain(..end + 2).collect();
            let token = position(&event, TOKEN).is_some();
            if token && tokens == tokens_max {
                return Ok(());
            }
            if token {
                tokens += 1;
                self.note(|sent| sent.answered = true);
            }
            self.client.write_all(&event).await?;
            if token && tokens == tokens_max {
                return Ok(());
            }
        }
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n";
/// What the proxy itself answers.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\
    content-type: text/event-stream\r\n\r\n\
    data: {\"choices\":[{\"delta\":{\"content\":\"far \"}}]}\n\n\
    data: {\"choices\":[{\"delta\":{\"content\":\"away\"}}]}\n\n\
    data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
    data: [DONE]\n\n";
