//! The care of what is stored: backups, exports, compaction and full disks, as a person does it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tandem_proto::error as reason;
use tandem_proto::v1::AskRequest;
use tandem_tests::script::{self, Life, Script};
use tandem_tests::{Answer, Daemon, Failure, Setup, question, soon};

const WORDS: &str = "well noted";

async fn scripted() -> Daemon {
    Setup::scripted(&Script::always(Life::answering(WORDS))).start().await
}

fn in_conversation(id: &str, prompt: &str) -> AskRequest {
    AskRequest { conversation_id: id.to_owned(), ..question(prompt) }
}

async fn ask(daemon: &Daemon, id: &str, prompt: &str) -> Answer {
    daemon.ask_with(in_conversation(id, prompt)).await
}

fn text(output: &Output) -> String {
    let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(all).unwrap()
}

/// Runs a command that succeeds; what it printed.
async fn tandem(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = daemon.home().tandem(arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

async fn json(daemon: &Daemon, arguments: &[&str]) -> Value {
    let printed = tandem(daemon, &[arguments, &["--json"]].concat()).await;
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

/// Runs a command that fails; its exit code and what it printed.
async fn refused(daemon: &Daemon, arguments: &[&str]) -> (i32, String) {
    let output = daemon.home().tandem(arguments).await;
    (output.status.code().unwrap(), text(&output))
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_backup_is_restored_into_another_home_and_refused_where_something_is() {
    let daemon = scripted().await;
    let id = daemon.conversation().await;
    for number in 0..5 {
        ask(&daemon, &id, &format!("question {number} {}", "word ".repeat(200))).await.complete();
    }
    let file = daemon.home().path().join("all.backup");
    let made = json(&daemon, &["memory", "backup", path(&file)]).await;
    assert_eq!(made["bytes"].as_u64().unwrap(), fs::metadata(&file).unwrap().len());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let other = scripted().await;
    tandem(&other, &["memory", "restore", path(&file)]).await;
    assert_eq!(other.turns(&id).await, daemon.turns(&id).await);
    assert_eq!(json(&other, &["memory", "check"]).await["findings"], Value::Array(vec![]));
    let found = json(&other, &["conversation", "search", "question", "3"]).await;
    assert_eq!(found["found"].as_array().unwrap().len(), 1);
    ask(&other, &id, "and on it goes").await.complete();
    assert_eq!(other.turns(&id).await.len(), 6);

    let (code, said) = refused(&other, &["memory", "restore", path(&file)]).await;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("--overwrite"), "{said}");
    assert_eq!(other.turns(&id).await.len(), 6);
    let restored = json(&other, &["memory", "restore", path(&file), "--overwrite"]).await;
    assert_eq!(other.turns(&id).await.len(), 5);
    assert!(Path::new(restored["previous"].as_str().unwrap()).join("db").is_file());
}

#[tokio::test]
async fn a_damaged_backup_changes_nothing() {
    let mut daemon = scripted().await;
    let id = daemon.conversation().await;
    ask(&daemon, &id, "remember this").await.complete();
    let file = daemon.home().path().join("all.backup");
    tandem(&daemon, &["memory", "backup", path(&file)]).await;
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&flipped[..], &whole[..whole.len() - 1], &whole[..20], b"", b"nonsense"] {
        fs::write(&file, damaged).unwrap();
        let restore = ["memory", "restore", path(&file), "--overwrite"];
        let (code, said) = refused(&daemon, &restore).await;
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("the backup"), "{said}");
        assert_eq!(daemon.turns(&id).await.len(), 1);
    }
    daemon.kill().await;
    daemon.restart().await;
    assert_eq!(daemon.turns(&id).await.len(), 1);
    let left = fs::read_dir(daemon.home().path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.map(|name| name.into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.starts_with("store.new")), "{left:?}");
}

#[tokio::test]
async fn an_export_that_was_imported_exports_to_the_same_bytes() {
    let daemon = scripted().await;
    let first = daemon.conversation().await;
    ask(&daemon, &first, "Grün oder \"schwarz\"?\n\tTee 🦀").await.complete();
    ask(&daemon, &first, "And again").await.complete();
    let private = ["conversation", "create", "--title", "Secret", "--policy", "private"];
    let second = tandem(&daemon, &private).await.trim().to_owned();
    ask(&daemon, &second, "Stay here").await.complete();
    let exported = tandem(&daemon, &["conversation", "export"]).await;
    assert_eq!(exported.lines().count(), 5);
    let file = daemon.home().path().join("all.jsonl");
    tandem(&daemon, &["conversation", "export", "-o", path(&file)]).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), exported);

    let other = scripted().await;
    let imported = json(&other, &["conversation", "import", path(&file)]).await;
    assert_eq!((&imported["conversations"], &imported["turns"]), (&2.into(), &3.into()));
    assert_eq!(tandem(&other, &["conversation", "export"]).await, exported);
    assert_eq!(other.turns(&first).await, daemon.turns(&first).await);

    let (code, said) = refused(&other, &["conversation", "import", path(&file)]).await;
    assert_eq!(code, 1);
    assert!(said.contains(&first) && said.contains("is here already"), "{said}");
    tandem(&other, &["conversation", "import", "--replace", path(&file)]).await;
    assert_eq!(tandem(&other, &["conversation", "export"]).await, exported);
    let one = tandem(&other, &["conversation", "export", &second]).await;
    assert_eq!(one.lines().count(), 2);

    let third = scripted().await;
    fs::write(&file, exported.replace("Stay here", "Stay \"here")).unwrap();
    let (code, said) = refused(&third, &["conversation", "import", path(&file)]).await;
    let line = exported.lines().position(|line| line.contains("Stay here")).unwrap() + 1;
    assert_eq!(code, 1);
    assert!(said.contains(&format!("line {line}")), "{said}");
    assert!(said.contains("imported 1 conversations with 2 turns"), "{said}");
    let (code, _) = refused(&third, &["conversation", "show", &second]).await;
    assert_eq!(code, 1, "nothing of it was imported");
}

