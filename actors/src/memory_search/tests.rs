//! Tests of the search with a real store.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use std::fs;
use std::iter;

use tandem_proto::v1::{Policy, Turn};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::Tree;
use crate::memory_store::{self, MemoryStoreActor};

struct Life {
    dir: TempDir,
    store: MemoryStore,
    search: MemorySearch,
    store_actor: ActorRef<memory_store::Message>,
    search_actor: ActorRef<Message>,
    ended: Vec<JoinHandle<()>>,
}

impl Life {
    async fn start(dir: TempDir) -> Self {
        let tree = Tree::new();
        let root = tree.root("tandem");
        let store = MemoryStore::new();
        let arguments = memory_store::Arguments {
            dir: dir.path().join("store"),
            retention: Duration::ZERO,
            size_max: 0,
            handle: store.clone(),
            node: root.child("memory_store"),
        };
        let (store_actor, store_ended) =
            Actor::spawn(None, MemoryStoreActor, arguments).await.unwrap();
        let search = MemorySearch::new(dir.path().join("store-search"));
        let arguments = Arguments {
            store: store.clone(),
            handle: search.clone(),
            node: root.child("memory_search"),
        };
        let (search_actor, search_ended) =
            Actor::spawn(None, MemorySearchActor, arguments).await.unwrap();
        let ended = vec![search_ended, store_ended];
        Self { dir, store, search, store_actor, search_actor, ended }
    }

    async fn stop(self) -> TempDir {
        self.search_actor.stop(None);
        self.search_actor.wait(None).await.unwrap();
        self.store_actor.stop(None);
        for ended in self.ended {
            ended.await.unwrap();
        }
        self.dir
    }

    async fn conversation(&self, turns: &[(&str, &str)]) -> String {
        let id = self.store.create_conversation("", Policy::Auto).await.unwrap().id;
        for (prompt, answer) in turns {
            let (prompt, answer) = ((*prompt).to_owned(), (*answer).to_owned());
            // Named by what tells it from the others.
            let name = if answer.is_empty() { prompt.clone() } else { answer.clone() };
            let turn = Turn { id: name, prompt, answer, ..Turn::default() };
            self.store.commit_turn(&id, turn).await.unwrap();
        }
        id
    }

    async fn turns(&self, query: &str) -> Vec<String> {
        let found = self.search.find(query, 0).await.unwrap();
        found.into_iter().map(|found| found.turn_id).collect()
    }
}

async fn start() -> Life {
    Life::start(tempfile::tempdir().unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_just_stored_is_found_with_its_place_and_a_snippet() {
    let life = start().await;
    let long = format!("{} the GRÜNE tea {}", "before ".repeat(100), "behind ".repeat(100));
    let id = life.conversation(&[("which one?", &long), ("green?", "no")]).await;
    let found = life.search.find("grune", 0).await.unwrap();
    assert_eq!(found.len(), 1);
    let Found { conversation, turn_id, created, snippet, marked, .. } = &found[0];
    assert_eq!((&conversation.id, turn_id), (&id, &long));
    assert!(created.is_some());
    assert!(snippet.len() < 200, "{snippet}");
    let (begin, end) = marked[0];
    assert_eq!(&snippet[begin as usize..end as usize], "GRÜNE");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_words_count_and_of_equals_the_latest_comes_first() {
    let life = start().await;
    life.conversation(&[
        ("red apples", "first"),
        ("red pears", "second"),
        ("red apples", "third"),
        ("apples red", "fourth"),
    ])
    .await;
    assert_eq!(life.turns("red apples").await, ["fourth", "third", "first"]);
    assert_eq!(life.turns("\"red apples\"").await, ["third", "first"]);
    assert_eq!(life.turns("red -apples").await, ["second"]);
    assert_eq!(life.turns("pears OR first").await.len(), 2);
    assert_eq!(life.search.find("red", 2).await.unwrap().len(), 2);
    for odd in ["\"", "((", "a:b:c", "title:x^", "\u{0}", "*", "[a TO", "-red"] {
        life.search.find(odd, 0).await.unwrap();
    }
    for query in ["", "  ", &"x".repeat(QUERY_BYTES_MAX + 1)] {
        assert!(matches!(life.search.find(query, 0).await, Err(Error::Invalid { .. })));
    }
    assert!(matches!(life.search.find("x", 101).await, Err(Error::Invalid { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_or_replaced_is_found_no_more() {
    let life = start().await;
    let id = life.conversation(&[("unicorn", ""), ("dragon", "")]).await;
    life.conversation(&[("unicorn too", "")]).await;
    assert_eq!(life.turns("unicorn").await.len(), 2);
    life.store.delete_conversation(&id).await.unwrap();
    assert_eq!(life.turns("unicorn").await, ["unicorn too"]);
    assert_eq!(life.turns("dragon").await, [""; 0]);
    let id = life.conversation(&[("griffin", "")]).await;
    assert_eq!(life.turns("griffin").await.len(), 1);
    let conversation = life.store.conversation(&id).await.unwrap();
    let prompt = "phoenix".to_owned();
    let turn = Turn { id: prompt.clone(), prompt, ..Turn::default() };
    life.store.import_conversation(conversation, vec![turn], true).await.unwrap();
    assert_eq!(life.turns("griffin").await, [""; 0]);
    assert_eq!(life.turns("phoenix").await, ["phoenix"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_was_away_follows_and_a_damaged_one_is_made_anew() {
    let life = start().await;
    life.conversation(&[("zebra", "")]).await;
    assert_eq!(life.turns("zebra").await.len(), 1);
    life.search_actor.stop(None);
    life.search_actor.wait(None).await.unwrap();
    life.conversation(&[("zebra again", "")]).await;
    let dir = life.stop().await;

    let life = Life::start(dir).await;
    assert_eq!(life.turns("zebra").await.len(), 2);
    let mut dir = life.stop().await;
    let index = dir.path().join("store-search");
    let damages: [&dyn Fn(); 4] = [
        &|| fs::remove_dir_all(&index).unwrap(),
        &|| fs::write(index.join("meta.json"), b"{").unwrap(),
        &|| {
            for entry in fs::read_dir(&index).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|it| it != "json" && it != "lock") {
                    fs::write(path, b"damaged").unwrap();
                }
            }
        },
        &|| {
            let meta = fs::read_to_string(index.join("meta.json")).unwrap();
            let other = meta.replace("\\\"version\\\":1", "\\\"version\\\":999");
            assert_ne!(meta, other);
            fs::write(index.join("meta.json"), other).unwrap();
        },
    ];
    for (number, damage) in iter::zip(0.., damages) {
        damage();
        let life = Life::start(dir).await;
        assert_eq!(life.turns("zebra").await.len(), 2, "damage {number}");
        dir = life.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_replaced_gets_an_index_of_its_own() {
    let life = start().await;
    let id = life.conversation(&[("secretword", "")]).await;
    life.conversation(&[("otherword", "")]).await;
    assert_eq!(life.turns("secretword").await.len(), 1);
    life.store.delete_conversation(&id).await.unwrap();
    life.store.compact().await.unwrap();
    life.search.refresh().await.unwrap();
    assert_eq!(life.turns("otherword").await.len(), 1);
    let dir = life.stop().await;
    let mut folders = vec![dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let content = fs::read(entry.path()).unwrap();
                let found = content.windows(10).any(|bytes| bytes == b"secretword");
                assert!(!found, "{} has it", entry.path().display());
            }
        }
    }
}
