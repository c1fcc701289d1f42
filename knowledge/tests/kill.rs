//! A process that writes a collection is killed at any moment. What it committed must be there whole, and
//! nothing of what it did not.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]
#![allow(clippy::cast_possible_truncation, reason = "small numbers")]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tandem_knowledge::{
    Chunk, Collection, Document, Embedded, EmbeddingSpace, Label, Mode, Place, Query,
};

const DIRECTORY: &str = "TANDEM_TEST_WRITER_DIRECTORY";
const FROM: &str = "TANDEM_TEST_WRITER_FROM";
const SOURCES: u64 = 12;
/// So many changes become true with one commit.
const CHANGES: u64 = 3;

fn space() -> EmbeddingSpace {
    EmbeddingSpace { model: "tiny".into(), dimensions: 16 }
}

fn mixed(number: u64) -> u64 {
    let number = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (number ^ (number >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20
}

/// What a change does: to which source, and whether it removes it.
fn change(number: u64) -> (String, bool) {
    ((mixed(number) % SOURCES).to_string(), mixed(number + 7_000_000).is_multiple_of(5))
}

/// Sources, each with the change that wrote it last, after so many commits.
fn state(commits: u64) -> BTreeMap<String, u64> {
    let mut state = BTreeMap::new();
    for number in 0..commits * CHANGES {
        let (source, removed) = change(number);
        if removed {
            state.remove(&source);
        } else {
            state.insert(source, number);
        }
    }
    state
}

fn document(source: &str, number: u64) -> (Document, Vec<Embedded>) {
    let document = Document {
        source: source.into(),
        title: format!("change{number}"),
        sha256: number.to_string(),
        bytes: 0,
        modified: 0,
        metadata: BTreeMap::new(),
        label: Label::LocalOnly,
        cut: None,
    };
    let chunk = |ordinal: u32| {
        let seed = number * 100 + u64::from(ordinal) * 16;
        let vector = (0..16).map(|at| f32::from((mixed(seed + at) % 19) as u8) - 9.5);
        let text = format!("change{number} part{ordinal}");
        Embedded {
            chunk: Chunk { ordinal, text, place: Place::default() },
            vector: vector.collect(),
        }
    };
    (document, (0..=(mixed(number) % 7) as u32).map(chunk).collect())
}

fn write(directory: &Path, from: u64) {
    let mut collection = Collection::open(directory, Some(&space())).unwrap();
    for commit in from.. {
        for number in commit * CHANGES..(commit + 1) * CHANGES {
            let (source, removed) = change(number);
            if removed {
                collection.remove(&source).unwrap();
            } else {
                let (document, chunks) = document(&source, number);
                collection.replace(document, chunks).unwrap();
            }
        }
        println!("\nstaged {commit}");
        collection.commit().unwrap();
        println!("\ncommitted {commit}");
        if commit % 8 == 7 {
            collection.compact().unwrap();
            println!("\ncompacted {commit}");
        }
    }
}

/// Lets a process write from that commit on, kills it when it has said so much and some time has passed,
/// and returns how many commits it has acknowledged.
fn killed(directory: &Path, from: u64, words: u64, then: Duration) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "what_was_committed_survives_a_kill_at_any_moment", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(FROM, from.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut acknowledged = from;
    let mut said = 0;
    let mut hear = |line: String| {
        if let Some(commit) = line.strip_prefix("committed ") {
            acknowledged = commit.parse::<u64>().unwrap() + 1;
        }
        said += u64::from(line.contains("ed "));
        said
    };
    while hear(lines.next().expect("the writer ended by itself")) < words {}
    // The moment of the kill; nothing waits for it.
    std::thread::sleep(then);
    child.kill().unwrap();
    for line in lines {
        hear(line);
    }
    child.wait().unwrap();
    acknowledged
}

#[test]
fn what_was_committed_survives_a_kill_at_any_moment() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        write(directory.as_ref(), env::var(FROM).unwrap().parse().unwrap());
    }
    let kills: u64 = env::var("TANDEM_TEST_KILLS").map_or(50, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut commits = 0;
    let (mut before, mut after) = (0, 0);
    for kill in 0..kills {
        let words = 1 + mixed(kill) % 12;
        let then = Duration::from_micros(mixed(kill + 500) % 20_000);
        let acknowledged = killed(folder.path(), commits, words, then);
        let mut collection = Collection::open(folder.path(), Some(&space())).unwrap();
        assert_eq!(collection.check().unwrap(), [], "kill {kill}");
        let documents = collection.documents(None, 100).unwrap();
        let found: BTreeMap<String, u64> = documents
            .into_iter()
            .map(|(document, _)| (document.source, document.sha256.parse().unwrap()))
            .collect();
        // A commit that became true just before the kill may lack its acknowledgement.
        commits = if found == state(acknowledged) {
            before += 1;
            acknowledged
        } else {
            assert_eq!(found, state(acknowledged + 1), "kill {kill}");
            after += 1;
            acknowledged + 1
        };
        for (source, number) in found {
            let (_, chunks) = document(&source, number);
            let stored = collection.chunks(&source).unwrap().unwrap();
            assert!(
                stored
                    .iter()
                    .map(|embedded| &embedded.chunk)
                    .eq(chunks.iter().map(|embedded| &embedded.chunk))
            );
            for embedded in &chunks {
                let vector = Some(embedded.vector.clone());
                let query = Query { vector, count: 1, mode: Mode::Vectors, ..Query::default() };
                let hits = collection.reader().search(&query).unwrap();
                assert!(hits[0].similarity.unwrap() > 0.9999);
            }
            let words = format!("change{number}");
            let query = Query { words, count: 50, mode: Mode::Words, ..Query::default() };
            assert_eq!(collection.reader().search(&query).unwrap().len(), chunks.len());
        }
        // It must also be possible to go on.
        collection.compact().unwrap();
    }
    println!(
        "{kills} kills, {commits} commits, {before} without and {after} with one more than was acknowledged"
    );
}
