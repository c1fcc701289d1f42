//! Measures how many turns the store takes when many callers commit at once, how many of them share a
//! flush, and how long search, backup and compaction take then.
//!
//! ```text
//! cargo run --release -p tandem-actors --example group-commit -- FOLDER [TURNS]
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement for people")]
#![allow(clippy::cast_precision_loss, reason = "numbers are shown")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::future::join_all;
use ractor::Actor;
use tandem_actors::Tree;
use tandem_actors::cache::Caches;
use tandem_actors::knowledge_base::KnowledgeBase;
use tandem_actors::memory_search::{self, MemorySearch, MemorySearchActor};
use tandem_actors::memory_store::{self, MemoryStore, MemoryStoreActor};
use tandem_actors::model_loader::ModelLoader;
use tandem_actors::storage::Storage;
use tandem_config::Config;
use tandem_proto::v1::{Policy, Turn};

/// Callers at once.
const CALLERS: [usize; 5] = [1, 4, 16, 64, 200];
const TURNS: usize = 4000;
const WORDS: [&str; 8] = ["why", "is", "the", "green", "tea", "never", "quite", "cold"];

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().expect("a folder that is not there yet"));
    let turns = arguments.next().map_or(TURNS, |turns| turns.parse().expect("a number of turns"));
    let tree = Tree::new();
    let root = tree.root("tandem");
    let (store, search) = (MemoryStore::new(), MemorySearch::new(dir.join("store-search")));
    let arguments = memory_store::Arguments {
        dir: dir.join("store"),
        retention: Duration::ZERO,
        size_max: 0,
        handle: store.clone(),
        node: root.child("memory_store"),
    };
    let (store_actor, _) = Actor::spawn(None, MemoryStoreActor, arguments).await.unwrap();

    println!("callers  turns/s  turns/flush");
    for callers in CALLERS {
        let before = store.stats().await.unwrap();
        let begin = Instant::now();
        join_all((0..callers).map(|caller| commit(&store, caller, turns / callers))).await;
        let elapsed = begin.elapsed().as_secs_f64();
        let after = store.stats().await.unwrap();
        let committed = (after.committed - before.committed) as f64;
        // Each caller began a conversation, which is a change of its own.
        let flushes = (after.flushes - before.flushes) as f64;
        println!("{callers:7}  {:7.0}  {:11.1}", committed / elapsed, committed / flushes);
    }

    let arguments = memory_search::Arguments {
        store: store.clone(),
        handle: search.clone(),
        node: root.child("memory_search"),
    };
    let (search_actor, _) = Actor::spawn(None, MemorySearchActor, arguments).await.unwrap();
    let begin = Instant::now();
    search.refresh().await.unwrap();
    println!("index of all turns: {:?}, {} KiB", begin.elapsed(), search.disk_bytes().await >> 10);
    let begin = Instant::now();
    let found = search.find("\"green tea\" never", 20).await.unwrap().len();
    println!("search: {:?}, {found} found", begin.elapsed());
    let begin = Instant::now();
    let (mut parts, mut bytes) = (storage(&store, &search, &dir).backup(), 0);
    while let Some(part) = parts.recv().await {
        bytes += part.unwrap().len();
    }
    println!("backup: {:?}, {} KiB", begin.elapsed(), bytes >> 10);
    let begin = Instant::now();
    let report = store.check(false).await.unwrap();
    println!(
        "check: {:?}, {} records, {} findings",
        begin.elapsed(),
        report.records,
        report.findings.len()
    );
    let begin = Instant::now();
    let compacted = store.compact().await.unwrap();
    let (before, after) = (compacted.bytes_before >> 10, compacted.bytes_after >> 10);
    println!("compaction: {:?}, {before} KiB before, {after} KiB after", begin.elapsed());
    search_actor.stop_and_wait(None, None).await.unwrap();
    store_actor.stop_and_wait(None, None).await.unwrap();
}

/// All that is stored: there are no documents.
fn storage(store: &MemoryStore, search: &MemorySearch, dir: &Path) -> Storage {
    let config = Config::defaults(dir.to_owned(), dir.join("socket"));
    let caches = Caches::new(&config.memory);
    let folders = (dir.join("knowledge"), dir.join("restored"));
    let loader = ModelLoader::new();
    let knowledge =
        KnowledgeBase::new(folders.0, folders.1, &loader, &caches, config.knowledge.clone());
    Storage::new(store, search, &knowledge)
}

async fn commit(store: &MemoryStore, caller: usize, turns: usize) {
    let id = store.create_conversation("measured", Policy::Auto).await.unwrap().id;
    for number in 0..turns {
        let words = (0..60).map(|at| WORDS[(number * 7 + at * at + caller) % WORDS.len()]);
        let prompt = words.collect::<Vec<_>>().join(" ");
        let turn = Turn { answer: prompt.repeat(2), prompt, ..Turn::default() };
        store.commit_turn(&id, turn).await.unwrap();
    }
}
