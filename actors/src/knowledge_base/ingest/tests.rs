#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn known(sources: &[&str]) -> HashMap<String, Document> {
    let document = |source: &&str| Document {
        source: (*source).to_owned(),
        title: String::new(),
        sha256: String::new(),
        bytes: 0,
        modified: 0,
        metadata: std::collections::BTreeMap::new(),
        label: tandem_knowledge::Label::LocalOnly,
        cut: None,
    };
    sources.iter().map(|source| ((*source).to_owned(), document(source))).collect()
}

#[test]
fn only_what_was_in_a_folder_that_was_seen_whole_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("here.md"), "# Here\n\nIt stays.\n").unwrap();
    let listing = source::find(&[dir.path().to_owned()]);
    assert_eq!(listing.complete, [dir.path()]);
    let found: Vec<Source> = listing.files.into_iter().map(Source::File).collect();

    let [here, gone_file, refused_file] =
        ["here.md", "gone.md", "refused.md"].map(|name| path(name).display().to_string());
    let neighbour = format!("{}-2/gone.md", dir.path().display());
    let known = known(&[&here, &gone_file, &refused_file, &neighbour, "stdin"]);
    let refused = HashSet::from([refused_file]);
    assert_eq!(gone(&known, &listing.complete, &found, &refused), [gone_file]);
    assert!(gone(&known, &[], &found, &refused).is_empty());
}

#[test]
fn what_is_passed_over_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
    let listing = source::find(&[dir.path().to_owned(), dir.path().join("none.md")]);
    assert_eq!(listing.complete, [dir.path()]);
    assert!(listing.files.is_empty());
    let problems: Vec<&str> = listing.refused.iter().map(|(_, problem)| problem.as_str()).collect();
    assert!(problems[0].contains("round and round"), "{problems:?}");
    assert!(problems[1].contains("cannot be read"), "{problems:?}");
}

#[test]
fn a_file_that_is_named_beside_its_folder_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.txt");
    std::fs::write(&file, "One.\n").unwrap();
    assert_eq!(source::find(&[dir.path().to_owned(), file]).files.len(), 1);
}
