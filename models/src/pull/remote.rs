//! Asking a source for a part of a file, whatever kind of source it is.

use std::io::SeekFrom;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED,
    LOCATION, RANGE, RETRY_AFTER,
};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::chunked::{Chunked, Reader};
use super::error::Failure;
use super::journal::Mark;
use super::{Error, Hub, Options, S3, Token};
use crate::Source;
use crate::source::is_secure;

/// Most addresses that a source may send us to, one after the other.
const REDIRECTS_MAX: usize = 8;
/// How long an address of S3 is good for; it is made anew for each request.
const SIGNED_FOR: Duration = Duration::from_secs(900);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of a local file that are read at a time.
const STEP_BYTES: usize = 256 << 10;

/// A source that can be asked.
#[derive(Debug)]
pub(super) struct Remote {
    /// As it is written.
    pub(super) name: String,
    origin: Origin,
    client: Client,
}

#[derive(Debug)]
enum Origin {
    Web { url: Url, token: Option<Token>, advice: String },
    S3 { bucket: Bucket, credentials: Option<Credentials>, key: String },
    File(std::path::PathBuf),
    Chunks(Arc<Chunked>),
}

/// A part of a file that is being sent.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) body: Body,
    /// Of the whole file, if the source says.
    pub(super) size: Option<u64>,
    /// Whether this is the part that was asked for, and not the whole file.
    pub(super) ranged: bool,
    pub(super) mark: Mark,
}

/// Bytes that come.
#[derive(Debug)]
pub(super) enum Body {
    Web(Response),
    File(tokio::io::Take<tokio::fs::File>),
    Chunks(Reader),
}

impl Body {
    /// Appends the next bytes and says how many of them had to be fetched. `None` at the end.
    pub(super) async fn append_to(&mut self, bytes: &mut Vec<u8>) -> Result<Option<u64>, Failure> {
        match self {
            Self::Web(response) => match response.chunk().await {
                Ok(Some(chunk)) => {
                    bytes.extend_from_slice(&chunk);
                    Ok(Some(chunk.len() as u64))
                }
                Ok(None) => Ok(None),
                Err(error) => Err(Failure::passing(plainly(error))),
            },
            Self::File(file) => {
                bytes.reserve(STEP_BYTES);
                let read = file.read_buf(bytes).await;
                let read = read.map_err(|error| Failure::passing(error.to_string()))?;
                Ok((read > 0).then_some(read as u64))
            }
            Self::Chunks(reader) => reader.append_to(bytes).await,
        }
    }
}

impl Remote {
    pub(super) fn new(source: &Source, options: &Options) -> Result<Self, Error> {
        Self::over(client(options)?, source, options)
    }

    /// As [`new`](Self::new), over connections that others use as well.
    pub(super) fn over(client: Client, source: &Source, options: &Options) -> Result<Self, Error> {
        let origin = match source {
            Source::Hub(file) => on_hub(file, &options.hub)?,
            Source::Web(url) => Origin::Web {
                url: url.clone(),
                token: None,
                advice: "the address must be one that anybody may read".to_owned(),
            },
            Source::S3 { bucket: name, key } => {
                let (bucket, credentials) = bucket(name, &options.s3)?;
                Origin::S3 { bucket, credentials, key: key.clone() }
            }
            Source::File(path) => Origin::File(path.clone()),
        };
        Ok(Self { name: source.to_string(), origin, client })
    }

    /// A file that is put together from chunks.
    pub(super) fn of_chunks(chunks: Arc<Chunked>) -> Self {
        let (name, client) = (chunks.name().to_owned(), chunks.client().clone());
        Self { name, origin: Origin::Chunks(chunks), client }
    }

