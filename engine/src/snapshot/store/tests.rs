#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use std::fs;

const STATE_BYTES: usize = 100;

fn open(folder: Option<&Path>, memory_bytes: usize) -> Store {
    Store::open(Key::of("ours"), &Budget { memory_bytes, folder, disk_bytes: 1 << 20 })
}

/// A prefix, and a prompt that goes on behind it.
fn prefix(first: u32) -> (Vec<u32>, Vec<u32>) {
    let prefix: Vec<u32> = (first..).take(128).collect();
    let prompt = prefix.iter().copied().chain([0]).collect();
    (prefix, prompt)
}

#[allow(clippy::unnecessary_wraps, reason = "what the store wants")]
fn state() -> Option<Vec<u8>> {
    Some(vec![3; STATE_BYTES])
}

fn not_wanted() -> Option<Vec<u8>> {
    panic!("there is no use for another copy")
}

/// Length of the longest prefix, and whether it has to be read from disk.
fn longest(store: &Store, prompt: &[u32]) -> (usize, bool) {
    let found = store.longest(prompt);
    (found, found > store.memory.longest(prompt))
}

#[test]
fn a_persisted_prefix_outlives_the_engine() {
    let dir = tempfile::tempdir().unwrap();
    let (prefix, prompt) = prefix(1);
    let mut store = open(Some(dir.path()), 1 << 20);
    store.persist(&prefix, STATE_BYTES, state);
    assert_eq!(longest(&store, &prompt), (prefix.len(), false));
    drop(store);

    let mut store = open(Some(dir.path()), 1 << 20);
    assert_eq!(longest(&store, &prompt), (prefix.len(), true));
    assert_eq!(store.load(&prefix).unwrap().state, state().unwrap());
    assert_eq!(longest(&store, &prompt), (prefix.len(), false));
    store.persist(&prefix, STATE_BYTES, not_wanted);
}

#[test]
fn a_kept_prefix_ends_with_the_engine() {
    let dir = tempfile::tempdir().unwrap();
    let (prefix, prompt) = prefix(1);
    let mut store = open(Some(dir.path()), 1 << 20);
    store.keep(&prefix, STATE_BYTES, state);
    store.keep(&prefix, STATE_BYTES, not_wanted);
    assert_eq!(store.load(&prefix).unwrap().tokens, prefix);
    drop(store);
    assert_eq!(open(Some(dir.path()), 1 << 20).longest(&prompt), 0);
}

#[test]
fn a_kept_prefix_can_be_persisted_without_another_copy() {
    let dir = tempfile::tempdir().unwrap();
    let (prefix, prompt) = prefix(1);
    let mut store = open(Some(dir.path()), 1 << 20);
    store.keep(&prefix, STATE_BYTES, state);
    store.persist(&prefix, STATE_BYTES, not_wanted);
    drop(store);
    assert!(open(Some(dir.path()), 0).longest(&prompt) > 0);
}

#[test]
fn without_memory_there_is_still_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (prefix, prompt) = prefix(1);
    let mut store = open(Some(dir.path()), 0);
    store.keep(&prefix, STATE_BYTES, not_wanted);
    store.persist(&prefix, STATE_BYTES, state);
    drop(store);
    let mut store = open(Some(dir.path()), 0);
    for _ in 0..2 {
        assert_eq!(longest(&store, &prompt), (prefix.len(), true));
        assert!(store.load(&prefix).is_some());
    }
}

#[test]
fn without_a_folder_there_is_still_memory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for folder in [None, Some(file.as_path())] {
        let (prefix, prompt) = prefix(1);
        let mut store = open(folder, 1 << 20);
        store.persist(&prefix, STATE_BYTES, not_wanted);
        store.keep(&prefix, STATE_BYTES, state);
        assert_eq!(longest(&store, &prompt), (prefix.len(), false));
    }
}

#[test]
fn the_longest_prefix_is_found_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (long, prompt) = prefix(1);
    let mut store = open(Some(dir.path()), 0);
    store.persist(&long, STATE_BYTES, state);
    drop(store);
    let mut store = open(Some(dir.path()), 1 << 20);
    store.keep(&long[..50], STATE_BYTES, state);
    assert_eq!(longest(&store, &prompt), (long.len(), true));
    assert_eq!(longest(&store, &prompt[..100]), (50, false));
    store.keep(&prompt, STATE_BYTES, state);
    let longer: Vec<u32> = prompt.iter().copied().chain([0]).collect();
    assert_eq!(longest(&store, &longer), (prompt.len(), false));
}

#[test]
fn a_forgotten_prefix_is_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let (prefix, prompt) = prefix(1);
    open(Some(dir.path()), 1 << 20).persist(&prefix, STATE_BYTES, state);
    let mut store = open(Some(dir.path()), 1 << 20);
    store.load(&prefix).unwrap();
    store.forget(&prefix);
    assert_eq!((store.longest(&prompt), store.load(&prefix).is_none()), (0, true));
    drop(store);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_state_that_could_not_be_copied_can_be_persisted_later() {
    let dir = tempfile::tempdir().unwrap();
    let (prefix, prompt) = prefix(1);
    let mut store = open(Some(dir.path()), 0);
    store.persist(&prefix, STATE_BYTES, || None);
    store.persist(&prefix, STATE_BYTES, state);
    drop(store);
    assert!(open(Some(dir.path()), 0).longest(&prompt) > 0);
}

#[test]
fn prefixes_that_come_faster_than_the_disk_are_dropped_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Arc::new(Folder::open(dir.path(), Key::of("ours"), 1 << 20).unwrap());
    // A disk that never gets anything done: nobody receives.
    let (writes, _waiting) = sync_channel(WRITES_WAITING_MAX);
    let disk = Disk { folder: Arc::clone(&folder), writes: Some(writes), writer: None };
    let mut store = Store { memory: Memory::new(1 << 20), memory_max: 1 << 20, disk: Some(disk) };
    let (first, second) = (prefix(1).0, prefix(2).0);
    store.persist(&first, STATE_BYTES, state);
    store.persist(&second, STATE_BYTES, state);
    let now = Instant::now();
    assert!(!folder.claim(&first, STATE_BYTES, now), "still on its way");
    assert!(folder.claim(&second, STATE_BYTES, now), "to be tried again");
}
