//! A server of Chroma, over its HTTP API v2. It gets numbers, vectors and what they are filtered by, and
//! no text.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tandem_config::Chroma as Settings;
use tandem_knowledge::{Candidate, Filter, Point};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::blocking;
use super::index::Ask;
use crate::http::{self, End};
use crate::{Error, Result};

/// Longest answer that is read, which none comes near.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Before the name of each field of a document's metadata, so that none is taken for one of Chroma's.
const FIELD: &str = "meta.";
/// Where the label is.
const LABEL: &str = "label";

/// Where copies are kept. What is in another place is another copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    url: String,
    tenant: String,
    database: String,
}

/// The server and the connections to it.
#[derive(Debug)]
pub(super) struct Server {
    settings: Settings,
    /// Made for the first request: it holds the system's certificates, about 2 MB.
    client: OnceCell<Client>,
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

#[derive(Deserialize)]
struct Page {
    ids: Vec<String>,
}

#[derive(Deserialize)]
struct Found {
    ids: Vec<Vec<String>>,
    distances: Vec<Vec<Option<f32>>>,
}

impl Server {
    /// Does not connect.
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, client: OnceCell::new() }
    }

    /// Where copies are kept.
    pub(super) fn place(&self) -> Place {
        let Settings { url, tenant, database, .. } = &self.settings;
        Place { url: url.clone(), tenant: tenant.clone(), database: database.clone() }
    }

    /// Whether what it is sent leaves this machine.
    pub(super) fn is_elsewhere(&self) -> bool {
        !Url::parse(&self.settings.url).is_ok_and(|url| http::is_on_this_machine(&url))
    }

    /// Longest time for one request.
    pub(super) fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// The id of the collection of that name, which is made when there is none.
    pub(super) async fn open(&self, name: &str) -> Result<String> {
        let cosine = json!({ "hnsw": { "space": "cosine" } });
        let body = json!({ "name": name, "get_or_create": true, "configuration": cosine });
        let made: Made = self.ask(Method::POST, &[], Some(text(&body))).await?;
        Ok(made.id)
    }

    /// How many vectors a collection has.
    pub(super) async fn count(&self, id: &str) -> Result<u64> {
        self.ask(Method::GET, &[id, "count"], None).await
    }

    /// The names of at most `limit` vectors behind the first `offset`.
    pub(super) async fn ids(&self, id: &str, offset: u64, limit: usize) -> Result<Vec<String>> {
        let body = json!({ "limit": limit, "offset": offset, "include": [] });
        let page: Page = self.ask(Method::POST, &[id, "get"], Some(text(&body))).await?;
        Ok(page.ids)
    }

    /// Adds vectors, from [`upsert`], or puts them in the place of those of the same names.
    pub(super) async fn upsert(&self, id: &str, body: Vec<u8>) -> Result<()> {
        self.send(Method::POST, &[id, "upsert"], Some(body)).await.map(drop)
    }

    /// Removes vectors; those that are not there are passed over.
    pub(super) async fn delete(&self, id: &str, names: &[String]) -> Result<()> {
        let body = text(&json!({ "ids": names }));
        self.send(Method::POST, &[id, "delete"], Some(body)).await.map(drop)
    }

    /// The vectors that are nearest and fit a filter that it [`knows`].
    pub(super) async fn nearest(&self, id: &str, ask: &Ask) -> Result<Vec<Candidate>> {
        let body = json!({
            "query_embeddings": [ask.vector],
            "n_results": ask.count,
            "where": condition(&ask.filter),
            "include": ["distances"],
        });
        let found: Found = self.ask(Method::POST, &[id, "query"], Some(text(&body))).await?;
        let found = found.ids.into_iter().flatten().zip(found.distances.into_iter().flatten());
        let candidate = |(id, distance): (String, Option<f32>)| {
            Some(Candidate { id: id.parse().ok()?, score: 1.0 - distance? })
        };
        Ok(found.filter_map(candidate).collect())
    }

    /// Removes the collection of that name, if there is one.
    pub(super) async fn remove(&self, name: &str) -> Result<()> {
        let (status, body) = self.exchange(Method::DELETE, &[name], None).await?;
        if status == StatusCode::NOT_FOUND { Ok(()) } else { self.accept(status, body).map(drop) }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<Vec<u8>>,
    ) -> Result<T> {
        let answer = self.send(method, path, body).await?;
        serde_json::from_slice(&answer).map_err(|error| {
            self.failed(format_args!("answers what is no answer of its API v2 ({error})"))
        })
    }

    async fn send(&self, method: Method, path: &[&str], body: Option<Vec<u8>>) -> Result<Vec<u8>> {
        let (status, body) = self.exchange(method, path, body).await?;
        self.accept(status, body)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &[&str],
        body: Option<Vec<u8>>,
    ) -> Result<(StatusCode, Vec<u8>)> {
        let limit = self.settings.timeout;
        let answered = async {
            let response = self.request(method, path, body).await?;
            let status = response.status();
            match http::read(response, ANSWER_BYTES_MAX).await {
                (body, End::Complete) => Ok((status, body)),
                (_, End::TooLong) => Err(self
                    .failed(format_args!("answers with more than {} MiB", ANSWER_BYTES_MAX >> 20))),
                (_, End::Cut) => {
                    Err(self.failed("ended the connection in the middle of an answer"))
                }
            }
        };
        timeout(limit, answered).await.unwrap_or_else(|_| {
            Err(self
                .failed(format_args!("did not answer within {limit:?} (knowledge.chroma.timeout)")))
        })
    }

    async fn request(
        &self,
        method: Method,
        path: &[&str],
        body: Option<Vec<u8>>,
    ) -> Result<Response> {
        let url = self.address(path)?;
        let client = self.client.get_or_try_init(|| self.build(&url)).await?;
        let mut request = client.request(method, url);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        if let Some(token) = self.token().await? {
            // The server's own header, and the one that proxies in front of it read.
            for (name, value) in [
                ("x-chroma-token", token.clone()),
                (AUTHORIZATION.as_str(), format!("Bearer {token}")),
            ] {
                let value = HeaderValue::from_str(&value);
                let mut value = value.map_err(|_| self.failed("has a token that is none"))?;
                value.set_sensitive(true);
                request = request.header(name, value);
            }
        }
        request.send().await.map_err(|error| {
            let why = http::cause(&error);
            if error.is_connect() {
                self.failed(format_args!("cannot be reached ({why})"))
            } else {
                self.failed(format_args!("ended the connection before the answer ({why})"))
            }
        })
    }

    /// An address below that of all collections.
    fn address(&self, path: &[&str]) -> Result<Url> {
        let Settings { url, tenant, database, .. } = &self.settings;
        let all = ["api", "v2", "tenants", tenant, "databases", database, "collections"];
        let mut address =
            Url::parse(url).map_err(|_| self.failed("has an address that is none"))?;
        if let Ok(mut segments) = address.path_segments_mut() {
            segments.pop_if_empty().extend(all).extend(path);
        }
        Ok(address)
    }

    async fn build(&self, url: &Url) -> Result<Client> {
        let builder = http::builder(url, self.settings.timeout);
        let client = blocking(|| builder.build()).await?;
        client.map_err(|error| self.failed(format_args!("cannot be spoken to over TLS ({error})")))
    }

    /// The token, read anew so that it can be changed while the daemon runs.
    async fn token(&self) -> Result<Option<String>> {
        let Some(secret) = self.settings.token.clone() else { return Ok(None) };
        let token = blocking(move || secret.read()).await?;
        token.map(Some).map_err(|error| self.failed(format_args!("wants a token: {error}")))
    }

    fn accept(&self, status: StatusCode, body: Vec<u8>) -> Result<Vec<u8>> {
        if status.is_success() {
            return Ok(body);
        }
        Err(match status.as_u16() {
            401 | 403 => self.failed(format_args!(
                "does not accept the token, or wants one ({status}; knowledge.chroma.token)"
            )),
            300..=399 => self.failed(format_args!(
                "answers with a redirect ({status}; set knowledge.chroma.url to the final address)"
            )),
            _ => {
                let said = serde_json::from_slice(&body).ok().and_then(|body: Value| {
                    body.get("message").or_else(|| body.get("error"))?.as_str().map(str::to_owned)
                });
                let said = said.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
                self.failed(format_args!("answers {status}: {}", http::quote(&said, None)))
            }
        })
    }

    fn failed(&self, problem: impl std::fmt::Display) -> Error {
        Error::KnowledgeBackend { problem: format!("Chroma at {} {problem}", self.settings.url) }
    }
}

