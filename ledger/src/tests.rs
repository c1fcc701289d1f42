//! Ledgers that are written, damaged in every way, and checked.
#![allow(clippy::unwrap_used, reason = "tests")]
use std::fs::{self, File};
use std::path::Path;

use jiff::{Timestamp, ToSpan as _};
use tempfile::TempDir;

use super::*;

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn sent(number: u64) -> Entry {
    Entry::Sent(Sent {
        attempt: format!("attempt {number}"),
        provider: "far".into(),
        model: "large".into(),
        host: "host:443".into(),
        policy: "auto".into(),
        reason: "its score 0.70 is not below the threshold 0.60".into(),
        body_bytes: 100 + number,
        body_sha256: "ab".repeat(32),
        redactions: [("email".to_owned(), 2)].into(),
        reserved_micros: Some(1234),
        ..Sent::default()
    })
}

fn ended(number: u64) -> Entry {
    Entry::Ended(Ended {
        attempt: format!("attempt {number}"),
        outcome: Outcome::Answered,
        tokens: Tokens { prompt: 10, cached: 0, completion: 5 },
        estimated: false,
        cost_micros: None,
    })
}

/// A ledger of six records in one file.
fn six() -> (TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), None, now()).unwrap();
    for number in 0..3 {
        assert_eq!(writer.append(now(), [sent(number), ended(number)]).unwrap(), number * 2);
    }
    let text = fs::read(dir.path().join(CURRENT)).unwrap();
    (dir, text)
}

fn check(dir: &TempDir) -> Report {
    verify(&folder(dir), Head::noted(dir.path()).as_ref()).unwrap()
}

fn folder(dir: &TempDir) -> Source {
    Source::Folder(dir.path().to_owned())
}

/// What is wrong when this is the text.
fn fault(dir: &TempDir, text: &[u8]) -> Option<Fault> {
    fs::write(dir.path().join(CURRENT), text).unwrap();
    check(dir).fault
}

