//! Fetching models from servers on loopback, with what goes wrong on the way.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod faults;
mod hub;
mod plain;
mod resuming;
mod s3;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::origin::sha256;
use crate::pull::{self, Error, Hub, Options, Pace, Progress, Retry, S3, Target};
use tandem_tests::file_server::{FileServer as Server, Manner};
use tandem_tests::gguf::with_bytes as model;
use tempfile::TempDir;

const MIB: usize = 1 << 20;
/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(60);

/// A models directory, and how to fetch into it.
struct Place {
    dir: TempDir,
    options: Options,
    /// All that was reported.
    heard: Mutex<Vec<Progress>>,
}

impl Place {
    fn new() -> Self {
        let options = Options {
            parallel: 4,
            pace: Arc::new(Pace::new(None)),
            hub: Hub { endpoint: "http://127.0.0.1:1".into(), token: None },
            s3: S3 { endpoint: None, region: "us-east-1".into(), keys: None },
            retry: Retry {
                failures_max: 4,
                pause_first: Duration::from_millis(2),
                pause_max: Duration::from_millis(20),
            },
            idle: Duration::from_secs(20),
            random: || 0.5,
        };
        Self { dir: tempfile::tempdir().unwrap(), options, heard: Mutex::default() }
    }

    async fn pull(&self, target: &Target) -> Result<PathBuf, Error> {
        let report = |progress| self.heard.lock().unwrap().push(progress);
        let pulled = pull::pull(target, self.dir.path(), &self.options, &report);
        tokio::time::timeout(DEADLINE, pulled).await.expect("the pull ends")
    }

    /// The last thing that did not go as planned.
    fn note(&self) -> String {
        self.heard.lock().unwrap().last().map(|progress| progress.note.clone()).unwrap_or_default()
    }

    /// What is in the directory.
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let mut files: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        files
    }

    /// That the file is there, and nothing that is not finished.
    fn assert_has(&self, content: &[u8]) {
        assert!(std::fs::read(self.dir.path().join("m.gguf")).unwrap() == content, "another file");
        assert_eq!(self.files(), ["m.gguf", "m.gguf.origin.toml"]);
    }
}

/// The file of this server.
fn of(server: &Server) -> Target {
    from(&[&server.url()])
}

fn from(sources: &[&str]) -> Target {
    let sources = sources.iter().map(|source| source.parse().unwrap()).collect();
    let content = pull::Content::Model;
    Target { content, file: "m.gguf".into(), sources, sha256: None, size_bytes: None }
}

fn hash(content: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    sha256(file.path(), &mut |_| true).unwrap().unwrap()
}
