//! Tests of the catalog against directories of empty files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use std::collections::BTreeSet;

use tempfile::TempDir;

use super::*;
use crate::found::Roots;

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
        assert_eq!(entry.sha256.is_empty(), entry.size_bytes == 0, "{}", entry.id);
        assert!(!entry.sources.is_empty() && !entry.license.is_empty(), "{}", entry.id);
        assert!(!entry.languages.is_empty() && !entry.abilities.is_empty(), "{}", entry.id);
        assert!(!entry.quantization.is_empty() && entry.memory_min_bytes > 0, "{}", entry.id);
    }
    let files: BTreeSet<_> = catalog.entries.iter().map(|entry| &entry.file).collect();
    assert_eq!(files.len(), catalog.entries.len(), "two entries have the same file");
}

#[test]
fn a_quantization_is_an_entry_of_its_own_and_listed_once_its_file_is_there() {
    let text = "[[models]]\nid = 'own'\nname = 'Own'\nfile = 'own.gguf'\nlicense = 'MIT'\n\
                [models.confidence]\nbias = 1.0\n\
                [[models.variants]]\nquantization = 'Q8_0'\nfile = 'own-q8.gguf'\n\
                sources = ['s3://bucket/own-q8.gguf']\nmemory_min_bytes = 5";
    let dir = models(&[]);
    let catalog = user_catalog(&dir, text);
    assert_eq!(catalog.problem(), None);
    let variant = catalog.entry("OWN:Q8_0").unwrap();
    assert_eq!((variant.license.as_str(), variant.confidence), ("MIT", None));
    assert_eq!((variant.memory_min_bytes, variant.sources.len()), (5, 1));
    assert_eq!(catalog.entry("own").unwrap().variant_ids(), ["own:q8_0"]);
    let listed = |id| catalog.list(dir.path()).iter().any(|located| located.id == id);
    assert!(listed("own") && !listed("own:q8_0"));
    fs::write(dir.path().join("own-q8.gguf"), b"").unwrap();
    assert!(listed("own:q8_0"));
    assert_eq!(catalog.resolve("own-q8", dir.path()).unwrap().id, "own:q8_0");
    let outside = text.replace("own-q8.gguf'\nsources", "../x.gguf'\nsources");
    assert!(user_catalog(&dir, &outside).problem().unwrap().contains("plain file name"));
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
    let path = dir.path().join(DEFAULT_FILE);
    assert_eq!(error, Unresolved::Absent { id: DEFAULT.to_owned(), path });
}

#[test]
fn a_file_is_found_by_name_by_stem_and_by_path() {
    let dir = models(&["own.gguf"]);
    let path = dir.path().join("own.gguf");
    let path_text = path.display().to_string();
    for id in ["own.gguf", "own", &path_text] {
        let located = Catalog::shipped().resolve(id, dir.path()).unwrap();
        assert_eq!(
            located,
            Located { id: path_text.clone(), path: path.clone(), entry: None, found: None }
        );
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
fn a_file_that_another_program_keeps_is_the_same_model_by_its_path() {
    let (dir, hub) = (models(&[]), models(&[]));
    let snapshot = hub.path().join("models--o--r/snapshots/v1");
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(snapshot.join("m.gguf"), b"").unwrap();
    let roots = Roots { hugging_face: vec![hub.path().to_owned()], ..Roots::default() };
    let catalog = Catalog::shipped().finding(&roots);
    let by_id = catalog.resolve("hf:o/r@v1/m.gguf", dir.path()).unwrap();
    assert!(by_id.found.is_some());
    let path = by_id.path.display().to_string();
    assert_eq!(catalog.resolve(&path, dir.path()).unwrap(), by_id);
}

#[test]
fn relative_paths_do_not_leave_the_models_directory() {
    let dir = models(&["own.gguf"]);
    fs::create_dir(dir.path().join("models")).unwrap();
    for id in ["../own.gguf", "./../own", "..", ".", "", "models", "a/b", "own.gguf/"] {
        let outcome = Catalog::shipped().resolve(id, &dir.path().join("models"));
        assert!(matches!(outcome, Err(Unresolved::Unknown { .. })), "{id:?}: {outcome:?}");
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
    let Err(Unresolved::Unknown { known, .. }) = catalog.resolve("zebar", dir.path()) else {
        panic!("it was found");
    };
    assert!(known.starts_with("zebra, "), "{known}");
    assert_eq!(known.split(", ").count(), KNOWN_MAX, "{known}");
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
    let entry = "[[models]]\nid = 'x'\nname = 'X'\nfile = 'x.gguf'\n";
    let source = &format!("{entry}sources = ['ftp://x/y']");
    let sum = &format!("{entry}sha256 = 'abc'");
    for bad in [
        "[[models",
        "[[models]]\nid = 'x'",
        "models = 1",
        "[[model]]",
        outside,
        blank,
        source,
        sum,
        "\u{0}",
    ] {
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
    let shown: Vec<_> = catalog.entries.iter().filter(|it| it.variant_of.is_none()).collect();
    let (known, files) = list.split_at(shown.len());
    assert!(known.iter().zip(&shown).all(|(located, entry)| located.id == entry.id));
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
