#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::super::answer::Kept;
use super::super::stock::Limits;
use super::*;

const TTL: Duration = Duration::from_secs(1000);
const BYTES_MAX: u64 = 64 << 10;

fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

/// A cache in a folder of its own.
struct Setting {
    home: TempDir,
    limits: Limits,
    key: Option<Secret>,
}

impl Setting {
    fn new() -> Self {
        let limits = Limits { enabled: true, ttl: TTL, bytes_max: BYTES_MAX };
        Self { home: tempfile::tempdir().unwrap(), limits, key: None }
    }

    /// One life of the cache.
    fn start(&self, now: SystemTime) -> (Keeper, Arc<Stock>) {
        let stock = Arc::new(Stock::new("answers", self.limits));
        let key = KeyPlace { named: self.key.clone(), data_dir: self.home.path().to_owned() };
        let vectors = Some(Arc::default());
        (Keeper::start(Arc::clone(&stock), self.folder(), key, vectors, now), stock)
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("cache/answers")
    }

    fn key_is(&mut self, content: &str) {
        let path = self.home.path().join("named.key");
        fs::write(&path, content.repeat(40)).unwrap();
        self.key = Some(Secret::File(path));
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> =
            fs::read_dir(self.folder()).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    }
}

fn new(number: u32, bytes: usize) -> New {
    New { digest: digest(number), plain: vec![u8::try_from(number % 251).unwrap(); bytes] }
}

fn digest(number: u32) -> Digest {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&number.to_le_bytes());
    digest
}

fn get(stock: &Stock, number: u32, now: SystemTime) -> Option<Vec<u8>> {
    stock.read(&stock.find(&digest(number), now)?)
}

