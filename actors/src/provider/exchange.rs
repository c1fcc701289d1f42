//! One question to the API: the request, and its answer as it arrives.

use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, Url};
use tandem_config::Provider as Settings;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use super::answer::{ANSWER_BYTES_MAX, Answer, Piece};
use super::dialect::Dialect;
use super::failure::{Blame, retry_after};
use super::frames::Frames;
use super::limits::{Limit, Limits};
use super::outlet::Outlet;
use crate::bookkeeper::Owed;
use crate::http::{self, End, read};
use crate::{Completion, Error, Result, TrackEvent};

/// As much of an error page as is read.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// A request that was accepted.
#[derive(Debug)]
pub(crate) struct Ask {
    /// Correlation id, for logs.
    pub(super) turn_id: String,
    /// The JSON to post.
    pub(super) body: Vec<u8>,
    /// When it was accepted.
    pub(super) accepted: Instant,
    /// When its caller gives up.
    pub(super) deadline: Instant,
    /// Set while the API may charge for the request, answered or not.
    pub(super) owed: Owed,
}

/// The API and the connections to it.
#[derive(Debug)]
pub(super) struct Endpoint {
    name: String,
    settings: Settings,
    dialect: Dialect,
    /// Made for the first request: it holds the system's certificates, about 2 MB.
    client: OnceCell<Client>,
}

/// How the API sends its answer.
enum Framing {
    Events,
    Whole,
}

impl Endpoint {
    /// Does not connect.
    pub(super) fn new(name: String, settings: Settings) -> Self {
        let dialect = Dialect::of(&settings);
        Self { name, settings, dialect, client: OnceCell::new() }
    }

    /// Streams an answer into `outlet`, all but its last event.
    // Cancel-safe: dropping the future closes the connection.
    pub(super) async fn answer(&self, ask: Ask, outlet: &Outlet) -> Result<Completion> {
        let mut limits = Limits::new(&self.settings, ask.accepted, ask.deadline);
        let mut blame =
            Blame { provider: &self.name, secret: self.settings.api_key.as_ref(), key: None };
        let key = within(limits.next(), &blame, self.key(&blame)).await??;
        blame.key = key.as_deref();
        let request = self.request(&blame, ask.body, &ask.owed);
        let response = within(limits.next(), &blame, request).await??;
        if !response.status().is_success() {
            ask.owed.store(false, Ordering::Relaxed);
            return Err(within(limits.next(), &blame, refusal(response, &blame)).await?);
        }
        let mut answer = Answer::new(self.dialect, &ask.turn_id, ask.accepted);
        match framing(&response, &blame)? {
            Framing::Events => {
                let frames = self.dialect.frames();
                stream(response, frames, &mut answer, &mut limits, &blame, outlet).await?;
            }
            Framing::Whole => {
                let body = within(limits.next(), &blame, whole(response, &blame)).await??;
                let piece = answer.whole(&body, &blame, Instant::now())?;
                deliver(piece, &limits, &blame, outlet).await?;
            }
        }
        Ok(answer.completion(Instant::now()))
    }

    /// The key, read anew so that it can be changed while the daemon runs.
    async fn key(&self, blame: &Blame<'_>) -> Result<Option<String>> {
        let Some(secret) = self.settings.api_key.clone() else { return Ok(None) };
        let key = spawn_blocking(move || secret.read()).await.map_err(|error| gone(&error))?;
        key.map(Some).map_err(|error| blame.key_refused(error.to_string()))
    }

    /// Posts `body` and waits for the head of the answer.
    async fn request(&self, blame: &Blame<'_>, body: Vec<u8>, owed: &Owed) -> Result<Response> {
        let address = self.dialect.address(&self.settings);
        let url = Url::parse(&address).map_err(|error| {
            let name = &self.name;
            blame.refused(format!(
                "{address:?} is no address ({error}); set providers.{name}.base_url"
            ))
        })?;
        let client = self.client.get_or_try_init(|| self.build(&url, blame)).await?;
        let request = client
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .body(body);
        let request = self.dialect.sign(request, blame.key, blame)?;
        let connect = self.settings.connect_timeout;
        owed.store(true, Ordering::Relaxed);
        request.send().await.map_err(|error| {
            // A connection that ended later may have carried the whole prompt.
            owed.store(!error.is_connect(), Ordering::Relaxed);
            blame.transport(&url, &error, connect)
        })
    }

