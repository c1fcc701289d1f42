//! The embedding model, as the collections use it.

use std::time::Duration;

use tandem_knowledge::EmbeddingSpace;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::maker::{Maker, Whereabouts};
use crate::cache::Caches;
use crate::inference_worker::Worker;
use crate::model_loader::ModelLoader;
use crate::{Error, Result};

/// Longest time that a batch of texts may take; a busy laptop needs seconds.
const EMBED_TIME_MAX: Duration = Duration::from_mins(5);
/// Most texts whose tokens are counted by one request.
const TEXTS_MAX: usize = 512;
/// Most bytes of them.
const BYTES_MAX: usize = 1 << 20;

/// Where embeddings come from: a model, or the cache of what models made.
#[derive(Debug, Clone)]
pub(super) struct Models {
    pub(super) loader: ModelLoader,
    pub(super) caches: Caches,
    pub(super) whereabouts: Whereabouts,
}

/// A model that is loaded when it is needed first, so that whoever finds nothing to do loads none.
#[derive(Debug)]
pub(super) struct Lazy {
    models: Models,
    /// Nothing for a collection without embeddings.
    maker: Option<Maker>,
    embedder: OnceCell<Embedder>,
}

impl Lazy {
    pub(super) fn new(models: &Models, maker: Option<Maker>) -> Self {
        Self { models: models.clone(), maker, embedder: OnceCell::new() }
    }

    pub(super) async fn get(&self) -> Result<Option<&Embedder>> {
        let Some(maker) = &self.maker else { return Ok(None) };
        let embedder = self.embedder.get_or_try_init(|| Embedder::of(&self.models, maker));
        embedder.await.map(Some)
    }
}

/// A model that is loaded.
#[derive(Debug, Clone)]
pub(super) struct Embedder {
    models: Models,
    worker: Worker,
    space: EmbeddingSpace,
    /// What it reads of a text.
    tokens_max: u32,
}

impl Embedder {
    /// The model that made a collection's embeddings.
    pub(super) async fn of(models: &Models, maker: &Maker) -> Result<Self> {
        let id = models.whereabouts.find(&models.loader, maker).await?;
        Self::acquire(models, &id).await.map_err(|error| match error {
            Error::ModelNotFound { .. } | Error::ModelAbsent { .. } => maker.gone(),
            error => error,
        })
    }

    /// The default model.
    pub(super) async fn default_of(models: &Models) -> Result<Self> {
        Self::acquire(models, "").await
    }

    async fn acquire(models: &Models, id: &str) -> Result<Self> {
        let worker = models.loader.acquire_embedding(id).await?;
        let loaded = worker.loaded().await?;
        let dimensions = loaded.embedding_dimensions;
        if dimensions == 0 {
            let problem =
                format!("model {:?} generates text and makes no embeddings", worker.model());
            return Err(Error::ModelUnsuitable { problem });
        }
        let space =
            EmbeddingSpace { model: worker.model().to_owned(), dimensions: dimensions as usize };
        Ok(Self { models: models.clone(), worker, space, tokens_max: loaded.context_tokens })
    }

    /// What makes the embeddings of a new collection.
    pub(super) async fn maker(&self) -> Result<Maker> {
        Maker::of(self.space.clone(), &self.worker.facts().path).await
    }

    /// Tokens of a text that it reads, at most.
    pub(super) fn tokens_max(&self) -> u32 {
        self.tokens_max
    }

    /// How many tokens each text has, without those that the model puts around it.
    pub(super) async fn count(&self, texts: Vec<String>) -> Result<Vec<u32>> {
        let mut counts = Vec::with_capacity(texts.len());
        for texts in batches(texts) {
            counts.extend(self.worker.count(texts, Vec::new()).await?.texts);
        }
        Ok(counts)
    }

    /// The embeddings of texts, in their order, each of length 1.
    pub(super) async fn embed(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>> {
        let deadline = Instant::now() + EMBED_TIME_MAX;
        let made =
            self.models.caches.embed(&self.models.loader, &self.space.model, texts, true, deadline);
        let made = made.await?;
        Ok(made.embeddings.into_iter().map(|embedding| embedding.values).collect())
    }
}

/// The texts in their order, in as few requests as their number and length allow.
fn batches(texts: Vec<String>) -> Vec<Vec<String>> {
    let mut batches: Vec<Vec<String>> = Vec::new();
    let mut bytes = 0;
    for text in texts {
        match batches.last_mut() {
            Some(batch) if batch.len() < TEXTS_MAX && bytes + text.len() <= BYTES_MAX => {
                bytes += text.len();
                batch.push(text);
            }
            _ => {
                bytes = text.len();
                batches.push(vec![text]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_texts_are_counted_in_several_requests_in_order() {
        let texts: Vec<String> = (0..1200).map(|n| n.to_string()).collect();
        let made = batches(texts.clone());
        assert_eq!(made.iter().map(Vec::len).collect::<Vec<_>>(), [512, 512, 176]);
        assert_eq!(made.concat(), texts);
        let long = vec!["x".repeat(BYTES_MAX), "y".to_owned(), "z".repeat(BYTES_MAX)];
        assert_eq!(batches(long).len(), 3);
        assert!(batches(Vec::new()).is_empty());
    }
}
