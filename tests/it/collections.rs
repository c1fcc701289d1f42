//! Collections over time: in backups, through restores and kills, when models move and settings change.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tandem_proto::error as reason;
use tandem_proto::v1::{IngestRequest, SearchMode};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Daemon, Setup};

use crate::embedding::import;
use crate::knowledge::{collections, counts, folder, ingest, of, search, until_found, write};

async fn scripted() -> Daemon {
    Setup::scripted(&Script::always(Life::answering("so be it"))).start().await
}

/// Runs a command that succeeds; what it printed.
async fn json(daemon: &Daemon, arguments: &[&str]) -> Value {
    let output = daemon.home().tandem(&[arguments, &["--json"]].concat()).await;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_backup_has_the_collections_and_they_are_found_again_elsewhere() {
    let daemon = scripted().await;
    let documents = folder();
    ingest(&daemon, of(&documents)).await.unwrap();
    let id = daemon.conversation().await;
    let file = daemon.home().path().join("all.backup");
    json(&daemon, &["memory", "backup", path(&file)]).await;

    let other = scripted().await;
    let restored = json(&other, &["memory", "restore", path(&file)]).await;
    assert_eq!(
        (&restored["collections"], &restored["previous_collections"]),
        (&1.into(), &Value::Null)
    );
    let hits = search(&other, "Mrs Tanaka", SearchMode::Words).await.unwrap();
    assert!(hits[0].text.contains("plants"), "{hits:?}");
    let [here, there] = [&other, &daemon].map(collections);
    let (here, there) = (here.await.remove(0), there.await.remove(0));
    assert_eq!((here.documents, here.chunks), (there.documents, there.chunks));
    assert!(other.turns(&id).await.is_empty());
    let stats = json(&other, &["memory", "stats"]).await;
    assert_eq!(stats["collections"], 1);
    assert!(stats["collection_bytes"].as_u64().unwrap() > 1000, "{stats}");
    let checked = json(&other, &["memory", "check"]).await;
    assert_eq!((&checked["collections"], &checked["findings"]), (&1.into(), &Value::Array(vec![])));

    // What is gone from a collection is gone from the disk once all is compacted.
    let canary = "The canary is called xylophonequartz.\n";
    write(&documents, "canary.txt", canary);
    ingest(&other, of(&documents)).await.unwrap();
    fs::remove_file(documents.path().join("canary.txt")).unwrap();
    ingest(&other, of(&documents)).await.unwrap();
    let compacted = json(&other, &["memory", "compact"]).await;
    assert!(compacted["bytes_after"].as_u64().unwrap() > 0);
    let words = other.home().path().join("knowledge/notes/words");
    for file in fs::read_dir(words).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = fs::read(&file).unwrap();
        let canary = b"xylophonequartz";
        assert!(!bytes.windows(canary.len()).any(|some| some == canary), "{}", file.display());
    }

    // It goes on with what was restored, and the collections before are kept by the next one.
    write(&documents, "new.txt", "The gas meter stands behind the washing machine.\n");
    assert_eq!(counts(&ingest(&other, of(&documents)).await.unwrap()), [1, 0, 3, 0, 0]);
    let restored = json(&other, &["memory", "restore", path(&file), "--overwrite"]).await;
    assert!(search(&other, "washing machine", SearchMode::Words).await.unwrap().is_empty());
    let kept = Path::new(restored["previous_collections"].as_str().unwrap());
    assert!(kept.join("notes/collection.json").is_file());
}

#[tokio::test]
async fn a_restore_that_is_killed_is_done_whole_or_not_at_all() {
    let daemon = scripted().await;
    let documents = folder();
    ingest(&daemon, of(&documents)).await.unwrap();
    let after = daemon.conversation().await;
    let file = daemon.home().path().join("all.backup");
    json(&daemon, &["memory", "backup", path(&file)]).await;
    for delay in [0, 20, 60, 120, 200] {
        let mut other = scripted().await;
        let before = other.conversation().await;
        write(&documents, "before.txt", "The gas meter stands behind the washing machine.\n");
        ingest(&other, of(&documents)).await.unwrap();
        let mut restoring = other.home().command("tandem");
        let arguments = ["--no-autostart", "memory", "restore", path(&file), "--overwrite"];
        let restoring = restoring.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        let mut restoring = restoring.spawn().unwrap();
        // The moment of the kill; nothing waits for it.
        tokio::time::sleep(Duration::from_millis(delay)).await;
        other.kill().await;
        restoring.wait().await.unwrap();
        other.restart().await;
        let conversations = json(&other, &["conversation", "list"]).await.to_string();
        let meter = search(&other, "washing machine", SearchMode::Words).await.unwrap();
        if conversations.contains(&before) {
            assert!(!conversations.contains(&after) && !meter.is_empty(), "{delay}: half restored");
        } else {
            assert!(conversations.contains(&after) && meter.is_empty(), "{delay}: half restored");
        }
        let checked = json(&other, &["memory", "check"]).await;
        assert_eq!(
            (&checked["collections"], &checked["findings"]),
            (&1.into(), &Value::Array(vec![]))
        );
        fs::remove_file(documents.path().join("before.txt")).unwrap();
    }
}

