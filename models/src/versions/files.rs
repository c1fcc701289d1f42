//! The files of versions, and their names: version V of model ID is `ID@V.gguf` in the models
//! directory. Blocking.

use std::fs;
use std::path::{Path, PathBuf};

use semver::Version;

const EXTENSION: &str = ".gguf";
const ID_BYTES_MAX: usize = 100;

/// Whether versions of a model of this id can be handed on: letters, digits, dots, dashes and underscores.
#[must_use]
pub fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=ID_BYTES_MAX).contains(&id.len()) && !id.starts_with('.') && id.bytes().all(plain)
}

/// The model and the version in a name such as `smol@1.2.0`.
#[must_use]
pub fn split(name: &str) -> Option<(&str, Version)> {
    let (id, version) = name.split_once('@')?;
    Some((id, Version::parse(version).ok()?)).filter(|(id, _)| !id.is_empty())
}

/// The name of a model without the version, if there is one in it.
#[must_use]
pub fn plain(name: &str) -> &str {
    split(name).map_or(name, |(id, _)| id)
}

/// The name of a version.
#[must_use]
pub fn join(id: &str, version: &Version) -> String {
    format!("{id}@{version}")
}

/// The name of its file.
#[must_use]
pub fn file_name(id: &str, version: &Version) -> String {
    format!("{id}@{version}{EXTENSION}")
}

/// The versions of a model in `dir` and their files, lowest first. Case does not matter in ids.
#[must_use]
pub fn installed(dir: &Path, id: &str) -> Vec<(Version, PathBuf)> {
    let paths = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut versions: Vec<_> = paths
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(EXTENSION)?;
            let (of, version) = split(name)?;
            (of.eq_ignore_ascii_case(id) && path.is_file()).then(|| (version, path.clone()))
        })
        .collect();
    versions.sort();
    versions
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
        let found = installed(folder.path(), "m");
        let found: Vec<_> = found.iter().map(|(version, _)| version.to_string()).collect();
        assert_eq!(found, ["1.9.0", "1.10.0"]);
    }

    #[test]
    fn a_name_has_an_id_and_a_whole_version() {
        let (id, version) = split("smol@1.2.3-rc.1").unwrap();
        assert_eq!(file_name(id, &version), "smol@1.2.3-rc.1.gguf");
        assert_eq!(
            (plain("smol@1.2.3-rc.1"), join(id, &version).as_str()),
            ("smol", "smol@1.2.3-rc.1")
        );
        for wrong in ["m", "m@1", "m@latest", "@1.0.0"] {
            assert_eq!((split(wrong), plain(wrong)), (None, wrong));
        }
    }

    #[test]
    fn not_every_name_can_be_handed_on() {
        assert!(["smol", "Smol-1.7B_q4"].into_iter().all(is_id));
        assert!(!["", ".m", "../m", "a b", "a/b"].into_iter().any(is_id));
    }
}
