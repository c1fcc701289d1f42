//! What is known of a version that was installed. Blocking.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Manifest;
use crate::sidecar;

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
        let bytes = sidecar::read(&beside(file), SIDECAR_BYTES_MAX)?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Writes it down for the model in `file`. It is on disk afterwards.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        sidecar::write(&beside(file), &serde_json::to_vec(self)?)
    }

    /// Forgets that of the model in `file`.
    pub fn forget(file: &Path) -> io::Result<()> {
        sidecar::forget(&beside(file))
    }
}

fn beside(file: &Path) -> PathBuf {
    sidecar::beside(file, SIDECAR)
}
