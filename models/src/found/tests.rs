//! Tests against folders as the other programs lay them out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::catalog::{Catalog, Located};

const OLD: &str = "0000000000000000000000000000000000000001";
const NEW: &str = "0000000000000000000000000000000000000002";

/// A folder in which each of the programs has its own.
struct Machine {
    home: TempDir,
    roots: Roots,
}

fn machine() -> Machine {
    let home = tempfile::tempdir().unwrap();
    let roots = Roots {
        hugging_face: vec![home.path().join("hub")],
        ollama: vec![home.path().join("ollama")],
        lm_studio: vec![home.path().join("lm-studio")],
        embedded: None,
    };
    Machine { home, roots }
}

fn hash(digit: char) -> String {
    std::iter::repeat_n(digit, 64).collect()
}

impl Machine {
    fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// A file of a repository, as the cache has it.
    fn cached(&self, repository: &str, commit: &str, file: &str, blob: &str) -> PathBuf {
        let folder = format!("hub/models--{}", repository.replace('/', "--"));
        let blob = self.write(&format!("{folder}/blobs/{blob}"), b"model");
        let path = self.home.path().join(format!("{folder}/snapshots/{commit}/{file}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(blob, &path).unwrap();
        path
    }

    fn is_current(&self, repository: &str, commit: &str) {
        let folder = format!("hub/models--{}", repository.replace('/', "--"));
        self.write(&format!("{folder}/refs/main"), commit);
    }

    /// A model of Ollama with these layers beside its own file, which is `model`.
    fn made(&self, manifest: &str, layers: &[(&str, char, &str)]) {
        let all: Vec<_> = layers
            .iter()
            .map(|(kind, digit, content)| {
                let hash = hash(*digit);
                self.write(&format!("ollama/blobs/sha256-{hash}"), content);
                format!(
                    r#"{{"mediaType": "application/vnd.ollama.image.{kind}",
                        "digest": "sha256:{hash}", "size": {}}}"#,
                    content.len()
                )
            })
            .collect();
        let text = format!(r#"{{"schemaVersion": 2, "layers": [{}]}}"#, all.join(","));
        self.write(&format!("ollama/manifests/{manifest}"), text);
    }

    fn found(&self) -> BTreeMap<String, Found> {
        scan(&self.roots).into_iter().map(|found| (found.id.clone(), found)).collect()
    }

    fn ids(&self) -> Vec<String> {
        self.found().into_keys().collect()
    }

    /// The models directory, which has this catalog.
    fn catalog(&self, text: &str) -> (Catalog, PathBuf) {
        let file = self.write("models/catalog.toml", text);
        let folder = file.parent().unwrap().to_owned();
        (Catalog::load(&folder).finding(&self.roots), folder)
    }
}

#[test]
fn the_environment_names_folders_beside_the_usual_ones() {
    let variables = |name: &str| match name {
        "HF_HOME" => Some("/data/hf".into()),
        "OLLAMA_MODELS" => Some("/data/ollama".into()),
        "HF_HUB_CACHE" => Some("relative".into()),
        _ => None,
    };
    let roots = Roots::usual(Some(Path::new("/home/a")), variables);
    let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    assert_eq!(roots.hugging_face, paths(&["/data/hf/hub", "/home/a/.cache/huggingface/hub"]));
    assert_eq!(
        roots.ollama,
        paths(&["/data/ollama", "/home/a/.ollama/models", "/usr/share/ollama/.ollama/models"])
    );
    assert_eq!(
        roots.lm_studio,
        paths(&["/home/a/.lmstudio/models", "/home/a/.cache/lm-studio/models"])
    );
    assert!(scan(&Roots::default()).is_empty());
}

#[test]
fn a_model_of_the_hugging_face_cache_has_the_id_by_which_it_is_fetched() {
    let machine = machine();
    let path = machine.cached("o/r", NEW, "sub/m.gguf", &hash('a'));
    machine.cached("o/r", OLD, "sub/m.gguf", &hash('a'));
    machine.cached("o/r", OLD, "gone.gguf", "etag");
    machine.cached("o/r", NEW, "config.json", "other");
    machine.is_current("o/r", NEW);
    let found = machine.found();
    let ids: Vec<_> = found.keys().map(String::as_str).collect();
    let old = format!("hf:o/r@{OLD}/gone.gguf");
    assert_eq!(ids, ["hf:o/r/sub/m.gguf", &old]);
    let model = &found["hf:o/r/sub/m.gguf"];
    assert_eq!((&model.path, &model.problem), (&path, &None));
    assert_eq!(model.sha256, Some(hash('a')));
    assert_eq!(found[&old].sha256, None);
    for name in ["sub/m.gguf", &format!("r@{NEW}/sub/m.gguf"), &format!("r@{OLD}/sub/m.gguf")] {
        let id =
            if name.starts_with('r') { format!("hf:o/{name}") } else { format!("hf:o/r/{name}") };
        assert!(model.is(&id), "{id}");
    }
    assert!(!model.is("hf:o/r@v1/sub/m.gguf") && !model.is("hf:o/r/m.gguf"));
}

#[test]
fn a_file_that_did_not_come_is_told_and_loops_end() {
    let machine = machine();
    let path = machine.cached("o/r", NEW, "m.gguf", "blob");
    fs::remove_file(fs::canonicalize(&path).unwrap()).unwrap();
    symlink(".", path.with_file_name("loop")).unwrap();
    machine.is_current("o/r", NEW);
    let found = machine.found();
    assert_eq!(found.len(), 1);
    let problem = found["hf:o/r/m.gguf"].problem.as_ref().unwrap();
    assert!(problem.contains("fetch it again"), "{problem}");
}

#[test]
fn what_is_no_repository_is_passed_over() {
    let machine = machine();
    for path in [
        "hub/version.txt",
        "hub/datasets--o--r/snapshots/1/m.gguf",
        "hub/models--gpt2/snapshots/1/m.gguf",
        "hub/models--o--a b/snapshots/1/m.gguf",
        "hub/models--o--r/snapshots/.hidden/m.gguf",
        "lm-studio/m.gguf",
        "lm-studio/p/m.gguf",
        "lm-studio/p/r/notes.txt",
        "lm-studio/p/r/folder.gguf/x",
        "ollama/manifests/registry.ollama.ai/library/file",
    ] {
        machine.write(path, "x");
    }
    assert_eq!(machine.ids(), Vec::<String>::new());
}

#[test]
fn a_model_of_ollama_has_its_file_its_hash_its_license_and_its_sampling() {
    let machine = machine();
    machine.made(
        "registry.ollama.ai/library/llama3.2/latest",
        &[
            ("model", 'a', "model"),
            ("template", 'b', "{{ .Prompt }}"),
            ("params", 'c', r#"{"stop": ["<|eot|>"], "temperature": 0.6, "top_k": 20}"#),
            ("license", 'd', "\n  LLAMA 3.2 COMMUNITY LICENSE\nand so on"),
        ],
    );
    machine.made("registry.ollama.ai/someone/own/v1", &[("model", 'e', "other")]);
    machine.made("hf.co/o/r/Q4_K_M", &[("model", 'e', "other")]);
    machine.made("registry.ollama.ai/library/remote/cloud", &[("params", 'f', "{}")]);
    let found = machine.found();
    let ids: Vec<_> = found.keys().map(String::as_str).collect();
    assert_eq!(ids, ["ollama:hf.co/o/r:Q4_K_M", "ollama:llama3.2:latest", "ollama:someone/own:v1"]);
    let model = &found["ollama:llama3.2:latest"];
    assert_eq!(model.problem, None);
    assert_eq!(fs::read(&model.path).unwrap(), b"model");
    assert_eq!(model.sha256, Some(hash('a')));
    assert_eq!(model.license, "LLAMA 3.2 COMMUNITY LICENSE");
    let sampling = model.sampling();
    assert_eq!((sampling.temperature, sampling.top_k, sampling.top_p), (Some(0.6), Some(20), None));
    assert!(model.is("ollama:llama3.2") && !model.is("ollama:llama3.2:1b"));
    assert!(!found["ollama:someone/own:v1"].is("ollama:someone/own"));
}

#[test]
fn a_model_of_ollama_that_is_not_whole_is_listed_with_its_problem() {
    let machine = machine();
    let place = |name: &str| format!("registry.ollama.ai/library/{name}/1");
    machine.made(&place("cut"), &[("model", 'a', "model")]);
    machine.write(&format!("ollama/blobs/sha256-{}", hash('a')), "mod");
    machine.made(&place("gone"), &[("model", 'b', "model")]);
    fs::remove_file(machine.home.path().join(format!("ollama/blobs/sha256-{}", hash('b'))))
        .unwrap();
    machine.made(&place("adapted"), &[("model", 'c', "model"), ("adapter", 'd', "more")]);
    machine.write(&format!("ollama/manifests/{}", place("damaged")), "{");
    let hostile = r#"{"layers": [{"mediaType": "application/vnd.ollama.image.model",
                      "digest": "sha256:../../../etc/passwd"}]}"#;
    machine.write(&format!("ollama/manifests/{}", place("hostile")), hostile);
    let found = machine.found();
    for (name, why) in [
        ("cut", "its file has 3 bytes where 5 belong; `ollama pull cut:1` fetches it anew"),
        ("gone", "its file is missing"),
        ("adapted", "it has an adapter"),
        ("damaged", "its manifest is damaged"),
        ("hostile", "names no hash"),
    ] {
        let problem = found[&format!("ollama:{name}:1")].problem.as_deref().unwrap_or_default();
        assert!(problem.contains(why), "{name}: {problem}");
    }
}

