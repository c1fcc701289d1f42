//! Folders whose documents are read again when something in them changes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tandem_proto::v1::{IngestRequest, Label, ingest_event::Event};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::card::Watched;
use super::{KnowledgeBase, blocking, label};
use crate::{Error, Result};

/// How long nothing may change before folders are read: who saves one file often saves others.
const QUIET: Duration = Duration::from_millis(500);
/// Longest time that changes that do not end are waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Before folders that could not be watched or read are tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// The watches of all collections. Dropping one ends it.
#[derive(Debug, Default)]
pub(super) struct Watches(HashMap<String, Watch>);

#[derive(Debug)]
struct Watch {
    watched: Vec<Watched>,
    _task: AbortOnDropHandle<()>,
}

impl Watches {
    /// Watches this for a collection from now on, and nothing else.
    pub(super) fn set(&mut self, base: &KnowledgeBase, name: &str, watched: Vec<Watched>) {
        if watched.is_empty() {
            self.forget(name);
        } else if self.0.get(name).is_none_or(|watch| watch.watched != watched) {
            let task = watch(base.clone(), name.to_owned(), watched.clone());
            let task = AbortOnDropHandle::new(tokio::spawn(task));
            self.0.insert(name.to_owned(), Watch { watched, _task: task });
        }
    }

    pub(super) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }
}

/// Reads the folders, as they may have changed while nobody watched, and again with every change.
async fn watch(base: KnowledgeBase, name: String, watched: Vec<Watched>) {
    loop {
        if let Err(error) = follow(&base, &name, &watched).await {
            warn!(collection = name, %error, "watched folders cannot be read; trying again soon");
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

async fn follow(base: &KnowledgeBase, name: &str, watched: &[Watched]) -> Result<()> {
    // One place is enough: it says that there was a change, not which.
    let (changed, mut changes) = mpsc::channel(1);
    let paths: Vec<PathBuf> = watched.iter().map(|it| it.path.clone()).collect();
    let watcher = blocking(move || watcher(&paths, changed)).await?;
    let _watcher = watcher.map_err(|error| {
        let problem = format!("its folders cannot be watched: {error}");
        Error::Collection { name: name.to_owned(), problem }
    })?;
    loop {
        for watched in watched {
            read(base, name, watched).await?;
        }
        if changes.recv().await.is_none() {
            return Ok(());
        }
        let patience = Instant::now() + PATIENCE;
        while let Ok(Ok(Some(()))) = timeout_at(patience, timeout(QUIET, changes.recv())).await {}
    }
}

fn watcher(paths: &[PathBuf], changed: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the folders is no change of them.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            let _ = changed.try_send(());
        }
    })?;
    for path in paths {
        watcher.watch(path, RecursiveMode::Recursive)?;
    }
    Ok(watcher)
}

async fn read(base: &KnowledgeBase, name: &str, watched: &Watched) -> Result<()> {
    let mut events = base.ingest(IngestRequest {
        collection: name.to_owned(),
        paths: vec![watched.path.display().to_string()],
        label: watched.label.map_or(Label::Unspecified, label).into(),
        metadata: watched.metadata.clone().into_iter().collect(),
        ..IngestRequest::default()
    })?;
    while let Some(event) = events.recv().await {
        match event?.event {
            Some(Event::Refused(refused)) => {
                warn!(
                    collection = name,
                    source = refused.source,
                    problem = refused.problem,
                    "left out"
                );
            }
            Some(Event::Finished(it)) if it.added + it.changed + it.removed > 0 => {
                let (added, changed, removed) = (it.added, it.changed, it.removed);
                info!(collection = name, added, changed, removed, "watched folders were read");
            }
            _ => {}
        }
    }
    Ok(())
}
