//! Tests of the catalog against directories of empty files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use tempfile::TempDir;

use super::*;

const DEFAULT: &str = "smollm2-135m-instruct";
const DEFAULT_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

fn models(files: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        fs::write(dir.path().join(file), b"").unwrap();
    }
    dir
}

fn user_catalog(dir: &TempDir, text: &str) -> Catalog {
    fs::write(dir.path().join(USER_FILE), text).unwrap();
    Catalog::load(dir.path())
}

#[test]
fn the_shipped_catalog_is_valid_and_has_the_default_model() {
    let catalog = Catalog::shipped();
    assert_eq!(catalog.problem(), None);
    let entry = catalog.entries.iter().find(|entry| entry.id == DEFAULT).unwrap();
    assert_eq!(entry.file, DEFAULT_FILE);
    assert!(entry.sampling().temperature.is_some());
    for entry in &catalog.entries {
        assert_eq!(catalog.entries.iter().filter(|other| other.is(&entry.id)).count(), 1);
        let hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(hex(&entry.sha256) && entry.size_bytes > 0, "{}", entry.id);
    }
}

#[test]
fn an_id_is_found_whatever_its_case() {
    let dir = models(&[DEFAULT_FILE]);
    let located = Catalog::load(dir.path()).resolve("SmolLM2-135M-Instruct", dir.path()).unwrap();
    assert_eq!(located.id, DEFAULT);
    assert_eq!(located.path, dir.path().join(DEFAULT_FILE));
    assert_eq!(located.entry.unwrap().id, DEFAULT);
}

#[test]
fn a_known_model_without_its_file_is_absent_and_the_path_is_named() {
    let dir = models(&[]);
    let error = Catalog::shipped().resolve(DEFAULT, dir.path()).unwrap_err();
    let path = dir.path().join(DEFAULT_FILE).display().to_string();
    assert_eq!(error, Error::ModelAbsent { id: DEFAULT.to_owned(), path });
}

#[test]
fn a_file_is_found_by_name_by_stem_and_by_path() {
    let dir = models(&["own.gguf"]);
    let path = dir.path().join("own.gguf");
    let path_text = path.display().to_string();
    for id in ["own.gguf", "own", &path_text] {
        let located = Catalog::shipped().resolve(id, dir.path()).unwrap();
        assert_eq!(located, Located { id: path_text.clone(), path: path.clone(), entry: None });
    }
}

#[test]
fn the_file_of_an_entry_is_that_model_however_it_is_named() {
    let dir = models(&[DEFAULT_FILE]);
    for id in [DEFAULT_FILE, &dir.path().join(DEFAULT_FILE).display().to_string()] {
        assert_eq!(Catalog::shipped().resolve(id, dir.path()).unwrap().id, DEFAULT);
    }
}

#[test]
fn relative_paths_do_not_leave_the_models_directory() {
    let dir = models(&["own.gguf"]);
    fs::create_dir(dir.path().join("models")).unwrap();
    for id in ["../own.gguf", "./../own", "..", ".", "", "models", "a/b", "own.gguf/"] {
        let outcome = Catalog::shipped().resolve(id, &dir.path().join("models"));
        assert!(matches!(outcome, Err(Error::ModelNotFound { .. })), "{id:?}: {outcome:?}");
    }
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones_closest_first() {
    let dir = models(&[]);
    let catalog = user_catalog(
        &dir,
        "[[models]]\nid = 'aaa'\nname = 'A'\nfile = 'a.gguf'\n\
         [[models]]\nid = 'zebra'\nname = 'Z'\nfile = 'z.gguf'",
    );
    let Err(Error::ModelNotFound { known, .. }) = catalog.resolve("zebar", dir.path()) else {
        panic!("it was found");
    };
    assert!(known.starts_with("zebra, "), "{known}");
    assert!(known.contains(DEFAULT));
}

#[test]
fn user_entries_replace_shipped_ones_and_add_to_them() {
    let dir = models(&["other.gguf", "mine.gguf"]);
    let catalog = user_catalog(
        &dir,
        &format!(
            "[[models]]\nid = '{}'\nname = 'Other'\nfile = 'other.gguf'\n\
             sampling = {{ temperature = 0.5 }}\nlater_key = 1\n\
             [[models]]\nid = 'mine'\nname = 'Mine'\nfile = 'mine.gguf'\ntemplate = 'my'",
            DEFAULT.to_uppercase()
        ),
    );
    assert_eq!(catalog.problem(), None);
    assert_eq!(catalog.entries.len(), Catalog::shipped().entries.len() + 1);
    let located = catalog.resolve(DEFAULT, dir.path()).unwrap();
    assert_eq!(located.path, dir.path().join("other.gguf"));
    let entry = located.entry.unwrap();
    assert_eq!((entry.sampling().temperature, entry.sampling().top_p), (Some(0.5), None));
    assert_eq!(entry.template, None);
    let mine = catalog.resolve("mine", dir.path()).unwrap();
    assert_eq!((mine.id.as_str(), mine.entry.unwrap().template.as_deref()), ("mine", Some("my")));
}

#[test]
fn a_bad_user_catalog_is_reported_and_changes_nothing() {
    let outside = "[[models]]\nid = 'x'\nname = 'X'\nfile = '../../etc/passwd'";
    let blank = "[[models]]\nid = 'x y'\nname = 'X'\nfile = 'x.gguf'";
    for bad in
        ["[[models", "[[models]]\nid = 'x'", "models = 1", "[[model]]", outside, blank, "\u{0}"]
    {
        let dir = models(&[DEFAULT_FILE]);
        let catalog = user_catalog(&dir, bad);
        let problem = catalog.problem().unwrap_or_else(|| panic!("{bad:?} was accepted"));
        assert!(problem.contains(USER_FILE), "{problem}");
        assert_eq!(catalog.entries, Catalog::shipped().entries);
        catalog.resolve(DEFAULT, dir.path()).unwrap();
    }
}

#[test]
fn the_list_has_the_catalog_first_and_other_files_behind() {
    let dir = models(&[DEFAULT_FILE, "b.gguf", "A.GGUF", "notes.txt"]);
    let catalog = Catalog::load(dir.path());
    let list = catalog.list(dir.path());
    let (known, files) = list.split_at(catalog.entries.len());
    assert!(known.iter().zip(&catalog.entries).all(|(located, entry)| located.id == entry.id));
    let names: Vec<_> = files.iter().map(|located| located.path.file_name().unwrap()).collect();
    assert_eq!(names, ["A.GGUF", "b.gguf"]);
}

#[test]
fn an_entry_says_how_its_model_is_judged_and_a_rule_that_is_wrong_changes_nothing() {
    let dir = models(&[]);
    let entry = |rule: &str| {
        format!(
            "[[models]]\nid = \"own\"\nname = \"Own\"\nfile = \"own.gguf\"\n[models.confidence]\n{rule}\n"
        )
    };
    let catalog = user_catalog(&dir, &entry("bias = -1\nlogprob_mean = 2.5"));
    assert_eq!(catalog.problem(), None);
    let own = catalog.entries.iter().find(|entry| entry.id == "own").unwrap();
    let expected = Rule { bias: -1.0, logprob_mean: 2.5, ..Rule::default() };
    assert_eq!(own.confidence, Some(expected));
    for wrong in ["bias = nan", "bias = \"high\""] {
        let catalog = user_catalog(&dir, &entry(wrong));
        assert!(catalog.problem().is_some(), "{wrong}");
        assert!(catalog.entries.iter().all(|entry| entry.id != "own"), "{wrong}");
    }
}