    /// Asks for these bytes; with a mark, only if the file is still that one.
    pub(super) async fn open(
        &self,
        bytes: &Range<u64>,
        mark: Option<&Mark>,
    ) -> Result<Opened, Failure> {
        let opened = match &self.origin {
            Origin::File(path) => self.open_file(path, bytes).await?,
            Origin::Web { url, token, .. } => {
                self.get(url.clone(), token.as_ref(), bytes, mark).await?
            }
            Origin::S3 { bucket, credentials, key } => {
                let signed = bucket.get_object(credentials.as_ref(), key).sign(SIGNED_FOR);
                self.get(signed, None, bytes, mark).await?
            }
            Origin::Chunks(chunks) => Opened {
                body: Body::Chunks(chunks.read(bytes.clone())),
                size: Some(chunks.size()),
                ranged: true,
                mark: Mark { etag: Some(chunks.sha256()), ..Mark::default() },
            },
        };
        match mark {
            Some(mark) if mark.differs(&opened.mark) => Err(Failure::Changed),
            _ => Ok(opened),
        }
    }

    async fn get(
        &self,
        mut url: Url,
        mut token: Option<&Token>,
        bytes: &Range<u64>,
        mark: Option<&Mark>,
    ) -> Result<Opened, Failure> {
        let mut linked = None;
        for _ in 0..=REDIRECTS_MAX {
            let range = format!("bytes={}-{}", bytes.start, bytes.end.saturating_sub(1));
            let mut request = self.client.get(url.clone()).header(RANGE, range);
            // What is compressed on the way has other ranges.
            request = request.header(ACCEPT_ENCODING, "identity");
            if let Some(condition) = mark.and_then(Mark::condition) {
                request = request.header(IF_RANGE, condition);
            }
            if let Some(Token(token)) = token {
                request = request.bearer_auth(token);
            }
            let sent = request.send().await;
            let response = sent.map_err(|error| Failure::passing(plainly(error)))?;
            linked = linked.or_else(|| text(response.headers(), "x-linked-etag"));
            if !response.status().is_redirection() {
                return self.judge(response, linked, bytes);
            }
            let next = self.follow(&url, response.headers())?;
            if (next.scheme(), next.host(), next.port()) != (url.scheme(), url.host(), url.port()) {
                // It is nobody else's business.
                token = None;
            }
            url = next;
        }
        Err(self.refused(format!("it leads from one address to the next, {REDIRECTS_MAX} times")))
    }

    fn follow(&self, url: &Url, headers: &HeaderMap) -> Result<Url, Failure> {
        let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
        let next = location.and_then(|location| url.join(location).ok());
        match next {
            Some(next)
                if is_secure(&next) || (!is_secure(url) && next.scheme() == url.scheme()) =>
            {
                Ok(next)
            }
            Some(_) => Err(self.refused("it leads to an address that is not secure".to_owned())),
            None => Err(self.refused("it leads nowhere".to_owned())),
        }
    }

    /// What the answer means.
    fn judge(
        &self,
        response: Response,
        linked: Option<String>,
        bytes: &Range<u64>,
    ) -> Result<Opened, Failure> {
        let (status, headers) = (response.status(), response.headers());
        let mark = Mark {
            etag: text(headers, ETAG.as_str()),
            linked,
            modified: text(headers, LAST_MODIFIED.as_str()),
        };
        let ranged = match status {
            StatusCode::PARTIAL_CONTENT => true,
            StatusCode::OK => false,
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(Failure::Changed),
            status => return Err(judge_status(&self.name, status, headers, || self.advice())),
        };
        let size = if ranged {
            let part = text(headers, CONTENT_RANGE.as_str());
            let (begin, size) = part.as_deref().and_then(content_range).ok_or_else(|| {
                self.refused("it sent a part of the file and did not say which".to_owned())
            })?;
            if begin != bytes.start {
                return Err(Failure::passing("it sent another part than it was asked for"));
            }
            size
        } else {
            text(headers, CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok())
        };
        Ok(Opened { body: Body::Web(response), size, ranged, mark })
    }

