//! Tests of the actor: it answers, ends, restarts and lets go of its directory.
#![allow(clippy::unwrap_used, reason = "tests")]
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::Tree;

struct Life {
    store: MemoryStore,
    actor: ActorRef<Message>,
    ended: JoinHandle<()>,
}

fn arguments(dir: &TempDir, store: &MemoryStore, node: Node) -> Arguments {
    Arguments {
        dir: dir.path().join("store"),
        retention: Duration::ZERO,
        size_max: 0,
        handle: store.clone(),
        node,
    }
}

async fn start(dir: &TempDir, store: MemoryStore) -> Life {
    let node = Tree::new().root("memory_store");
    let arguments = arguments(dir, &store, node);
    let (actor, ended) = Actor::spawn(None, MemoryStoreActor, arguments).await.unwrap();
    Life { store, actor, ended }
}

fn turn(prompt: &str) -> Turn {
    Turn { prompt: prompt.to_owned(), ..Turn::default() }
}

#[tokio::test]
async fn a_committed_turn_is_there_in_the_next_life() {
    let dir = tempfile::tempdir().unwrap();
    let life = start(&dir, MemoryStore::new()).await;
    let id = life.store.create_conversation("", Policy::Auto).await.unwrap().id;
    life.store.commit_turn(&id, turn("why?")).await.unwrap();
    // A kill runs no clean-up of the actor.
    life.actor.kill();
    life.ended.await.unwrap();
    assert!(matches!(life.store.conversation(&id).await, Err(Error::Restarting { .. })));

    let life = start(&dir, life.store).await;
    let turns = life.store.turns(&id).await.unwrap();
    assert_eq!(turns.len(), 1);
    assert_eq!(turns[0].prompt, "why?");
    assert_eq!(life.store.list_conversations(0, "").await.unwrap().0[0].title, "why?");
}

#[tokio::test]
async fn many_commits_at_once_are_all_stored() {
    let dir = tempfile::tempdir().unwrap();
    let life = start(&dir, MemoryStore::new()).await;
    let id = life.store.create_conversation("all", Policy::Auto).await.unwrap().id;
    let commits = (0..100).map(|n| {
        let (store, id) = (life.store.clone(), id.clone());
        async move { store.commit_turn(&id, turn(&n.to_string())).await }
    });
    for commit in futures::future::join_all(commits).await {
        commit.unwrap();
    }
    assert_eq!(life.store.turns(&id).await.unwrap().len(), 100);
    // The answer comes a moment before the place in the queue is given up.
    while life.store.accepted() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn requests_past_the_limit_are_refused_and_their_permits_return() {
    let dir = tempfile::tempdir().unwrap();
    let life = start(&dir, MemoryStore::new()).await;
    let asked = (0..REQUESTS_MAX + 10).map(|_| life.store.create_conversation("x", Policy::Auto));
    let outcomes = futures::future::join_all(asked).await;
    let refused =
        outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::Overloaded { .. }))).count();
    assert_eq!(refused, 10);
    assert_eq!(life.store.accepted(), 0);
    life.store.create_conversation("one more", Policy::Auto).await.unwrap();
}

#[tokio::test]
async fn a_stopped_store_has_let_go_of_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let life = start(&dir, MemoryStore::new()).await;
    life.actor.stop(None);
    life.ended.await.unwrap();
    let lock = std::fs::File::open(dir.path().join("store/lock")).unwrap();
    lock.try_lock().unwrap();
}

#[tokio::test]
async fn a_directory_in_use_is_a_start_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let _life = start(&dir, MemoryStore::new()).await;
    let node = Tree::new().root("memory_store");
    let store = MemoryStore::new();
    let arguments = arguments(&dir, &store, node);
    let error = Actor::spawn(None, MemoryStoreActor, arguments).await.err().unwrap();
    assert!(error.to_string().contains("another process has it open"), "{error}");
}

