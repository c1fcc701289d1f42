#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use std::fs::FileTimes;

const STATE_BYTES: usize = 1000;

fn ours() -> Key {
    Key::of("ours")
}

/// Room for three snapshots of two tokens.
fn budget() -> u64 {
    3 * file::length(2, STATE_BYTES)
}

fn open(path: &Path) -> Folder {
    Folder::open(path, ours(), budget()).unwrap()
}

fn save(folder: &Folder, tokens: &[u32]) {
    assert!(folder.claim(tokens, STATE_BYTES, Instant::now()), "{tokens:?}");
    folder.write(&snapshot(tokens));
}

fn snapshot(tokens: &[u32]) -> Snapshot {
    Snapshot { tokens: tokens.to_vec(), state: vec![7; STATE_BYTES] }
}

/// Makes a snapshot look as if it was last used `second` seconds after the epoch.
fn age(folder: &Folder, tokens: &[u32], second: u64) {
    let file = File::open(folder.path.join(folder.name(tokens))).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

fn files(path: &Path) -> usize {
    fs::read_dir(path).unwrap().count()
}

#[test]
fn a_snapshot_is_found_by_the_next_engine() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/prefixes");
    save(&open(&path), &[1, 2]);
    let folder = open(&path);
    assert_eq!((folder.longest(&[1, 2, 3]), folder.longest(&[1, 2])), (2, 0));
    assert_eq!(folder.read(&[1, 2]).unwrap(), snapshot(&[1, 2]));
    assert_eq!(folder.read(&[1, 2]).unwrap(), snapshot(&[1, 2]), "reading consumes nothing");
    assert_eq!(folder.read(&[1]), None);
}

#[test]
fn only_the_owner_can_enter_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    open(&dir.path().join("new"));
    assert_eq!(mode(&dir.path().join("new")), 0o700);
    let wide = dir.path().join("wide");
    fs::create_dir(&wide).unwrap();
    fs::set_permissions(&wide, Permissions::from_mode(0o755)).unwrap();
    open(&wide);
    assert_eq!(mode(&wide), 0o700);
}

#[test]
fn a_damaged_file_is_as_good_as_absent_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = open(dir.path());
    save(&folder, &[1, 2]);
    let path = folder.path.join(folder.name(&[1, 2]));
    // The last byte of the state: the header stays good.
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes.len() - 5;
    bytes[place] ^= 1;
    fs::write(&path, bytes).unwrap();

    let folder = open(dir.path());
    assert_eq!(folder.longest(&[1, 2, 3]), 2, "its header is good");
    assert_eq!(folder.read(&[1, 2]), None);
    assert_eq!((folder.longest(&[1, 2, 3]), path.exists()), (0, false));
    save(&folder, &[1, 2]);
}

#[test]
fn a_file_with_a_damaged_header_is_removed_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let folder = open(dir.path());
    save(&folder, &[1, 2]);
    let path = folder.path.join(folder.name(&[1, 2]));
    for bytes in [&b""[..], b"TANDEMKV", &[0; 5000]] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(open(dir.path()).longest(&[1, 2, 3]), 0);
        assert!(!path.exists());
    }
}

#[test]
fn a_file_under_the_name_of_another_prefix_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let folder = open(dir.path());
    save(&folder, &[1, 2]);
    save(&folder, &[3, 4]);
    let path = |tokens| folder.path.join(folder.name(tokens));
    fs::rename(path(&[1, 2]), path(&[3, 4])).unwrap();
    assert_eq!(folder.read(&[3, 4]), None);
}

#[test]
fn snapshots_of_other_keys_stay_and_are_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let theirs = Folder::open(dir.path(), Key::of("theirs"), budget()).unwrap();
    save(&theirs, &[1, 2]);
    let folder = open(dir.path());
    assert_eq!((folder.longest(&[1, 2, 3]), folder.read(&[1, 2])), (0, None));
    assert!(theirs.read(&[1, 2]).is_some());
}

#[test]
fn the_one_unused_for_longest_goes_first_whoever_saved_it() {
    let dir = tempfile::tempdir().unwrap();
    let theirs = Folder::open(dir.path(), Key::of("theirs"), budget()).unwrap();
    save(&theirs, &[1, 2]);
    let folder = open(dir.path());
    save(&folder, &[3, 4]);
    save(&folder, &[5, 6]);
    age(&theirs, &[1, 2], 1);
    age(&folder, &[3, 4], 2);
    age(&folder, &[5, 6], 3);
    assert!(theirs.read(&[1, 2]).is_some(), "a use of the oldest");
    save(&folder, &[7, 8]);
    let kept = [&[3, 4], &[5, 6], &[7, 8]].map(|tokens: &[u32; 2]| folder.read(tokens).is_some());
    assert_eq!((kept, theirs.read(&[1, 2]).is_some()), ([false, true, true], true));
    folder.touch(&[5, 6]);
    age(&folder, &[7, 8], 4);
    age(&theirs, &[1, 2], 5);
    save(&folder, &[9, 9]);
    assert_eq!((folder.longest(&[5, 6, 0]), folder.longest(&[7, 8, 0])), (2, 0));
}

