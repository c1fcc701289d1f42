//! Tests of conversations and stores as wholes: migrations, transfers, checks and copies.

use super::super::super::record;
use super::super::transfer::Forgotten;
use super::*;

/// A store that layout 1 has left behind, as its tandem wrote it.
fn golden() -> TempDir {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store-1");
    let dir = tempfile::tempdir().unwrap();
    copy_files(&golden, dir.path());
    dir
}

#[test]
fn a_store_of_layout_1_is_brought_up_to_date_and_loses_nothing() {
    let dir = golden();
    for life in 1..3 {
        let mut database = open_from(&dir, 1000 * life);
        let schema = database.sled.get(key::SCHEMA).unwrap().unwrap();
        assert_eq!(codec::decode::<u32>(&schema).unwrap(), migrations::SCHEMA_VERSION);
        let (list, _) = database.list_conversations(0, "").unwrap();
        let titles: Vec<_> =
            list.iter().map(|it| (it.title.as_str(), it.turns, it.policy())).collect();
        assert_eq!(
            titles,
            [("Of tea", 1, Policy::Private), ("Why is the sky blue?", 2, Policy::Auto)]
        );
        let turns = database.recent_turns(&list[1].id, 9).unwrap();
        assert_eq!(prompts(&turns), ["Why is the sky blue?", &"long ".repeat(2000)]);
        assert_eq!(database.engine_choice("model").unwrap().as_deref(), Some("plain"));
        // What a conversation cost that is not there any more is in the sums of days only.
        let rows = database.usage((0, 9)).unwrap();
        assert_eq!(rows.iter().map(|row| row.tally.cost_micros).sum::<u64>(), 14);
        assert_eq!(database.usage_by_conversation((0, 9)).unwrap().len(), 1);
        let checked = database.check(None, false).unwrap();
        assert_eq!((checked.findings, checked.next), (Vec::new(), None));
    }
}

#[test]
fn a_renamed_conversation_keeps_its_place_and_its_turns() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let id = database.create_conversation("a", Policy::Auto).unwrap().id;
    database.commit_turn(&id, turn("why?")).unwrap();
    let other = database.create_conversation("b", Policy::Auto).unwrap().id;
    let renamed = database.rename(&id, " new\n name ").unwrap();
    assert_eq!((renamed.title.as_str(), renamed.turns), ("new name", 1));
    let (list, _) = database.list_conversations(0, "").unwrap();
    assert_eq!([&list[0].id, &list[1].id], [&other, &id]);
    assert_eq!(list[1], renamed);
    for title in ["", " \n", &"x".repeat(TITLE_BYTES_MAX + 1)] {
        assert!(matches!(database.rename(&id, title), Err(Error::Invalid { .. })));
    }
    assert!(matches!(database.rename("x", "t"), Err(Error::ConversationNotFound { .. })));
}

#[test]
fn an_imported_conversation_is_as_it_was_and_replaces_another_only_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let id = database.create_conversation("", Policy::Private).unwrap().id;
    for prompt in ["one", "two", &"three ".repeat(9000)] {
        database.commit_turn(&id, turn(prompt)).unwrap();
    }
    let conversation = database.conversation(&id).unwrap();
    let turns = database.recent_turns(&id, 9).unwrap();

    let elsewhere = tempfile::tempdir().unwrap();
    let mut database = open(&elsewhere);
    database.import(&conversation, &turns, false).unwrap();
    assert_eq!(database.conversation(&id).unwrap(), conversation);
    assert_eq!(database.recent_turns(&id, 9).unwrap(), turns);
    let refused = database.import(&conversation, &turns[..1], false).unwrap_err();
    assert!(matches!(refused, Error::Invalid { .. }), "{refused}");
    assert_eq!(database.recent_turns(&id, 9).unwrap().len(), 3);
    database.import(&conversation, &turns[..1], true).unwrap();
    assert_eq!(prompts(&database.recent_turns(&id, 9).unwrap()), ["one"]);
    assert_eq!(database.conversation(&id).unwrap().turns, 1);
    assert_eq!(database.check(None, false).unwrap().findings, []);
    let nameless = Conversation { id: "tea".to_owned(), ..conversation };
    assert!(matches!(database.import(&nameless, &[], true), Err(Error::Invalid { .. })));
}

