//! Folders and files whose documents are read again when something in them changes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
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
    let watchers = blocking(move || watchers(paths, &changed)).await?;
    let _watchers = watchers.map_err(|error| {
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

/// One watcher for all folders, and one for all files. A file that is replaced by another, as editors do
/// it, is another one to the system, so the folder that it is in is watched.
fn watchers(
    paths: Vec<PathBuf>,
    changed: &mpsc::Sender<()>,
) -> notify::Result<Vec<RecommendedWatcher>> {
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for path in paths {
        if path.metadata().map_err(notify::Error::io)?.is_dir() {
            folders.push(path);
        } else {
            files.push(path);
        }
    }
    let mut watchers = Vec::new();
    if !folders.is_empty() {
        let folders = folders.iter().map(PathBuf::as_path);
        watchers.push(watcher(folders, RecursiveMode::Recursive, changed.clone(), |_| true)?);
    }
    if !files.is_empty() {
        let parents: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
        let concerns = about(&files);
        let parents = parents.into_iter();
        watchers.push(watcher(parents, RecursiveMode::NonRecursive, changed.clone(), concerns)?);
    }
    Ok(watchers)
}

/// Whether an event in the folder of one of these files may be about it. Systems give paths in other ways
/// than they were given, but the names are the same.
fn about(files: &[PathBuf]) -> impl Fn(&notify::Event) -> bool + Send + 'static {
    let name = |file: &PathBuf| file.file_name().map(OsStr::to_owned);
    let names: HashSet<OsString> = files.iter().filter_map(name).collect();
    move |event| {
        let is_one = |path: &PathBuf| path.file_name().is_some_and(|name| names.contains(name));
        event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(is_one)
    }
}

fn watcher<'a>(
    paths: impl Iterator<Item = &'a Path>,
    mode: RecursiveMode,
    changed: mpsc::Sender<()>,
    concerns: impl Fn(&notify::Event) -> bool + Send + 'static,
) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the folders is no change of them.
        if !event.is_ok_and(|event| event.kind.is_access() || !concerns(&event)) {
            let _ = changed.try_send(());
        }
    })?;
    for path in paths {
        watcher.watch(path, mode)?;
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
            Some(Event::Finished(it)) if it.added + it.changed + it.recut + it.removed > 0 => {
                let (added, changed, recut, removed) = (it.added, it.changed, it.recut, it.removed);
                info!(
                    collection = name,
                    added, changed, recut, removed, "watched folders were read"
                );
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    #[test]
    fn only_the_watched_files_of_a_folder_matter() {
        let concerns = about(&[PathBuf::from("/a/notes.md"), PathBuf::from("/b/todo.txt")]);
        let event = |paths: &[&str]| notify::Event {
            paths: paths.iter().map(PathBuf::from).collect(),
            ..notify::Event::default()
        };
        assert!(!concerns(&event(&["/a/.notes.md.swp"])));
        assert!(!concerns(&event(&["/a"])));
        assert!(concerns(&event(&["/a/.notes.md.swp", "/a/notes.md"])));
        assert!(concerns(&event(&["/private/b/todo.txt"])));
        assert!(concerns(&event(&[])), "what is not known may be about them");
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_by_another_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, draft) = (dir.path().join("notes.md"), dir.path().join(".notes.md.swp"));
        fs::write(&file, "first").unwrap();
        fs::write(&draft, "second").unwrap();
        let (changed, mut changes) = mpsc::channel(1);
        let _watchers = watchers(vec![file.clone()], &changed).unwrap();
        fs::rename(&draft, &file).unwrap();
        timeout(SOON, changes.recv()).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_folder_is_watched_to_its_bottom_beside_files() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(dir.path().join("deep")).unwrap();
        let file = other.path().join("notes.md");
        fs::write(&file, "first").unwrap();
        let (changed, mut changes) = mpsc::channel(1);
        let _watchers = watchers(vec![dir.path().to_owned(), file], &changed).unwrap();
        fs::write(dir.path().join("deep/new.md"), "new").unwrap();
        timeout(SOON, changes.recv()).await.unwrap().unwrap();
        let absent = watchers(vec![dir.path().join("absent")], &changed);
        assert!(absent.is_err(), "what is not there is looked for later");
    }
}
