//! Tests of the sums on a real directory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use std::iter;

use tandem_proto::v1::Policy;
use tempfile::TempDir;

use super::super::database::SystemSource;
use super::super::opening::Problem;
use super::*;

fn open(dir: &TempDir) -> Database {
    // The threads of the life before let go of the directory in their own time.
    iter::repeat_with(|| Database::open(dir.path(), Box::new(SystemSource)))
        .find(|opened| !matches!(opened, Err(Problem::Locked)))
        .unwrap()
        .unwrap_or_else(|problem| panic!("{problem}"))
}

fn attempt(day: u32, reserved: Option<u64>) -> Attempt {
    Attempt {
        day,
        provider: "far".into(),
        model: "large".into(),
        conversation: String::new(),
        reserved_micros: reserved,
        settled: None,
    }
}

fn cost(micros: u64) -> UsageTally {
    UsageTally { requests: 1, answered: 1, cost_micros: micros, ..UsageTally::default() }
}

fn total(database: &Database) -> u64 {
    database.usage((0, u32::MAX)).unwrap().iter().map(|row| row.tally.cost_micros).sum()
}

#[test]
fn an_attempt_left_open_counts_in_full_in_the_next_life_and_once_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let ids: Vec<_> = (1..=3).map(Uuid::from_u128).collect();
    for &id in &ids {
        database.open_attempt(id, &attempt(5, Some(100))).unwrap();
    }
    database.settle_attempt(ids[0], cost(7)).unwrap();
    database.sync().unwrap();
    drop(database);

    let mut database = open(&dir);
    let opening = database.open_books(0).unwrap();
    let lost: Vec<_> = opening.lost.iter().map(|(id, _)| *id).collect();
    assert_eq!(lost, ids[1..]);
    assert_eq!(opening.rows.iter().map(|row| row.tally.cost_micros).sum::<u64>(), 207);
    // What is known by now comes too late.
    database.settle_attempt(ids[1], cost(1)).unwrap();
    for _ in 0..2 {
        let again = database.open_books(0).unwrap();
        assert_eq!((again.lost, total(&database)), (Vec::new(), 207));
    }
}

#[test]
fn sums_are_by_day_track_provider_and_model_and_by_conversation() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let conversation = database.create_conversation("", Policy::Auto).unwrap().id;
    for (number, day) in [(1, 5), (2, 5), (3, 6)] {
        let attempt = Attempt { conversation: conversation.clone(), ..attempt(day, Some(100)) };
        database.open_attempt(Uuid::from_u128(number), &attempt).unwrap();
        database.settle_attempt(Uuid::from_u128(number), cost(10)).unwrap();
    }
    let tokens = Tokens { prompt: 3, cached: 1, completion: 2 };
    let local = LocalAnswer {
        day: 6,
        model: "small".into(),
        conversation: String::new(),
        tokens,
        saved_micros: 44,
        total_ms: 9,
    };
    let batch = Batch { local: vec![local.clone(), local], ..Batch::default() };
    database.sum_up(&batch).unwrap();
    let rows = database.usage((5, 6)).unwrap();
    let shown: Vec<_> = rows
        .iter()
        .map(|row| (row.day, row.fast, row.tally.requests, row.tally.cost_micros))
        .collect();
    assert_eq!(shown, [(5, false, 2, 20), (6, true, 2, 0), (6, false, 1, 10)]);
    assert_eq!((rows[1].tally.saved_micros, rows[1].tally.prompt_tokens), (88, 6));
    assert_eq!(database.usage((6, 6)).unwrap().len(), 2);
    assert_eq!(
        database.usage_by_conversation((5, 6)).unwrap(),
        [(Uuid::try_parse(&conversation).unwrap(), {
            let mut sum = cost(30);
            (sum.requests, sum.answered) = (3, 3);
            sum
        })]
    );
    assert_eq!(database.usage_by_conversation((7, 9)).unwrap(), []);
}

#[test]
fn what_a_deleted_conversation_cost_is_counted_without_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let conversation = database.create_conversation("", Policy::Auto).unwrap().id;
    let attempt = Attempt { conversation: conversation.clone(), ..attempt(5, None) };
    database.open_attempt(Uuid::from_u128(1), &attempt).unwrap();
    database.settle_attempt(Uuid::from_u128(1), cost(3)).unwrap();
    database.sum_up(&Batch::default()).unwrap();
    assert_eq!(database.usage_by_conversation((0, 9)).unwrap().len(), 1);
    database.delete_conversation(&conversation).unwrap();
    assert_eq!(database.usage_by_conversation((0, 9)).unwrap(), []);
    assert_eq!(total(&database), 3);
}

#[test]
fn what_is_summed_up_behind_a_deletion_does_not_bring_the_conversation_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let conversation = database.create_conversation("", Policy::Auto).unwrap().id;
    let attempt = Attempt { conversation: conversation.clone(), ..attempt(5, None) };
    database.open_attempt(Uuid::from_u128(1), &attempt).unwrap();
    database.settle_attempt(Uuid::from_u128(1), cost(3)).unwrap();
    database.delete_conversation(&conversation).unwrap();
    database.sum_up(&Batch::default()).unwrap();
    assert_eq!(database.usage_by_conversation((0, 9)).unwrap(), []);
    assert_eq!(total(&database), 3);
}

#[test]
fn a_batch_that_is_given_again_is_added_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let local = LocalAnswer {
        day: 6,
        model: "small".into(),
        conversation: String::new(),
        tokens: Tokens::default(),
        saved_micros: 44,
        total_ms: 9,
    };
    let batch = Batch { id: Uuid::from_u128(5), local: vec![local], ..Batch::default() };
    for _ in 0..2 {
        database.sum_up(&batch).unwrap();
        database.sync().unwrap();
        drop(database);
        database = open(&dir);
    }
    database.sum_up(&Batch { id: Uuid::from_u128(6), ..batch }).unwrap();
    assert_eq!(database.usage((0, 9)).unwrap()[0].tally.requests, 2);
}

#[test]
fn scores_and_the_end_of_the_ledger_are_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = open(&dir);
    let scores = |count| Scores { buckets: vec![count; 4] };
    let head = Head { records: 12, hash: "ab".repeat(32) };
    for (day, count) in [(1, 1), (1, 2), (41, 3)] {
        let batch = Batch {
            scores: vec![(day, scores(count))],
            head: Some(head.clone()),
            ..Batch::default()
        };
        database.sum_up(&batch).unwrap();
    }
    let opening = database.open_books(0).unwrap();
    assert_eq!((opening.scores, opening.head), (vec![(41, scores(3))], Some(head)));
    let earlier = Batch { scores: vec![(40, scores(5))], ..Batch::default() };
    database.sum_up(&earlier).unwrap();
    assert_eq!(database.open_books(41).unwrap().scores, [(41, scores(3))]);
}
