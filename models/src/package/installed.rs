//! The versions of models that are on this machine, and what is known about them. Blocking.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use semver::Version;
use serde::{Deserialize, Serialize};

use super::Manifest;

const EXTENSION: &str = ".gguf";
/// What its file has behind the name of the model's.
pub(crate) const SIDECAR: &str = ".package.json";
const SIDECAR_BYTES_MAX: u64 = 2 << 20;
const ID_BYTES_MAX: usize = 100;

/// Whether a model of this id can have versions: letters, digits, dots, dashes and underscores.
#[must_use]
pub fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=ID_BYTES_MAX).contains(&id.len()) && !id.starts_with('.') && id.bytes().all(plain)
}

/// The file of a version in the models directory.
#[must_use]
pub fn file_name(id: &str, version: &Version) -> String {
    format!("{id}@{version}{EXTENSION}")
}

/// Model and version of `ID@VERSION`.
#[must_use]
pub fn parse_name(name: &str) -> Option<(&str, Version)> {
    let (id, version) = name.split_once('@')?;
    let version = Version::parse(version).ok().filter(|version| version.build.is_empty())?;
    is_id(id).then_some((id, version))
}

/// The versions of a model in `folder`, oldest first.
#[must_use]
pub fn installed_versions(folder: &Path, id: &str) -> Vec<(Version, PathBuf)> {
    let paths = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut versions: Vec<_> = paths
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(EXTENSION)?;
            let (of, version) = parse_name(name)?;
            (of.eq_ignore_ascii_case(id) && path.is_file()).then(|| (version, path.clone()))
        })
        .collect();
    versions.sort();
    versions
}

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn versions_are_found_by_their_files_and_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let files =
            ["m@1.10.0.gguf", "M@1.9.0.gguf", "m.gguf", "m@latest.gguf", "n@1.0.0.gguf", "m@2.0.0"];
        for file in files {
            fs::write(folder.path().join(file), "x").unwrap();
        }
        let found = installed_versions(folder.path(), "m");
        let found: Vec<_> = found.iter().map(|(version, _)| version.to_string()).collect();
        assert_eq!(found, ["1.9.0", "1.10.0"]);
    }

    #[test]
    fn a_name_has_an_id_and_a_whole_version() {
        let (id, version) = parse_name("smol@1.2.3-rc.1").unwrap();
        assert_eq!(file_name(id, &version), "smol@1.2.3-rc.1.gguf");
        for wrong in ["m", "m@1", "m@1.0.0+build", "../m@1.0.0", ".m@1.0.0", "@1.0.0", "a b@1.0.0"]
        {
            assert_eq!(parse_name(wrong), None, "{wrong}");
        }
    }
}