#[test]
fn turns_are_read_in_parts_that_are_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let id = database.create_conversation("", Policy::Auto).unwrap().id;
    for number in 0..5 {
        database.commit_turn(&id, turn(&format!("{number}").repeat(3 << 20))).unwrap();
    }
    let (mut next, mut parts, mut all) = (Some(0), 0, Vec::new());
    while let Some(number) = next {
        let (turns, more) = database.turns_from(&id, number, 4 << 20).unwrap();
        all.extend(turns);
        (next, parts) = (more, parts + 1);
    }
    assert_eq!(parts, 5);
    assert_eq!(all, database.recent_turns(&id, 9).unwrap());
}

#[test]
fn the_oldest_conversations_are_forgotten_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let ids: Vec<_> = (0..60)
        .map(|n| database.create_conversation(&format!("{n}"), Policy::Auto).unwrap().id)
        .collect();
    database.commit_turn(&ids[0], turn("still needed")).unwrap();
    let since = record::micros(&database.conversation(&ids[56]).unwrap().updated.unwrap());
    let first = database.forget_oldest(since, 0).unwrap();
    assert_eq!((first.conversations, first.more), (50, true));
    let rest = database.forget_oldest(since, 0).unwrap();
    assert_eq!((rest.conversations, rest.more), (5, false));
    let left = |database: &Database| -> Vec<String> {
        database.list_conversations(0, "").unwrap().0.into_iter().map(|it| it.title).collect()
    };
    assert_eq!(left(&database), ["0", "59", "58", "57", "56"]);
    assert_eq!(database.forget_oldest(since, 0).unwrap(), Forgotten::default());
    // By size, no more than needed.
    for id in [&ids[58], &ids[59]] {
        database.commit_turn(id, turn(&"long ".repeat(1000))).unwrap();
    }
    let gone = database.forget_oldest(0, 5000).unwrap();
    assert!(gone.bytes >= 5000, "{gone:?}");
    assert_eq!(left(&database), ["59"]);
    assert_eq!(database.check(None, false).unwrap().findings, []);
}

#[test]
fn a_check_finds_what_is_broken_and_mends_what_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let ids: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|title| {
            let id = database.create_conversation(title, Policy::Auto).unwrap().id;
            database.commit_turn(&id, turn(&"long ".repeat(2000))).unwrap();
            Uuid::try_parse(&id).unwrap()
        })
        .collect();
    assert_eq!(database.check(None, false).unwrap().findings, []);
    // Not listed, counted wrongly, a place that leads nowhere, and usage of nobody.
    let a = database.read_conversation(ids[0]).unwrap();
    database.sled.remove(update_key(ids[0], &a)).unwrap();
    let b = Conversation { turns: 7, ..database.read_conversation(ids[1]).unwrap() };
    database.sled.insert(key::conversation(ids[1]), codec::encode(&b)).unwrap();
    let nobody = Uuid::from_u128(12345);
    database.sled.insert(key::update(5, nobody), &[]).unwrap();
    let usage = codec::encode(&tandem_proto::v1::UsageTally::default());
    database.sled.insert(key::conversation_usage(nobody, 3), usage).unwrap();
    let found = database.check(None, false).unwrap().findings;
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.iter().all(|finding| !finding.repaired));
    let mended = database.check(None, true).unwrap().findings;
    assert_eq!(mended.len(), 4);
    assert!(mended.iter().all(|finding| finding.repaired), "{mended:?}");
    assert_eq!(database.check(None, false).unwrap().findings, []);
    assert_eq!(database.list_conversations(0, "").unwrap().0.len(), 3);
    assert_eq!(database.read_conversation(ids[1]).unwrap().turns, 1);

    // Damage that nobody can mend is named and stays.
    flip(&database, &key::piece(ids[0], 0, 1));
    flip(&database, &key::conversation(ids[1]));
    database.sled.remove(key::piece(ids[2], 0, 0)).unwrap();
    database.sled.insert(key::piece(nobody, 0, 0), b"x").unwrap();
    database.sled.insert(b"?", b"x").unwrap();
    let found = database.check(None, true).unwrap().findings;
    let named = |part: &str| found.iter().filter(|finding| finding.what.contains(part)).count();
    assert_eq!(named(&format!("turn 0 of conversation {}", ids[0])), 1, "{found:?}");
    assert_eq!(named(&format!("conversation {} does not match", ids[1])), 1, "{found:?}");
    assert_eq!(named(&format!("turn 0 of conversation {}", ids[2])), 1, "{found:?}");
    assert_eq!(named(&format!("{nobody}, which does not exist")), 1, "{found:?}");
    assert_eq!(named("unknown kind"), 1, "{found:?}");
    assert!(found.iter().all(|finding| !finding.repaired && !finding.advice.is_empty()));
}