fn split(text: &[u8]) -> Vec<Vec<u8>> {
    text.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn read_all(dir: &Path) -> Vec<Record> {
    let mut records = Vec::new();
    read(&Source::Folder(dir.to_owned()), |record| records.push(record)).unwrap();
    records
}

#[test]
fn what_is_written_is_in_order_and_reads_back() {
    let (dir, _) = six();
    let report = check(&dir);
    assert_eq!((report.fault, report.torn, report.head.records), (None, false, 6));
    let entries: Vec<_> = read_all(dir.path()).into_iter().map(|record| record.entry).collect();
    assert_eq!(entries[..2], [sent(0), ended(0)]);
}

#[test]
fn every_changed_byte_is_named_by_its_record() {
    let (dir, text) = six();
    for flip in [1, 0x20, 0x80] {
        let mut position = 0;
        for (index, line) in (0..).zip(split(&text)) {
            for byte in position..position + line.len() {
                let mut changed = text.clone();
                changed[byte] ^= flip;
                let fault = fault(&dir, &changed).map(|fault| fault.index());
                assert_eq!(fault, Some(index), "byte {byte} ^ {flip}");
            }
            position += line.len();
        }
    }
}

#[test]
fn every_dropped_moved_or_repeated_record_is_named() {
    let (dir, text) = six();
    let lines = split(&text);
    for index in 0..6_u64 {
        let at = usize::try_from(index).unwrap();
        let mut dropped = lines.clone();
        dropped.remove(at);
        let expected = if index == 5 { Fault::Cut(5, 5) } else { Fault::Missing(index, index) };
        assert_eq!(fault(&dir, &dropped.concat()), Some(expected));

        let mut repeated = lines.clone();
        repeated.insert(at, lines[at].clone());
        assert_eq!(fault(&dir, &repeated.concat()), Some(Fault::Moved(index)));

        for other in at + 1..6 {
            let mut swapped = lines.clone();
            swapped.swap(at, other);
            assert_eq!(fault(&dir, &swapped.concat()), Some(Fault::Moved(index)));
        }
    }
    let hole: Vec<_> = [&lines[..1], &lines[4..]].concat();
    assert_eq!(fault(&dir, &hole.concat()), Some(Fault::Missing(1, 3)));
}

#[test]
fn a_cut_at_any_byte_is_noticed_with_the_head_and_only_then() {
    let (dir, text) = six();
    for length in 0..text.len() {
        let whole = split(&text[..length]).iter().filter(|line| line.ends_with(b"\n")).count();
        let first = u64::try_from(whole).unwrap();
        assert_eq!(fault(&dir, &text[..length]), Some(Fault::Cut(first, 5)), "{length} bytes");
        let alone = verify(&folder(&dir), None).unwrap();
        let torn = text[..length].last().is_some_and(|&byte| byte != b'\n');
        assert_eq!((alone.fault, alone.torn, alone.head.records), (None, torn, first));
    }
}

#[test]
fn a_record_that_was_replaced_with_a_right_hash_is_named() {
    let (dir, text) = six();
    let mut lines = split(&text);
    let forge = |lines: &[Vec<u8>], at: usize| {
        let link = chain::read_line(lines[at].trim_ascii_end()).unwrap();
        let record = Record { entry: sent(99), ..link.record };
        chain::line(&record, &link.prev).unwrap().0.into_bytes()
    };
    for at in 0..5 {
        let mut forged = lines.clone();
        forged[at] = forge(&lines, at);
        let index = u64::try_from(at).unwrap();
        assert_eq!(fault(&dir, &forged.concat()), Some(Fault::Replaced(index)));
    }
    // Nothing follows the last one: only the head knows.
    lines[5] = forge(&lines, 5);
    assert_eq!(fault(&dir, &lines.concat()), Some(Fault::Replaced(5)));
    assert_eq!(verify(&folder(&dir), None).unwrap().fault, None);
}

#[test]
fn a_line_that_a_crash_cut_is_taken_off_and_that_is_recorded() {
    let (dir, text) = six();
    let last = split(&text).pop().unwrap().len();
    for left in 1..last {
        fs::write(dir.path().join(CURRENT), [&text, &text[..left]].concat()).unwrap();
        let mut writer = Writer::open(dir.path(), None, now()).unwrap();
        assert_eq!(writer.append(now(), [sent(7)]).unwrap(), 7);
        let report = check(&dir);
        assert_eq!((report.fault, report.head.records), (None, 8));
        let repaired = Entry::Repaired { bytes: u64::try_from(left).unwrap() };
        assert_eq!(read_all(dir.path())[6].entry, repaired);
        fs::remove_file(dir.path().join("head.json")).unwrap();
    }
}

#[test]
fn a_cut_is_recorded_by_the_next_writer_from_the_head_or_from_what_is_remembered() {
    let (dir, text) = six();
    let known = Head::noted(dir.path()).unwrap();
    let four: Vec<u8> = split(&text)[..4].concat();
    for (noted, remembered) in [(true, false), (false, true)] {
        fs::write(dir.path().join(CURRENT), &four).unwrap();
        if noted {
            let text = serde_json::to_string(&known).unwrap();
            fs::write(dir.path().join("head.json"), text).unwrap();
        } else {
            fs::remove_file(dir.path().join("head.json")).unwrap();
        }
        drop(Writer::open(dir.path(), Some(&known).filter(|_| remembered), now()).unwrap());
        let missing = Entry::Missing { expected: 6, found: 4 };
        assert_eq!(read_all(dir.path())[4].entry, missing);
    }
}

#[test]
fn the_chain_goes_on_over_files_that_are_put_aside_by_length_and_by_month() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), None, now()).unwrap();
    writer.limit(1000);
    for number in 0..9 {
        writer.append(now(), [sent(number)]).unwrap();
    }
    let next_month = now() + (24 * 20).hours();
    writer.append(next_month, [sent(9)]).unwrap();
    drop(writer);
    let paths = files(dir.path()).unwrap();
    assert_eq!(paths.len(), 6, "{paths:?}");
    assert!(paths[1].ends_with("egress-000000000002.jsonl"), "{paths:?}");

    let mut writer = Writer::open(dir.path(), None, next_month).unwrap();
    assert_eq!(writer.append(next_month, [sent(10)]).unwrap(), 10);
    let report = check(&dir);
    assert_eq!((report.fault, report.head.records), (None, 11));

    let part = verify(&Source::Files(paths[1..3].to_vec()), None).unwrap();
    assert_eq!((part.fault, part.first, part.head.records), (None, 2, 6));
    fs::remove_file(&paths[2]).unwrap();
    assert_eq!(check(&dir).fault, Some(Fault::Missing(4, 5)));
    fs::remove_file(&paths[0]).unwrap();
    assert_eq!(check(&dir).fault, Some(Fault::Missing(0, 1)));
}

