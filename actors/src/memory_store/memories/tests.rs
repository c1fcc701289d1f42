//! Tests of what is remembered, on a real directory.
#![allow(clippy::unwrap_used, reason = "tests")]
use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use tandem_proto::v1::{Policy, Turn};
use tempfile::TempDir;

use super::super::record::timestamp;
use super::super::thread::open_patiently;
use super::*;

fn open(dir: &TempDir) -> Database {
    open_patiently(dir.path(), || false).ok().unwrap()
}

fn add(database: &mut Database, text: &str) -> Memory {
    let request = AddMemoryRequest { text: text.to_owned(), ..AddMemoryRequest::default() };
    database.add_memory(&request, 100).unwrap()
}

/// A conversation with a turn for each prompt, asked a second after each other.
fn conversation(database: &mut Database, prompts: &[&str], private: bool) -> String {
    let id = database.create_conversation("", Policy::Auto).unwrap().id;
    for (second, prompt) in (1..).zip(prompts) {
        let turn = Turn {
            prompt: (*prompt).to_owned(),
            private,
            created: Some(timestamp(second * 1_000_000)),
            ..Turn::default()
        };
        database.commit_turn(&id, turn).unwrap();
    }
    id
}

fn found(database: &mut Database, facts: &[&str], max: usize) -> Heard {
    let unheard = database.unheard().unwrap().unwrap();
    let (number, turn) = unheard.turns.first().unwrap();
    let heard = Heard {
        conversation: unheard.conversation,
        number: *number,
        turn_id: turn.id.clone(),
        facts: facts.iter().map(|&fact| fact.to_owned()).collect(),
    };
    database.remember(&heard, max).unwrap();
    heard
}

fn texts(database: &Database) -> Vec<String> {
    database.memories().unwrap().iter().map(|memory| memory.text.clone()).collect()
}

#[test]
fn what_was_added_is_listed_pinned_first_changed_and_forgotten_also_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let rex = add(&mut database, "My dog is\n called Rex. ");
    assert_eq!((rex.text.as_str(), rex.by_hand), ("My dog is called Rex.", true));
    add(&mut database, "I like tea.");
    assert_eq!(texts(&database), ["I like tea.", "My dog is called Rex."]);
    let edit = EditMemoryRequest {
        id: rex.id.clone(),
        pinned: Some(true),
        private: Some(true),
        ..EditMemoryRequest::default()
    };
    let pinned = database.edit_memory(&edit).unwrap();
    assert_eq!((pinned.pinned, pinned.private, pinned.created), (true, true, rex.created));
    assert_eq!(texts(&database)[0], "My dog is called Rex.");
    database.sync().unwrap();
    drop(database);

    let mut database = open(&dir);
    let text = Some("My dog is called Bello.".to_owned());
    let edit = EditMemoryRequest { id: rex.id.clone(), text, ..EditMemoryRequest::default() };
    assert!(database.edit_memory(&edit).unwrap().pinned, "what is not named stays");
    assert_eq!(texts(&database), ["My dog is called Bello.", "I like tea."]);
    database.forget_memory(&rex.id).unwrap();
    assert_eq!(texts(&database), ["I like tea."]);
    assert_eq!(database.sled.scan_prefix(key::MEMORIES).count(), 1);
    for gone in [rex.id.as_str(), "", "x", &"é".repeat(500)] {
        let edit = EditMemoryRequest { id: gone.to_owned(), ..EditMemoryRequest::default() };
        for error in
            [database.forget_memory(gone).unwrap_err(), database.edit_memory(&edit).unwrap_err()]
        {
            assert!(matches!(&error, Error::MemoryNotFound { id } if id.len() <= 64), "{error}");
        }
    }
}

#[test]
fn a_text_that_is_empty_or_too_long_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let rex = add(&mut database, &"x".repeat(500));
    for text in ["", " \n", &"x".repeat(501)] {
        let request = AddMemoryRequest { text: text.to_owned(), ..AddMemoryRequest::default() };
        let text = Some(text.to_owned());
        let edit = EditMemoryRequest { id: rex.id.clone(), text, ..EditMemoryRequest::default() };
        for error in [
            database.add_memory(&request, 9).unwrap_err(),
            database.edit_memory(&edit).unwrap_err(),
        ] {
            assert!(matches!(&error, Error::Invalid { field, .. } if field == "text"), "{error}");
        }
    }
    assert_eq!(database.memories().unwrap().len(), 1);
}