#[test]
fn parts_and_projectors_are_left_out_with_the_reason() {
    let machine = machine();
    for file in [
        "m.gguf",
        "big-00001-of-00003.gguf",
        "big-00002-of-00003.gguf",
        "big-00003-of-00003.gguf",
        "one-00001-of-00001.gguf",
        "mmproj-m-f16.gguf",
    ] {
        machine.write(&format!("lm-studio/p/r/{file}"), "model");
    }
    symlink("nowhere", machine.home.path().join("lm-studio/p/r/dangling.gguf")).unwrap();
    let found = machine.found();
    let problem = |file: &str| found[&format!("lmstudio:p/r/{file}")].problem.clone();
    assert_eq!(found.len(), 5);
    assert_eq!((problem("m.gguf"), problem("one-00001-of-00001.gguf")), (None, None));
    assert!(problem("big-00001-of-00003.gguf").unwrap().contains("it is in 3 parts"));
    assert!(problem("mmproj-m-f16.gguf").unwrap().contains("pictures"));
    assert!(problem("dangling.gguf").unwrap().contains("missing"));
}

#[test]
fn more_files_than_are_sane_end_the_walk() {
    let machine = machine();
    for ordinal in 0..50 {
        machine.write(&format!("lm-studio/p/r/{ordinal}.gguf"), "model");
    }
    let mut walk = Walk::of(20);
    let mut found = Vec::new();
    lm_studio::scan(&machine.roots.lm_studio[0], &mut walk, &mut found);
    assert_eq!((found.len(), walk.is_exhausted()), (18, true));
}