#[test]
fn a_check_in_parts_reads_every_record_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let id = database.create_conversation("", Policy::Auto).unwrap().id;
    for number in 0..4 {
        database.commit_turn(&id, turn(&format!("{number}").repeat(700_000))).unwrap();
    }
    let (mut next, mut parts, mut findings) = (None, 0, Vec::new());
    loop {
        let checked = database.check(next, false).unwrap();
        findings.extend(checked.findings);
        parts += 1;
        next = checked.next;
        if next.is_none() {
            break;
        }
    }
    assert!(parts > 2);
    assert_eq!(findings, []);
}

#[test]
fn a_copy_has_what_changed_while_it_was_made() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let mut random = Random(7);
    let ids: Vec<_> =
        (0..40).map(|_| database.create_conversation("", Policy::Auto).unwrap().id).collect();
    let change = |database: &mut Database, random: &mut Random| {
        let id = &ids[random.below(ids.len())];
        let prompt = "words ".repeat(random.below(8000));
        if random.below(9) == 0 {
            drop(database.delete_conversation(id));
        } else {
            drop(database.commit_turn(id, turn(&prompt)));
        }
    };
    (0..80).for_each(|_| change(&mut database, &mut random));
    let copy = database.begin_copy();
    let (mut copied, mut after) = (BTreeMap::new(), None);
    let mut take = |records: Vec<super::super::super::copying::Record>| {
        for (key, value) in records {
            match value {
                Some(value) => drop(copied.insert(key, value)),
                None => drop(copied.remove(&key)),
            }
        }
    };
    loop {
        let page = database.copy_page(copy, after).unwrap();
        take(page.records);
        change(&mut database, &mut random);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    loop {
        let page = database.copy_rest(copy).unwrap();
        take(page.records);
        if page.next.is_none() {
            break;
        }
        change(&mut database, &mut random);
    }
    let here: BTreeMap<_, _> = database
        .sled
        .iter()
        .map(|entry| entry.unwrap())
        .filter(|(key, _)| !key.starts_with(key::JOURNAL))
        .collect();
    assert!(here.len() > 100);
    assert_eq!(copied, here);
    assert!(database.copy_page(copy, None).is_err(), "the copy has ended");
    let (first, second) = (database.begin_copy(), database.begin_copy());
    assert!(database.copy_page(first, None).is_err(), "another one began");
    database.copy_page(second, None).unwrap();
}

#[test]
fn while_the_disk_is_full_nothing_changes_and_everything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let id = database.create_conversation("kept", Policy::Auto).unwrap().id;
    let position = database.position();
    database.room = Err(Error::DiskFull { problem: "none is free".to_owned() });
    for refused in [
        database.commit_turn(&id, turn("why?")).unwrap_err(),
        database.delete_conversation(&id).unwrap_err(),
        database.create_conversation("", Policy::Auto).unwrap_err(),
    ] {
        assert!(matches!(refused, Error::DiskFull { .. }), "{refused}");
    }
    assert_eq!(database.conversation(&id).unwrap().turns, 0);
    assert!(database.failure().is_none());
    database.room = Ok(());
    database.commit_turn(&id, turn("why?")).unwrap();
    assert_eq!(database.position(), position + 1);
}