#[test]
fn a_month_that_ends_while_nobody_writes_begins_a_new_file() {
    let (dir, _) = six();
    // What begins the file decides, whichever life wrote it.
    let mut writer = Writer::open(dir.path(), None, now()).unwrap();
    writer.append(now() + (24 * 20).hours(), [sent(6)]).unwrap();
    assert_eq!(files(dir.path()).unwrap().len(), 2);
    assert_eq!(check(&dir).fault, None);
}

#[test]
fn a_write_that_fails_leaves_no_trace_and_the_next_one_succeeds() {
    let (dir, text) = six();
    let path = dir.path().join(CURRENT);
    let mut writer = Writer::open(dir.path(), None, now()).unwrap();
    let file = writer.swap(File::open(&path).unwrap());
    assert!(matches!(writer.append(now(), [sent(6)]), Err(Error::Io { .. })));
    writer.swap(file);
    assert_eq!(fs::read(&path).unwrap(), text);
    // What the failed write may have left behind.
    fs::write(&path, [&text, b"{\"hash\"".as_slice()].concat()).unwrap();
    assert_eq!(writer.append(now(), [sent(6)]).unwrap(), 6);
    assert_eq!(check(&dir).fault, None);
}

#[test]
fn files_are_for_their_owner_only_and_nothing_else_may_stand_in_their_place() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, _) = six();
    for name in [CURRENT, "head.json"] {
        let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    fs::remove_file(dir.path().join(CURRENT)).unwrap();
    fs::create_dir(dir.path().join(CURRENT)).unwrap();
    let opened = Writer::open(dir.path(), None, now());
    assert!(matches!(opened, Err(Error::NotAFile(_))), "{opened:?}");
}

#[test]
fn a_changed_last_line_is_not_written_over() {
    let (dir, mut text) = six();
    let at = text.len() - 5;
    text[at] ^= 1;
    fs::write(dir.path().join(CURRENT), &text).unwrap();
    let mut writer = Writer::open(dir.path(), None, now()).unwrap();
    writer.append(now(), [sent(7)]).unwrap();
    assert_eq!(check(&dir).fault, Some(Fault::Changed(5)));
}

#[test]
fn a_folder_without_a_ledger_is_in_order() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(check(&dir).head.records, 0);
    assert_eq!(verify(&Source::Folder("/no/such/folder".into()), None).unwrap().fault, None);
}

#[test]
fn an_end_agrees_only_where_it_was_compared() {
    let (dir, text) = six();
    let whole = check(&dir);
    assert!(whole.known_agrees);
    let cut = text.split_inclusive(|&byte| byte == b'\n').take(3).map(<[u8]>::len).sum::<usize>();
    let part = dir.path().join("part.jsonl");
    fs::write(&part, &text[cut..]).unwrap();
    let source = Source::Files(vec![part]);
    let before = Head { records: 2, hash: "00".repeat(32) };
    let report = verify(&source, Some(&before)).unwrap();
    assert_eq!((report.first, report.fault.as_ref(), report.known_agrees), (3, None, false));
    assert!(verify(&source, Some(&whole.head)).unwrap().known_agrees);
    assert!(!verify(&source, None).unwrap().known_agrees);
}