#[test]
fn an_id_leads_to_the_file_of_another_program() {
    let machine = machine();
    machine.made("registry.ollama.ai/library/tiny/latest", &[("model", 'a', "model")]);
    machine.cached("o/r", NEW, "m.gguf", "etag");
    machine.is_current("o/r", NEW);
    let (catalog, folder) = machine.catalog("");
    for (id, whole) in [
        ("ollama:tiny", "ollama:tiny:latest"),
        ("ollama:tiny:latest", "ollama:tiny:latest"),
        ("hf:o/r/m.gguf", "hf:o/r/m.gguf"),
    ] {
        let Located { id, entry, found, path } = catalog.resolve(id, &folder).unwrap();
        assert_eq!((id.as_str(), entry), (whole, None));
        assert_eq!(found.unwrap().path, path);
    }
    assert!(catalog.resolve("ollama:other", &folder).is_err());
    let list = catalog.list(&folder);
    let kept: Vec<_> = list.iter().filter(|it| it.found.is_some()).map(|it| &it.id).collect();
    assert_eq!(kept, ["hf:o/r/m.gguf", "ollama:tiny:latest"]);
}

#[test]
fn an_entry_without_a_file_uses_one_with_its_hash_or_from_its_source() {
    let machine = machine();
    machine.made("registry.ollama.ai/library/tiny/latest", &[("model", 'a', "model")]);
    let cached = machine.cached("o/r", NEW, "m.gguf", "etag");
    machine.is_current("o/r", NEW);
    let entry = |id: &str, more: &str| {
        format!("[[models]]\nid = '{id}'\nname = 'M'\nfile = '{id}.gguf'\n{more}\n")
    };
    let hash_of = |digit| format!("size_bytes = 5\nsha256 = '{}'", hash(digit));
    let text = [
        entry("same", &hash_of('a')),
        entry("other", &hash_of('b')),
        entry("main", "sources = ['hf:o/r/m.gguf']"),
        entry("large", "size_bytes = 6\nsources = ['hf:o/r/m.gguf']"),
        entry("elsewhere", "sources = ['hf:o/r@v2/m.gguf']"),
    ];
    let (catalog, folder) = machine.catalog(&text.concat());
    assert_eq!(catalog.problem(), None);
    assert_eq!(catalog.resolve("main", &folder).unwrap().path, cached);
    // It is that model, however it is named, and listed once.
    for id in ["same", "ollama:tiny"] {
        let located = catalog.resolve(id, &folder).unwrap();
        assert_eq!(located.id, "same");
        assert_eq!(located.found.unwrap().keeper, Keeper::Ollama);
    }
    for id in ["other", "large", "elsewhere"] {
        assert!(catalog.resolve(id, &folder).is_err(), "{id}");
    }
    assert!(catalog.list(&folder).iter().all(|it| !it.id.starts_with("ollama:")));

    // Its own file comes first, and the other one is a model of its own then.
    fs::write(folder.join("same.gguf"), "model").unwrap();
    let (catalog, folder) = machine.catalog(&text.concat());
    assert_eq!(catalog.resolve("same", &folder).unwrap().found, None);
    let kept = catalog.resolve("ollama:tiny", &folder).unwrap();
    assert_eq!((kept.id.as_str(), kept.entry.unwrap().id.as_str()), ("ollama:tiny:latest", "same"));
}

#[test]
fn the_model_inside_the_daemon_is_that_of_the_entry_with_its_hash() {
    let machine = machine();
    let path = machine.write(&format!("cache/{}/inside.gguf", hash('a')), "model");
    let roots = Roots { embedded: Some(path.clone()), ..machine.roots.clone() };
    let entry = |digit| {
        format!("[[models]]\nid = 'm'\nname = 'M'\nfile = 'm.gguf'\nsha256 = '{}'", hash(digit))
    };
    for (digit, id) in [('a', "m"), ('b', "embedded:inside.gguf")] {
        let (catalog, folder) = machine.catalog(&entry(digit));
        let located = catalog.finding(&roots).resolve("embedded:inside.gguf", &folder).unwrap();
        assert_eq!((located.id.as_str(), &located.path), (id, &path));
    }
}
