//! A directory in which a daemon keeps everything, and the way its programs are started.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::process::Command;

use crate::script::{self, Script};
use crate::{LOOK_AGAIN, gguf, processes, program, programs, soon};

/// Name of the real model's file, by which the catalog knows it.
const REAL_MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// Name of the file that stands for a model where a script answers.
const SCRIPTED_MODEL: &str = "scripted.gguf";

/// The home of one daemon. When it goes, no process that was started in it may be left.
#[derive(Debug)]
pub struct Home {
    directory: TempDir,
    /// Settings that come before those of the file.
    environment: BTreeMap<&'static str, PathBuf>,
}

impl Home {
    /// A home without models.
    pub fn empty() -> Self {
        // A short path, as that of a socket may not have more than 107 bytes.
        let directory = tempfile::Builder::new().prefix("tandem-").tempdir_in("/tmp").unwrap();
        fs::create_dir(directory.path().join("models")).unwrap();
        let path = directory.path().to_owned();
        let mut home = Self { directory, environment: BTreeMap::new() };
        home.set("TANDEM_SOCKET", path.join("tandem.sock"));
        // Engines that nobody asked for would take part in tests and measurements.
        home.set("TANDEM_ENGINE__TUNE", "off");
        home.set("TANDEM_MEMORY__FACTS", "false");
        // What else is on the machine is not part of a test.
        home.set("TANDEM_MODELS__FIND", "false");
        home.set("TANDEM_HOME", path);
        home
    }

    /// A home whose engines follow a script.
    pub fn scripted(script: &Script) -> Self {
        let mut home = Self::empty();
        home.write_script(script);
        fs::write(home.model(SCRIPTED_MODEL), gguf::tiny()).unwrap();
        home.set("TANDEM_ENGINE__BINARY", program("scripted-engine"));
        home.set("TANDEM_MODELS__DEFAULT", SCRIPTED_MODEL);
        home
    }

    /// A home with a real model.
    pub fn real() -> Self {
        let home = Self::empty();
        symlink(Self::real_model(), home.model(REAL_MODEL)).unwrap();
        home
    }

    /// A home with the real engine and a model from somewhere else.
    pub fn with_model(file: impl Into<PathBuf>) -> Self {
        let mut home = Self::empty();
        home.set("TANDEM_MODELS__DEFAULT", file);
        home
    }

    /// The file of a model of 3 billion weights, which are random.
    pub fn large_model() -> PathBuf {
        programs::required_file("TANDEM_TEST_MODEL_3B", "a GGUF file of 3 billion weights")
    }

    /// The real model's file.
    pub fn real_model() -> PathBuf {
        programs::required_file("TANDEM_TEST_MODEL", "the GGUF file to test with")
    }

    /// The folder of an embedding model as its makers publish it.
    pub fn embedding_source() -> PathBuf {
        programs::required_folder("TANDEM_TEST_EMBEDDING_SOURCE", "the embedding model to import")
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where a daemon listens.
    pub fn socket(&self) -> PathBuf {
        self.environment["TANDEM_SOCKET"].clone()
    }

    /// The file of a model.
    pub fn model(&self, name: &str) -> PathBuf {
        self.path().join("models").join(name)
    }

    /// Sets an environment variable of all programs that run in this home.
    pub fn set(&mut self, variable: &'static str, value: impl Into<PathBuf>) {
        self.environment.insert(variable, value.into());
    }

    /// Replaces the settings.
    pub fn configure(&self, toml: &str) {
        fs::write(self.path().join("tandem.toml"), toml).unwrap();
    }

    /// Replaces the script; engines that start later follow it.
    pub fn write_script(&self, script: &Script) {
        fs::write(self.script(), serde_json::to_vec(script).unwrap()).unwrap();
    }

    /// Ends all waiting in scripts.
    pub fn release(&self) {
        File::create(script::release_file(&self.script())).unwrap();
    }

    /// What scripted engines wrote down so far.
    pub fn engine_log(&self) -> Vec<String> {
        match fs::read_to_string(script::log_file(&self.script())) {
            Ok(log) => log.lines().map(str::to_owned).collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => panic!("cannot read the log of the scripted engine: {error}"),
        }
    }

    /// The part of the log that is about one kind of message.
    pub fn logged(&self, kind: &str) -> Vec<String> {
        let is_it = |line: &String| line.split(' ').nth(2) == Some(kind);
        self.engine_log().into_iter().filter(is_it).collect()
    }

    /// Waits until scripted engines have written this line down.
    pub async fn until_logged(&self, line: &str) {
        soon(&format!("{line:?} in the engine's log"), async {
            while !self.engine_log().iter().any(|written| written == line) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    /// A program of tandem that will run in this home.
    pub fn command(&self, name: &str) -> Command {
        self.inside(Command::new(program(name)))
    }

    /// A command as it is run in this home.
    pub(crate) fn inside(&self, mut command: Command) -> Command {
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["TANDEM", "XDG_", "RUST_LOG"].iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command.envs(&self.environment);
        command.current_dir(self.path()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs the `tandem` command to its end.
    pub async fn tandem(&self, arguments: &[&str]) -> Output {
        let mut command = self.command("tandem");
        command.arg("--no-autostart").args(arguments);
        soon("the tandem command", command.output()).await.unwrap()
    }

    /// Waits until no process that was started in this home is left.
    pub async fn until_deserted(&self) {
        soon(&format!("all processes of {} to end", self.path().display()), async {
            while !processes::with_home(self.path()).is_empty() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    fn script(&self) -> PathBuf {
        self.path().join(script::FILE)
    }
}