    async fn open_file(&self, path: &Path, bytes: &Range<u64>) -> Result<Opened, Failure> {
        // Looked at first, since opening a pipe would wait for a writer.
        let facts = match tokio::fs::metadata(path).await {
            Ok(facts) if facts.is_file() => facts,
            Ok(_) => return Err(self.refused("it is not a file".to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NotThere { from: self.name.clone() }.into());
            }
            Err(error) => return Err(self.refused(error.to_string())),
        };
        let unreadable = |error: std::io::Error| self.refused(error.to_string());
        let mut file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        file.seek(SeekFrom::Start(bytes.start)).await.map_err(unreadable)?;
        let modified = facts.modified().ok();
        let since = modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let modified = since.map(|time| time.as_nanos().to_string());
        Ok(Opened {
            body: Body::File(file.take(bytes.end - bytes.start)),
            size: Some(facts.len()),
            ranged: true,
            mark: Mark { modified, ..Mark::default() },
        })
    }

    fn refused(&self, problem: String) -> Failure {
        Error::Refused { from: self.name.clone(), problem }.into()
    }

    fn advice(&self) -> String {
        match &self.origin {
            Origin::Web { advice, .. } => advice.clone(),
            Origin::S3 { credentials, .. } => advice_on_keys(credentials.as_ref()).to_owned(),
            Origin::File(_) | Origin::Chunks(_) => String::new(),
        }
    }
}

/// What to do where a bucket does not let somebody in who has these keys.
fn advice_on_keys(credentials: Option<&Credentials>) -> &'static str {
    if credentials.is_some() {
        "check keys, region and endpoint of S3, and that they may use this object"
    } else {
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where the daemon starts, or \
         models.pull.s3_access_key and s3_secret_key"
    }
}

/// What asks.
pub(crate) fn client(options: &Options) -> Result<Client, Error> {
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(options.idle)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("tandem/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Error::Unusable(format!("no connections can be made: {error}")))
}

/// Why a source does not answer as it should.
pub(crate) fn judge_status(
    from: &str,
    status: StatusCode,
    headers: &HeaderMap,
    advice: impl FnOnce() -> String,
) -> Failure {
    let from = from.to_owned();
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Error::NotThere { from }.into(),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Error::Denied { from, status: status.as_u16(), advice: advice() }.into()
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            passing(status, headers)
        }
        status if status.is_server_error() => passing(status, headers),
        status => {
            let problem = format!("it answered with status {status}");
            Error::Refused { from, problem }.into()
        }
    }
}

/// The hash that the repository says a file has, if its mark is one.
pub(super) fn hash_of(mark: &Mark) -> Option<String> {
    let tag = mark.linked.as_deref()?.trim_start_matches("W/").trim_matches('"');
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (tag.len() == 64 && tag.bytes().all(is_digit)).then(|| tag.to_owned())
}

fn on_hub(file: &crate::Hub, hub: &Hub) -> Result<Origin, Error> {
    let crate::Hub { repository, revision, file } = file;
    let unusable = || {
        // It may hold a password.
        Error::Unusable(
            "models.pull.hf_endpoint, or HF_ENDPOINT, is no address of a Hugging Face hub to which a \
             token may go; set it to one such as https://huggingface.co"
                .to_owned(),
        )
    };
    let mut url = Url::parse(&hub.endpoint).map_err(|_| unusable())?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let is_safe = is_secure(&url) || (url.scheme() == "http" && hub.token.is_none());
    if !is_plain || !is_safe {
        return Err(unusable());
    }
    let parts =
        [repository.as_str(), "resolve", revision, file].into_iter().flat_map(|it| it.split('/'));
    url.path_segments_mut().map_err(|()| unusable())?.pop_if_empty().extend(parts);
    let place = format!("{}/{repository}", hub.endpoint.trim_end_matches('/'));
    let advice = match &hub.token {
        None => format!(
            "accept the licence of the model at {place}, make a token there that may read, and set \
             models.pull.hf_token"
        ),
        Some(_) => format!(
            "accept the licence of the model at {place} with the account of models.pull.hf_token, \
             and check that the token may read"
        ),
    };
    Ok(Origin::Web { url, token: hub.token.clone(), advice })
}

