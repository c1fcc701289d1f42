//! Models that other programs keep are used where they lie and left as they are.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tandem_proto::v1::{AskRequest, FoundIn, ListModelsRequest, ModelState};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Daemon, Setup, gguf, question};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const WORDS: &str = "found you";

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Lays out a model as Ollama does, one as Hugging Face does, and one that is cut short.
fn others(root: &Path) {
    let digits = "a".repeat(64);
    let layer = format!(
        r#"{{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:{digits}"}}"#
    );
    let ollama = root.join("ollama");
    let manifest = ollama.join("manifests/registry.ollama.ai/library/tiny/latest");
    write(&manifest, format!(r#"{{"layers": [{layer}]}}"#));
    write(&ollama.join(format!("blobs/sha256-{digits}")), gguf::tiny());

    let repository = root.join("hub/models--owner--repo");
    write(&repository.join("refs/main"), COMMIT);
    for (file, content) in [("m.gguf", gguf::tiny()), ("cut.gguf", gguf::tiny()[..40].to_vec())] {
        let blob = repository.join("blobs").join(format!("blob-of-{file}"));
        write(&blob, content);
        let snapshot = repository.join("snapshots").join(COMMIT);
        fs::create_dir_all(&snapshot).unwrap();
        symlink(blob, snapshot.join(file)).unwrap();
    }
}

/// All that lies in a folder, with what it is and when it was changed.
fn state(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, file) = (entry.path(), entry.metadata().unwrap());
        if file.is_dir() {
            all.extend(state(&path));
        }
        all.insert(path.clone(), (fs::read(&path).unwrap_or_default(), file.modified().unwrap()));
    }
    all
}

/// A daemon that looks into the folders of other programs in its home, and nowhere else.
async fn daemon() -> (Daemon, PathBuf) {
    let setup = Setup::scripted(&Script::always(Life::answering(WORDS)));
    let home = setup.home().path().to_owned();
    let root = home.join("others");
    others(&root);
    let daemon = setup
        .environment("TANDEM_MODELS__FIND", "true")
        .environment("HOME", home)
        .environment("OLLAMA_MODELS", root.join("ollama"))
        .environment("HF_HUB_CACHE", root.join("hub"))
        .environment("HF_HOME", root.join("nowhere"))
        .start()
        .await;
    (daemon, root)
}

#[tokio::test]
async fn models_of_other_programs_answer_and_are_left_as_they_are() {
    let (daemon, root) = daemon().await;
    let before = state(&root);
    let listed = daemon.client().models().list(ListModelsRequest {}).await.unwrap().into_inner();
    let kept: BTreeMap<_, _> = listed
        .models
        .iter()
        .filter(|model| model.found_in() != FoundIn::Unspecified)
        .filter(|model| Path::new(&model.path).starts_with(&root))
        .map(|model| (model.id.as_str(), (model.found_in(), model.state())))
        .collect();
    let expected = BTreeMap::from([
        ("hf:owner/repo/cut.gguf", (FoundIn::HuggingFace, ModelState::Broken)),
        ("hf:owner/repo/m.gguf", (FoundIn::HuggingFace, ModelState::Available)),
        ("ollama:tiny:latest", (FoundIn::Ollama, ModelState::Available)),
    ]);
    assert_eq!(kept, expected);
    for id in ["ollama:tiny", "hf:owner/repo/m.gguf"] {
        let request = AskRequest { model: id.to_owned(), ..question("hello") };
        assert_eq!(daemon.ask_with(request).await.complete(), WORDS, "{id}");
    }
    let request = AskRequest { model: "hf:owner/repo/cut.gguf".to_owned(), ..question("hello") };
    let answer = daemon.ask_with(request).await;
    assert!(answer.failure().message.contains("truncated"), "{:?}", answer.failure());
    assert_eq!(state(&root), before);
}

#[tokio::test]
async fn the_command_neither_fetches_nor_removes_them_and_doctor_counts_them() {
    let (daemon, root) = daemon().await;
    let before = state(&root);
    let run = async |arguments: &[&str]| {
        let output = daemon.home().tandem(arguments).await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, text, errors) = run(&["model", "pull", "hf:owner/repo/m.gguf"]).await;
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(text.ends_with("as Hugging Face keeps it; nothing had to be fetched\n"), "{text}");
    let (code, _, errors) = run(&["model", "rm", "ollama:tiny"]).await;
    assert!(code != Some(0) && errors.contains("belongs to Ollama"), "{errors}");
    let (_, text, errors) = run(&["model", "verify", "ollama:tiny"]).await;
    assert!(errors.contains("fetch it again with Ollama"), "{text}{errors}");
    let (code, text, _) = run(&["model", "info", "ollama:tiny"]).await;
    assert!(code == Some(0) && text.contains("kept by       Ollama\n"), "{text}");
    let (_, text, _) = run(&["doctor"]).await;
    assert!(text.contains("1 that Hugging Face keeps, 1 that Ollama keeps"), "{text}");
    assert_eq!(state(&root), before);
}
