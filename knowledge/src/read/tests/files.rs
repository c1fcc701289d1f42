//! Folders and files that are not as they should be.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sha2::{Digest as _, Sha256};

use super::*;
use crate::Error;

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn names(folder: &Path, walk: &Walk) -> Vec<String> {
    walk.found
        .iter()
        .map(|found| found.path.strip_prefix(folder).unwrap().display().to_string())
        .collect()
}

#[test]
fn a_folder_gives_its_documents_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "b.md",
        "a/z.txt",
        "a/b/page.html",
        "README",
        "a-b.pdf",
        ".hidden.md",
        ".git/x.md",
        "drafts/x.md",
        "c.rs",
        "old.md",
    ] {
        write(folder.path(), name, "text");
    }
    write(folder.path(), ".gitignore", "drafts/\nold.md\n");
    write(folder.path(), "empty", "");
    write(folder.path(), "program", "\x7fELF\0\0");
    let walk = walk(folder.path(), &WalkLimits::default()).unwrap();
    assert_eq!(
        names(folder.path(), &walk),
        ["README", "a/b/page.html", "a/z.txt", "a-b.pdf", "b.md"]
    );
    assert_eq!(walk.found[2].bytes, 4);
    let skipped: Vec<_> = walk
        .skipped
        .iter()
        .map(|skipped| (skipped.path.file_name().unwrap().to_str().unwrap(), &skipped.reason))
        .collect();
    assert_eq!(skipped, [("program", &Reason::NotText)]);
}

#[test]
fn links_are_not_followed_and_loops_are_named() {
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "secret.md", "secret");
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a/b/doc.md", "text");
    symlink(folder.path().join("a"), folder.path().join("a/b/round")).unwrap();
    symlink(outside.path(), folder.path().join("away")).unwrap();
    symlink(outside.path().join("secret.md"), folder.path().join("secret.md")).unwrap();
    symlink("nothing", folder.path().join("broken.md")).unwrap();
    symlink("itself.md", folder.path().join("itself.md")).unwrap();
    symlink("a/b/doc.md", folder.path().join("same.md")).unwrap();
    let walk = walk(folder.path(), &WalkLimits::default()).unwrap();
    assert_eq!(names(folder.path(), &walk), ["a/b/doc.md"]);
    let real = |path: &Path| path.canonicalize().unwrap();
    let reasons: Vec<_> = walk.skipped.iter().map(|skipped| skipped.reason.clone()).collect();
    assert_eq!(
        reasons,
        [
            Reason::Loop(real(&folder.path().join("a"))),
            Reason::Outside(real(outside.path())),
            Reason::Broken,
            Reason::Broken,
            Reason::Outside(real(&outside.path().join("secret.md"))),
        ]
    );
}

#[test]
fn limits_of_a_folder_are_errors_and_no_part_of_it_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["1.md", "2.md", "deep/er/3.md"] {
        write(folder.path(), name, "text");
    }
    let limits = WalkLimits::default();
    assert!(matches!(
        walk(folder.path(), &WalkLimits { files: 2, ..limits }),
        Err(Error::TooManyFiles { files_max: 2, .. })
    ));
    assert!(matches!(
        walk(folder.path(), &WalkLimits { entries: 3, ..limits }),
        Err(Error::TooManyEntries { .. })
    ));
    assert!(matches!(
        walk(folder.path(), &WalkLimits { depth: 1, ..limits }),
        Err(Error::TooDeep { depth_max: 1, .. })
    ));
    assert_eq!(
        walk(folder.path(), &WalkLimits { files: 3, depth: 2, ..limits }).unwrap().found.len(),
        3
    );
    assert!(matches!(walk(&folder.path().join("none"), &limits), Err(Error::Io { .. })));
    assert!(matches!(walk(&folder.path().join("1.md"), &limits), Err(Error::Io { .. })));
}

#[test]
fn a_file_is_taken_with_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.md", "abc");
    let taken = take(&folder.path().join("a.md"), 3).unwrap();
    assert_eq!(taken.bytes, b"abc");
    assert_eq!(taken.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert!(taken.modified > 1_600_000_000_000_000);
    let refused = take(&folder.path().join("a.md"), 2);
    assert!(
        matches!(
            refused,
            Err(Error::Refused { refusal: Refusal::TooManyBytes { bytes_max: 2 }, .. })
        ),
        "{refused:?}"
    );
    assert!(matches!(
        take(folder.path(), 10),
        Err(Error::Refused { refusal: Refusal::NotText, .. })
    ));
    assert!(matches!(
        take(Path::new("/dev/zero"), 10),
        Err(Error::Refused { refusal: Refusal::NotText, .. })
    ));
}

/// Such a file says that it is empty and has text all the same, so it always seems to grow.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_grows_whenever_it_is_read_is_given_up() {
    assert!(matches!(take(Path::new("/proc/self/status"), 1 << 20), Err(Error::Changing { .. })));
}

#[test]
fn what_is_taken_of_a_file_being_written_was_in_it_at_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.txt");
    let mut file = File::create(&path).unwrap();
    let line = |number: usize| format!("{number:07}\n");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..200_000 {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                file.write_all(line(number).as_bytes()).unwrap();
            }
        });
        for _ in 0..200 {
            match take(&path, 10 << 20) {
                Ok(taken) => {
                    let whole: String = (0..taken.bytes.len() / 8).map(line).collect();
                    assert_eq!(taken.bytes, whole.as_bytes());
                    assert_eq!(
                        taken.sha256,
                        Sha256::digest(&whole)
                            .iter()
                            .map(|byte| format!("{byte:02x}"))
                            .collect::<String>()
                    );
                }
                Err(error) => assert!(matches!(error, Error::Changing { .. }), "{error}"),
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}