#[tokio::test]
async fn a_watched_file_that_editors_replace_is_read_each_time() {
    let daemon = scripted().await;
    let documents = folder();
    let (file, draft) = (documents.path().join("recipe.txt"), documents.path().join(".recipe.swp"));
    let request =
        IngestRequest { paths: vec![path(&file).to_owned()], watch: Some(true), ..of(&documents) };
    ingest(&daemon, request).await.unwrap();
    for dish in ["soto", "rendang", "gudeg"] {
        fs::write(&draft, format!("Resep {dish}.\n")).unwrap();
        fs::rename(&draft, &file).unwrap();
        until_found(&daemon, dish).await;
    }
    assert_eq!(collections(&daemon).await[0].documents, 1, "only the file is watched");
}

#[tokio::test]
async fn with_other_settings_of_chunks_documents_are_cut_anew_once() {
    let mut daemon = scripted().await;
    let documents = folder();
    let before = ingest(&daemon, of(&documents)).await.unwrap();
    daemon.terminate();
    daemon.ended().await;
    daemon.home().configure("[knowledge]\nchunk_tokens = 80\n");
    daemon.restart().await;
    let told = ingest(&daemon, of(&documents)).await.unwrap();
    assert_eq!((counts(&told), told.finished.recut), ([0, 0, 0, 0, 0], 3), "{told:?}");
    assert!(told.finished.chunks > before.finished.chunks, "{told:?}");
    assert_eq!(collections(&daemon).await[0].chunks, u64::from(told.finished.chunks));
    let told = ingest(&daemon, of(&documents)).await.unwrap();
    assert_eq!((counts(&told), told.finished.recut), ([0, 0, 3, 0, 0], 0), "{told:?}");
}

#[tokio::test]
async fn the_embedding_model_is_found_under_another_name_and_missed_by_its_own() {
    let mut daemon = Setup::real().start().await;
    import(&daemon, "minilm").await.unwrap();
    let documents = folder();
    ingest(&daemon, of(&documents)).await.unwrap();
    let question = "When do I have to move out of my apartment?";
    let models = daemon.home().path().join("models");
    let away = daemon.home().path().join("away.gguf");
    let mut place = models.join("minilm.gguf");
    for (to, is_here) in
        [(models.join("moved.gguf"), true), (away, false), (models.join("back.gguf"), true)]
    {
        daemon.terminate();
        daemon.ended().await;
        fs::rename(&place, &to).unwrap();
        place = to;
        daemon.restart().await;
        let found = search(&daemon, question, SearchMode::Meaning).await;
        if is_here {
            assert!(found.unwrap()[0].text.contains("lease"), "{}", place.display());
            continue;
        }
        let failure = found.unwrap_err();
        assert_eq!(failure.reason, reason::EMBEDDING_MODEL_GONE, "{failure:?}");
        assert!(failure.message.contains("models folder"), "{failure:?}");
        let hits = search(&daemon, "Mrs Tanaka", SearchMode::Hybrid).await.unwrap();
        assert!(hits[0].text.contains("plants"), "by words it is found all the same");
    }
    write(&documents, "new.txt", "The gas meter stands behind the washing machine.\n");
    assert_eq!(counts(&ingest(&daemon, of(&documents)).await.unwrap()), [1, 0, 3, 0, 0]);
    let hits = search(&daemon, "fuel gauge in the laundry", SearchMode::Meaning).await.unwrap();
    assert!(hits[0].text.contains("gas meter"), "{hits:?}");
}
