//! Tests of the choices against directories of empty files.
#![allow(clippy::unwrap_used, reason = "tests")]
use tempfile::TempDir;

use super::*;

fn models(files: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        fs::write(dir.path().join(file), b"").unwrap();
    }
    dir
}

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

/// The name of the file that `id` means.
fn meant(dir: &TempDir, id: &str) -> String {
    let located = Versions::load(dir.path()).resolve(&Catalog::load(dir.path()), id).unwrap();
    located.path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn without_a_choice_a_name_means_its_file_and_else_the_highest_version() {
    let dir = models(&["smol@1.9.0.gguf", "smol@1.10.0.gguf", "smol@2.0.0-rc.1.gguf", "x@y.gguf"]);
    let versions = Versions::load(dir.path());
    let expected = ["2.0.0-rc.1", "1.10.0", "1.9.0"].map(version);
    assert_eq!(versions.installed("smol"), expected);
    assert!(versions.installed("x").is_empty());
    assert_eq!(meant(&dir, "smol"), "smol@2.0.0-rc.1.gguf");
    fs::write(dir.path().join("smol.gguf"), b"").unwrap();
    assert_eq!(meant(&dir, "smol"), "smol.gguf");
    assert_eq!(meant(&dir, "smol@1.9.0"), "smol@1.9.0.gguf");
    for (name, id) in [("smol@1.9.0", "smol"), ("smol", "smol"), ("x@y", "x@y")] {
        assert_eq!(plain(name), id);
    }
}

#[test]
fn a_version_that_was_chosen_is_meant_until_it_is_rolled_back_and_again() {
    let dir = models(&["smol@1.0.0.gguf", "smol@1.1.0.gguf", "smol@1.2.0.gguf"]);
    let mut versions = Versions::load(dir.path());
    assert!(matches!(versions.roll_back("smol"), Err(Unchosen::NothingBefore { .. })));
    versions.activate("smol", &version("1.0.0")).unwrap();
    assert_eq!(meant(&dir, "smol"), "smol@1.0.0.gguf");
    versions.roll_back("smol").unwrap();
    assert_eq!(meant(&dir, "smol"), "smol@1.2.0.gguf", "what was meant before the first choice");
    versions.roll_back("smol").unwrap();
    versions.activate("smol", &version("1.1.0")).unwrap();
    versions.activate("smol", &version("1.1.0")).unwrap();
    assert_eq!(versions.before("smol").unwrap(), Some(version("1.0.0")), "twice is once");
    fs::remove_file(dir.path().join("smol@1.1.0.gguf")).unwrap();
    let gone = Versions::load(dir.path()).resolve(&Catalog::load(dir.path()), "smol").unwrap_err();
    assert!(matches!(gone, Unresolved::Absent { id, .. } if id == "smol@1.1.0"));
    let refused = versions.activate("smol", &version("3.0.0")).unwrap_err();
    assert!(refused.to_string().ends_with("here are: 1.2.0, 1.0.0"), "{refused}");
}

#[test]
fn a_default_that_was_chosen_is_known_to_the_next_one_who_looks_and_can_be_taken_back() {
    let dir = models(&[]);
    let mut versions = Versions::load(dir.path());
    let known = || Versions::load(dir.path()).default_model().map(str::to_owned);
    assert!(matches!(versions.roll_back_default(), Err(Unchosen::NothingBefore { .. })));
    versions.choose_default(Some("a")).unwrap();
    versions.choose_default(Some("b")).unwrap();
    assert_eq!(known().as_deref(), Some("b"));
    assert_eq!(versions.default_before().unwrap(), Some("a"));
    versions.roll_back_default().unwrap();
    assert_eq!(known().as_deref(), Some("a"));
    versions.choose_default(None).unwrap();
    assert_eq!(known(), None, "the settings decide again");
    versions.roll_back_default().unwrap();
    assert_eq!(known().as_deref(), Some("a"));
}

#[test]
fn choices_of_two_daemons_for_one_folder_add_up() {
    let dir = models(&["a@1.0.0.gguf"]);
    let (mut one, mut other) = (Versions::load(dir.path()), Versions::load(dir.path()));
    one.choose_default(Some("b")).unwrap();
    other.activate("a", &version("1.0.0")).unwrap();
    let both = Versions::load(dir.path());
    assert_eq!((both.default_model(), both.active("a")), (Some("b"), Some(&version("1.0.0"))));
}

#[test]
fn a_damaged_file_chooses_nothing_and_is_not_overwritten() {
    let dir = models(&[]);
    fs::write(dir.path().join(FILE), "default = 7").unwrap();
    let mut versions = Versions::load(dir.path());
    assert!(versions.problem().is_some());
    assert_eq!(versions.default_model(), None);
    let refused = versions.choose_default(Some("a")).unwrap_err();
    assert!(matches!(refused, Unchosen::Damaged { .. }), "{refused}");
    assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap(), "default = 7");
}

#[test]
fn before_a_version_that_was_meant_since_it_came_the_next_lower_one_was() {
    let dir = models(&["smol@1.0.0.gguf", "smol@1.1.0.gguf"]);
    let mut versions = Versions::load(dir.path());
    versions.activate("smol", &version("1.1.0")).unwrap();
    assert_eq!(versions.before("smol").unwrap(), Some(version("1.0.0")));
    versions.roll_back("smol").unwrap();
    assert_eq!(meant(&dir, "smol"), "smol@1.0.0.gguf");
}

#[test]
fn case_does_not_matter_in_the_name_of_a_model_that_has_versions() {
    let dir = models(&["Smol@1.0.0.gguf", "Smol@1.1.0.gguf"]);
    fs::write(dir.path().join(FILE), "[versions.Smol]\nactive = \"1.1.0\"").unwrap();
    let mut versions = Versions::load(dir.path());
    assert_eq!(versions.active("sMOL"), Some(&version("1.1.0")));
    versions.activate("smol", &version("1.0.0")).unwrap();
    for id in ["smol", "SMOL", "smol@1.0.0"] {
        assert_eq!(meant(&dir, id), "Smol@1.0.0.gguf");
    }
    versions.roll_back("SMOL").unwrap();
    assert_eq!(meant(&dir, "Smol"), "Smol@1.1.0.gguf");
}