/// A bucket, and who asks it.
pub(crate) fn bucket(name: &str, s3: &S3) -> Result<(Bucket, Option<Credentials>), Error> {
    // An endpoint of one's own seldom has a name for each bucket; that of AWS wants one.
    let (endpoint, style) = match &s3.endpoint {
        Some(endpoint) => (endpoint.clone(), UrlStyle::Path),
        None => (format!("https://s3.{}.amazonaws.com", s3.region), UrlStyle::VirtualHost),
    };
    let unusable = |problem: String| {
        Error::Unusable(format!(
            "S3 cannot be asked at {endpoint:?}: {problem}; set models.pull.s3_endpoint"
        ))
    };
    let url = Url::parse(&endpoint).map_err(|error| unusable(error.to_string()))?;
    let bucket = Bucket::new(url, style, name.to_owned(), s3.region.clone())
        .map_err(|error| unusable(error.to_string()))?;
    let credentials = s3.keys.as_ref().map(|keys| {
        let (id, Token(secret)) = (keys.id.clone(), keys.secret.clone());
        match keys.session.clone() {
            Some(Token(session)) => Credentials::new_with_token(id, secret, session),
            None => Credentials::new(id, secret),
        }
    });
    Ok((bucket, credentials))
}

fn passing(status: StatusCode, headers: &HeaderMap) -> Failure {
    let seconds = text(headers, RETRY_AFTER.as_str()).and_then(|text| text.parse().ok());
    Failure::Passing {
        problem: format!("it answered with status {status}"),
        pause: seconds.map(Duration::from_secs),
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Where a part begins, and the size of the whole: `bytes 0-99/1000`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (part, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (begin, _) = part.split_once('-')?;
    Some((begin.parse().ok()?, size.parse().ok()))
}

/// The whole chain of causes, and not the address, which may hold a key.
pub(crate) fn plainly(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn parts_are_read_as_servers_write_them() {
        assert_eq!(content_range("bytes 0-99/1000"), Some((0, Some(1000))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for text in ["", "bytes */1000", "items 0-9/10", "bytes x-9/10"] {
            assert_eq!(content_range(text), None, "{text}");
        }
    }

    #[test]
    fn only_a_hash_counts_as_one() {
        let linked = |tag: &str| Mark { linked: Some(tag.into()), ..Mark::default() };
        let hash = "0123456789abcdef".repeat(4);
        assert_eq!(hash_of(&linked(&format!("\"{hash}\""))), Some(hash.clone()));
        assert_eq!(hash_of(&linked("\"abc\"")), None);
        assert_eq!(hash_of(&linked(&hash.to_uppercase())), None);
        assert_eq!(hash_of(&Mark { etag: Some(hash), ..Mark::default() }), None);
    }

    #[test]
    fn a_file_of_the_hub_has_its_address_below_any_endpoint() {
        let file = crate::Hub {
            repository: "owner/model".into(),
            revision: "main".into(),
            file: "a folder/m.gguf".into(),
        };
        for (endpoint, begin) in
            [("https://hub", "https://hub"), ("http://mirror:80/hf/", "http://mirror/hf")]
        {
            let hub = Hub { endpoint: endpoint.into(), token: None };
            let Origin::Web { url, advice, .. } = on_hub(&file, &hub).unwrap() else {
                unreachable!("the hub is in the web");
            };
            assert_eq!(url.as_str(), format!("{begin}/owner/model/resolve/main/a%20folder/m.gguf"));
            assert!(advice.contains("models.pull.hf_token"), "{advice}");
        }
        for endpoint in ["huggingface.co", "ftp://hub", ""] {
            let hub = Hub { endpoint: endpoint.into(), token: None };
            assert!(on_hub(&file, &hub).is_err(), "{endpoint}");
        }
    }
}
