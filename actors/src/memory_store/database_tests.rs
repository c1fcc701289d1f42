//! Tests of the database on a real directory, without a runtime.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use std::collections::BTreeMap;
use std::time::Duration;
use std::{fs, iter};

use tempfile::TempDir;

use super::super::opening::Problem;
use super::super::record::{TITLE_BYTES_MAX, TURN_BYTES_MAX};
use super::*;
use crate::memory_store::Summary;

/// A clock that goes on by a second, and ids that count.
struct Counter(u64);

impl Source for Counter {
    fn now(&mut self) -> SystemTime {
        self.0 += 1;
        UNIX_EPOCH + Duration::from_secs(self.0)
    }

    fn id(&mut self) -> Uuid {
        self.0 += 1;
        Uuid::from_u128(self.0.into())
    }
}

#[path = "database_tests/whole.rs"]
mod whole;

fn open(dir: &TempDir) -> Database {
    open_from(dir, 0)
}

fn open_from(dir: &TempDir, count: u64) -> Database {
    // The threads of the life before let go of the directory in their own time.
    let opened = iter::repeat_with(|| Database::open(dir.path(), Box::new(Counter(count))))
        .find(|opened| !matches!(opened, Err(Problem::Locked)));
    opened.unwrap().unwrap_or_else(|problem| panic!("{problem}"))
}

fn turn(prompt: &str) -> Turn {
    Turn { prompt: prompt.to_owned(), answer: "yes".to_owned(), ..Turn::default() }
}

fn prompts(turns: &[Turn]) -> Vec<&str> {
    turns.iter().map(|turn| turn.prompt.as_str()).collect()
}

#[test]
fn turns_come_back_in_order_and_the_first_prompt_names_the_conversation() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let id = database.create_conversation("", Policy::Auto).unwrap().id;
    for prompt in ["one\nline", "two", "three"] {
        database.commit_turn(&id, turn(prompt)).unwrap();
    }
    let conversation = database.conversation(&id).unwrap();
    assert_eq!((conversation.title.as_str(), conversation.turns), ("one line", 3));
    let turns = database.recent_turns(&id, usize::MAX).unwrap();
    assert_eq!(prompts(&turns), ["one\nline", "two", "three"]);
    assert!(turns.iter().all(|turn| !turn.id.is_empty() && turn.created.is_some()));
    assert_eq!(prompts(&database.recent_turns(&id, 2).unwrap()), ["two", "three"]);
    assert!(database.recent_turns(&id, 0).unwrap().is_empty());
}

#[test]
fn a_history_is_the_end_of_a_conversation_with_the_summary_of_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let id = database.create_conversation("", Policy::Auto).unwrap().id;
    let long = "long ".repeat(2000);
    for prompt in ["one", &long, "three", "four"] {
        database.commit_turn(&id, turn(prompt)).unwrap();
    }
    let all = database.history(&id, 9, usize::MAX).unwrap();
    assert_eq!((all.unread, all.turns.len(), all.summary), (0, 4, None));
    let summary = Summary { text: "Numbers.".to_owned(), covers: 2, private: true };
    database.remember_summary(&id, summary.clone()).unwrap();
    let end = database.history(&id, 9, 9000).unwrap();
    assert_eq!((end.unread, prompts(&end.turns)), (2, vec!["three", "four"]));
    assert_eq!(end.summary, Some(summary));
    assert_eq!(database.history(&id, 1, usize::MAX).unwrap().unread, 3);

    let from = |first, bytes_max| database.turns_from(&id, first, bytes_max).unwrap();
    let (turns, more) = from(0, 100);
    assert_eq!((prompts(&turns), more), (vec!["one"], Some(1)));
    assert_eq!(prompts(&from(1, 100).0), [long.as_str()], "one at least");
    assert_eq!(prompts(&from(2, 1000).0), ["three", "four"]);
    assert_eq!(from(0, usize::MAX).0.len(), 4);
    assert_eq!(from(4, 1000), (Vec::new(), None));
}