    /// Reads the system's certificates from disk, hence off the runtime.
    async fn build(&self, url: &Url, blame: &Blame<'_>) -> Result<Client> {
        let builder = http::builder(url, self.settings.connect_timeout);
        let client = spawn_blocking(|| builder.build()).await.map_err(|error| gone(&error))?;
        client.map_err(|error| blame.failed(format!("cannot set up TLS ({error})")))
    }
}

/// Reads a stream of events up to its end.
async fn stream(
    mut response: Response,
    mut frames: Frames,
    answer: &mut Answer,
    limits: &mut Limits,
    blame: &Blame<'_>,
    outlet: &Outlet,
) -> Result<()> {
    while !answer.is_over() {
        let chunk = match within(limits.next(), blame, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            // All that is missing is usage, or a formal end.
            _ if answer.is_complete() => return Ok(()),
            Ok(_) => return Err(blame.cut()),
            Err(timeout) => return Err(timeout),
        };
        frames.push(&chunk).map_err(|fault| blame.failed(fault.to_string()))?;
        while let Some(data) = frames.next_event() {
            let piece = answer.chunk(&data, blame, Instant::now())?;
            let token = piece.token;
            deliver(piece, limits, blame, outlet).await?;
            limits.heard(token, Instant::now());
        }
    }
    Ok(())
}

/// Passes a piece on as soon as the caller has room for it.
async fn deliver(
    Piece { text, reasoning, logprobs, calls, .. }: Piece,
    limits: &Limits,
    blame: &Blame<'_>,
    outlet: &Outlet,
) -> Result<()> {
    let empty = text.is_empty() && reasoning.is_empty() && logprobs.is_empty();
    let delta = (!empty).then_some(TrackEvent::Delta { text, reasoning, logprobs });
    for event in delta.into_iter().chain(calls.into_iter().map(TrackEvent::ToolCall)) {
        within(limits.deadline(), blame, outlet.send(event)).await?;
    }
    Ok(())
}

/// The body of an answer that is not streamed.
async fn whole(response: Response, blame: &Blame<'_>) -> Result<Vec<u8>> {
    let (body, end) = read(response, ANSWER_BYTES_MAX).await;
    match end {
        End::Complete => Ok(body),
        End::TooLong => {
            Err(blame.failed(format!("its answer is longer than {} MiB", ANSWER_BYTES_MAX >> 20)))
        }
        End::Cut => Err(blame.cut()),
    }
}

/// The error that an answer without success stands for.
async fn refusal(response: Response, blame: &Blame<'_>) -> Error {
    let status = response.status();
    let pause = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|header| retry_after(header.to_str().ok()?, SystemTime::now()));
    let (body, _) = read(response, ERROR_BYTES_MAX).await;
    blame.status(status, pause, &body)
}

fn framing(response: &Response, blame: &Blame<'_>) -> Result<Framing> {
    let header = response.headers().get(CONTENT_TYPE);
    let content_type = header.and_then(|header| header.to_str().ok()).unwrap_or_default();
    if content_type.starts_with("application/json") {
        Ok(Framing::Whole)
    } else if content_type.starts_with("text/html") {
        let name = blame.provider;
        Err(blame.refused(format!("it answers with a web page; check providers.{name}.base_url")))
    } else {
        Ok(Framing::Events)
    }
}

async fn within<T>(limit: Limit, blame: &Blame<'_>, work: impl Future<Output = T>) -> Result<T> {
    timeout_at(limit.at.into(), work).await.map_err(|_| limit.passed(blame))
}

fn gone(error: &tokio::task::JoinError) -> Error {
    if error.is_cancelled() {
        Error::ShuttingDown
    } else {
        Error::Internal { problem: format!("a blocking task failed: {error}") }
    }
}
