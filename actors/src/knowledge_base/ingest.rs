//! From files to searchable chunks: find them, read those that changed, cut, embed, store.
//!
//! Documents are stored in batches, and a batch is on disk before its documents count as done. What a
//! crash interrupts is a batch at most, and whoever ingests the same again finds the others unchanged.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{StreamExt as _, stream};
use tandem_knowledge::Document;
use tandem_proto::v1::{
    IngestEvent, IngestFinished, IngestProgress, IngestRequest, Model, ModelState, RefusedDocument,
    ingest_event::Event,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::card::Card;
use super::embedder::{Embedder, Lazy};
use super::maker::Maker;
use super::shelf::Shelf;
use super::{KnowledgeBase, Message, blocking};
use crate::{Error, Result};

mod request;
mod source;

use request::Order;
use source::{News, Outcome, Prepared, Reader, Source};

/// Events that wait for the caller.
const EVENTS_MAX: usize = 64;
/// Documents that are read ahead.
const AHEAD: usize = 4;
/// Chunks of a batch, unless one document alone has more.
const BATCH_CHUNKS: usize = 256;
/// Documents of a batch.
const BATCH_DOCUMENTS: usize = 128;

type Events = mpsc::Sender<Result<IngestEvent>>;

/// Starts a task that ingests. It ends when nobody receives its events any more.
pub(super) fn start(
    base: KnowledgeBase,
    request: IngestRequest,
    permit: OwnedSemaphorePermit,
) -> mpsc::Receiver<Result<IngestEvent>> {
    let (events, receiver) = mpsc::channel(EVENTS_MAX);
    tokio::spawn(async move {
        let _permit = permit;
        let result = tokio::select! {
            () = events.closed() => return,
            result = ingest(&base, request, &events) => result,
        };
        let last = result.map(|finished| IngestEvent { event: Some(Event::Finished(finished)) });
        // A caller that is gone does not want to know.
        let _ = events.send(last).await;
    });
    receiver
}

async fn ingest(
    base: &KnowledgeBase,
    request: IngestRequest,
    events: &Events,
) -> Result<IngestFinished> {
    let order = Order::read(request)?;
    let _turn = if let Ok(turn) = base.ingesting.try_acquire() {
        turn
    } else {
        tell(events, Event::Notice("waits for another ingestion to end".to_owned())).await;
        base.ingesting.acquire().await.map_err(|_| Error::ShuttingDown)?
    };
    let card = collection(base, &order, events).await?;
    let embedder = Arc::new(Lazy::new(&base.models, card.embedding.clone()));
    let shelf = base.open(&order.collection, card.space().cloned()).await?;
    let paths = order.paths;
    let found = blocking(move || source::find(&paths)).await?;
    let mut sources: Vec<Source> = found.files.into_iter().map(Source::File).collect();
    sources.extend(order.contents.into_iter().map(Source::Content));

    let known = shelf.with(|collection| collection.documents(None, usize::MAX)).await?;
    let known: HashMap<String, Document> =
        known.into_iter().map(|(document, _)| (document.source.clone(), document)).collect();
    let mut run = Ingestion {
        shelf,
        embedder,
        events: events.clone(),
        progress: IngestProgress { documents: count(sources.len()), ..IngestProgress::default() },
        finished: IngestFinished::default(),
        batch: Vec::new(),
        refused: HashSet::new(),
    };
    for (source, problem) in found.refused {
        run.refuse(source, problem).await;
    }
    // Of folders that were read whole, what is no longer there goes.
    let gone = gone(&known, &found.complete, &sources, &run.refused);
    run.forget(gone).await?;

    let reader = Arc::new(Reader {
        shelf: run.shelf.clone(),
        embedder: Arc::clone(&run.embedder),
        settings: Arc::clone(&base.settings),
        label: order.label,
        label_default: card.label,
        metadata: order.metadata,
        known,
    });
    let mut prepared =
        stream::iter(sources).map(|source| Arc::clone(&reader).prepare(source)).buffered(AHEAD);
    while let Some((source, outcome)) = prepared.next().await {
        run.take(source, outcome).await?;
    }
    run.store().await?;
    Ok(run.finished)
}

/// The collection's card, which is made when there is none.
async fn collection(base: &KnowledgeBase, order: &Order, events: &Events) -> Result<Card> {
    let name = &order.collection;
    let known = base.find_card(name).await?;
    let new = known.is_none();
    let mut card = match known {
        Some(card) => card,
        None => Card {
            embedding: embedding(base, name, events).await?,
            label: order.label.unwrap_or_default(),
            watched: Vec::new(),
        },
    };
    let known_better = match &card.embedding {
        Some(maker) => maker.known_better(&base.models.loader).await,
        None => None,
    };
    let watched = order.watched(&card.watched)?;
    if new || known_better.is_some() || watched != card.watched {
        card.embedding = known_better.or(card.embedding.take());
        card.watched = watched;
        base.write_card(name, &card).await?;
        let (name, watched) = (name.clone(), card.watched.clone());
        base.address.cast(Message::Watch { name, watched })?;
    }
    Ok(card)
}

/// What makes the embeddings of a new collection; nothing when there is no model for it.
async fn embedding(base: &KnowledgeBase, name: &str, events: &Events) -> Result<Option<Maker>> {
    match Embedder::default_of(&base.models).await {
        Ok(embedder) => embedder.maker().await.map(Some),
        Err(Error::EmbeddingModelNotChosen { problem, advice }) => {
            let models = base.models.loader.list().await?;
            let embeds = |model: &Model| {
                model.embedding_dimensions > 0 && model.state() == ModelState::Available
            };
            if models.iter().any(embeds) {
                return Err(Error::EmbeddingModelNotChosen { problem, advice });
            }
            let notice = format!("{problem}, so {name} is searched by words only; {advice}");
            tell(events, Event::Notice(notice)).await;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn tell(events: &Events, event: Event) {
    // Whoever is gone stops the ingestion; see `start`.
    let _ = events.send(Ok(IngestEvent { event: Some(event) })).await;
}

/// Documents of files that were in one of the `complete` folders and are not any more.
fn gone(
    known: &HashMap<String, Document>,
    complete: &[PathBuf],
    found: &[Source],
    refused: &HashSet<String>,
) -> Vec<String> {
    let found: HashSet<String> = found.iter().map(Source::name).collect();
    let below = |source: &str| complete.iter().any(|root| Path::new(source).starts_with(root));
    let stays = |source: &String| found.contains(source) || refused.contains(source);
    let gone = known.keys().filter(|source| below(source) && !stays(source));
    let mut gone: Vec<String> = gone.cloned().collect();
    gone.sort_unstable();
    gone
}

/// An ingestion under way.
struct Ingestion {
    shelf: Shelf,
    embedder: Arc<Lazy>,
    events: Events,
    progress: IngestProgress,
    finished: IngestFinished,
    /// Read and not yet stored.
    batch: Vec<Prepared>,
    refused: HashSet<String>,
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Ingestion {
    async fn take(&mut self, source: String, outcome: Outcome) -> Result<()> {
        self.progress.source.clone_from(&source);
        match outcome {
            Outcome::Unchanged => {
                self.finished.unchanged += 1;
                self.progress.done += 1;
            }
            Outcome::Refused(problem) => {
                self.refuse(source, problem).await;
                self.progress.done += 1;
            }
            Outcome::Failed(error) => return Err(error),
            Outcome::Prepared(prepared) => {
                self.batch.push(prepared);
                let chunks: usize = self.batch.iter().map(Prepared::chunks).sum();
                if chunks >= BATCH_CHUNKS || self.batch.len() >= BATCH_DOCUMENTS {
                    return self.store().await;
                }
                return Ok(());
            }
        }
        self.tell_progress().await;
        Ok(())
    }

    /// Embeds what was read and puts it on disk.
    async fn store(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let texts: Vec<String> = batch.iter().flat_map(Prepared::texts).collect();
        let mut vectors = Vec::new();
        if !texts.is_empty()
            && let Some(embedder) = self.embedder.get().await?
        {
            vectors = embedder.embed(texts).await?;
        }
        let mut vectors = vectors.into_iter();
        let done = count(batch.len());
        let of = |news: News| count(batch.iter().filter(|prepared| prepared.news == news).count());
        let (changed, recut) = (of(News::Changed), of(News::Recut));
        let stored = count(batch.iter().map(Prepared::chunks).sum());
        let mut reused = 0;
        let mut documents = Vec::with_capacity(batch.len());
        for prepared in batch {
            let (document, chunks, known) = prepared.embedded(&mut vectors);
            reused += count(known);
            documents.push((document, chunks));
        }
        let write = move |collection: &mut tandem_knowledge::Collection| {
            for (document, chunks) in documents {
                collection.replace(document, chunks)?;
            }
            collection.commit()
        };
        self.shelf.change(write).await?;
        self.finished.added += done - changed - recut;
        self.finished.changed += changed;
        self.finished.recut += recut;
        self.finished.chunks += stored;
        self.finished.reused += reused;
        self.progress.done += done;
        self.progress.chunks += stored;
        self.tell_progress().await;
        Ok(())
    }

    async fn forget(&mut self, sources: Vec<String>) -> Result<()> {
        if sources.is_empty() {
            return Ok(());
        }
        self.finished.removed = count(sources.len());
        let remove = move |collection: &mut tandem_knowledge::Collection| {
            for source in sources {
                collection.remove(&source)?;
            }
            collection.commit()
        };
        self.shelf.change(remove).await
    }

    async fn refuse(&mut self, source: String, problem: String) {
        self.finished.refused += 1;
        self.refused.insert(source.clone());
        tell(&self.events, Event::Refused(RefusedDocument { source, problem })).await;
    }

    async fn tell_progress(&self) {
        tell(&self.events, Event::Progress(self.progress.clone())).await;
    }
}

#[cfg(test)]
mod tests;