#[test]
fn each_turn_is_looked_at_once_and_its_label_is_that_of_its_facts() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let public = conversation(&mut database, &["one", "two"], false);
    let private = conversation(&mut database, &["three"], true);
    let first = found(&mut database, &["I live in Rome.", "I like tea."], 100);
    assert_eq!((&first.conversation, first.number), (&private, 0), "the latest one is first");
    let second = found(&mut database, &[], 100);
    assert_eq!((&second.conversation, second.number), (&public, 0));
    let third = found(&mut database, &["I am called Ada."], 100);
    assert_eq!((&third.conversation, third.number), (&public, 1));
    assert_eq!(database.unheard().unwrap(), None);
    let all = database.memories().unwrap();
    let labels: Vec<_> = all.iter().map(|it| (it.text.as_str(), it.private, it.by_hand)).collect();
    let expected = [
        ("I am called Ada.", false, false),
        ("I like tea.", true, false),
        ("I live in Rome.", true, false),
    ];
    assert_eq!(labels, expected, "what was said last comes first");
    assert_eq!((&all[0].conversation_id, &all[0].turn_id), (&public, &third.turn_id));

    database.commit_turn(&public, Turn { prompt: "four".to_owned(), ..Turn::default() }).unwrap();
    assert_eq!(database.unheard().unwrap().unwrap().turns[0].1.prompt, "four");
}

#[test]
fn a_log_cut_anywhere_has_facts_with_the_note_that_their_turn_was_looked_at_or_neither() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    conversation(&mut database, &["one"], false);
    database.sync().unwrap();
    let log = dir.path().join("db");
    let before = fs::metadata(&log).unwrap().len();
    let facts: Vec<_> = ["a", "b", "c"].iter().map(|fact| fact.repeat(400)).collect();
    let facts: Vec<_> = facts.iter().map(String::as_str).collect();
    found(&mut database, &facts, 100);
    database.sync().unwrap();
    let after = fs::metadata(&log).unwrap().len();
    drop(database);
    let mut seen = BTreeSet::new();
    for length in (before..=after).step_by(211).chain([after]) {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap()) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
            }
        }
        let log = fs::File::options().write(true).open(copy.path().join("db")).unwrap();
        log.set_len(length).unwrap();
        let database = open(&copy);
        let facts = texts(&database).len();
        assert!([0, 3].contains(&facts), "{facts} at {length}");
        assert_eq!(database.unheard().unwrap().is_none(), facts == 3, "at {length}");
        seen.insert(facts);
    }
    assert_eq!(seen, BTreeSet::from([0, 3]));
}

#[test]
fn what_was_found_goes_with_its_conversation_unless_somebody_cared_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let id = conversation(&mut database, &["one"], false);
    found(&mut database, &["a", "b", "c"], 100);
    let all = database.memories().unwrap();
    let edit = |at: usize| EditMemoryRequest { id: all[at].id.clone(), ..Default::default() };
    database.edit_memory(&EditMemoryRequest { pinned: Some(true), ..edit(0) }).unwrap();
    let text = Some("changed".to_owned());
    database.edit_memory(&EditMemoryRequest { text, ..edit(1) }).unwrap();
    database.delete_conversation(&id).unwrap();
    let left = database.memories().unwrap();
    assert_eq!(texts(&database), [all[0].text.as_str(), "changed"]);
    assert!(left.iter().all(|it| it.conversation_id.is_empty() && it.turn_id.is_empty()));
    assert_eq!(database.sled.scan_prefix(b"l").count(), 0);
    assert_eq!(database.check(None, false).unwrap().findings, []);
}

#[test]
fn what_was_found_in_a_conversation_that_became_another_one_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let id = conversation(&mut database, &["one"], false);
    let heard = Heard {
        conversation: id.clone(),
        number: 0,
        turn_id: "another".to_owned(),
        facts: vec!["a".to_owned()],
    };
    database.remember(&heard, 100).unwrap();
    assert_eq!((texts(&database).len(), database.unheard().unwrap().is_some()), (0, true));
    database.delete_conversation(&id).unwrap();
    let late = database.remember(&heard, 100);
    assert!(matches!(late, Err(Error::ConversationNotFound { .. })));
}