#[test]
fn a_summary_is_bounded_and_goes_with_its_conversation() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let id = database.create_conversation("", Policy::Auto).unwrap().id;
    let summary = Summary { text: "\u{e9}".repeat(5000), covers: 1, private: false };
    database.remember_summary(&id, summary.clone()).unwrap();
    assert_eq!(database.summary(&id).unwrap().unwrap().text.len(), 3 << 10);
    database.delete_conversation(&id).unwrap();
    assert_eq!(database.summary(&id).unwrap(), None);
    let late = database.remember_summary(&id, summary);
    assert!(matches!(late, Err(Error::ConversationNotFound { .. })));
}

#[test]
fn what_was_synced_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let conversation = database.create_conversation("kept", Policy::Auto).unwrap();
    let committed = database.commit_turn(&conversation.id, turn("why?")).unwrap();
    database.remember_engine_choice("model", "plain").unwrap();
    database.sync().unwrap();
    drop(database);

    let database = open(&dir);
    assert_eq!(database.conversation(&conversation.id).unwrap(), committed);
    assert_eq!(prompts(&database.recent_turns(&conversation.id, 9).unwrap()), ["why?"]);
    assert_eq!(database.engine_choice("model").unwrap().as_deref(), Some("plain"));
    assert_eq!(database.engine_choice("other").unwrap(), None);
}

#[test]
fn what_was_synced_is_in_the_files_while_the_store_is_still_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let id = database.create_conversation("", Policy::Auto).unwrap().id;
    database.commit_turn(&id, turn(&"long ".repeat(100_000))).unwrap();
    database.sync().unwrap();

    // What a machine would find that lost its power now.
    let copy = tempfile::tempdir().unwrap();
    copy_files(dir.path(), copy.path());
    let found = open(&copy);
    assert_eq!(found.recent_turns(&id, 9).unwrap(), database.recent_turns(&id, 9).unwrap());
    assert_eq!(found.conversation(&id).unwrap().turns, 1);
}

fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        } else {
            fs::create_dir(to.join(entry.file_name())).unwrap();
            copy_files(&entry.path(), &to.join(entry.file_name()));
        }
    }
}

#[test]
fn a_log_cut_anywhere_holds_whole_turns_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let id = database.create_conversation("", Policy::Auto).unwrap().id;
    database.sync().unwrap();
    let synced = fs::metadata(dir.path().join("db")).unwrap().len();
    for number in 0..4 {
        let prompt = format!("{number}").repeat(9000);
        database.commit_turn(&id, turn(&prompt)).unwrap();
        database.sync().unwrap();
    }
    let end = fs::metadata(dir.path().join("db")).unwrap().len();
    let mut seen = std::collections::BTreeSet::new();
    for length in (synced..=end).step_by(1511).chain([end]) {
        let copy = tempfile::tempdir().unwrap();
        copy_files(dir.path(), copy.path());
        let log = File::options().write(true).open(copy.path().join("db")).unwrap();
        log.set_len(length).unwrap();
        let found = open(&copy);
        let turns = found.recent_turns(&id, 9).unwrap();
        assert_eq!(found.conversation(&id).unwrap().turns as usize, turns.len(), "at {length}");
        seen.insert(turns.len());
    }
    assert_eq!(seen.last(), Some(&4));
    assert!(seen.len() > 1, "the cuts hit no turn: {seen:?}");
}

#[test]
fn a_turn_that_is_committed_twice_in_a_row_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let id = database.create_conversation("", Policy::Auto).unwrap().id;
    let turn = Turn { id: "t1".to_owned(), ..turn("why?") };
    let first = database.commit_turn(&id, turn.clone()).unwrap();
    assert_eq!(database.commit_turn(&id, turn).unwrap(), first);
    assert_eq!(database.recent_turns(&id, 9).unwrap().len(), 1);
}

#[test]
fn pages_follow_the_last_update() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let ids: Vec<String> = (0..5)
        .map(|n| database.create_conversation(&format!("{n}"), Policy::Auto).unwrap().id)
        .collect();
    database.commit_turn(&ids[1], turn("again")).unwrap();
    let titles = |page: &[Conversation]| -> String {
        page.iter().map(|conversation| conversation.title.as_str()).collect()
    };
    let (page, token) = database.list_conversations(2, "").unwrap();
    assert_eq!(titles(&page), "14");
    let (page, token) = database.list_conversations(2, &token).unwrap();
    assert_eq!(titles(&page), "32");
    let (page, token) = database.list_conversations(2, &token).unwrap();
    assert_eq!((titles(&page).as_str(), token.as_str()), ("0", ""));
    let (all, token) = database.list_conversations(0, "").unwrap();
    assert_eq!((titles(&all).as_str(), token.as_str()), ("14320", ""));
}

