//! Reading in processes of their own: what a hostile document does to its reader, it does to nobody else.
//!
//! This program starts itself as the reader, so it has a `main` of its own.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::format_collect,
    clippy::format_push_string,
    reason = "tests"
)]

use std::io::Write as _;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Duration;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tandem_knowledge::read::{Format, Isolation, Limits, READER, Reading, Refusal, serve};

#[path = "../src/read/tests/writer.rs"]
mod writer;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(READER) {
        return if serve().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let tests: [(&str, fn()); 8] = [
        ("every_format_is_read_as_without_isolation", every_format_is_read_as_without_isolation),
        ("refusals_come_through", refusals_come_through),
        ("a_decompression_bomb_is_contained", a_decompression_bomb_is_contained),
        (
            "a_document_that_overflows_the_stack_is_contained",
            a_document_that_overflows_the_stack_is_contained,
        ),
        ("loops_in_the_tree_of_pages_are_contained", loops_in_the_tree_of_pages_are_contained),
        ("one_that_takes_too_long_is_killed", one_that_takes_too_long_is_killed),
        ("a_program_that_is_no_reader_is_an_error", a_program_that_is_no_reader_is_an_error),
        ("mutated_pdfs_are_read_or_refused", mutated_pdfs_are_read_or_refused),
    ];
    let failed = tests.iter().filter(|(name, test)| {
        let passed = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        !passed
    });
    let failed = failed.count();
    println!("{} passed, {failed} failed", tests.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn isolation() -> Isolation {
    Isolation { memory_max: 512 << 20, ..Isolation::of_this_program().unwrap() }
}

fn read(bytes: &[u8]) -> Result<Reading, Refusal> {
    isolation().read(bytes, Format::Pdf, &Limits::default()).unwrap()
}

fn every_format_is_read_as_without_isolation() {
    let pdf = writer::pdf("Manual", &[&[(11, 700, "Text of it.")], &[(11, 700, "More.")]]);
    for (bytes, format) in [
        (&b"Some\n\ntext"[..], Format::Plain),
        (b"# A\n\n- b", Format::Markdown),
        (b"<h1>A</h1>b", Format::Html),
        (&pdf, Format::Pdf),
    ] {
        let here = tandem_knowledge::read::read(bytes, format, &Limits::default());
        assert_eq!(isolation().read(bytes, format, &Limits::default()).unwrap(), here);
        assert!(here.is_ok());
    }
}

fn refusals_come_through() {
    assert!(matches!(read(b"%PDF-1.4\nnothing"), Err(Refusal::Malformed { .. })));
    let limits = Limits { bytes: 3, ..Limits::default() };
    assert_eq!(
        isolation().read(b"four", Format::Plain, &limits).unwrap(),
        Err(Refusal::TooManyBytes { bytes_max: 3 })
    );
    assert_eq!(
        isolation().read(b"\0", Format::Plain, &Limits::default()).unwrap(),
        Err(Refusal::NotText)
    );
}

/// A stream that is inflated twice, from some kilobytes to gigabytes.
fn a_decompression_bomb_is_contained() {
    let deflate = |bytes: &[u8]| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let spaces = vec![b' '; 1 << 20];
    for _ in 0..2048 {
        encoder.write_all(&spaces).unwrap();
    }
    let bytes = deflate(&encoder.finish().unwrap());
    let mut content =
        format!("<< /Length {} /Filter [/FlateDecode /FlateDecode] >>\nstream\n", bytes.len())
            .into_bytes();
    content.extend_from_slice(&bytes);
    content.extend_from_slice(b"\nendstream");
    let file = writer::assemble("Bomb", &[content]);
    assert!(file.len() < 100_000, "{}", file.len());
    let refusal = read(&file).unwrap_err();
    assert!(
        matches!(refusal, Refusal::Crashed { .. } | Refusal::Malformed { .. } | Refusal::Empty),
        "{refusal:?}"
    );
}

fn a_document_that_overflows_the_stack_is_contained() {
    for nested in ["[", "<< /A ", "("] {
        let content =
            format!("<< /Length 0 /Deep {} >>\nstream\n\nendstream", nested.repeat(2_000_000))
                .into_bytes();
        assert!(read(&writer::assemble("Deep", &[content])).is_err());
    }
}

fn loops_in_the_tree_of_pages_are_contained() {
    let text = String::from_utf8(writer::pdf("Loop", &[&[(11, 700, "Text")]])).unwrap();
    let looping = text.replace("/Kids [5 0 R ]", "/Kids [2 0 R ]");
    assert_ne!(text, looping);
    let _ = read(looping.as_bytes());
    let of_itself = text.replace("/Contents 6 0 R", "/Contents 5 0 R");
    let _ = read(of_itself.as_bytes());
}

fn one_that_takes_too_long_is_killed() {
    let isolation = Isolation {
        program: "/bin/sleep".into(),
        arguments: vec!["1000".into()],
        time_max: Duration::from_millis(50),
        ..isolation()
    };
    let refusal = isolation.read(b"%PDF-", Format::Pdf, &Limits::default()).unwrap().unwrap_err();
    assert_eq!(refusal, Refusal::TookTooLong { seconds: 0 });
}

fn a_program_that_is_no_reader_is_an_error() {
    let missing = Isolation { program: "/nonexistent".into(), ..isolation() };
    assert!(missing.read(b"%PDF-", Format::Pdf, &Limits::default()).is_err());
    let other = Isolation { program: "/bin/false".into(), ..isolation() };
    let refusal = other.read(b"%PDF-", Format::Pdf, &Limits::default()).unwrap().unwrap_err();
    assert_eq!(refusal, Refusal::Crashed { how: "exit code 1".to_owned() });
}

fn mutated_pdfs_are_read_or_refused() {
    let seed = writer::pdf(
        "Manual",
        &[&[(24, 760, "Safety"), (11, 700, "Never open the lid.")], &[(11, 700, "More.")]],
    );
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..12);
    let mut runner =
        TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    runner
        .run(&changes, |changes| {
            let mut bytes = seed.clone();
            for (at, byte, change) in changes {
                let at = at.index(bytes.len());
                match change {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    // Numbers of objects and places are what structure hangs on.
                    2 if bytes[at].is_ascii_digit() => bytes[at] = b'0' + byte % 10,
                    2 => (),
                    _ => bytes.truncate(at.max(bytes.len() / 2)),
                }
            }
            if let Ok(reading) = read(&bytes) {
                prop_assert!(!reading.blocks.is_empty());
            }
            Ok(())
        })
        .unwrap();
}
