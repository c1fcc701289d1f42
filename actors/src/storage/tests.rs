//! Tests of the actors together: what was backed up is restored, whole or not at all.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use ractor::{Actor, ActorRef};
use tandem_config::Config;
use tandem_knowledge::{
    Chunk, Collection, Document, Embedded, EmbeddingSpace, Label, Place as Position,
};
use tandem_proto::v1::{Policy, Turn};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::Tree;
use crate::cache::Caches;
use crate::knowledge_base::{self, KnowledgeBaseActor};
use crate::memory_store::MemoryStoreActor;
use crate::model_loader::ModelLoader;

const DIMENSIONS: usize = 8;

/// What is stored in a folder, and those who own it.
struct Home {
    dir: TempDir,
    storage: Storage,
    store: ActorRef<memory_store::Message>,
    knowledge: ActorRef<knowledge_base::Message>,
    ended: [JoinHandle<()>; 2],
}

impl Home {
    async fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap()).await
    }

    async fn at(dir: TempDir) -> Self {
        let path = dir.path();
        let config = Config::defaults(path.to_owned(), path.join("tandem.sock"));
        let store = MemoryStore::new();
        let knowledge = KnowledgeBase::new(
            path.join("knowledge"),
            path.join("store").join(memory_store::COLLECTIONS),
            &ModelLoader::new(),
            &Caches::new(&config.memory),
            config.knowledge,
        );
        let search = MemorySearch::new(path.join("store-search"));
        let storage = Storage::new(&store, &search, &knowledge);
        let arguments = memory_store::Arguments {
            dir: path.join("store"),
            retention: Duration::ZERO,
            size_max: 0,
            handle: store,
            node: Tree::new().root("memory_store"),
        };
        let (store, store_ended) = Actor::spawn(None, MemoryStoreActor, arguments).await.unwrap();
        let node = Tree::new().root("knowledge_base");
        let arguments = knowledge_base::Arguments { handle: knowledge, node };
        let spawned = Actor::spawn(None, KnowledgeBaseActor, arguments).await.unwrap();
        let (knowledge, knowledge_ended) = spawned;
        Self { dir, storage, store, knowledge, ended: [store_ended, knowledge_ended] }
    }

    /// Stops, and hands over what is on disk.
    async fn stop(self) -> TempDir {
        self.store.stop(None);
        self.knowledge.stop(None);
        for ended in self.ended {
            ended.await.unwrap();
        }
        self.dir
    }

    async fn conversation(&self, turns: usize, prompt: &str) -> String {
        let store = &self.storage.store;
        let id = store.create_conversation("", Policy::Auto).await.unwrap().id;
        for _ in 0..turns {
            let turn = Turn { prompt: prompt.to_owned(), ..Turn::default() };
            store.commit_turn(&id, turn).await.unwrap();
        }
        id
    }

    async fn sources(&self, collection: &str) -> Vec<String> {
        let listed = self.storage.knowledge.documents(collection, 0, String::new()).await;
        listed.unwrap().0.into_iter().map(|document| document.source).collect()
    }

    async fn backup(&self) -> Vec<Vec<u8>> {
        let mut parts = self.storage.backup();
        let mut bytes = Vec::new();
        while let Some(part) = parts.recv().await {
            bytes.push(part.unwrap());
        }
        bytes
    }

    async fn restore(&self, parts: Vec<Vec<u8>>, overwrite: bool) -> Result<Restored> {
        let (sender, receiver) = mpsc::channel(1);
        let feed = async move {
            for part in parts {
                if sender.send(part).await.is_err() {
                    break;
                }
            }
        };
        tokio::join!(feed, self.storage.restore(receiver, overwrite)).1
    }
}

/// Makes a collection with these documents, as an ingestion would.
fn make(folder: &Path, name: &str, embeds: bool, sources: &[&str]) {
    let dir = folder.join(name);
    let space = EmbeddingSpace { model: "tiny".to_owned(), dimensions: DIMENSIONS };
    let space = embeds.then_some(space);
    let mut collection = Collection::open(&dir, space.as_ref()).unwrap();
    for (number, source) in sources.iter().enumerate() {
        let document = Document {
            source: (*source).to_owned(),
            title: String::new(),
            sha256: (*source).to_owned(),
            bytes: 1,
            modified: 0,
            metadata: BTreeMap::new(),
            label: Label::LocalOnly,
            cut: None,
        };
        let mut vector = vec![0.0; if embeds { DIMENSIONS } else { 0 }];
        vector.iter_mut().skip(number % DIMENSIONS).take(1).for_each(|it| *it = 1.0);
        let chunk = Chunk { ordinal: 0, text: format!("of {source}"), place: Position::default() };
        collection.replace(document, vec![Embedded { chunk, vector }]).unwrap();
        collection.commit().unwrap();
    }
    let card = serde_json::json!({ "embedding": space, "label": "local-only", "watched": [] });
    fs::write(dir.join("collection.json"), card.to_string()).unwrap();
}