#[test]
fn a_full_last_page_has_no_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    database.create_conversation("a", Policy::Auto).unwrap();
    database.create_conversation("b", Policy::Auto).unwrap();
    assert_eq!(database.list_conversations(2, "").unwrap().1, "");
}

#[test]
fn values_out_of_range_are_refused_with_the_name_of_the_field() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let field_of = |error: Error| match error {
        Error::Invalid { field, .. } => field,
        other => panic!("{other}"),
    };
    assert_eq!(field_of(database.list_conversations(1001, "").unwrap_err()), "page_size");
    for token in ["x", "ääääääääää", "0123456789abcdef", &"z".repeat(48), &"0".repeat(47)]
    {
        assert_eq!(field_of(database.list_conversations(1, token).unwrap_err()), "page_token");
    }
    let long = "x".repeat(TITLE_BYTES_MAX + 1);
    assert_eq!(field_of(database.create_conversation(&long, Policy::Auto).unwrap_err()), "title");
    let id = database.create_conversation("", Policy::Auto).unwrap().id;
    let long = turn(&"x".repeat(TURN_BYTES_MAX));
    assert_eq!(field_of(database.commit_turn(&id, long).unwrap_err()), "turn");
    let long = "x".repeat(CHOICE_BYTES_MAX + 1);
    assert_eq!(field_of(database.remember_engine_choice(&long, "").unwrap_err()), "engine choice");
    assert_eq!(database.conversation(&id).unwrap().turns, 0);
}

#[test]
fn a_strange_id_is_an_unknown_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let absent = Uuid::from_u128(9).to_string();
    for id in ["", "../../etc", "ä", &"0".repeat(100_000), &absent] {
        for error in [
            database.conversation(id).unwrap_err(),
            database.recent_turns(id, 1).unwrap_err(),
            database.commit_turn(id, turn("why?")).unwrap_err(),
            database.delete_conversation(id).unwrap_err(),
        ] {
            assert!(matches!(&error, Error::ConversationNotFound { id } if id.len() <= 64));
        }
    }
    assert_eq!(database.sled.scan_prefix(b"t").count(), 0);
}

#[test]
fn a_deleted_conversation_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let kept = database.create_conversation("kept", Policy::Auto).unwrap().id;
    database.commit_turn(&kept, turn("why?")).unwrap();
    let records = |database: &Database| {
        database.sled.iter().keys().filter(|key| key.as_ref().unwrap()[0] != b'n').count()
    };
    let before = records(&database);
    let id = database.create_conversation("gone", Policy::Auto).unwrap().id;
    database.commit_turn(&id, turn(&"long ".repeat(10_000))).unwrap();
    database.commit_turn(&id, turn("short")).unwrap();
    database.delete_conversation(&id).unwrap();
    assert_eq!(records(&database), before);
    assert_eq!(prompts(&database.recent_turns(&kept, 9).unwrap()), ["why?"]);
}

#[test]
fn a_damaged_turn_is_named_and_harms_no_other_record() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let id = database.create_conversation("", Policy::Auto).unwrap().id;
    database.commit_turn(&id, turn("first")).unwrap();
    database.commit_turn(&id, turn("second")).unwrap();
    let uuid = Uuid::try_parse(&id).unwrap();
    flip(&database, &key::piece(uuid, 0, 0));

    let error = database.recent_turns(&id, 2).unwrap_err().to_string();
    assert!(error.contains(&format!("turn 0 of conversation {id}")), "{error}");
    assert_eq!(prompts(&database.recent_turns(&id, 1).unwrap()), ["second"]);
    assert_eq!(database.commit_turn(&id, turn("third")).unwrap().turns, 3);
}