#[test]
fn a_lower_budget_is_kept_from_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let folder = open(dir.path());
    for (second, tokens) in [(1, [1, 1]), (2, [2, 2]), (3, [3, 3])] {
        save(&folder, &tokens);
        age(&folder, &tokens, second);
    }
    let folder = Folder::open(dir.path(), ours(), file::length(2, STATE_BYTES)).unwrap();
    assert_eq!((folder.longest(&[3, 3, 0]), files(dir.path())), (2, 1));
}

#[test]
fn random_writes_of_two_engines_never_exceed_the_budget() {
    let dir = tempfile::tempdir().unwrap();
    let budget = 20_000;
    let folders =
        ["ours", "theirs"].map(|name| Folder::open(dir.path(), Key::of(name), budget).unwrap());
    let mut random = 1_u32;
    let mut next = |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % below
    };
    let mut most = 0;
    for _ in 0..400 {
        let folder = &folders[next(2) as usize];
        let tokens: Vec<u32> = (0..=next(5)).map(|_| next(4)).collect();
        let state = vec![1; next(6000) as usize];
        if next(3) == 0 {
            drop(folder.read(&tokens));
        } else if folder.claim(&tokens, state.len(), Instant::now()) {
            folder.write(&Snapshot { tokens, state });
        }
        let sizes = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata());
        let total: u64 = sizes.map(|facts| facts.unwrap().len()).sum();
        assert!(total <= budget, "{total}");
        most = most.max(total);
    }
    assert!(most > budget / 2, "the budget is made use of");
}

#[test]
fn what_a_dead_engine_left_half_written_is_removed_and_what_a_living_one_writes_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let name = |process| dir.path().join(format!("0123-4567{SUFFIX}.{process}{TEMPORARY_SUFFIX}"));
    let long_ago = SystemTime::now() - 2 * LEFTOVER_AGE;
    fs::write(name("dead"), "half").unwrap();
    File::options().append(true).open(name("dead")).unwrap().set_modified(long_ago).unwrap();
    fs::write(name("new"), "not locked yet").unwrap();
    fs::write(dir.path().join("notes.tmp"), "somebody else's").unwrap();
    let living = File::create(name("living")).unwrap();
    living.try_lock().unwrap();
    living.set_modified(long_ago).unwrap();
    open(dir.path());
    let there = [name("dead"), name("new"), name("living"), dir.path().join("notes.tmp")];
    assert_eq!(there.map(|path| path.exists()), [false, true, true, true]);
}

#[test]
fn after_a_write_that_failed_there_is_a_pause() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prefixes");
    let folder = open(&path);
    fs::remove_dir(&path).unwrap();
    save(&folder, &[1, 2]);
    let now = Instant::now();
    assert_eq!(folder.longest(&[1, 2, 3]), 0);
    assert!(!folder.claim(&[1, 2], STATE_BYTES, now));
    fs::create_dir(&path).unwrap();
    assert!(!folder.claim(&[1, 2], STATE_BYTES, now));
    assert!(folder.claim(&[1, 2], STATE_BYTES, now + PAUSE));
    folder.write(&snapshot(&[1, 2]));
    assert_eq!(folder.longest(&[1, 2, 3]), 2);
}

#[test]
fn a_write_that_failed_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let folder = open(dir.path());
    // A folder in the file's place, which no file can be renamed to.
    fs::create_dir(folder.path.join(folder.name(&[1, 2]))).unwrap();
    save(&folder, &[1, 2]);
    assert_eq!((folder.longest(&[1, 2, 3]), files(dir.path())), (0, 1));
}

#[test]
fn a_file_that_another_engine_removed_is_absent() {
    let dir = tempfile::tempdir().unwrap();
    let folder = open(dir.path());
    save(&folder, &[1, 2]);
    fs::remove_file(folder.path.join(folder.name(&[1, 2]))).unwrap();
    assert_eq!(folder.read(&[1, 2]), None);
    assert_eq!(folder.longest(&[1, 2, 3]), 0);
}

#[test]
fn links_and_folders_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prefixes");
    let folder = open(&path);
    save(&folder, &[1, 2]);
    let file = path.join(folder.name(&[1, 2]));
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    fs::create_dir(path.join(folder.name(&[3]))).unwrap();
    assert_eq!(open(&path).longest(&[1, 2, 3]), 0);
    assert!(file.is_symlink() && elsewhere.exists());
}

#[test]
fn each_prefix_is_claimed_once_and_only_in_a_size_for_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path(), ours(), u64::MAX).unwrap();
    let now = Instant::now();
    assert!(folder.claim(&[1], 10, now) && !folder.claim(&[1], 10, now));
    folder.give_up(&[1]);
    assert!(folder.claim(&[1], file::STATE_BYTES_MAX, now));
    assert!(!folder.claim(&[2], file::STATE_BYTES_MAX + 1, now));
    assert!(!folder.claim(&[], 10, now) && !folder.claim(&[2], 0, now));
    assert!(!folder.claim(&vec![0; file::TOKENS_MAX + 1], 10, now));
    assert!(!open(dir.path()).claim(&[2], usize::try_from(budget()).unwrap(), now));
}