/// The request that adds these.
pub(super) fn upsert(points: &[Point]) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Upsert<'a> {
        ids: Vec<String>,
        embeddings: Vec<&'a [f32]>,
        metadatas: Vec<BTreeMap<String, Value>>,
    }
    let metadata = |point: &Point| {
        let fields = point.metadata.iter().map(|(key, value)| (field(key), json!(value)));
        fields.chain([(LABEL.to_owned(), json!(point.label))]).collect()
    };
    let upsert = Upsert {
        ids: points.iter().map(|point| point.id.to_string()).collect(),
        embeddings: points.iter().map(|point| point.vector.as_slice()).collect(),
        metadatas: points.iter().map(metadata).collect(),
    };
    serde_json::to_vec(&upsert).map_err(|error| Error::Internal { problem: error.to_string() })
}

/// Whether the server can tell what fits a filter: it knows no sources.
pub(super) fn knows(filter: &Filter) -> bool {
    filter.sources.is_empty() && !filter.metadata.values().any(BTreeSet::is_empty)
}

/// What a filter asks of the metadata; nothing when it lets everything through.
fn condition(filter: &Filter) -> Option<Value> {
    let one_of =
        |(key, values): (&String, &BTreeSet<String>)| json!({ (field(key)): { "$in": values } });
    let mut all: Vec<Value> = filter.metadata.iter().map(one_of).collect();
    all.extend(filter.label.map(|label| json!({ LABEL: { "$eq": label } })));
    if all.len() > 1 { Some(json!({ "$and": all })) } else { all.pop() }
}

fn field(key: &str) -> String {
    format!("{FIELD}{key}")
}

fn text(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}

#[cfg(test)]
mod tests;