#[tokio::test]
async fn a_conversation_is_renamed_found_and_deleted_from_the_command_line() {
    let daemon = scripted().await;
    let id = daemon.conversation().await;
    ask(&daemon, &id, "Where do flamingos sleep?").await.complete();
    let renamed = json(&daemon, &["conversation", "rename", &id, "Pink birds"]).await;
    assert_eq!(renamed["title"], "Pink birds");
    let found = json(&daemon, &["conversation", "search", "FLAMINGOS", "noted"]).await;
    assert_eq!(found["found"][0]["conversation"]["title"], "Pink birds");
    assert_eq!(found["found"][0]["snippet"], "Where do flamingos sleep");
    let shown = tandem(&daemon, &["conversation", "search", "flamingos"]).await;
    assert!(shown.contains(&id) && shown.contains("Pink birds"), "{shown}");
    tandem(&daemon, &["conversation", "delete", &id]).await;
    let shown = tandem(&daemon, &["conversation", "search", "flamingos"]).await;
    assert_eq!(shown, "nothing has all of these words\n");
}

#[tokio::test]
async fn what_was_deleted_is_nowhere_on_the_disk_once_it_was_compacted() {
    let daemon = scripted().await;
    let (id, kept) = (daemon.conversation().await, daemon.conversation().await);
    ask(&daemon, &id, "the password is xylophonequartz").await.complete();
    ask(&daemon, &kept, "the weather is marvellousnice").await.complete();
    let search = |word: &'static str| ["conversation", "search", word];
    assert!(tandem(&daemon, &search("xylophonequartz")).await.contains(&id));
    let here = |word: &str| {
        let store = files_with(&daemon.home().path().join("store"), word);
        let index = files_with(&daemon.home().path().join("store-search"), word);
        [store, index].concat()
    };
    assert!(!here("xylophonequartz").is_empty());
    tandem(&daemon, &["conversation", "delete", &id]).await;
    let compacted = json(&daemon, &["memory", "compact"]).await;
    assert!(compacted["bytes_after"].as_u64().unwrap() > 0);
    assert_eq!(here("xylophonequartz"), [""; 0]);
    let store_folders = fs::read_dir(daemon.home().path()).unwrap().filter(|entry| {
        entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("store.")
            && entry.as_ref().unwrap().path().is_dir()
    });
    assert_eq!(store_folders.count(), 0, "no other store is left behind");
    assert_eq!(daemon.turns(&kept).await.len(), 1);
    assert!(tandem(&daemon, &search("marvellousnice")).await.contains(&kept));
    let stats = json(&daemon, &["memory", "stats"]).await;
    assert_eq!((&stats["conversations"], &stats["turns"]), (&1.into(), &1.into()));
}

