//! What is known of a version that was installed. Blocking.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Manifest;

/// What its file has behind the name of the model's.
pub(crate) const SIDECAR: &str = ".package.json";
const SIDECAR_BYTES_MAX: u64 = 2 << 20;

/// What is known of a version that was installed, in a file beside its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Installed {
    /// Where it has its updates, as it is written; unset for one that came in a package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// What it is.
    pub manifest: Manifest,
}

impl Installed {
    /// That of the model in `file`; `None` when it came another way, or nobody can tell.
    #[must_use]
    pub fn of(file: &Path) -> Option<Self> {
        let mut bytes = Vec::new();
        File::open(beside(file)).ok()?.take(SIDECAR_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Writes it down for the model in `file`. It is on disk afterwards.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let target = beside(file);
        let part = target.with_extension("origin.part");
        let mut options = fs::OpenOptions::new();
        let mut written =
            options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        written.write_all(&serde_json::to_vec(self)?)?;
        written.sync_all()?;
        fs::rename(&part, &target)
    }

    /// Forgets that of the model in `file`.
    pub fn forget(file: &Path) -> io::Result<()> {
        match fs::remove_file(beside(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(SIDECAR);
    PathBuf::from(name)
}