#[test]
fn past_the_limit_what_was_of_no_use_for_longest_goes_and_what_is_kept_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    conversation(&mut database, &["one", "two", "three"], false);
    found(&mut database, &["old"], 3);
    found(&mut database, &["newer"], 3);
    let old = database.memories().unwrap().iter().find(|it| it.text == "old").unwrap().id.clone();
    database.note_told(std::slice::from_ref(&old)).unwrap();
    let told = database.memories().unwrap().iter().find(|it| it.id == old).unwrap().used;
    assert!(told.is_some());
    database.note_told(std::slice::from_ref(&old)).unwrap();
    let again = database.memories().unwrap().iter().find(|it| it.id == old).unwrap().used;
    assert_eq!(again, told, "once a day is enough");
    add(&mut database, "by hand");
    found(&mut database, &["newest"], 3);
    let mut left = texts(&database);
    left.sort();
    assert_eq!(left, ["by hand", "newest", "old"]);

    for _ in 0..2 {
        let request = AddMemoryRequest { text: "more".to_owned(), ..AddMemoryRequest::default() };
        database.add_memory(&request, 3).unwrap();
    }
    let request = AddMemoryRequest { text: "too many".to_owned(), ..AddMemoryRequest::default() };
    let refused = database.add_memory(&request, 3).unwrap_err().to_string();
    assert!(refused.contains("memory.facts_max"), "{refused}");
    assert_eq!(texts(&database).len(), 3);
}

#[test]
fn a_check_names_a_damaged_memory_and_mends_an_origin_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let damaged = add(&mut database, "damaged");
    let id = Uuid::try_parse(&damaged.id).unwrap();
    let elsewhere = Memory { conversation_id: Uuid::from_u128(7).to_string(), ..damaged.clone() };
    let other = Uuid::from_u128(8);
    let elsewhere = Memory { id: other.to_string(), ..elsewhere };
    database.sled.insert(key::memory(other), codec::encode(&elsewhere)).unwrap();
    database.sled.insert(key::heard(Uuid::from_u128(7)), codec::encode(&3_u64)).unwrap();
    database.sled.insert(key::memory(id), b"x").unwrap();
    database.memories.take();
    assert_eq!(texts(&database), ["damaged"], "the one that can be read");
    let found = database.check(None, true).unwrap().findings;
    assert_eq!(found.iter().filter(|finding| finding.repaired).count(), 2, "{found:?}");
    let named = |finding: &&super::super::Finding| finding.what.contains(&damaged.id);
    assert_eq!(found.iter().filter(named).count(), 1, "{found:?}");
    assert_eq!(database.memories().unwrap()[0].conversation_id, "");
    database.forget_memory(&damaged.id).unwrap();
    assert_eq!(database.check(None, false).unwrap().findings, []);
}

fn any_memory() -> impl Strategy<Value = Memory> {
    let time = || prop::option::of((0..50_u64).prop_map(timestamp));
    (any::<u8>(), any::<bool>(), any::<bool>(), time(), time()).prop_map(
        |(id, pinned, by_hand, updated, used)| Memory {
            id: Uuid::from_u128(id.into()).to_string(),
            pinned,
            by_hand,
            updated,
            used,
            ..Memory::default()
        },
    )
}

proptest! {
    #[test]
    fn there_are_never_more_than_allowed_and_nothing_kept_goes(
        known in prop::collection::vec(any_memory(), 0..30),
        more in 0..10_usize,
        max in 1..30_usize,
    ) {
        let (room, gone) = make_room(&known, more, max);
        prop_assert!(room <= more);
        prop_assert!(gone.iter().all(|memory| !is_kept(memory)));
        let kept = known.iter().filter(|memory| is_kept(memory)).count();
        let left = known.len() - gone.len() + room;
        prop_assert!(left <= max || left == kept, "{left} of {max}");
        // Nothing goes without need.
        prop_assert!(gone.is_empty() || left == max.max(kept));
    }
}
