//! Embeddings as they are kept, and making only those that are not. What is kept is the vector; the
//! text is in it no more than in the key that it is found by.

use std::sync::Arc;
use std::time::SystemTime;

use prost::Message as _;
use tandem_proto::v1::Embedding;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::seal::{Digest, Fingerprint};
use super::stock::Stock;
use super::{Caches, Which};
use crate::model_loader::ModelLoader;
use crate::{Error, Result};

/// The embeddings of some texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// Id of the model that made them.
    pub model: String,
    /// In the order of the texts.
    pub embeddings: Vec<Embedding>,
    /// Of all texts.
    pub tokens: u32,
}

impl Caches {
    /// The embeddings of texts by a model; empty means the default embedding model. It is loaded when
    /// one of them was not made before.
    pub async fn embed(
        &self,
        loader: &ModelLoader,
        model: &str,
        texts: Vec<String>,
        normalize: bool,
        deadline: Instant,
    ) -> Result<Embedded> {
        if !self.embeddings.is_on() {
            let worker = loader.acquire_embedding(model).await?;
            let made = worker.embed(texts, normalize, deadline).await?;
            return Ok(Embedded::new(worker.model().to_owned(), made.embeddings));
        }
        let place = loader.locate_embedding(model).await?;
        let (stock, identity) = (Arc::clone(&self.embeddings), place.identity);
        let look_up = move || {
            let known = look_up(&stock, &identity, &texts, normalize, SystemTime::now());
            (known, texts)
        };
        let (looked_up, texts) = spawn_blocking(look_up).await.map_err(internal)?;
        let (digests, mut known): (Vec<Digest>, Vec<Option<Embedding>>) =
            looked_up.into_iter().unzip();
        let unknown = known.iter().filter(|embedding| embedding.is_none()).count();
        self.embeddings.hit(texts.len() - unknown);
        self.embeddings.missed(unknown);
        let mut id = place.id;
        if unknown > 0 {
            let worker = loader.acquire_embedding(model).await?;
            let (digests, texts): (Vec<Digest>, Vec<String>) = digests
                .into_iter()
                .zip(texts)
                .zip(&known)
                .filter_map(|(text, known)| known.is_none().then_some(text))
                .unzip();
            let mut made = worker.embed(texts, normalize, deadline).await?.embeddings.into_iter();
            worker.model().clone_into(&mut id);
            // The file may be another one than when it was looked at.
            let keeps = *worker.identity() == identity;
            let mut entries = Vec::new();
            for (slot, digest) in known.iter_mut().filter(|slot| slot.is_none()).zip(digests) {
                *slot = made.next();
                if let (true, Some(embedding)) = (keeps, &slot) {
                    entries.push((digest, embedding.encode_to_vec()));
                }
            }
            self.keep(Which::Embeddings, entries);
        }
        let embeddings: Option<Vec<Embedding>> = known.into_iter().collect();
        let embeddings = embeddings.ok_or_else(|| Error::Internal {
            problem: "the model made fewer embeddings than there were texts".to_owned(),
        })?;
        Ok(Embedded::new(id, embeddings))
    }
}

impl Embedded {
    fn new(model: String, embeddings: Vec<Embedding>) -> Self {
        let tokens = embeddings.iter().map(|embedding| embedding.tokens);
        let tokens = tokens.fold(0, u32::saturating_add);
        Self { model, embeddings, tokens }
    }
}

/// What each text is found by, and what is kept of it. Blocking.
fn look_up(
    stock: &Stock,
    model: &Digest,
    texts: &[String],
    normalize: bool,
    now: SystemTime,
) -> Vec<(Digest, Option<Embedding>)> {
    let read = |digest: &Digest| {
        let located = stock.find(digest, now)?;
        let embedding = Embedding::decode(stock.read(&located)?.as_slice()).ok()?;
        Some(Embedding { cached: true, ..embedding })
    };
    let of = |text: &String| {
        let digest = digest(model, text, normalize);
        (digest, read(&digest))
    };
    texts.iter().map(of).collect()
}

fn digest(model: &Digest, text: &str, normalize: bool) -> Digest {
    Fingerprint::of("embedding").with(model).with([u8::from(normalize)]).with(text).digest()
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn internal(error: tokio::task::JoinError) -> Error {
    Error::Internal { problem: error.to_string() }
}
