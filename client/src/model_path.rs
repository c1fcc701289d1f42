//! Models named by a path: relative ones count from here, not from where the daemon was started.

use std::path::{Path, PathBuf, absolute};

use tandem_client::Error;

use crate::failure::Failure;

/// The model as the daemon understands it: an id as it is, a path from the root.
///
/// What begins with `./` or `../` is a path, and must be that of a file. What ends in `.gguf` is a
/// path when there is such a file here, and else a name that the daemon knows, or not.
pub(crate) fn resolve(model: String) -> Result<String, Failure> {
    let path = Path::new(&model);
    let is_path = ["./", "../"].iter().any(|beginning| model.starts_with(beginning));
    let is_file = path.extension().is_some_and(|extension| extension == "gguf");
    if path.is_absolute() || !(is_path || is_file) {
        return Ok(model);
    }
    match from_root(path) {
        Some(path) => Ok(path.to_string_lossy().into_owned()),
        None if is_path => {
            let path = absolute(path).map_err(Failure::Output)?;
            let message = format!("no such file: {}", path.display());
            let reason = tandem_proto::error::MODEL_NOT_FOUND.into();
            Err(Error::Failed { reason, message, retry_after: None }.into())
        }
        None => Ok(model),
    }
}

/// A folder that exists, from the root.
pub(crate) fn folder(path: &Path) -> Result<PathBuf, Failure> {
    match path.canonicalize() {
        Ok(folder) if folder.is_dir() => Ok(folder),
        Ok(file) => Err(Failure::usage(
            format!("{} is not a folder", file.display()),
            "name the folder that holds config.json and model.safetensors",
        )),
        Err(error) => {
            let hint = "name the folder that holds config.json and model.safetensors";
            Err(Failure::usage(format!("cannot open {}: {error}", path.display()), hint))
        }
    }
}

/// The path of a file that exists, in one spelling. The file's own name is kept: what it links to
/// may not end in `.gguf`.
fn from_root(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
    let path = folder.join(path.file_name()?);
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn names_and_absolute_paths_are_left_as_they_are() {
        for model in ["smollm2", "qwen/qwen2.5-0.5b", "absent.gguf", "/absent/x.gguf"] {
            assert_eq!(resolve(model.into()).unwrap(), model);
        }
    }

    #[test]
    fn relative_paths_count_from_here_and_must_exist() {
        // Tests run in the folder of the crate.
        let here = std::env::current_dir().unwrap();
        let found = resolve("./src/main.rs".into()).unwrap();
        assert_eq!(Path::new(&found), here.join("src/main.rs"));
        let around = resolve("./src/../src/main.rs".into()).unwrap();
        assert_eq!(around, found, "one file has one name");
        let failure = resolve("./absent/x.gguf".into()).unwrap_err();
        let expected = format!("no such file: {}", here.join("absent/x.gguf").display());
        assert_eq!((failure.to_string(), failure.exit_code()), (expected, 1));
    }
}