#[test]
fn what_is_kept_is_there_at_once_and_in_the_next_life() {
    let setting = Setting::new();
    let (mut keeper, stock) = setting.start(time(0));
    assert!(!setting.folder().exists(), "nothing is made before it is needed");
    assert_eq!(get(&stock, 1, time(0)), None);
    keeper.keep(vec![new(1, 10), new(2, 0)], time(0));
    assert_eq!(get(&stock, 1, time(5)), Some(vec![1; 10]));
    assert_eq!(get(&stock, 2, time(5)), Some(Vec::new()));
    assert_eq!(get(&stock, 3, time(5)), None);
    drop(keeper);
    let (_, stock) = setting.start(time(10));
    assert_eq!(get(&stock, 1, time(10)), Some(vec![1; 10]));
    assert_eq!(stock.stats().problem, "");
    for file in setting.files() {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn an_entry_is_served_until_it_is_too_old_and_its_space_is_given_back() {
    let setting = Setting::new();
    let (mut keeper, stock) = setting.start(time(0));
    keeper.keep(vec![new(1, 10)], time(0));
    assert!(get(&stock, 1, time(999)).is_some());
    assert_eq!(get(&stock, 1, time(1000)), None);
    keeper.remove_expired(time(999));
    assert_eq!(setting.files().len(), 1);
    keeper.remove_expired(time(1000));
    assert!(setting.files().is_empty());
    assert_eq!((stock.stats().entries, stock.stats().bytes), (0, 0));

    keeper.keep(vec![new(2, 10)], time(1000));
    assert!(get(&stock, 2, time(1000)).is_some());
    let (_, stock) = setting.start(time(2000));
    assert_eq!(stock.stats().entries, 0, "what got too old meanwhile is gone");
}

#[test]
fn an_old_entry_is_written_anew_and_one_that_is_there_is_not_written_again() {
    let setting = Setting::new();
    let (mut keeper, stock) = setting.start(time(0));
    keeper.keep(vec![new(1, 10)], time(0));
    let bytes = stock.stats().bytes;
    keeper.keep(vec![new(1, 10)], time(10));
    assert_eq!(stock.stats().bytes, bytes);
    keeper.keep(vec![new(2, 10)], time(900));
    keeper.keep(vec![new(1, 10)], time(1001));
    assert!(get(&stock, 1, time(1900)).is_some());
    assert!(get(&setting.start(time(1700)).1, 1, time(1700)).is_some());
}

#[test]
fn the_limit_holds_on_disk_whatever_is_kept_and_the_oldest_go_first() {
    let setting = Setting::new();
    let (mut keeper, stock) = setting.start(time(0));
    for number in 0..500 {
        let size = (number as usize * 7919) % 3000;
        keeper.keep(vec![new(number, size)], time(0));
        let on_disk: u64 =
            setting.files().iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        assert!(on_disk <= BYTES_MAX, "{on_disk}");
        assert_eq!(on_disk, stock.stats().bytes);
        assert!(get(&stock, number, time(0)).is_some(), "the newest is there");
    }
    let there: Vec<bool> = (0..500).map(|number| get(&stock, number, time(0)).is_some()).collect();
    let first = there.iter().position(|there| *there).unwrap();
    assert!(first > 0 && there[first..].iter().all(|there| *there), "the newest are there");
    // Nearly all of the limit is used.
    assert!(stock.stats().bytes > BYTES_MAX * 3 / 4);
}

#[test]
fn an_entry_that_would_push_out_most_others_is_not_kept() {
    let setting = Setting::new();
    let (mut keeper, stock) = setting.start(time(0));
    keeper.keep(vec![new(1, 20_000), new(2, 10)], time(0));
    assert_eq!(get(&stock, 1, time(0)), None);
    assert!(get(&stock, 2, time(0)).is_some());
}

#[test]
fn a_limit_that_was_lowered_holds_from_the_start() {
    let mut setting = Setting::new();
    setting.start(time(0)).0.keep((0..50).map(|number| new(number, 1000)).collect(), time(0));
    setting.limits.bytes_max = 16 << 10;
    let (_, stock) = setting.start(time(0));
    assert!(stock.stats().bytes <= 16 << 10, "{:?}", stock.stats());
    assert!(get(&stock, 49, time(0)).is_some());
}

#[test]
fn another_key_finds_an_empty_cache_and_says_so_and_the_old_entries_are_gone() {
    let mut setting = Setting::new();
    setting.key_is("a");
    setting.start(time(0)).0.keep(vec![new(1, 10)], time(0));
    setting.key_is("b");
    let (mut keeper, stock) = setting.start(time(0));
    assert_eq!(get(&stock, 1, time(0)), None);
    assert!(stock.stats().problem.contains("another key"), "{:?}", stock.stats());
    keeper.keep(vec![new(2, 10)], time(0));
    assert!(get(&stock, 2, time(0)).is_some());
    setting.key_is("a");
    let (_, stock) = setting.start(time(0));
    assert_eq!((get(&stock, 1, time(0)), get(&stock, 2, time(0))), (None, None));
    keeper.clear(time(0));
    assert_eq!(setting.start(time(0)).1.stats().problem, "");
}

#[test]
fn a_key_that_cannot_be_had_turns_the_cache_off_and_removes_nothing() {
    let mut setting = Setting::new();
    setting.key_is("a");
    setting.start(time(0)).0.keep(vec![new(1, 10)], time(0));
    setting.key = Some(Secret::Env("TANDEM_NO_SUCH_KEY".to_owned()));
    let (mut keeper, stock) = setting.start(time(0));
    let problem = stock.stats().problem;
    assert!(problem.contains("is off") && problem.contains("TANDEM_NO_SUCH_KEY"), "{problem}");
    keeper.keep(vec![new(2, 10)], time(0));
    assert_eq!((get(&stock, 1, time(0)), get(&stock, 2, time(0))), (None, None));
    setting.key_is("a");
    assert!(get(&setting.start(time(0)).1, 1, time(0)).is_some());
}

#[test]
fn what_was_kept_is_removed_when_the_cache_is_turned_off() {
    let mut setting = Setting::new();
    setting.start(time(0)).0.keep(vec![new(1, 10)], time(0));
    setting.limits.enabled = false;
    let (mut keeper, stock) = setting.start(time(0));
    assert!(!setting.folder().exists());
    keeper.keep(vec![new(2, 10)], time(0));
    assert_eq!(get(&stock, 2, time(0)), None);
    assert!(!setting.folder().exists());
}

#[test]
fn clearing_leaves_nothing_and_the_cache_goes_on() {
    let setting = Setting::new();
    let (mut keeper, stock) = setting.start(time(0));
    keeper.keep((0..9).map(|number| new(number, 500)).collect(), time(0));
    let bytes = stock.stats().bytes;
    let (read, located) = (get(&stock, 1, time(0)), stock.find(&digest(1), time(0)).unwrap());
    assert_eq!(keeper.clear(time(0)), bytes);
    assert!(setting.files().is_empty());
    assert_eq!(get(&stock, 1, time(0)), None);
    assert_eq!(stock.read(&located), read, "whoever had found it reads it to the end");
    keeper.keep(vec![new(1, 500)], time(0));
    assert!(get(&stock, 1, time(0)).is_some());
}

#[test]
fn a_damaged_entry_is_not_there_and_can_be_kept_again() {
    let setting = Setting::new();
    setting.start(time(0)).0.keep(vec![new(1, 100), new(2, 100)], time(0));
    let file = setting.files().remove(0);
    let mut bytes = fs::read(&file).unwrap();
    bytes[24 + 32 + 50] ^= 1;
    fs::write(&file, bytes).unwrap();
    let (mut keeper, stock) = setting.start(time(0));
    assert_eq!(get(&stock, 1, time(0)), None);
    assert!(get(&stock, 2, time(0)).is_some());
    assert_eq!(stock.stats().failures, 1);
    keeper.keep(vec![new(1, 100)], time(0));
    assert_eq!(get(&stock, 1, time(0)), Some(vec![1; 100]));
}

#[test]
fn a_process_that_dies_while_it_writes_loses_no_entry_that_was_whole() {
    let setting = Setting::new();
    setting.start(time(0)).0.keep((0..8).map(|number| new(number, 200)).collect(), time(0));
    let file = setting.files().remove(0);
    let whole = fs::read(&file).unwrap();
    let record = usize::try_from(log::record_bytes(200)).unwrap() + SEAL_BYTES;
    for left in (24..whole.len()).step_by(37) {
        fs::write(&file, &whole[..left]).unwrap();
        let (mut keeper, stock) = setting.start(time(0));
        let entries = (left - 24) / record;
        assert_eq!(stock.stats().entries, entries as u64, "{left} bytes are left");
        keeper.keep(vec![new(99, 200)], time(0));
        drop(keeper);
        let (_, stock) = setting.start(time(0));
        assert_eq!(stock.stats().entries, entries as u64 + 1);
        assert_eq!(get(&stock, 99, time(0)), Some(vec![99; 200]));
    }
}

#[test]
fn no_byte_of_what_is_kept_can_be_found_in_any_file() {
    let setting = Setting::new();
    let canary = "the canary sings at midnight";
    let (mut keeper, _) = setting.start(time(0));
    let kept = Kept { text: canary.to_owned(), question: canary.to_owned(), ..Kept::default() };
    let plain = prost::Message::encode_to_vec(&kept);
    assert!(contains(&plain, canary.as_bytes()));
    keeper.keep(vec![New { digest: digest(1), plain }], time(0));
    let mut seen = 0;
    visit(setting.home.path(), &mut |bytes| {
        seen += 1;
        for word in [canary, "canary", "midnight"] {
            assert!(!contains(bytes, word.as_bytes()));
        }
        assert!(!contains(bytes, &digest(1)), "a digest would tell who guesses the text");
    });
    assert_eq!(seen, 2, "a segment and the key");
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn visit(folder: &Path, look: &mut impl FnMut(&[u8])) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { visit(&path, look) } else { look(&fs::read(path).unwrap()) }
    }
}

#[test]
fn questions_are_found_by_their_vectors_until_their_answers_are_gone() {
    let setting = Setting::new();
    let (mut keeper, stock) = setting.start(time(0));
    let kept = Kept { scope: vec![7; 32], vector: vec![0.6, 0.8], ..Kept::default() };
    let plain = prost::Message::encode_to_vec(&kept);
    keeper.keep(vec![New { digest: digest(1), plain }], time(0));
    let near = |keeper: &Keeper| {
        let vectors = lock(keeper.vectors.as_ref().unwrap());
        vectors.nearest(&[7; 32], &[0.6, 0.8], 0.9, 9).len()
    };
    assert_eq!(near(&keeper), 1);
    let (again, _) = setting.start(time(0));
    assert_eq!(near(&again), 1, "also in the next life");
    keeper.remove_expired(time(2000));
    assert_eq!((near(&keeper), stock.stats().entries), (0, 0));
}
