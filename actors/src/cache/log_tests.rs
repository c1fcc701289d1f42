#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

const KEY: [u8; 16] = [7; 16];
const LARGE: u64 = 1 << 20;

fn open(folder: &Path) -> Found {
    Log::open(folder.to_owned(), KEY, LARGE).unwrap()
}

/// Everything that can be read, oldest first.
fn contents(found: &Found) -> Vec<(Id, u64, Vec<u8>)> {
    let of = |segment: &Segment| {
        let entry = |(id, place): &(Id, Place)| {
            (*id, place.written_ms, read(&segment.file, *place).unwrap())
        };
        segment.entries.iter().map(entry).collect::<Vec<_>>()
    };
    found.segments.iter().flat_map(of).collect()
}

fn segment_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn what_was_appended_is_found_again_also_after_more_was_appended_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut written = Vec::new();
    for life in 0..3_u8 {
        let mut found = open(folder.path());
        assert_eq!(contents(&found), written);
        for number in 0..4_u8 {
            let entry = ([16 * life + number; 16], u64::from(number), vec![number; 100]);
            let appended = found.log.append(&entry.0, entry.1, &entry.2).unwrap();
            assert_eq!(appended.place.written_ms, entry.1);
            assert_eq!(
                appended.begun.is_some(),
                written.is_empty(),
                "one segment serves all lives"
            );
            written.push(entry);
        }
    }
    assert_eq!(contents(&open(folder.path())), written);
}

#[test]
fn a_full_segment_is_followed_by_another_and_each_can_be_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut found = Log::open(folder.path().to_owned(), KEY, 500).unwrap();
    let numbers: Vec<u32> = (0..9_u8)
        .map(|n| found.log.append(&[n; 16], 1, &[n; 100]).unwrap().place.segment)
        .collect();
    assert_eq!(numbers, [1, 1, 1, 2, 2, 2, 3, 3, 3]);
    for file in segment_files(folder.path()) {
        assert!(fs::metadata(file).unwrap().len() <= 500);
    }
    found.log.remove(1).unwrap();
    found.log.remove(3).unwrap();
    assert_eq!(found.log.append(&[9; 16], 1, b"x").unwrap().place.segment, 4);
    let ids: Vec<u8> = contents(&open(folder.path())).iter().map(|(id, ..)| id[0]).collect();
    assert_eq!(ids, [3, 4, 5, 9]);
}

#[test]
fn segments_of_another_key_or_of_nobody_are_removed_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).log.append(&[1; 16], 1, b"ours").unwrap();
    fs::write(folder.path().join("0000000007.cache"), "tn").unwrap();
    fs::write(folder.path().join("notes.txt"), "not a segment").unwrap();
    let other = Log::open(folder.path().to_owned(), [8; 16], LARGE).unwrap();
    assert_eq!((other.foreign, other.segments.len()), (2, 0));
    assert_eq!(segment_files(folder.path()), [folder.path().join("notes.txt")]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// A process that dies leaves a beginning of what it wrote; a disk may leave anything.
    #[test]
    fn a_segment_that_was_cut_or_damaged_keeps_what_lies_before_and_can_be_written_to(
        lengths in prop::collection::vec(0_usize..300, 1..20),
        cut: prop::sample::Index, damage: Option<prop::sample::Index>,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut found = open(folder.path());
        for (number, length) in lengths.iter().enumerate() {
            let number = u8::try_from(number).unwrap();
            found.log.append(&[number; 16], 5, &vec![number; *length]).unwrap();
        }
        let before = contents(&open(folder.path()));
        let file = folder.path().join("0000000001.cache");
        let mut bytes = fs::read(&file).unwrap();
        let head = HEAD;
        let kept = head + cut.index(bytes.len() - head + 1);
        bytes.truncate(kept);
        if let (Some(damage), true) = (damage, kept > head) {
            bytes[head + damage.index(kept - head)] ^= 0xff;
        }
        fs::write(&file, &bytes).unwrap();

        let mut found = open(folder.path());
        let after = contents(&found);
        prop_assert!(after.len() <= before.len());
        for (left, was) in after.iter().zip(&before) {
            prop_assert_eq!((left.0, left.1, left.2.len()), (was.0, was.1, was.2.len()));
        }
        found.log.append(&[99; 16], 6, b"and on").unwrap();
        let mut expected = after;
        expected.push(([99; 16], 6, b"and on".to_vec()));
        prop_assert_eq!(contents(&open(folder.path())), expected);
    }
}