async fn home_with_collections() -> Home {
    let dir = tempfile::tempdir().unwrap();
    let knowledge = dir.path().join("knowledge");
    make(&knowledge, "notes", true, &["a", "b", "c"]);
    make(&knowledge, "words", false, &["d"]);
    Home::at(dir).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_restored_is_what_was_there_and_the_store_before_is_kept() {
    let (home, other) = (Home::new().await, Home::new().await);
    let id = home.conversation(30, &"words ".repeat(50_000)).await;
    let parts = home.backup().await;
    assert!(parts.len() > 2);

    let restored = other.restore(parts.clone(), false).await.unwrap();
    assert!(restored.records > 30);
    assert_eq!((restored.collections, restored.previous_collections), (0, None));
    let turns = home.storage.store.turns(&id).await.unwrap();
    assert_eq!(other.storage.store.turns(&id).await.unwrap(), turns);
    let refused = other.restore(parts.clone(), false).await.unwrap_err();
    assert!(matches!(refused, Error::Invalid { .. }), "{refused}");
    let lost = Turn { prompt: "lost by the restore".to_owned(), ..Turn::default() };
    other.storage.store.commit_turn(&id, lost).await.unwrap();
    let restored = other.restore(parts, true).await.unwrap();
    assert_eq!(other.storage.store.turns(&id).await.unwrap().len(), 30);
    assert_eq!(other.storage.check(false).await.unwrap().findings, []);

    let kept = restored.previous.unwrap();
    let dir = other.stop().await;
    fs::remove_dir_all(dir.path().join("store")).unwrap();
    fs::rename(kept, dir.path().join("store")).unwrap();
    let kept = Home::at(dir).await;
    let last = kept.storage.store.recent_turns(&id, 1).await.unwrap();
    assert_eq!(last[0].prompt, "lost by the restore");
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_are_restored_with_the_store_and_replaced_only_when_told_to() {
    let home = home_with_collections().await;
    let id = home.conversation(1, "why?").await;
    let parts = home.backup().await;

    let dir = tempfile::tempdir().unwrap();
    make(&dir.path().join("knowledge"), "notes", false, &["of before"]);
    let other = Home::at(dir).await;
    // It is open.
    assert_eq!(other.sources("notes").await, ["of before"]);
    let refused = other.restore(parts.clone(), false).await.unwrap_err();
    assert!(refused.to_string().contains("--overwrite"), "{refused}");
    assert_eq!(other.sources("notes").await, ["of before"]);
    assert!(other.storage.store.conversation(&id).await.is_err(), "nothing of it was restored");

    let restored = other.restore(parts.clone(), true).await.unwrap();
    assert_eq!(restored.collections, 2);
    assert_eq!(other.sources("notes").await, ["a", "b", "c"]);
    assert_eq!(other.sources("words").await, ["d"]);
    assert_eq!(other.storage.store.turns(&id).await.unwrap().len(), 1);
    let checked = other.storage.check(false).await.unwrap();
    assert_eq!((checked.collections, checked.findings), (2, vec![]));
    let kept = Collection::open(&restored.previous_collections.unwrap().join("notes"), None);
    assert_eq!(kept.unwrap().documents(None, 9).unwrap()[0].0.source, "of before");

    // What was restored can be changed, and is there in the next life.
    let removed = other.storage.knowledge.remove("notes", vec!["b".to_owned()]).await;
    assert_eq!(removed.unwrap(), ["b"]);
    let other = Home::at(other.stop().await).await;
    assert_eq!(other.sources("notes").await, ["a", "c"]);
    let nothing_here = Home::new().await;
    let restored = nothing_here.restore(parts, false).await.unwrap();
    assert_eq!((restored.collections, restored.previous_collections), (2, None));
    assert_eq!(nothing_here.sources("notes").await, ["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_without_collections_leaves_those_that_are_here() {
    let (home, other) = (Home::new().await, home_with_collections().await);
    let id = home.conversation(1, "why?").await;
    let restored = other.restore(home.backup().await, false).await.unwrap();
    assert_eq!((restored.collections, restored.previous_collections), (0, None));
    assert_eq!(other.storage.store.turns(&id).await.unwrap().len(), 1);
    assert_eq!(other.sources("notes").await, ["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_not_whole_changes_nothing_and_leaves_nothing() {
    let home = home_with_collections().await;
    let id = home.conversation(1, "here").await;
    let mut parts = home.backup().await;
    parts.pop();
    for _ in 0..2 {
        let refused = home.restore(parts.clone(), true).await.unwrap_err();
        assert!(refused.to_string().contains("not whole"), "{refused}");
        assert_eq!(home.storage.store.turns(&id).await.unwrap().len(), 1);
        assert_eq!(home.sources("notes").await, ["a", "b", "c"]);
    }
    // Another one begins where the broken ones ended.
    home.storage.store.compact().await.unwrap();
    let dir = home.stop().await;
    let names = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name());
    let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    let left = |name: &String| name.contains("new") || name.contains("before");
    assert!(!names.iter().any(left), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_leads_out_of_its_folder_is_refused() {
    let (home, other) = (Home::new().await, Home::new().await);
    home.conversation(1, "here").await;
    let mut parts = home.backup().await;
    // A whole file, as somebody with bad intentions could make it.
    let mut writer = format::Writer::default();
    let mut copy = home.storage.store.copy().await.unwrap();
    parts.clear();
    while let Some(records) = copy.next().await.unwrap() {
        parts.push(writer.records(&records));
    }
    let file = "../../../outside".to_owned();
    let piece = Piece { collection: "notes".to_owned(), file, bytes: b"x".to_vec() };
    parts.push(writer.piece(piece));
    parts.push(writer.end());
    let refused = other.restore(parts, false).await.unwrap_err();
    assert!(refused.to_string().contains("no collection has"), "{refused}");
    assert_eq!(other.storage.store.list_conversations(0, "").await.unwrap().0, []);
    assert!(!other.dir.path().join("outside").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_that_a_crash_kept_from_their_place_get_there_at_the_next_start() {
    let home = home_with_collections().await;
    home.conversation(1, "here").await;
    let dir = home.stop().await;
    make(&dir.path().join("store").join(memory_store::COLLECTIONS), "notes", true, &["restored"]);
    let home = Home::at(dir).await;
    assert_eq!(home.sources("notes").await, ["restored"]);
    let gone = home.storage.knowledge.check("words").await.unwrap_err();
    assert!(matches!(gone, Error::CollectionNotFound { .. }), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_collections_that_are_not_in_their_place_is_not_removed() {
    let home = Home::new().await;
    home.conversation(1, "here").await;
    fs::create_dir(home.dir.path().join("store").join(memory_store::COLLECTIONS)).unwrap();
    let refused = home.storage.store.compact().await.unwrap_err();
    assert!(refused.to_string().contains("restart tandem"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_restore_or_compaction_goes_on_at_a_time() {
    let home = Home::new().await;
    home.conversation(1, "here").await;
    let (sender, receiver) = mpsc::channel(1);
    let parts = home.backup().await;
    sender.send(parts[0].clone()).await.unwrap();
    let restoring = tokio::spawn({
        let storage = home.storage.clone();
        async move { storage.restore(receiver, true).await }
    });
    // It has begun once it took the first part.
    let permit = sender.reserve().await.unwrap();
    let refused = home.storage.store.compact().await.unwrap_err();
    assert!(refused.to_string().contains("under way"), "{refused}");
    permit.send(parts[1..].concat());
    drop(sender);
    restoring.await.unwrap().unwrap();
    home.storage.store.compact().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_what_is_broken_in_collections_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let knowledge = dir.path().join("knowledge");
    make(&knowledge, "damaged", true, &["a", "b"]);
    make(&knowledge, "unusable", true, &["c"]);
    make(&knowledge, "well", true, &["d"]);
    let vectors = knowledge.join("damaged/vectors-0.exact");
    let mut bytes = fs::read(&vectors).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&vectors, bytes).unwrap();
    fs::write(knowledge.join("unusable/words/meta.json"), "{").unwrap();
    let home = Home::at(dir).await;
    let checked = home.storage.check(true).await.unwrap();
    assert_eq!(checked.collections, 3);
    let [damaged, unusable] = &checked.findings[..] else { unreachable!("{checked:?}") };
    assert!(damaged.what.contains("collection damaged") && damaged.what.contains("row 1"));
    assert!(damaged.advice.contains("ingest b again"), "{damaged:?}");
    assert!(unusable.what.contains("\"unusable\""), "{unusable:?}");
    assert!(unusable.advice.contains("knowledge delete"), "{unusable:?}");

    // A backup that lacks something is none.
    let mut parts = home.storage.backup();
    let mut last = None;
    while let Some(part) = parts.recv().await {
        last = Some(part);
    }
    let refused = last.unwrap().unwrap_err();
    assert!(refused.to_string().contains("\"unusable\""), "{refused}");
}