#[test]
fn a_damaged_conversation_is_listed_and_can_be_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let id = database.create_conversation("a", Policy::Auto).unwrap().id;
    database.commit_turn(&id, turn("why?")).unwrap();
    let other = database.create_conversation("b", Policy::Auto).unwrap();
    flip(&database, &key::conversation(Uuid::try_parse(&id).unwrap()));

    assert!(matches!(database.conversation(&id), Err(Error::Store { .. })));
    let (list, _) = database.list_conversations(0, "").unwrap();
    assert_eq!((list[1].id.as_str(), list[1].title.as_str()), (id.as_str(), "(damaged)"));
    database.delete_conversation(&id).unwrap();
    assert_eq!(database.list_conversations(0, "").unwrap().0, [other]);
    assert_eq!(database.sled.scan_prefix(b"t").count(), 0);
}

fn flip(database: &Database, key: &[u8]) {
    let mut value = database.sled.get(key).unwrap().unwrap().to_vec();
    *value.last_mut().unwrap() ^= 1;
    database.sled.insert(key, value).unwrap();
}

#[test]
fn a_second_opener_is_told_that_the_store_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let _database = open(&dir);
    let second = Database::open(dir.path(), Box::new(SystemSource));
    assert!(matches!(second, Err(Problem::Locked)));
}

#[test]
fn a_later_layout_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    database.sled.insert(key::SCHEMA, codec::encode(&(migrations::SCHEMA_VERSION + 1))).unwrap();
    database.sync().unwrap();
    drop(database);
    let refused = iter::repeat_with(|| Database::open(dir.path(), Box::new(SystemSource)).err())
        .find(|refused| !matches!(refused, Some(Problem::Locked)));
    assert!(matches!(refused, Some(Some(Problem::Newer { found: 3 }))));
}

#[test]
fn what_a_crash_leaves_of_a_snapshot_does_not_keep_the_store_shut() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let id = database.create_conversation("kept", Policy::Auto).unwrap().id;
    database.sync().unwrap();
    drop(database);
    drop(open_from(&dir, 100));
    fs::write(dir.path().join("snap.0000000000000FFF.generating"), b"half").unwrap();
    fs::write(dir.path().join("snap.0000000000000FFE"), b"not a snapshot").unwrap();
    assert_eq!(open_from(&dir, 200).conversation(&id).unwrap().title, "kept");
}

#[test]
fn a_directory_that_cannot_be_made_is_a_problem_and_not_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let problem = Database::open(&file.join("store"), Box::new(SystemSource)).err().unwrap();
    assert!(matches!(problem, Problem::Io(_)), "{problem}");
}

/// Random numbers that are the same in every run (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }
}

#[test]
fn any_sequence_of_operations_leaves_what_a_map_would_hold() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let mut random = Random(42);
    let mut model: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    for step in 0..600_u64 {
        let some = (!order.is_empty()).then(|| order[random.below(order.len())].clone());
        match (random.below(20), some) {
            (0..4, _) | (_, None) => {
                let id = database.create_conversation("", Policy::Auto).unwrap().id;
                model.insert(id.clone(), Vec::new());
                order.insert(0, id);
            }
            (4..16, Some(id)) => {
                let prompt = format!("{step} ").repeat(1 + random.below(4000));
                database.commit_turn(&id, turn(&prompt)).unwrap();
                model.get_mut(&id).unwrap().push(prompt);
                order.retain(|other| *other != id);
                order.insert(0, id);
            }
            (16..18, Some(id)) => {
                database.delete_conversation(&id).unwrap();
                model.remove(&id);
                order.retain(|other| *other != id);
            }
            (18, Some(id)) => {
                let turns = database.recent_turns(&id, 2).unwrap();
                let expected = &model[&id];
                let from = expected.len().saturating_sub(2);
                assert_eq!(prompts(&turns), expected[from..], "step {step}");
            }
            (_, Some(_)) => {
                database.sync().unwrap();
                drop(database);
                database = open_from(&dir, 1_000_000 * (step + 1));
            }
        }
    }
    let (list, _) = database.list_conversations(1000, "").unwrap();
    assert_eq!(list.iter().map(|c| &c.id).collect::<Vec<_>>(), order.iter().collect::<Vec<_>>());
    for conversation in &list {
        let turns = database.recent_turns(&conversation.id, usize::MAX).unwrap();
        assert_eq!(prompts(&turns), model[&conversation.id]);
        assert_eq!(conversation.turns as usize, turns.len());
    }
}