/// Files below a folder that have this word in them.
fn files_with(folder: &Path, word: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let content = fs::read(entry.path()).unwrap();
            if content.windows(word.len()).any(|bytes| bytes == word.as_bytes()) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_are_stored_while_a_backup_and_a_compaction_are_made() {
    let daemon = scripted().await;
    let id = daemon.conversation().await;
    for number in 0..20 {
        ask(&daemon, &id, &format!("before {number} {}", "x".repeat(100_000))).await.complete();
    }
    let file = daemon.home().path().join("all.backup");
    let work = async {
        for _ in 0..3 {
            tandem(&daemon, &["memory", "backup", path(&file)]).await;
            tandem(&daemon, &["memory", "compact"]).await;
        }
    };
    let turns = async {
        for number in 0..60 {
            let answer = ask(&daemon, &id, &format!("meanwhile {number}")).await;
            assert!(answer.done().is_some_and(|done| done.stored), "{answer:?}");
        }
    };
    tokio::join!(work, turns);
    assert_eq!(daemon.turns(&id).await.len(), 80);
    let other = scripted().await;
    tandem(&other, &["memory", "restore", path(&file)]).await;
    // The backup is a beginning of what is there now.
    let (restored, now) = (other.turns(&id).await, daemon.turns(&id).await);
    assert!(restored.len() >= 20);
    assert_eq!(restored, now[..restored.len()]);
    for daemon in [&daemon, &other] {
        assert_eq!(json(daemon, &["memory", "check"]).await["findings"], Value::Array(vec![]));
    }
}

/// A small file system of its own, where this process may mount one.
#[cfg(target_os = "linux")]
struct SmallDisk(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount(dir: &Path, size: &str) -> Option<Self> {
        fs::create_dir(dir).unwrap();
        let options = format!("size={size},mode=700");
        let mount = ["-t", "tmpfs", "-o", &options, "tmpfs", path(dir)];
        let mounted = std::process::Command::new("mount").args(mount).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(dir.to_owned()))
    }

    /// Leaves so many MiB.
    fn fill(&self, leave_mib: usize) {
        let filler = self.0.join("filler");
        let _ = fs::remove_file(&filler);
        let mut file = fs::File::create(&filler).unwrap();
        let block = vec![1; 1 << 16];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub((leave_mib as u64) << 20)).unwrap();
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_acknowledged_is_lost_and_it_goes_on_when_there_is_space() {
    let setup = Setup::scripted(&Script::always(Life::answering(WORDS)));
    let data = setup.home().path().join("data");
    let models = setup.home().path().join("models");
    // Only root may mount; elsewhere the rules are held by the tests of the store alone.
    let Some(disk) = SmallDisk::mount(&data, "96m") else { return };
    let script = data.join(script::FILE);
    fs::copy(setup.home().path().join(script::FILE), &script).unwrap();
    // What the engine writes down about itself is not what the disk is short of.
    let log = script::log_file(&setup.home().path().join(script::FILE));
    std::os::unix::fs::symlink(log, script::log_file(&script)).unwrap();
    let setup = setup.environment("TANDEM_HOME", data).environment("TANDEM_MODELS__DIR", models);
    let mut daemon = setup.start().await;
    let id = daemon.conversation().await;
    let mut stored = Vec::new();
    for round in 0..3 {
        // A little space, less than is kept free, and none at all.
        disk.fill([12, 4, 0][round]);
        let failure = loop {
            let prompt = format!("{round} {} {}", stored.len(), "x".repeat(100_000));
            let answer = ask(&daemon, &id, &prompt).await;
            match answer.error {
                None => stored.push((prompt, WORDS.to_owned())),
                Some(failure) => break failure,
            }
        };
        assert_eq!(failure.reason, reason::DISK_FULL, "{failure:?}");
        assert!(failure.message.contains("make space"), "{failure:?}");
        assert_eq!(daemon.turns(&id).await, stored, "what is there can be read");
        if round == 2 {
            daemon.kill().await;
            daemon.restart().await;
            assert_eq!(daemon.turns(&id).await, stored, "a full disk can be opened");
            assert_eq!(ask(&daemon, &id, "still full").await.failure().reason, reason::DISK_FULL);
        }
        disk.free();
        let answer = soon("the store to take turns again", async {
            loop {
                let answer = ask(&daemon, &id, "space again").await;
                if !matches!(&answer.error, Some(Failure { reason, .. }) if is_passing(reason)) {
                    return answer;
                }
            }
        });
        Box::pin(answer).await.complete();
        stored.push(("space again".to_owned(), WORDS.to_owned()));
    }
    daemon.kill().await;
    daemon.restart().await;
    assert_eq!(daemon.turns(&id).await, stored);
    assert_eq!(json(&daemon, &["memory", "check"]).await["findings"], Value::Array(vec![]));
}

#[cfg(target_os = "linux")]
fn is_passing(reason: &str) -> bool {
    [reason::DISK_FULL, reason::RESTARTING].contains(&reason)
}