#[tokio::test]
async fn the_actor_ends_when_its_thread_does() {
    let dir = tempfile::tempdir().unwrap();
    let life = start(&dir, MemoryStore::new()).await;
    life.actor.cast(Message::Ended("a write failed".to_owned())).unwrap();
    life.ended.await.unwrap();
    let error = life.store.create_conversation("x", Policy::Auto).await.unwrap_err();
    assert!(matches!(error, Error::Restarting { .. }), "{error}");
}

#[tokio::test]
async fn engine_choices_are_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let life = start(&dir, MemoryStore::new()).await;
    assert_eq!(life.store.engine_choice("a").await.unwrap(), None);
    life.store.remember_engine_choice("a", "1").await.unwrap();
    life.store.remember_engine_choice("a", "2").await.unwrap();
    assert_eq!(life.store.engine_choice("a").await.unwrap().as_deref(), Some("2"));
    life.store.delete_conversation("none").await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_keeps_what_is_stored_meanwhile_and_gives_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let life = start(&dir, MemoryStore::new()).await;
    let (kept, gone) = (
        life.store.create_conversation("kept", Policy::Auto).await.unwrap().id,
        life.store.create_conversation("gone", Policy::Auto).await.unwrap().id,
    );
    for number in 0..40 {
        life.store.commit_turn(&gone, turn(&format!("{number}").repeat(100_000))).await.unwrap();
    }
    life.store.delete_conversation(&gone).await.unwrap();
    let commits = async {
        for number in 0..200 {
            life.store.commit_turn(&kept, turn(&number.to_string())).await.unwrap();
        }
    };
    let ((), compacted) = tokio::join!(commits, life.store.compact());
    let compacted = compacted.unwrap();
    assert!(compacted.bytes_after < compacted.bytes_before / 2, "{compacted:?}");
    assert_eq!(life.store.turns(&kept).await.unwrap().len(), 200);
    assert_eq!(life.store.check(false).await.unwrap().findings, []);
    let stats = life.store.stats().await.unwrap();
    assert_eq!((stats.conversations, stats.turns), (1, 200));
    assert!(stats.logical_bytes > 0 && stats.disk_bytes >= stats.logical_bytes, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_past_their_time_or_beyond_the_size_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let life = start(&dir, MemoryStore::new()).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = life.store.create_conversation("", Policy::Auto).await.unwrap().id;
        life.store.commit_turn(&id, turn(&"x".repeat(50_000))).await.unwrap();
        ids.push(id);
    }
    let day = Duration::from_hours(24);
    let now = std::time::SystemTime::now();
    let tidy = |retention, size_max, now| life.store.tidy(retention, size_max, now);
    assert_eq!(tidy(day, 0, now).await.unwrap().conversations, 0);
    assert_eq!(tidy(Duration::ZERO, 1 << 30, now + 9 * day).await.unwrap().conversations, 0);
    assert_eq!(tidy(day, 120_000, now).await.unwrap().conversations, 1);
    assert!(life.store.conversation(&ids[0]).await.is_err(), "the oldest goes");
    assert_eq!(tidy(day, 120_000, now + 2 * day).await.unwrap().conversations, 2);
    assert_eq!(life.store.list_conversations(0, "").await.unwrap().0, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_for_too_long_goes_when_the_store_starts() {
    let dir = tempfile::tempdir().unwrap();
    let life = start(&dir, MemoryStore::new()).await;
    let old = Conversation {
        id: uuid::Uuid::from_u128(77).to_string(),
        updated: Some(prost_types::Timestamp { seconds: 1_000_000, nanos: 0 }),
        ..Conversation::default()
    };
    life.store.import_conversation(old.clone(), vec![turn("old")], false).await.unwrap();
    life.actor.stop(None);
    life.ended.await.unwrap();
    let node = Tree::new().root("memory_store");
    let arguments =
        Arguments { retention: Duration::from_hours(1), ..arguments(&dir, &life.store, node) };
    let (_actor, _ended) = Actor::spawn(None, MemoryStoreActor, arguments).await.unwrap();
    while life.store.conversation(&old.id).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
